//! The statements of the public reads, as sqlx runs them.

use crate::PgStore;
use crate::rows::card_columns;
use pitchey_model::{PitchId, Sort, SortKey, Username};
use pitchey_reads::{
    CardColumns, Correction, DetailColumns, FoundColumns, HighlightColumns, ListAsk,
    ProfileColumns, SearchAsk, Statements,
};
use pitchey_store::StoreError;
use std::collections::BTreeMap;
use uuid::Uuid;

/// One fetch of a list by one sort: with or without a creator, the same columns.
macro_rules! fetch_list {
    ($store:ident, $ask:ident, $key:path, $name:literal in $path:literal, $creator_name:literal in $creator_path:literal) => {{
        let ListAsk {
            shelf,
            id,
            formats,
            stages,
            fetch,
            creator,
            ..
        } = $ask;
        let key = $ask.key_as(|key| match key {
            $key(key) => Some(key),
            _ => None,
        })?;
        macro_rules! cards {
            ($rows:ident) => {
                $rows
                    .into_iter()
                    .map(|row| ($key(row.sort_key), card_columns!(row)))
                    .collect()
            };
        }
        if let Some(creator) = creator {
            let rows = $store
                .read_public($creator_name, |mut lease| {
                    let query = sqlx::query_file!(
                        $creator_path,
                        *shelf,
                        key,
                        *id,
                        formats,
                        stages,
                        fetch,
                        creator
                    );
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?;
            cards!(rows)
        } else {
            let rows = $store
                .read_public($name, |mut lease| {
                    let query = sqlx::query_file!($path, *shelf, key, *id, formats, stages, fetch);
                    async move { query.fetch_all(&mut *lease).await }
                })
                .await?;
            cards!(rows)
        }
    }};
}

impl Statements for PgStore {
    async fn list(&self, ask: &ListAsk) -> Result<Vec<(SortKey, CardColumns)>, StoreError> {
        Ok(match ask.sort {
            Sort::New => fetch_list!(
                self,
                ask,
                SortKey::Time,
                "pitches.browse_new" in "../sql/statements/pitches/browse_new.sql",
                "pitches.creator_new" in "../sql/statements/pitches/creator_new.sql"
            ),
            Sort::Trending => fetch_list!(
                self,
                ask,
                SortKey::Score,
                "pitches.browse_trending" in "../sql/statements/pitches/browse_trending.sql",
                "pitches.creator_trending" in "../sql/statements/pitches/creator_trending.sql"
            ),
            Sort::Views => fetch_list!(
                self,
                ask,
                SortKey::Views,
                "pitches.browse_views" in "../sql/statements/pitches/browse_views.sql",
                "pitches.creator_views" in "../sql/statements/pitches/creator_views.sql"
            ),
        })
    }

    async fn detail(&self, id: PitchId) -> Result<Option<DetailColumns>, StoreError> {
        let row = self
            .read_public("pitches.detail", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/pitches/detail.sql", id.0);
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        Ok(row.map(|row| {
            let (synopsis, cast_members, updated_at, version) =
                (row.synopsis, row.cast_members, row.updated_at, row.version);
            DetailColumns {
                card: card_columns!(row),
                synopsis,
                cast_members,
                updated_at,
                version,
            }
        }))
    }

    async fn found(&self, ask: &SearchAsk<'_>) -> Result<Vec<FoundColumns>, StoreError> {
        let rows = self
            .read_public("search.page", |mut lease| {
                let query = sqlx::query_file!(
                    "../sql/statements/search/page.sql",
                    ask.words,
                    ask.genre,
                    ask.format,
                    ask.rank,
                    ask.id,
                    ask.fetch,
                    ask.facets
                );
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        let rows = rows.into_iter().map(|row| FoundColumns {
            sort_key: row.sort_key,
            facets: row.facets,
            card: card_columns!(row),
        });
        Ok(rows.collect())
    }

    async fn highlights(
        &self,
        ids: &[Uuid],
        words: &str,
    ) -> Result<BTreeMap<Uuid, HighlightColumns>, StoreError> {
        let rows = self
            .read_public("search.highlights", |mut lease| {
                let query =
                    sqlx::query_file!("../sql/statements/search/highlights.sql", ids, words);
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        let rows = rows.into_iter().map(|row| {
            let (title, logline, synopsis) = (row.title, row.logline, row.synopsis);
            let columns = HighlightColumns {
                title,
                logline,
                synopsis,
            };
            (row.id, columns)
        });
        Ok(rows.collect())
    }

    async fn corrections(&self, words: &str) -> Result<Vec<Correction>, StoreError> {
        let rows = self
            .read_public("search.correct", |mut lease| {
                let query = sqlx::query_file!("../sql/statements/search/correct.sql", words);
                async move { query.fetch_all(&mut *lease).await }
            })
            .await?;
        let rows = rows.into_iter().map(|row| Correction {
            asked: row.asked,
            nearest: row.nearest,
        });
        Ok(rows.collect())
    }

    async fn profile(&self, username: &Username) -> Result<Option<ProfileColumns>, StoreError> {
        let row = self
            .read_public("users.profile", |mut lease| {
                let query =
                    sqlx::query_file!("../sql/statements/users/profile.sql", username.as_str());
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        Ok(row.map(|row| ProfileColumns {
            id: row.id,
            username: row.username,
            display_name: row.display_name,
            role: row.role,
            bio: row.bio,
            company: row.company,
            location: row.location,
            website: row.website,
            avatar_media_id: row.avatar_media_id,
            pitch_count: row.pitch_count,
            follower_count: row.follower_count,
            created_at: row.created_at,
            version: row.version,
        }))
    }
}
