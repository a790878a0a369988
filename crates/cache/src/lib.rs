//! A cache of several tiers whose acknowledged invalidations are never undone.
//!
//! It knows neither what is cached nor what it is cached in: a value says how it becomes bytes
//! ([`Value`]) and a source where it comes from ([`Source`]); a [`Memory`] keeps entries in a process, and
//! a [`Shared`] tier keeps them for all nodes.
//!
//! # What it promises
//!
//! No read that starts after an invalidation was acknowledged returns what was loaded before it:
//!
//! - on the node that invalidated, at once, and whether or not it was acknowledged;
//! - from the shared tier and from the source, on any node, at once;
//! - from the memory of another node, once it has heard of it: milliseconds while it is attached, and
//!   [`NodeConfig::silence`] at most when it is cut off.
//!
//! One load for each key at a time: in a process always, on all nodes while the shared tier answers. The
//! exceptions are kinds that are [`strict`](Policy::strict), which ask the shared tier each time, kinds that
//! do not [coalesce](Policy::coalesces), and
//! [`get_many`](Cache::get_many), which waits for nobody.
//!
//! An answer says where it is from and why it is good enough ([`Answer`]). Only one whose state is
//! [`State::Unverified`] is outside of the promise, and a kind can do without it ([`Unverified`]).
//!
//! # Its parts
//!
//! [`Cache`] asks memory, then the shared tier, then the source, as the [`Policy`] of the kind says. A
//! [`Node`] is what a process knows of the shared tier, and [`follow`](follow()) keeps it attached. A
//! [`Backplane`] is the node, the shared tier and the breaker between them, for all caches of a process.
//! [`predict`] and [`warm`] load what will be asked for; [`stats`] counts what happened.
//!
//! # An example
//!
//! A process by itself, with a memory that is a map:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::{Arc, Mutex};
//!
//! use pitchey_cache::shared::Strength;
//! use pitchey_cache::{
//!     Backplane, Cache, Entry, From, Kind, Load, Loaded, Memory, NoShared, Node, NodeConfig, Policy,
//!     Position, SHARED_BREAKER, Source, Value,
//! };
//! use pitchey_resilience::Breaker;
//! use pitchey_runtime::{Background, SystemRuntime};
//!
//! struct Title(String);
//!
//! impl Value for Title {
//!     const SCHEMA: u16 = 1;
//!     fn encode(&self, bytes: &mut Vec<u8>) {
//!         bytes.extend_from_slice(self.0.as_bytes());
//!     }
//!     fn decode(bytes: bytes::Bytes) -> Option<Self> {
//!         String::from_utf8(bytes.into()).ok().map(Self)
//!     }
//!     fn weight(&self) -> usize {
//!         self.0.len()
//!     }
//! }
//!
//! /// Real ones are bounded.
//! #[derive(Default)]
//! struct Map(Mutex<HashMap<Arc<str>, Arc<Entry<Title>>>>);
//!
//! impl Memory<Title> for Map {
//!     fn get(&self, key: &str) -> Option<Arc<Entry<Title>>> {
//!         self.0.lock().unwrap().get(key).cloned()
//!     }
//!     fn insert(
//!         &self,
//!         key: Arc<str>,
//!         entry: Arc<Entry<Title>>,
//!         keep: impl FnOnce(&Entry<Title>) -> bool + Send,
//!     ) {
//!         let mut map = self.0.lock().unwrap();
//!         if !map.get(&key).is_some_and(|there| keep(there)) {
//!             map.insert(key, entry);
//!         }
//!     }
//!     fn remove(&self, key: &str) {
//!         self.0.lock().unwrap().remove(key);
//!     }
//!     fn remove_prefix(&self, prefix: &str) {
//!         self.0.lock().unwrap().retain(|key, _| !key.starts_with(prefix));
//!     }
//!     fn size(&self) -> (u64, u64) {
//!         (self.0.lock().unwrap().len() as u64, 0)
//!     }
//! }
//!
//! /// The title of a pitch, as a database would give it.
//! struct TitleOf(u32);
//!
//! impl Source<Title, std::io::ErrorKind> for TitleOf {
//!     fn tags(&self) -> Vec<Box<str>> {
//!         vec![format!("pitch:{}", self.0).into()]
//!     }
//!     async fn load(&self, _: Load) -> Result<Loaded<Title>, std::io::ErrorKind> {
//!         Ok(Loaded::new(Title(format!("Pitch {}", self.0))))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let node = Arc::new(Node::alone(NodeConfig::default()));
//! let runtime = Background::new(SystemRuntime::new());
//! let backplane = Backplane::new(node, NoShared, runtime, Breaker::new(SHARED_BREAKER));
//! let titles = Cache::new(backplane, Map::default(), vec![("title", Policy::default())]);
//! const TITLE: Kind = Kind(0);
//!
//! let answer = titles.get(TITLE, "title/7", TitleOf(7)).await.unwrap();
//! assert_eq!((answer.value().0.as_str(), answer.from), ("Pitch 7", From::Source));
//! let answer = titles.get(TITLE, "title/7", TitleOf(7)).await.unwrap();
//! assert_eq!(answer.from, From::Memory);
//!
//! let tags = ["pitch:7".into()];
//! titles.backplane().invalidate(&tags, Strength::Hard, Position::default()).await.unwrap();
//! let answer = titles.get(TITLE, "title/7", TitleOf(7)).await.unwrap();
//! assert_eq!(answer.from, From::Source);
//! # }
//! ```
//!
//! # How an invalidation works
//!
//! An entry carries tags: what it was made from. Every invalidation has a number, each greater than all
//! before it, and a load notes the newest number *before* it begins. An entry is valid while none of its
//! tags was raised by a greater number: so an invalidation costs the same however many entries carry the
//! tag, tags may be found as the load goes, and a load that was under way is found out. A node that misses
//! a number notices the gap. With the number goes the position in the log of the source, so that no copy
//! that lags behind it is read. The numbers of a shared tier that may have lost some begin a new
//! [`Epoch`], in which nothing older is valid.
//!
//! Negative entries carry the tags, too: the creation of what was not there must raise them.
//!
//! # A cache in front of a cache
//!
//! A node can load from another one (an edge from an origin) and still be a node of the same shared tier. It
//! says with its question what it has [heard of](Node::known), so that the other answers nothing older
//! ([`Node::heard_of`]); and the value keeps the [stamp](Node::as_of) and the age that it has there
//! ([`Vintage::Until`]), so that no invalidation is undone by the way that it took.
//!
//! # Implementing the ports
//!
//! A [`Memory`] is bounded, synchronous, does not allocate when it is read, and may forget anything. A
//! [`Shared`] tier does each of its operations atomically, in one order for all nodes, and within a
//! deadline of its own; what else it owes stands there. What a node listens to is a [`Feed`], and who
//! delivers invalidations that could not be delivered is a [`CatchUp`]: without an outbox behind it, what
//! dies between a commit and its invalidation is lost. The contract suites are behind the feature
//! `testing`.
//!
//! # What it does not do
//!
//! It does not notice changes by itself: whoever changes something says so. It caches no errors. It does
//! not keep what has more than [`MAX_TAGS`] tags, or a key longer than [`MAX_KEY`]. A removal of keys that
//! was not acknowledged holds in this node's memory alone, and is to be tried again; only tags make a node
//! distrust the shared tier. If the node that holds a lease dies, the others wait until the lease has
//! expired, which is after half of the longest load: then one of them loads.

mod answer;
mod backplane;
mod build;
mod cache;
mod entry;
mod flight;
mod follow;
mod guard;
mod lead;
mod many;
mod memory;
mod miss;
mod node;
mod policy;
pub mod predict;
mod renew;
pub mod shared;
#[cfg(feature = "simulation")]
pub mod sim;
mod stamp;
pub mod stats;
mod tag;
#[cfg(all(test, feature = "simulation"))]
mod tests;
#[cfg(feature = "traces")]
pub mod trace;
pub mod warm;

pub use answer::{Answer, From, GetError, State};
pub use backplane::{Backplane, NoShared, SHARED_BREAKER, World};
pub use cache::{Cache, Kind, MAX_KEY, MAX_TAGS};
pub use entry::{Entry, Load, Loaded, Source, Value, Verdict, Vintage};
pub use follow::{CatchUp, Feed, Lost, follow};
pub use guard::{Guard, Guards};
pub use many::Item;
pub use memory::Memory;
#[cfg(feature = "testing")]
pub use memory::contract as memory_contract;
pub use node::{Gap, Node, NodeConfig, NodeStatus};
pub use policy::{Policy, Unverified};
pub use shared::{Shared, SharedError};
pub use stamp::{AsOf, Epoch, Lease, Position, Seq, Token};
