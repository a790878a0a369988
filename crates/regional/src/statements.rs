//! The statements of the public reads, as tokio-postgres runs them: each in one trip, its parameters with
//! their types, so that no statement need be prepared.

use crate::error::store_error;
use crate::store::{Connections, RegionalStore};
use pitchey_model::{PitchId, Sort, SortKey, Username};
use pitchey_reads::{
    CardColumns, Correction, DetailColumns, FoundColumns, HighlightColumns, ListAsk,
    ProfileColumns, SearchAsk, Statements,
};
use pitchey_store::StoreError;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql, Type};
use uuid::Uuid;

/// The text of a shared statement.
macro_rules! statement {
    ($name:literal) => {
        include_str!(concat!("../../sql/statements/", $name, ".sql"))
    };
}

pub(crate) const REPLAYED: &str = statement!("replication/replayed");
pub(crate) const PING: &str = statement!("health/ping");
pub(crate) const ID_BY_USERNAME: &str = statement!("users/id_by_username");

/// The statement of a list without and with a creator, and the type of its key.
fn list_statements(sort: Sort) -> ([&'static str; 2], Type) {
    match sort {
        Sort::New => (
            [
                statement!("pitches/browse_new"),
                statement!("pitches/creator_new"),
            ],
            Type::TIMESTAMPTZ,
        ),
        Sort::Trending => (
            [
                statement!("pitches/browse_trending"),
                statement!("pitches/creator_trending"),
            ],
            Type::FLOAT8,
        ),
        Sort::Views => (
            [
                statement!("pitches/browse_views"),
                statement!("pitches/creator_views"),
            ],
            Type::INT8,
        ),
    }
}

/// A column by its name in the statement, where `!` says that it is never null and `?` that it may be.
fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, StoreError> {
    row.try_get(column).map_err(store_error)
}

fn card(row: &Row) -> Result<CardColumns, StoreError> {
    Ok(CardColumns {
        id: get(row, "id")?,
        title: get(row, "title")?,
        logline: get(row, "logline")?,
        genres: get(row, "genres")?,
        format: get(row, "format")?,
        stage: get(row, "stage")?,
        visibility: get(row, "visibility")?,
        release_year: get(row, "release_year")?,
        cover_media_id: get(row, "cover_media_id")?,
        published_at: get(row, "published_at!")?,
        view_count: get(row, "view_count")?,
        creator_id: get(row, "creator_id")?,
        creator_username: get(row, "creator_username")?,
        creator_display_name: get(row, "creator_display_name")?,
    })
}

impl<C: Connections> Statements for RegionalStore<C> {
    async fn list(&self, ask: &ListAsk) -> Result<Vec<(SortKey, CardColumns)>, StoreError> {
        let ([of_all, of_creator], kind) = list_statements(ask.sort);
        let time = ask.key.and_then(|key| match key {
            SortKey::Time(time) => Some(time),
            _ => None,
        });
        let score = ask.key.and_then(|key| match key {
            SortKey::Score(score) => Some(score),
            _ => None,
        });
        let views = ask.key.and_then(|key| match key {
            SortKey::Views(views) => Some(views),
            _ => None,
        });
        let key: &(dyn ToSql + Sync) = match ask.sort {
            Sort::New => &time,
            Sort::Trending => &score,
            Sort::Views => &views,
        };
        let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> = vec![
            (&ask.shelf, Type::TEXT),
            (key, kind),
            (&ask.id, Type::UUID),
            (&ask.formats, Type::TEXT_ARRAY),
            (&ask.stages, Type::TEXT_ARRAY),
            (&ask.fetch, Type::INT8),
        ];
        let mut text = of_all;
        if ask.creator.is_some() {
            text = of_creator;
            parameters.push((&ask.creator, Type::UUID));
        }
        let rows = self.rows(text, &parameters).await?;
        rows.iter()
            .map(|row| {
                let key = match ask.sort {
                    Sort::New => SortKey::Time(get::<OffsetDateTime>(row, "sort_key")?),
                    Sort::Trending => SortKey::Score(get(row, "sort_key")?),
                    Sort::Views => SortKey::Views(get(row, "sort_key")?),
                };
                Ok((key, card(row)?))
            })
            .collect()
    }

    async fn detail(&self, id: PitchId) -> Result<Option<DetailColumns>, StoreError> {
        let text = statement!("pitches/detail");
        let row = self.row(text, &[(&id.0, Type::UUID)]).await?;
        row.map(|row| {
            Ok(DetailColumns {
                card: card(&row)?,
                synopsis: get(&row, "synopsis")?,
                cast_members: get(&row, "cast_members")?,
                updated_at: get(&row, "updated_at")?,
                version: get(&row, "version")?,
            })
        })
        .transpose()
    }

    async fn found(&self, ask: &SearchAsk<'_>) -> Result<Vec<FoundColumns>, StoreError> {
        let text = statement!("search/page");
        let parameters: [(&(dyn ToSql + Sync), Type); 7] = [
            (&ask.words, Type::TEXT),
            (&ask.genre, Type::TEXT),
            (&ask.format, Type::TEXT),
            (&ask.rank, Type::FLOAT4),
            (&ask.id, Type::UUID),
            (&ask.fetch, Type::INT8),
            (&ask.facets, Type::BOOL),
        ];
        let rows = self.rows(text, &parameters).await?;
        let rows = rows.iter().map(|row| {
            Ok(FoundColumns {
                sort_key: get(row, "sort_key!")?,
                card: card(row)?,
                facets: get(row, "facets")?,
            })
        });
        rows.collect()
    }

    async fn highlights(
        &self,
        ids: &[Uuid],
        words: &str,
    ) -> Result<BTreeMap<Uuid, HighlightColumns>, StoreError> {
        let text = statement!("search/highlights");
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&ids, Type::UUID_ARRAY), (&words, Type::TEXT)];
        let rows = self.rows(text, &parameters).await?;
        let rows = rows.iter().map(|row| {
            let columns = HighlightColumns {
                title: get(row, "title!")?,
                logline: get(row, "logline!")?,
                synopsis: get(row, "synopsis!")?,
            };
            Ok((get(row, "id")?, columns))
        });
        rows.collect()
    }

    async fn corrections(&self, words: &str) -> Result<Vec<Correction>, StoreError> {
        let text = statement!("search/correct");
        let rows = self.rows(text, &[(&words, Type::TEXT)]).await?;
        let rows = rows.iter().map(|row| {
            Ok(Correction {
                asked: get(row, "asked!")?,
                nearest: get(row, "nearest?")?,
            })
        });
        rows.collect()
    }

    async fn profile(&self, username: &Username) -> Result<Option<ProfileColumns>, StoreError> {
        let text = statement!("users/profile");
        let name = username.as_str();
        let row = self.row(text, &[(&name, Type::TEXT)]).await?;
        row.map(|row| {
            Ok(ProfileColumns {
                id: get(&row, "id")?,
                username: get(&row, "username")?,
                display_name: get(&row, "display_name")?,
                role: get(&row, "role")?,
                bio: get(&row, "bio")?,
                company: get(&row, "company")?,
                location: get(&row, "location")?,
                website: get(&row, "website")?,
                avatar_media_id: get(&row, "avatar_media_id")?,
                pitch_count: get(&row, "pitch_count!")?,
                follower_count: get(&row, "follower_count!")?,
                created_at: get(&row, "created_at")?,
                version: get(&row, "version")?,
            })
        })
        .transpose()
    }
}
