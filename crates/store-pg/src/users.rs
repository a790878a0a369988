//! Accounts as others see them, and whether the database answers.

use crate::PgStore;
use pitchey_model::{Profile, UserId, Username};
use pitchey_store::{Health, StoreError, Users};

impl Users for PgStore {
    async fn profile(&self, username: &Username) -> Result<Option<Profile>, StoreError> {
        pitchey_reads::profile(self, username).await
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
