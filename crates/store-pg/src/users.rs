//! Accounts as others see them, and whether the database answers.

use crate::PgStore;
use crate::rows::word;
use pitchey_model::{Profile, UserId, Username};
use pitchey_store::{Health, StoreError, Users};

impl Users for PgStore {
    async fn profile(&self, username: &Username) -> Result<Option<Profile>, StoreError> {
        let row = self
            .read_public("users.profile", |mut lease| {
                let query =
                    sqlx::query_file!("../sql/statements/users/profile.sql", username.as_str());
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        row.map(|row| {
            Ok(Profile {
                id: row.id.into(),
                username: word("username", &row.username)?,
                display_name: row.display_name,
                role: word("role", &row.role)?,
                bio: row.bio,
                company: row.company,
                location: row.location,
                website: row.website,
                avatar: row.avatar_media_id.map(Into::into),
                pitch_count: row.pitch_count,
                follower_count: row.follower_count,
                created_at: row.created_at,
                version: row.version,
            })
        })
        .transpose()
    }

    async fn user_id(&self, username: &Username) -> Result<Option<UserId>, StoreError> {
        let id = self
            .read_public("users.id_by_username", |mut lease| {
                let query = sqlx::query_file_scalar!(
                    "../sql/statements/users/id_by_username.sql",
                    username.as_str()
                );
                async move { query.fetch_optional(&mut *lease).await }
            })
            .await?;
        Ok(id.map(Into::into))
    }
}

impl Health for PgStore {
    async fn ping(&self) -> Result<(), StoreError> {
        self.read("health.ping", |mut lease| {
            let query = sqlx::query_file_scalar!("../sql/statements/health/ping.sql");
            async move { query.fetch_one(&mut *lease).await }
        })
        .await?;
        Ok(())
    }
}
