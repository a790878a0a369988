//! What the marketplace is about: ids, vocabularies, entities, text rules and state machines.
//!
//! Nothing here does I/O, reads a clock or is asynchronous, so all of it can be tested exhaustively and
//! runs the same at the edge, at the origin and in the operator's tools.

mod browse;
mod id;
pub mod lifecycle;
mod pitch;
mod search;
pub mod text;
mod user;
mod vocabulary;

pub use browse::{BrowseQuery, Page, Position, SortKey};
pub use id::{InterestId, MediaId, NdaId, PitchId, UserId};
pub use pitch::{Creator, PitchCard, PitchDetail};
pub use search::{Facets, Highlights, SearchHit, SearchPage, SearchQuery};
pub use user::{Profile, Username, UsernameError};
pub use vocabulary::{
    Format, Genre, InterestStatus, NdaStatus, PitchStatus, Role, Shelf, Sort, Stage, UnknownWord,
    Visibility,
};
