//! The edge: a shared cache in front of an origin, whatever it runs on.
//!
//! What decides is here and in `http-cache`; what does (sockets, memory, tasks) is behind the port
//! [`Platform`]. So the same edge runs natively and on Workers.
//!
//! [`Proxy`] is a caching reverse proxy for any site, by the rules of HTTP alone. [`Site`] is the edge of
//! Pitchey, which has its table of routes and hears what is invalidated. [`desk`] is what operators ask of
//! either, [`regions`] what databases near readers answer.

mod assets;
mod body;
mod coding;
pub mod desk;
mod far;
mod fields;
pub mod figures;
mod flights;
pub mod health;
mod layered;
pub mod limits;
mod marks;
mod objects;
mod platform;
mod proxy;
mod purges;
mod receive;
pub mod regions;
pub mod sessions;
mod site;
mod slot;
mod tee;

pub use assets::{ASSETS, CODED, asset_fields, asset_name, is_fingerprinted};
pub use body::Body;
pub use coding::Encode;
pub use far::Far;
pub use fields::{Client, unkeyed};
pub use layered::{Layered, Nearby, Unheard};
pub use marks::Marks;
pub use objects::{AssetBody, Objects, Opened, Wanted, asset, asset_address};
pub use platform::{BoxError, FetchError, Platform, Store};
pub use proxy::{Proxy, Settings, refusal};
pub use site::{Failure, Page, Site, SiteSettings, normal_path};
pub use slot::Slot;
