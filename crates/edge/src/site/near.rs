//! What a page is loaded from: the nearest region that has what must be seen, else the origin.
//!
//! A page of a region is kept under what this node has heard, and only if the database has all of that: so
//! no invalidation is undone by a replica that lags behind.

use std::sync::Arc;
use std::time::Duration;

use http::header::HeaderMap;
use pitchey_api::edge::read_position;
use pitchey_cache::{Loaded, Position, Vintage};
use pitchey_model::WalPosition;
use pitchey_runtime::Monotonic;

use super::page::{Exchange, Failure, Page};
use super::read::Origin;
use crate::fields;
use crate::platform::Platform;
use crate::regions::{Ask, Place, Regions};

/// The regions for one read.
#[derive(Clone)]
pub(super) struct Near {
    pub(super) regions: Arc<Regions>,
    from: Option<Place>,
    /// What the one who asks has changed last.
    cookie: Option<WalPosition>,
}

impl Near {
    /// For one who asks so, if there are regions.
    pub(super) fn of(
        regions: Option<&Arc<Regions>>,
        from: Option<Place>,
        asked: &HeaderMap,
    ) -> Option<Self> {
        Some(Self {
            regions: regions?.clone(),
            from,
            cookie: read_position(asked),
        })
    }

    /// Whether the one who asks wants to see what they have changed.
    pub(super) fn demands(&self) -> bool {
        self.cookie.is_some()
    }
}

/// What a page must have seen, and under what it may be kept then.
#[derive(Clone, Copy)]
struct Seen {
    after: WalPosition,
    vintage: Vintage,
}

impl<P: Platform> Origin<P> {
    /// The page, from whoever has it.
    pub(super) async fn give(&self) -> Result<Loaded<Page>, Failure> {
        let Some(near) = &self.near else {
            return self.ask().await;
        };
        let seen = self.seen(self.platform.now());
        if let Some(seen) = seen
            && let Some(page) = self.read_near(near, seen).await
        {
            return Ok(page);
        }
        let mut asked = self.ask().await;
        if let Ok(loaded) = &mut asked {
            loaded.value.exchange.from = Some("origin".into());
        }
        if seen.is_none() && matches!(asked, Err(Failure::Silent { .. })) {
            // Nobody can tell what there is to be seen: it is given, and not kept.
            let seen = Seen {
                after: WalPosition(0),
                vintage: Vintage::Unknown,
            };
            if let Some(page) = self.read_near(near, seen).await {
                return Ok(page);
            }
        }
        asked
    }

    /// What a page that is read now must have seen; `None` if this edge cannot tell.
    fn seen(&self, now: Monotonic) -> Option<Seen> {
        let (as_of, Position(position)) = self.node.heard(now)?;
        let after = match position {
            // No change was ever announced with its position: one that is no replica has them all.
            0 => WalPosition(Position::SOURCE.0),
            position => WalPosition(position),
        };
        Some(Seen {
            after,
            vintage: Vintage::Until {
                as_of,
                age: Duration::ZERO,
            },
        })
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
