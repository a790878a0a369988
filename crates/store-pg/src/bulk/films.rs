//! Films of a foreign catalogue: what is new becomes a pitch, what has changed changes its pitch.

use super::connection::{BulkConnection, BulkError, is_conflict};
use pitchey_model::{Format, Genre, PitchId, UserId, Username};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use std::collections::{BTreeMap, HashMap, HashSet};
use time::OffsetDateTime;
use uuid::Uuid;

/// A batch that meets a deadlock is tried so often.
const ATTEMPTS: u32 = 4;
/// Separates the names of a cast in one text; no name can contain a control character.
const NAME_SEPARATOR: &str = "\u{1f}";

macro_rules! statement {
    ($path:literal) => {
        include_str!(concat!("../../../sql/statements/", $path, ".sql"))
    };
}

/// The account of a creator of films.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Follows from the person, so that one person is one account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// Its name if somebody else has that one.
    pub long_username: Username,
    /// Its name on pages, at most 80 characters.
    pub display_name: String,
}

/// A film as a pitch. The texts keep to the bounds of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Film {
    /// Follows from the natural key.
    pub id: PitchId,
    /// What makes it this film in its source.
    pub natural_key: String,
    /// Equal when nothing has changed.
    pub content_hash: [u8; 32],
    /// Whose pitch it becomes.
    pub creator: Account,
    /// The title.
    pub title: String,
    /// What it is about, in a sentence.
    pub logline: String,
    /// The public synopsis.
    pub synopsis: String,
    /// What it is like.
    pub genres: Vec<Genre>,
    /// What was made.
    pub format: Format,
    /// When it was released.
    pub release_year: i16,
    /// Who plays.
    pub cast: Vec<String>,
    /// Since when it counts as published.
    pub published_at: OffsetDateTime,
}

/// What a batch of films did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Pitches that are new.
    pub created: u64,
    /// Pitches that were changed.
    pub updated: u64,
    /// Pitches that stayed as they were.
    pub unchanged: u64,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// The run.
    pub id: Uuid,
    /// The last line of the file whose effect is committed.
    pub lines_done: u64,
    /// Pitches made, changed and left so far.
    pub counts: BatchCounts,
    /// Lines refused so far.
    pub rejected: u64,
}

impl BulkConnection {
    /// The run of this file that was cut off, if there is one.
    pub async fn unfinished_import(
        &mut self,
        source: &str,
        file_sha256: &[u8; 32],
    ) -> Result<Option<ImportProgress>, BulkError> {
        let row: Option<(Uuid, i64, i64, i64, i64, i64)> =
            sqlx::query_as(statement!("imports/resume"))
                .bind(source)
                .bind(&file_sha256[..])
                .fetch_optional(&mut self.session)
                .await
                .map_err(BulkError::at("look for an import that was cut off"))?;
        Ok(row.map(
            |(id, lines_done, created, updated, unchanged, rejected)| ImportProgress {
                id,
                lines_done: lines_done.unsigned_abs(),
                counts: BatchCounts {
                    created: created.unsigned_abs(),
                    updated: updated.unsigned_abs(),
                    unchanged: unchanged.unsigned_abs(),
                },
                rejected: rejected.unsigned_abs(),
            },
        ))
    }

    /// Notes that a run begins.
    pub async fn begin_import(
        &mut self,
        id: Uuid,
        source: &str,
        file_sha256: Option<&[u8; 32]>,
    ) -> Result<ImportProgress, BulkError> {
        sqlx::query(statement!("imports/begin"))
            .bind(id)
            .bind(source)
            .bind(file_sha256.map(|hash| &hash[..]))
            .execute(&mut self.session)
            .await
            .map_err(BulkError::at("begin the import"))?;
        Ok(ImportProgress {
            id,
            lines_done: 0,
            counts: BatchCounts::default(),
            rejected: 0,
        })
    }

    /// Writes a batch and how far the run is then, in one transaction. `films` differ in their natural keys.
    ///
    /// `lines_done` and `rejected` are those of the whole run. Adds to `progress` what was done.
    pub async fn import_films(
        &mut self,
        source: &str,
        films: &[Film],
        lines_done: u64,
        rejected: u64,
        progress: &mut ImportProgress,
    ) -> Result<BatchCounts, BulkError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = self
                .try_import_films(source, films, lines_done, rejected, *progress)
                .await;
            match result {
                Ok((counts, now)) => {
                    *progress = now;
                    return Ok(counts);
                }
                Err(error) if attempt < ATTEMPTS && is_conflict(&error) => {
                    tracing::info!(attempt, "another session was in the way; trying again");
                }
                Err(error) => return Err(BulkError::at("write a batch of films")(error)),
            }
        }
    }

    async fn try_import_films(
        &mut self,
        source: &str,
        films: &[Film],
        lines_done: u64,
        rejected: u64,
        mut progress: ImportProgress,
    ) -> Result<(BatchCounts, ImportProgress), sqlx::Error> {
        let mut transaction = self.session.begin().await?;
        let session = &mut *transaction;
        let counts = if films.is_empty() {
            BatchCounts::default()
        } else {
            write(session, source, films).await?
        };
        progress.lines_done = lines_done;
        progress.rejected = rejected;
        progress.counts.created += counts.created;
        progress.counts.updated += counts.updated;
        progress.counts.unchanged += counts.unchanged;
        sqlx::query(statement!("imports/progress"))
            .bind(progress.id)
            .bind(progress.lines_done.cast_signed())
            .bind(progress.counts.created.cast_signed())
            .bind(progress.counts.updated.cast_signed())
            .bind(progress.counts.unchanged.cast_signed())
            .bind(progress.rejected.cast_signed())
            .execute(session)
            .await?;
        transaction.commit().await?;
        Ok((counts, progress))
    }

    /// Notes that a run reached the end of its file.
    pub async fn finish_import(
        &mut self,
        id: Uuid,
        source: &str,
        file_sha256: Option<&[u8; 32]>,
    ) -> Result<(), BulkError> {
        sqlx::query(statement!("imports/finish"))
            .bind(id)
            .bind(source)
            .bind(file_sha256.map(|hash| &hash[..]))
            .execute(&mut self.session)
            .await
            .map_err(BulkError::at("finish the import"))?;
        Ok(())
    }

    /// Brings the planner's figures and the visibility maps up to date after many films, so that lists are
    /// read from their indexes alone.
    pub async fn settle_after_import(&mut self) -> Result<(), BulkError> {
        sqlx::query(
            "VACUUM (ANALYZE) users, pitches, pitch_listings, search_words, import_records",
        )
        .execute(&mut self.session)
        .await
        .map_err(BulkError::at("vacuum after the import"))?;
        Ok(())
    }
}

async fn write(
    session: &mut PgConnection,
    source: &str,
    films: &[Film],
) -> Result<BatchCounts, sqlx::Error> {
    let keys: Vec<&str> = films.iter().map(|film| film.natural_key.as_str()).collect();
    let known: Vec<(String, Uuid, Vec<u8>)> = sqlx::query_as(statement!("imports/records"))
        .bind(source)
        .bind(&keys)
        .fetch_all(&mut *session)
        .await?;
    let known: HashMap<String, (Uuid, Vec<u8>)> = known
        .into_iter()
        .map(|(key, id, hash)| (key, (id, hash)))
        .collect();

    let mut new = Vec::new();
    let mut changed = Vec::new();
    for film in films {
        match known.get(&film.natural_key) {
            None => new.push((film.id.0, film)),
            Some((id, hash)) if hash[..] != film.content_hash => changed.push((*id, film)),
            Some(_) => {}
        }
    }
    let counts = BatchCounts {
        created: new.len() as u64,
        updated: changed.len() as u64,
        unchanged: (films.len() - new.len() - changed.len()) as u64,
    };
    if new.is_empty() && changed.is_empty() {
        return Ok(counts);
    }
    if !new.is_empty() {
        ensure_accounts(session, &new).await?;
        insert(session, &new).await?;
    }
    if !changed.is_empty() {
        // Rows are locked in one order for all, which keeps deadlocks rare.
        changed.sort_unstable_by_key(|(id, _)| *id);
        update(session, &changed).await?;
    }
    remember(session, source, new.iter().chain(&changed)).await?;
    invalidate(session, &new, &changed).await?;
    Ok(counts)
}

async fn ensure_accounts(
    session: &mut PgConnection,
    new: &[(Uuid, &Film)],
) -> Result<(), sqlx::Error> {
    // The first spelling of a name stays.
    let mut accounts: BTreeMap<Uuid, &Account> = BTreeMap::new();
    for (_, film) in new {
        accounts.entry(film.creator.id.0).or_insert(&film.creator);
    }
    missing(session, &mut accounts).await?;
    for long in [false, true] {
        if accounts.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = accounts.keys().copied().collect();
        let usernames: Vec<&str> = accounts
            .values()
            .map(|account| {
                let name = if long {
                    &account.long_username
                } else {
                    &account.username
                };
                name.as_str()
            })
            .collect();
        let display_names: Vec<&str> = accounts
            .values()
            .map(|account| account.display_name.as_str())
            .collect();
        sqlx::query(statement!("users/import"))
            .bind(&ids)
            .bind(&usernames)
            .bind(&display_names)
            .execute(&mut *session)
            .await?;
        // Somebody else may have had the name.
        missing(session, &mut accounts).await?;
    }
    // What is still missing fails as a foreign key of its pitch.
    Ok(())
}

/// Leaves the accounts that are not there.
async fn missing(
    session: &mut PgConnection,
    accounts: &mut BTreeMap<Uuid, &Account>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = accounts.keys().copied().collect();
    let present: Vec<Uuid> = sqlx::query_scalar(statement!("users/present"))
        .bind(&ids)
        .fetch_all(session)
        .await?;
    for id in present {
        accounts.remove(&id);
    }
    Ok(())
}

/// The columns that an insertion and an update have in common.
struct Content<'a> {
    titles: Vec<&'a str>,
    loglines: Vec<&'a str>,
    synopses: Vec<&'a str>,
    genres: Vec<String>,
    formats: Vec<&'a str>,
    years: Vec<i16>,
    casts: Vec<String>,
}

impl<'a> Content<'a> {
    fn of(films: &[(Uuid, &'a Film)]) -> Self {
        let films = || films.iter().map(|(_, film)| *film);
        Self {
            titles: films().map(|film| film.title.as_str()).collect(),
            loglines: films().map(|film| film.logline.as_str()).collect(),
            synopses: films().map(|film| film.synopsis.as_str()).collect(),
            genres: films()
                .map(|film| {
                    let words: Vec<&str> = film.genres.iter().map(|genre| genre.as_str()).collect();
                    words.join(",")
                })
                .collect(),
            formats: films().map(|film| film.format.as_str()).collect(),
            years: films().map(|film| film.release_year).collect(),
            casts: films().map(|film| film.cast.join(NAME_SEPARATOR)).collect(),
        }
    }
}

async fn insert(session: &mut PgConnection, new: &[(Uuid, &Film)]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = new.iter().map(|(id, _)| *id).collect();
    let creators: Vec<Uuid> = new.iter().map(|(_, film)| film.creator.id.0).collect();
    let published: Vec<OffsetDateTime> = new.iter().map(|(_, film)| film.published_at).collect();
    let content = Content::of(new);
    sqlx::query(statement!("pitches/import"))
        .bind(&ids)
        .bind(&creators)
        .bind(&content.titles)
        .bind(&content.loglines)
        .bind(&content.synopses)
        .bind(&content.genres)
        .bind(&content.formats)
        .bind(&content.years)
        .bind(&content.casts)
        .bind(&published)
        .execute(session)
        .await?;
    Ok(())
}

async fn update(session: &mut PgConnection, changed: &[(Uuid, &Film)]) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = changed.iter().map(|(id, _)| *id).collect();
    let content = Content::of(changed);
    sqlx::query(statement!("pitches/import_changed"))
        .bind(&ids)
        .bind(&content.titles)
        .bind(&content.loglines)
        .bind(&content.synopses)
        .bind(&content.genres)
        .bind(&content.formats)
        .bind(&content.years)
        .bind(&content.casts)
        .execute(session)
        .await?;
    Ok(())
}

async fn remember<'a>(
    session: &mut PgConnection,
    source: &str,
    written: impl Iterator<Item = &'a (Uuid, &'a Film)>,
) -> Result<(), sqlx::Error> {
    let (mut keys, mut ids, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (id, film) in written {
        keys.push(film.natural_key.as_str());
        ids.push(*id);
        hashes.push(&film.content_hash[..]);
    }
    sqlx::query(statement!("imports/remember"))
        .bind(source)
        .bind(&keys)
        .bind(&ids)
        .bind(&hashes)
        .execute(session)
        .await?;
    Ok(())
}

/// The tags of what a cache could hold. A new pitch was cached nowhere, but its creator's page, the lists and
/// the searches without it may be.
async fn invalidate(
    session: &mut PgConnection,
    new: &[(Uuid, &Film)],
    changed: &[(Uuid, &Film)],
) -> Result<(), sqlx::Error> {
    let mut tags = vec!["list:new".to_owned(), "search".to_owned()];
    tags.extend(changed.iter().map(|(id, _)| format!("pitch:{id}")));
    let creators: HashSet<UserId> = new.iter().map(|(_, film)| film.creator.id).collect();
    let mut creators: Vec<_> = creators.into_iter().collect();
    creators.sort_unstable();
    tags.extend(creators.iter().map(|id| format!("creator:{id}")));
    sqlx::query(statement!("outbox/cache_add"))
        .bind(&tags)
        .execute(session)
        .await?;
    Ok(())
}
