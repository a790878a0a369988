//! Ids, one type for each kind of thing, so that a pitch's cannot be passed for a user's.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(transparent)]
        #[schema(value_type = Uuid)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}

ids! {
    /// A pitch.
    PitchId,
    /// An account.
    UserId,
    /// An image or an attachment.
    MediaId,
    /// A non-disclosure agreement between a person and a creator about a pitch.
    NdaId,
    /// An expression of interest in a pitch.
    InterestId,
    /// A signed-in browser or program.
    SessionId,
    /// Something an account is told.
    NotificationId,
}
