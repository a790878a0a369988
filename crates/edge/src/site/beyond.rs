//! What lies beyond the memory of an edge that hears nothing: the tier that all share, then the origin.
//!
//! The tier is asked by requests, and nothing is heard of it in between. What it gives is valid at the moment
//! at which it is asked, since it checks an entry against the numbers of its tags in one step; from there on
//! this edge's bound counts, as it does for an answer of the origin.
//!
//! Who loads has the tier's lease, and tells the origin of the moment that came with it: so the origin answers
//! nothing older. The entry takes the origin's own stamp and age, and is refused if one of its tags was raised
//! above that stamp.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use pitchey_cache::shared::{Fill, Filled, Found, Granted, Lookup, Meta, Stored, Wish};
use pitchey_cache::{
    AsOf, Backplane, Lease, Load, Loaded, Policy, Shared, Source, Token, Value as _, Vintage,
};
use pitchey_resilience::BreakerConfig;

use super::page::{Failure, Page, Place};
use super::pages::{Pages, milliseconds};
use super::read::Origin;
use crate::platform::Platform;

/// The breaker before a tier that is asked over HTTP: what is slow there is not what is slow on a connection.
pub(super) const BREAKER: BreakerConfig = BreakerConfig {
    window: Duration::from_secs(10),
    calls: 100,
    minimum_calls: 3,
    failure_percent: 50,
    slow_call: Duration::from_secs(1),
    slow_percent: 100,
    half_open_calls: 1,
    open: Duration::from_secs(1),
    longest_open: Duration::from_secs(10),
};

/// The pauses between looks at a key that somebody else loads. Each look is a request.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(160);

/// How long one waits for another's load in all; then the origin is asked, whose load is one for all.
const WAIT: Duration = Duration::from_millis(700);

/// The longest lease. Nothing renews it: what takes longer is not kept.
const LONGEST_LEASE: Duration = Duration::from_secs(5);

/// Tags are remembered for this much longer than the entries that carry them.
const TAG_SLACK: Duration = Duration::from_mins(1);

/// The tier, and what is decided about it.
pub(super) struct Tier<P: Platform, S> {
    platform: P,
    backplane: Backplane<S, P>,
    lease: Duration,
}

/// The source of a page: the tier if there is one, else the origin.
pub(super) struct Beyond<P: Platform, S> {
    pub(super) origin: Origin<P>,
    pub(super) tier: Option<Arc<Tier<P, S>>>,
    /// Where its kind may be found, too.
    pub(super) pages: Option<Arc<Pages>>,
    pub(super) key: Box<str>,
    /// The times of its kind, in all tiers together.
    pub(super) policy: Policy,
}

impl<P: Platform, S> Clone for Beyond<P, S> {
    fn clone(&self) -> Self {
        Self {
            origin: self.origin.clone(),
            tier: self.tier.clone(),
            pages: self.pages.clone(),
            key: self.key.clone(),
            policy: self.policy.clone(),
        }
    }
}

impl<P: Platform, S: Shared> Source<Page, Failure> for Beyond<P, S> {
    fn tags(&self) -> Vec<Box<str>> {
        self.origin.kept.tags.clone()
    }

    fn discovers(&self) -> &'static [&'static str] {
        self.origin.kept.discovers()
    }

    async fn load(&self, _: Load) -> Result<Loaded<Page>, Failure> {
        match self.tier.clone() {
            None => self.find_or_ask().await,
            Some(tier) => tier.load(self).await,
        }
    }
}

impl<P: Platform, S: Shared> Beyond<P, S> {
    /// Where no tier says anything: what the far store has, else a region, else the origin.
    async fn find_or_ask(&self) -> Result<Loaded<Page>, Failure> {
        if let Some(pages) = &self.pages
            && let Some((page, tags)) = pages.find(&self.origin.platform, &self.key, false).await
        {
            return Ok(valid(page, tags));
        }
        let asked = Box::pin(self.near_or_ask()).await;
        self.or_last_resort(asked).await
    }

    /// What a region answers, else the origin.
    async fn near_or_ask(&self) -> Result<Loaded<Page>, Failure> {
        let asking = async {
            let asked = self.ask(self.origin.known()).await;
            asked.map(|loaded| self.origin.valid_when_asked(loaded))
        };
        self.origin.near_or(asking).await
    }

    /// What a region answers under a lease, else the origin; what has seen all that the lease has is written down.
    async fn ask_under(&self, lease: Lease, asked_ms: i64) -> Result<Loaded<Page>, Failure> {
        if let Some(loaded) = self.origin.near_under(lease).await {
            self.write_down(asked_ms, &loaded);
            return Ok(loaded);
        }
        let asked = self.ask(Some(lease.as_of)).await;
        self.origin.or_near(asked).await
    }

    /// Asks the origin for what must have seen all that is known, and writes down what it vouches for.
    async fn ask(&self, known: Option<AsOf>) -> Result<Loaded<Page>, Failure> {
        let asked_ms = milliseconds(&self.origin.platform);
        let loaded = self.origin.ask_as_of(known).await?;
        self.write_down(asked_ms, &loaded);
        Ok(loaded)
    }

    fn write_down(&self, asked_ms: i64, loaded: &Loaded<Page>) {
        if let Some(pages) = &self.pages {
            let named = (&*self.key, &*self.origin.kept.tags);
            pages.keep(&self.origin.platform, named, &self.policy, asked_ms, loaded);
        }
    }

    /// What the far store still has in the place of an error.
    async fn or_last_resort(
        &self,
        asked: Result<Loaded<Page>, Failure>,
    ) -> Result<Loaded<Page>, Failure> {
        match (asked, &self.pages) {
            (Err(failure), Some(pages)) => {
                let found = pages.find(&self.origin.platform, &self.key, true).await;
                found.map(|(page, _)| passing(page)).ok_or(failure)
            }
            (asked, _) => asked,
        }
    }
}

/// What a look at the tier has come to.
enum Consulted {
    /// It is served as it is.
    Fresh(Stored, Page),
    /// It is served as it is; perhaps the right to renew it came with it.
    Stale(Page, Option<Lease>),
    /// The right to load it, and what stands in if that fails.
    Lease(Lease, Option<Page>),
    /// Nothing: somebody has been loading it for too long.
    Nothing(Option<Page>),
    /// The tier does not answer.
    Away,
}

impl<P: Platform, S: Shared> Tier<P, S> {
    pub(super) fn new(platform: P, backplane: Backplane<S, P>, patience: Duration) -> Self {
        Self {
            platform,
            backplane,
            lease: patience.min(LONGEST_LEASE),
        }
    }

    /// Whether nobody else has claimed this name lately; `None` if the tier does not say.
    pub(super) async fn claims(&self, name: &str, lasting: Duration) -> Option<bool> {
        let lookup = Lookup {
            key: name.into(),
            wish: Wish::Always,
            lease: lasting,
            tags: Vec::new(),
            keep: lasting,
        };
        let looking = self.backplane.tier().lookup(&lookup);
        match self.backplane.ask(looking).await.ok()?.lease {
            Granted::Ours(_) => Some(true),
            Granted::Held(_) => Some(false),
            Granted::NotNeeded => None,
        }
    }

    /// Whether it answers, asked for a key that nobody has.
    pub(super) async fn answers(&self) -> bool {
        let lookup = Lookup {
            key: "edge:health".into(),
            wish: Wish::Never,
            lease: Duration::ZERO,
            tags: Vec::new(),
            keep: Duration::ZERO,
        };
        let looking = self.backplane.tier().lookup(&lookup);
        self.backplane.ask(looking).await.is_ok()
    }

    async fn load(self: Arc<Self>, of: &Beyond<P, S>) -> Result<Loaded<Page>, Failure> {
        let asked_ms = milliseconds(&self.platform);
        let (asked, stand_in) = match self.consult(of).await {
            Consulted::Fresh(stored, page) => {
                return Ok(valid(page, stored.tags));
            }
            Consulted::Stale(page, lease) => {
                if let Some(lease) = lease {
                    self.renew_behind(of, lease, asked_ms);
                }
                return Ok(passing(page));
            }
            Consulted::Lease(lease, stand_in) => {
                let loading = self.clone().load_under(of, lease, asked_ms);
                (loading.await, stand_in)
            }
            Consulted::Nothing(stand_in) => (of.near_or_ask().await, stand_in),
            Consulted::Away => return of.find_or_ask().await,
        };
        match (asked, stand_in) {
            (Err(_), Some(page)) => Ok(passing(page)),
            (asked, _) => of.or_last_resort(asked).await,
        }
    }

    /// Asks the tier until it gives an entry or a lease, or has had its time.
    async fn consult(&self, of: &Beyond<P, S>) -> Consulted {
        let lookup = Lookup {
            key: of.key.clone(),
            wish: Wish::IfStale,
            lease: self.lease,
            tags: of.origin.kept.tags.clone(),
            keep: ends(&of.policy) + TAG_SLACK,
        };
        let began = self.platform.now();
        let mut pause = FIRST_PAUSE;
        loop {
            let looking = self.backplane.tier().lookup(&lookup);
            let Ok(Found { entry, lease }) = self.backplane.ask(looking).await else {
                return Consulted::Away;
            };
            let entry = entry.and_then(|stored| {
                let page = read(stored.payload.clone())?;
                Some((stored, page))
            });
            let decided = decide(entry, lease);
            let (stand_in, left) = match decided {
                Decided::Done(consulted) => return consulted,
                Decided::Wait(stand_in, left) => (stand_in, left),
            };
            let waited = self.platform.now().since(began);
            if waited >= WAIT {
                return Consulted::Nothing(stand_in);
            }
            let longest = left.max(Duration::from_millis(1));
            let pausing = pause.min(longest).min(WAIT.saturating_sub(waited));
            self.platform.sleep(pausing).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Loads what must have seen all that the lease has, and stores what is vouched for.
    async fn load_under(
        self: Arc<Self>,
        of: &Beyond<P, S>,
        lease: Lease,
        asked_ms: i64,
    ) -> Result<Loaded<Page>, Failure> {
        let mut held = Held {
            tier: self.clone(),
            key: of.key.clone(),
            token: Some(lease.token),
        };
        let loaded = of.ask_under(lease, asked_ms).await?;
        let bits = self.platform.next_u64();
        let fill = fill(
            &of.key,
            &of.origin.kept.tags,
            &of.policy,
            lease,
            &loaded,
            bits,
        );
        if let Some(fill) = fill {
            // The fill ends the lease.
            held.token = None;
            let tier = self.clone();
            self.platform.spawn(async move {
                let filling = tier.backplane.tier().fill(fill);
                // What is refused is as good as it was to those who asked: the bound counts from before.
                let _: Result<Filled, _> = tier.backplane.ask(filling).await;
            });
        }
        Ok(of.origin.valid_when_asked(loaded))
    }

    fn renew_behind(self: &Arc<Self>, of: &Beyond<P, S>, lease: Lease, asked_ms: i64) {
        let (tier, of) = (self.clone(), of.clone());
        self.platform.spawn(async move {
            // Should it fail, the lease is free, and the next who finds it stale tries again.
            let _: Result<Loaded<Page>, Failure> = tier.load_under(&of, lease, asked_ms).await;
        });
    }

    fn release_behind(self: &Arc<Self>, key: Box<str>, token: Token) {
        let tier = self.clone();
        self.platform.spawn(async move {
            let releasing = tier.backplane.tier().release(&key, token);
            // Should it fail, the lease expires.
            let _ = tier.backplane.ask(releasing).await;
        });
    }
}

/// A lease under which somebody loads; dropped, it is given back.
struct Held<P: Platform, S: Shared> {
    tier: Arc<Tier<P, S>>,
    key: Box<str>,
    token: Option<Token>,
}

impl<P: Platform, S: Shared> Drop for Held<P, S> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.tier.release_behind(self.key.clone(), token);
        }
    }
}

enum Decided {
    Done(Consulted),
    /// Somebody else loads it, for so long at most.
    Wait(Option<Page>, Duration),
}

/// What to do with what was found.
fn decide(entry: Option<(Stored, Page)>, granted: Granted) -> Decided {
    let lease = match granted {
        Granted::Ours(lease) => Some(lease),
        Granted::NotNeeded | Granted::Held(_) => None,
    };
    let mut stand_in = None;
    if let Some((stored, mut page)) = entry {
        let age = millis(stored.age);
        let Meta {
            fresh_ms,
            stale_ms,
            error_ms,
            ..
        } = stored.meta;
        page.place = Some(Place::redis(fresh_ms, age));
        if !stored.softened && age < fresh_ms {
            return Decided::Done(Consulted::Fresh(stored, page));
        }
        if age < stale_ms {
            return Decided::Done(Consulted::Stale(page, lease));
        }
        if age < error_ms {
            page.place = Some(Place::instead("redis"));
            stand_in = Some(page);
        }
    }
    match (lease, granted) {
        (Some(lease), _) => Decided::Done(Consulted::Lease(lease, stand_in)),
        (None, Granted::Held(left)) => Decided::Wait(stand_in, left),
        // Something fresh is there that cannot be read here.
        (None, _) => Decided::Done(Consulted::Nothing(stand_in)),
    }
}

/// What is stored of what the origin gave under a lease; nothing of what it does not vouch for in the lease's
/// own numbers, or what is at its end.
fn fill(
    key: &str,
    known: &[Box<str>],
    policy: &Policy,
    lease: Lease,
    loaded: &Loaded<Page>,
    bits: u64,
) -> Option<Fill> {
    let Vintage::Until { as_of, age } = loaded.vintage else {
        return None;
    };
    if as_of.epoch != lease.as_of.epoch {
        return None;
    }
    let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    let jitter = 1.0 - share * f64::from(policy.jitter_percent) / 100.0;
    let fresh = policy.fresh.mul_f64(jitter);
    if age >= fresh {
        return None;
    }
    let mut tags: Vec<Box<str>> = known.to_vec();
    tags.extend(loaded.tags.iter().cloned());
    tags.sort_unstable();
    tags.dedup();
    let meta = Meta {
        fresh_ms: millis(fresh),
        stale_ms: millis(fresh + policy.stale_while_revalidate),
        error_ms: millis(fresh + policy.stale_if_error),
        cost_us: 0,
        absent: false,
    };
    (tags.len() <= pitchey_cache::MAX_TAGS && key.len() <= pitchey_cache::MAX_KEY).then(|| Fill {
        key: key.into(),
        lease,
        keep: Duration::from_millis(meta.ends_ms()).saturating_sub(age),
        entry: Stored {
            as_of: AsOf {
                epoch: as_of.epoch,
                seq: as_of.seq.min(lease.as_of.seq),
            },
            age,
            meta,
            tags,
            softened: false,
            payload: written(&loaded.value),
        },
    })
}

/// What was valid when it was asked for, which is all that this edge goes by.
fn valid(page: Page, tags: Vec<Box<str>>) -> Loaded<Page> {
    Loaded {
        value: page,
        absent: false,
        tags,
        vintage: Vintage::Present,
    }
}

/// What is given to those who ask, and not kept.
fn passing(page: Page) -> Loaded<Page> {
    Loaded {
        value: page,
        absent: false,
        tags: Vec::new(),
        vintage: Vintage::Unknown,
    }
}

fn ends(policy: &Policy) -> Duration {
    policy.fresh + policy.stale_while_revalidate.max(policy.stale_if_error)
}

/// The schema, then the page.
pub(super) fn written(page: &Page) -> Bytes {
    let mut bytes = Page::SCHEMA.to_le_bytes().to_vec();
    page.encode(&mut bytes);
    bytes.into()
}

/// Reads what [`written`] writes.
pub(super) fn read(mut bytes: Bytes) -> Option<Page> {
    if bytes.len() < 2 {
        return None;
    }
    let schema = bytes.split_to(2);
    (schema[..] == Page::SCHEMA.to_le_bytes()).then(|| Page::decode(bytes))?
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};
    use pitchey_cache::{Epoch, Position, Seq};

    fn page() -> Page {
        Page::new(
            StatusCode::OK,
            HeaderMap::new(),
            Bytes::from_static(b"text"),
        )
    }

    fn lease(seq: u64) -> Lease {
        Lease {
            token: Token(7),
            as_of: AsOf {
                epoch: Epoch(1),
                seq: Seq(seq),
            },
            position: Position::default(),
        }
    }

    fn stored(age_s: u64, softened: bool) -> Stored {
        Stored {
            as_of: lease(1).as_of,
            age: Duration::from_secs(age_s),
            meta: Meta {
                fresh_ms: 10_000,
                stale_ms: 20_000,
                error_ms: 30_000,
                cost_us: 0,
                absent: false,
            },
            tags: vec!["t".into()],
            softened,
            payload: written(&page()),
        }
    }

    #[test]
    fn what_is_found_is_served_renewed_or_kept_for_an_error_by_its_age() {
        let held = Granted::Held(Duration::from_secs(1));
        for (age, softened, granted, is) in [
            (5, false, Granted::NotNeeded, "fresh"),
            (5, true, Granted::Ours(lease(1)), "stale, ours"),
            (15, false, Granted::Ours(lease(1)), "stale, ours"),
            (15, false, held, "stale"),
            (25, false, Granted::Ours(lease(1)), "lease, stand-in"),
            (25, false, held, "wait, stand-in"),
            (35, false, Granted::Ours(lease(1)), "lease"),
            (35, false, held, "wait"),
        ] {
            let decided = decide(Some((stored(age, softened), page())), granted);
            let told = match decided {
                Decided::Done(Consulted::Fresh(..)) => "fresh",
                Decided::Done(Consulted::Stale(_, Some(_))) => "stale, ours",
                Decided::Done(Consulted::Stale(_, None)) => "stale",
                Decided::Done(Consulted::Lease(_, Some(_))) => "lease, stand-in",
                Decided::Done(Consulted::Lease(_, None)) => "lease",
                Decided::Done(Consulted::Nothing(_) | Consulted::Away) => "nothing",
                Decided::Wait(Some(_), _) => "wait, stand-in",
                Decided::Wait(None, _) => "wait",
            };
            assert_eq!(told, is, "{age} {softened}");
        }
    }

    fn loaded(epoch: u64, seq: u64, age: u64) -> Loaded<Page> {
        Loaded {
            value: page(),
            absent: false,
            tags: vec!["u".into(), "t".into()],
            vintage: Vintage::Until {
                as_of: AsOf {
                    epoch: Epoch(epoch),
                    seq: Seq(seq),
                },
                age: Duration::from_secs(age),
            },
        }
    }

    fn filled(loaded: &Loaded<Page>) -> Option<Fill> {
        fill("k", &["t".into()], &Policy::default(), lease(5), loaded, 0)
    }

    #[test]
    fn an_entry_is_no_younger_and_has_seen_no_more_than_the_origin_says() {
        let fill = filled(&loaded(1, 3, 40)).expect("it is vouched for");
        let Stored {
            as_of, age, tags, ..
        } = fill.entry;
        assert_eq!((as_of.seq, age), (Seq(3), Duration::from_secs(40)));
        assert_eq!(tags, ["t".into(), "u".into()]);
        assert_eq!(fill.keep, Duration::from_secs(90 + 600 - 40));
        // Nor more than the lease has, which is what the others are compared with.
        let fill = filled(&loaded(1, 9, 0)).expect("it is vouched for");
        assert_eq!(fill.entry.as_of.seq, Seq(5));
    }

    #[test]
    fn what_nobody_vouches_for_in_these_numbers_is_not_stored() {
        assert!(filled(&loaded(2, 3, 0)).is_none(), "another epoch");
        assert!(filled(&loaded(1, 3, 90)).is_none(), "at its end");
        for vintage in [Vintage::Present, Vintage::Unknown] {
            let loaded = Loaded {
                vintage,
                ..loaded(1, 3, 0)
            };
            assert!(filled(&loaded).is_none(), "{vintage:?}");
        }
    }

    #[test]
    fn a_page_of_another_schema_is_none() {
        let bytes = written(&page());
        assert_eq!(read(bytes.clone()), Some(page()));
        let mut other = bytes.to_vec();
        other[0] ^= 1;
        assert_eq!(read(other.into()), None);
        assert_eq!(read(Bytes::from_static(b"b")), None);
    }
}
