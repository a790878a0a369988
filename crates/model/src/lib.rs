//! What the marketplace is about: ids, vocabularies, entities, text rules and state machines.
//!
//! Nothing here does I/O, reads a clock or is asynchronous, so all of it can be tested exhaustively and
//! runs the same at the edge, at the origin and in the operator's tools.

mod account;
mod browse;
mod deal;
pub mod decide;
pub mod event;
mod id;
pub mod lifecycle;
pub mod permission;
mod pitch;
pub mod room;
mod search;
pub mod text;
pub mod ticket;
mod user;
mod vocabulary;
mod wal_position;

pub use account::{
    Account, Actor, Email, EmailError, MAX_PASSWORD, MIN_PASSWORD, ProfileChange, ProfileText,
    SessionInfo,
};
pub use browse::{BrowseQuery, Page, Position, SortKey};
pub use deal::{Currency, CurrencyError, Interest, Money, Nda, NewInterest, NewNda};
pub use id::{InterestId, MediaId, NdaId, NotificationId, PitchId, SessionId, UserId};
pub use pitch::{Person, Pitch, PitchCard, PitchChange, PitchContent, PitchDetail};
pub use search::{Facets, Highlights, SearchHit, SearchPage, SearchQuery};
pub use user::{Profile, Username, UsernameError};
pub use vocabulary::{
    Format, Genre, InterestStatus, NdaStatus, NoticeKind, PitchStatus, Role, RumMetric, Shelf,
    Side, Sort, Stage, UnknownWord, Visibility,
};
pub use wal_position::{WalPosition, WalPositionError};
