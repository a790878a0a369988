//! Accounts as others see them.

use crate::Statements;
use crate::rows::{ProfileColumns, word};
use pitchey_model::{Profile, Username};
use pitchey_store::StoreError;

/// The profile of that name: see `store::Users::profile`.
pub async fn profile(
    statements: &impl Statements,
    username: &Username,
) -> Result<Option<Profile>, StoreError> {
    let row = statements.profile(username).await?;
    row.map(ProfileColumns::try_into).transpose()
}

impl TryFrom<ProfileColumns> for Profile {
    type Error = StoreError;

    fn try_from(row: ProfileColumns) -> Result<Self, StoreError> {
        Ok(Self {
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
    }
}
