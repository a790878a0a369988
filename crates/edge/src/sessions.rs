//! Whom the edge serves, where it knows: the account and the role of a session, by the hash of its token.
//!
//! It learns them from the origin, which is asked to say them with an answer that it gives anyhow, and keeps them
//! for a minute. Nothing private is ever decided by it: whatever needs a session goes to the origin, which reads
//! its state as it is. Who is known is counted by account and not by address alone ([`crate::limits`]).
//!
//! An edge that hears what is invalidated forgets a session as soon as it ends, or its account changes. One that
//! hears nothing forgets it a minute after the origin told of it, and finds in the [`Far`] store what others
//! have learnt.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use pitchey_api::edge::{ToldSession, session_key};
use pitchey_cache::{
    Backplane, Cache, Kind, Load, Loaded, Memory, Node, NodeConfig, Policy, SHARED_BREAKER, Shared,
    Source, Value, Vintage,
};
use pitchey_model::{Role, UserId};
use pitchey_resilience::Breaker;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::far::Far;
use crate::limits::Who;
use crate::platform::Platform;

/// How long a session is known after the origin has told of it.
const KNOWN: Duration = Duration::from_mins(1);

/// What is known for less long than this is not worth being found by others.
const WORTH_FINDING: Duration = Duration::from_secs(20);

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The account.
    pub account: UserId,
    /// What they are.
    pub role: Role,
    /// Until when that is known, in milliseconds since 1970.
    until_ms: i64,
}

/// Whose session it is, or that nobody has told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Whose(Option<Known>);

impl Value for Whose {
    const SCHEMA: u16 = 1;

    fn encode(&self, bytes: &mut Vec<u8>) {
        // Writing into memory does not fail, and nothing in it cannot be written.
        let _ = serde_json::to_writer(bytes, self);
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        serde_json::from_slice(&bytes).ok()
    }

    fn weight(&self) -> usize {
        size_of::<Self>()
    }
}

type Kept<P, M, S> = Cache<Whose, Infallible, M, S, P>;

/// The sessions that an edge knows.
pub struct Sessions<P: Platform, M, S> {
    platform: P,
    kept: Arc<Kept<P, M, S>>,
    /// Whether it hears what is invalidated.
    hears: bool,
    far: Option<Arc<dyn Far>>,
}

/// The session of a request that came with a token.
#[derive(Debug)]
pub struct Presented {
    key: String,
    /// Whose it is, where that is known.
    pub known: Option<Known>,
    /// Whether others were asked a moment ago.
    was_sought: bool,
}

/// Who asks, as limits count them.
pub fn who(presented: Option<&Presented>) -> Who {
    match presented {
        None => Who::Nobody,
        Some(Presented { known: None, .. }) => Who::Newcomer,
        Some(Presented {
            known: Some(known), ..
        }) => Who::Account(known.account),
    }
}

/// The site is to have the origin say whose session a request came with, and to leave it on the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsksWhose;

impl<P: Platform, M: Memory<Whose>, S: Shared> Sessions<P, M, S> {
    /// Those of an edge that hears what is invalidated, as its node does.
    pub fn new(platform: P, backplane: Backplane<S, P>, memory: M) -> Self {
        Self::with(platform, backplane, memory, true, None)
    }

    fn with(
        platform: P,
        backplane: Backplane<S, P>,
        memory: M,
        hears: bool,
        far: Option<Arc<dyn Far>>,
    ) -> Self {
        let policy = Policy {
            memory: KNOWN,
            shared: Duration::ZERO,
            fresh: KNOWN,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            jitter_percent: 0,
            early_refresh: 0.0,
            coalesces: P::COALESCES,
            ..Policy::default()
        };
        Self {
            platform,
            kept: Arc::new(Cache::new(backplane, memory, vec![("session", policy)])),
            hears,
            far,
        }
    }

    /// The session that a request came with, if it came with any.
    pub fn presented(&self, headers: &HeaderMap) -> Option<Presented> {
        let key = session_key(headers)?;
        let now = self.platform.wall();
        let known = |key: &str| {
            let kept = self.kept.hit(Kind(0), key)?;
            let known = kept.value().0.clone();
            Some(known.filter(|known| left(known, now) > Duration::ZERO))
        };
        let (told, sought) = (known(&key).flatten(), self.far.as_ref());
        let sought = sought.and_then(|_| known(&sought_key(&key)));
        Some(Presented {
            was_sought: sought.is_some(),
            known: told.or(sought.flatten()),
            key,
        })
    }

    /// Before a request is answered: whose session it is will be told, or found, where it is not known.
    pub fn ask<B>(&self, presented: &Presented, request: &mut Request<B>) {
        if presented.known.is_none() {
            request.extensions_mut().insert(AsksWhose);
        }
    }

    /// Learns behind the answer what the origin has told with it; else what others have learnt.
    pub fn learn<B>(&self, presented: Presented, response: &mut Response<B>) {
        let told = response.extensions_mut().remove::<ToldSession>();
        let Presented {
            key,
            known,
            was_sought,
        } = presented;
        let seeks = self.far.is_some() && !was_sought;
        if known.is_some() || told.is_none() && !seeks {
            return;
        }
        let (platform, kept, far) = (self.platform.clone(), self.kept.clone(), self.far.clone());
        let hears = self.hears;
        self.platform.spawn(async move {
            let now = platform.wall();
            let found = find(far.as_deref(), &key, now).await;
            let Some(told) = told else {
                let learnt = Learnt::found(found);
                let _ = kept.get(Kind(0), &sought_key(&key), learnt).await;
                return;
            };
            let learnt = Learnt::told(&told, hears, now);
            let value = learnt.value.clone();
            let _ = kept.get(Kind(0), &key, learnt).await;
            if let Some(far) = far.filter(|_| found.is_none()) {
                let mut bytes = Vec::new();
                value.encode(&mut bytes);
                let _ = far.put(&key, bytes.into(), KNOWN).await;
            }
        });
    }
}

impl<P: Platform, M: Memory<Whose>, S: Shared> Sessions<P, M, Option<S>> {
    /// Those of an edge that hears nothing, and finds what others have learnt in this store.
    pub fn unheard(platform: P, memory: M, far: Option<Arc<dyn Far>>) -> Self {
        let node = Arc::new(Node::new(NodeConfig {
            silence: KNOWN,
            ..NodeConfig::default()
        }));
        let breaker = Breaker::new(SHARED_BREAKER);
        let backplane = Backplane::new(node, None, platform.clone(), breaker);
        Self::with(platform, backplane, memory, false, far)
    }
}

/// Where it is remembered what the far store had: the origin's word must not wait for the end of that.
fn sought_key(key: &str) -> String {
    ["sought:", key].concat()
}

/// What the far store has, if it is worth anything yet.
async fn find(far: Option<&dyn Far>, key: &str, now: OffsetDateTime) -> Option<Known> {
    let bytes = far?.get(key).await?;
    let Whose(known) = Whose::decode(bytes)?;
    known.filter(|known| left(known, now) >= WORTH_FINDING)
}

fn left(known: &Known, now: OffsetDateTime) -> Duration {
    let left = known.until_ms.saturating_sub(milliseconds(now));
    Duration::from_millis(u64::try_from(left).unwrap_or_default()).min(KNOWN)
}

fn milliseconds(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

/// What the cache has yet to know of a session.
struct Learnt {
    value: Whose,
    tags: Vec<Box<str>>,
    vintage: Vintage,
}

impl Learnt {
    fn told(told: &ToldSession, hears: bool, now: OffsetDateTime) -> Self {
        let until = told.ends_at.min(now + KNOWN);
        let vintage = match told.as_of {
            _ if !hears => Vintage::Present,
            Some(as_of) => Vintage::Until {
                as_of,
                age: Duration::ZERO,
            },
            None => Vintage::Unknown,
        };
        let tags = told.tags();
        Self {
            value: Whose(Some(Known {
                account: told.account,
                role: told.role,
                until_ms: milliseconds(until),
            })),
            tags: tags.iter().map(|tag| tag.as_str().into()).collect(),
            vintage,
        }
    }

    fn found(known: Option<Known>) -> Self {
        Self {
            value: Whose(known),
            tags: Vec::new(),
            vintage: Vintage::Present,
        }
    }
}

impl Source<Whose, Infallible> for Learnt {
    fn tags(&self) -> Vec<Box<str>> {
        self.tags.clone()
    }

    async fn load(&self, _: Load) -> Result<Loaded<Whose>, Infallible> {
        Ok(Loaded {
            absent: self.value.0.is_none(),
            vintage: self.vintage,
            ..Loaded::new(self.value.clone())
        })
    }
}
