//! What a page is loaded from: the nearest region that has what must be seen, else the origin.
//!
//! A page of a region is kept under what this node has heard, and only if the database has all of that: so
//! no invalidation is undone by a replica that lags behind.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderMap;
use http::{Request, Uri};
use pitchey_api::edge::{KEY, read_heard, read_position};
use pitchey_cache::{Lease, Loaded, Position, Vintage};
use pitchey_model::WalPosition;
use pitchey_runtime::Monotonic;

use super::lately::Lately;
use super::page::{Exchange, Failure, Page};
use super::read::Origin;
use super::{CHANGED, X_REQUEST_ID, has_cookie};
use crate::fields;
use crate::platform::Platform;
use crate::regions::{Ask, Place, Regions};

/// What an origin answers at once, whoever asks: an edge that wants to be told what was heard asks for it.
const CHEAP: &str = "/api/health/live";

/// How far a database has come that has everything.
const SOURCE: WalPosition = WalPosition(Position::SOURCE.0);

/// The regions for one read.
#[derive(Clone)]
pub(super) struct Near {
    pub(super) regions: Arc<Regions>,
    /// What this edge was told lately, if it hears nothing.
    pub(super) lately: Option<Arc<Lately>>,
    from: Option<Place>,
    /// What the one who asks has changed last.
    cookie: Option<WalPosition>,
}

impl Near {
    /// For one who asks so, if there are regions.
    pub(super) fn of(
        regions: Option<&Arc<Regions>>,
        lately: Option<&Arc<Lately>>,
        from: Option<Place>,
        asked: &HeaderMap,
    ) -> Option<Self> {
        // Where the origin gives no position, none but the source is sure to have what was changed.
        let is_marked = lately.is_some() && has_cookie(asked, &[CHANGED]);
        let changed = is_marked.then_some(SOURCE);
        Some(Self {
            regions: regions?.clone(),
            lately: lately.cloned(),
            from,
            cookie: changed.max(read_position(asked)),
        })
    }

    /// Whether the one who asks wants to see what they have changed.
    pub(super) fn demands(&self) -> bool {
        self.cookie.is_some()
    }
}

/// What a page must have seen, and under what it may be kept then.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    after: WalPosition,
    vintage: Vintage,
}

impl<P: Platform> Origin<P> {
    /// The page, from whoever has it.
    pub(super) async fn give(&self) -> Result<Loaded<Page>, Failure> {
        self.near_or(self.ask()).await
    }

    /// What a region answers; else what the origin does, which `asking` asks.
    pub(super) async fn near_or(
        &self,
        asking: impl Future<Output = Result<Loaded<Page>, Failure>>,
    ) -> Result<Loaded<Page>, Failure> {
        let Some(near) = &self.near else {
            return asking.await;
        };
        if let Some(seen) = self.seen(near, self.platform.now())
            && let Some(page) = self.read_near(near, seen).await
        {
            return Ok(page);
        }
        self.or_near(asking.await).await
    }

    /// What the origin has answered; if it is silent, what a region answers though nobody can tell what there is
    /// to be seen.
    pub(super) async fn or_near(
        &self,
        mut asked: Result<Loaded<Page>, Failure>,
    ) -> Result<Loaded<Page>, Failure> {
        let Some(near) = &self.near else {
            return asked;
        };
        if let Ok(loaded) = &mut asked {
            let exchange = &mut loaded.value.exchange;
            exchange.from.get_or_insert_with(|| "origin".into());
        }
        let is_silent = matches!(asked, Err(Failure::Silent { .. }));
        if is_silent && self.seen(near, self.platform.now()).is_none() {
            // It is given, and not kept.
            let lately = near.lately.as_ref();
            let seen = Seen {
                after: lately.and_then(|lately| lately.last()).unwrap_or_default(),
                vintage: Vintage::Unknown,
            };
            if let Some(page) = self.read_near(near, seen).await {
                return Ok(page);
            }
        }
        asked
    }

    /// What a page that is read now must have seen; `None` if this edge cannot tell.
    fn seen(&self, near: &Near, now: Monotonic) -> Option<Seen> {
        let Some(lately) = &near.lately else {
            let (as_of, Position(position)) = self.node.heard(now)?;
            return Some(Seen {
                after: announced(WalPosition(position)),
                vintage: Vintage::Until {
                    as_of,
                    age: Duration::ZERO,
                },
            });
        };
        let told = lately.told(now)?;
        // A change of which nobody knows the position is the origin's to show.
        let is_known = near.cookie != Some(SOURCE);
        is_known.then(|| Seen {
            after: announced(told.position),
            vintage: Vintage::Before {
                age: now.since(told.asked),
            },
        })
    }

    /// What a region answers under a lease of the tier that all share, as an origin reads a replica under one: it
    /// has come as far as the tier says, and the page has seen what the lease has. Where the origin hears in
    /// another epoch, the tier need not know how far that had come: then the page is as old as what the origin told.
    pub(super) async fn near_under(&self, lease: Lease) -> Option<Loaded<Page>> {
        let near = self.near.as_ref()?;
        let now = self.platform.now();
        let mut seen = self.seen(near, now)?;
        let told = near.lately.as_ref()?.told(now)?;
        if told.epoch == lease.as_of.epoch {
            seen = Seen {
                after: announced(told.position.max(WalPosition(lease.position.0))),
                vintage: Vintage::Until {
                    as_of: lease.as_of,
                    age: Duration::ZERO,
                },
            };
        }
        self.read_near(near, seen).await
    }

    /// Has the origin asked behind the answer, if it is time, so that the next answer need not wait for that.
    fn renew_behind(&self, lately: &Arc<Lately>) {
        if !lately.is_due(self.platform.now()) {
            return;
        }
        let mut parts = self.target.clone().into_parts();
        parts.path_and_query = Some(http::uri::PathAndQuery::from_static(CHEAP));
        let Ok(target) = Uri::from_parts(parts) else {
            return;
        };
        let (platform, lately) = (self.platform.clone(), lately.clone());
        let (secret, id) = (self.secret.clone(), self.id.clone());
        self.platform.spawn(async move {
            let asked = platform.now();
            let mut request = Request::new(P::Upload::default());
            *request.uri_mut() = target;
            request.headers_mut().insert(KEY, secret);
            request.headers_mut().insert(X_REQUEST_ID, id);
            // Should it fail, the next one tries when this one's time is over, or has to ask for a page.
            if let Ok(response) = platform.fetch(request).await
                && let Some(heard) = read_heard(response.headers())
            {
                lately.note(heard, asked);
            }
        });
    }

    async fn read_near(&self, near: &Near, seen: Seen) -> Option<Loaded<Page>> {
        let ask = Ask {
            target: &self.target,
            coding: self.coding,
            id: self.id.to_str().unwrap_or("-"),
            after: near.cookie.map_or(seen.after, |own| own.max(seen.after)),
            from: near.from,
        };
        let answered = near.regions.read(&self.platform, ask).await?;
        if let Some(lately) = &near.lately {
            self.renew_behind(lately);
        }
        let answer = answered.answer;
        if u64::try_from(answer.body.len()).unwrap_or(u64::MAX) > self.largest_body {
            return None;
        }
        let mut headers = answer.headers;
        fields::end_to_end(&mut headers);
        fields::strip_own(&mut headers);
        let vintage = if Page::is_private(&headers) {
            Vintage::Unknown
        } else {
            seen.vintage
        };
        let mut page = Page::new(answer.status, headers, answer.body);
        page.exchange = Exchange {
            from: Some(answered.region),
            database: true,
            took: Some(answered.took),
        };
        Some(Loaded {
            value: page,
            absent: false,
            tags: answer.tags,
            vintage,
        })
    }
}

/// How far a database must have come. Where no change was ever announced with its position, one that is no
/// replica has them all.
fn announced(position: WalPosition) -> WalPosition {
    if position == WalPosition(0) {
        SOURCE
    } else {
        position
    }
}
