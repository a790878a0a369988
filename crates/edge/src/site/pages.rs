//! Pages in a [`Far`] store: for kinds that bear to be a minute old, and as the last resort.
//!
//! A page is stored with its own times, and with what it has seen. It is served while the origin was asked for
//! it so short a time ago that whoever has changed something since is not answered from here, by the cookie
//! that they have. When nothing else can be had, it stands in for as long as its kind allows.
//!
//! A purge is written down beside the pages, with its number: a page that has seen less is not used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use pitchey_cache::{AsOf, Epoch, Loaded, Policy, Seq, Vintage};
use pitchey_runtime::Monotonic;
use serde::{Deserialize, Serialize};

use super::beyond::{read, written};
use super::page::{Page, Place};
use crate::far::Far;
use crate::platform::Platform;

/// Where purges are written down.
const PURGED: &str = "purged";

/// What keys of pages begin with.
const PAGE: &str = "page:";

/// The longest key.
const MAX_KEY: usize = 480;

/// How many purges are remembered one by one; what has seen less than older ones counts as purged.
const REMEMBERED: usize = 256;

/// How long they are remembered: longer than any page is kept.
const LASTING: Duration = Duration::from_hours(24);

/// The shortest time for which the store keeps anything.
const SHORTEST: Duration = Duration::from_mins(1);

/// Between two writes of one key.
const PAUSE: Duration = Duration::from_secs(1);

/// How far clocks may be apart.
const SKEW_MS: i64 = 2_000;

/// How many keys are known that were written.
const KNOWN: usize = 4096;

/// The store, and what is decided about it.
pub(super) struct Pages {
    far: Arc<dyn Far>,
    /// How long after the origin was asked a page is served.
    bound: Duration,
    written: Mutex<Written>,
}

/// When a key was written last, and what.
type Written = HashMap<Box<str>, (Monotonic, u64)>;

/// What is stored before a page, as a line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    /// When the origin was asked, in milliseconds since 1970.
    asked_ms: i64,
    /// How old its answer was then, and until what age it is fresh, and stands in.
    age_ms: u64,
    fresh_ms: u64,
    error_ms: u64,
    /// What it has seen.
    epoch: u64,
    seq: u64,
    tags: Vec<Box<str>>,
}

/// What was purged, the newest last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Purges {
    /// What has not seen this counts as purged.
    #[serde(default)]
    floor: Option<(u64, u64)>,
    all: Vec<Purge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Purge {
    epoch: u64,
    seq: u64,
    tags: Vec<Box<str>>,
    keys: Vec<Box<str>>,
    prefixes: Vec<Box<str>>,
}

impl Purges {
    fn note(&mut self, purge: Purge) {
        self.all.push(purge);
        let over = self.all.len().saturating_sub(REMEMBERED);
        if let Some(last) = self.all.drain(..over).next_back() {
            self.floor = Some((last.epoch, last.seq));
        }
    }

    /// Whether a page with this key has not seen a purge that reaches it. Numbers of another epoch cannot be
    /// compared: then it has not.
    fn reach(&self, key: &str, head: &Head) -> bool {
        let seen = |(epoch, seq): (u64, u64)| epoch == head.epoch && seq <= head.seq;
        let is_meant = |purge: &Purge| {
            purge.tags.iter().any(|tag| head.tags.contains(tag))
                || purge.keys.iter().any(|one| **one == *key)
                || purge
                    .prefixes
                    .iter()
                    .any(|prefix| key.starts_with(&**prefix))
        };
        self.floor.is_some_and(|floor| !seen(floor))
            || self
                .all
                .iter()
                .any(|purge| is_meant(purge) && !seen((purge.epoch, purge.seq)))
    }
}

/// What a stored page is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// To be served; fresh for so many more milliseconds.
    Fresh(u64),
    /// To stand in.
    Instead,
    Nothing,
}

impl Head {
    fn judge(&self, now_ms: i64, bound: Duration) -> Worth {
        let since = now_ms - self.asked_ms;
        if since < -SKEW_MS {
            return Worth::Nothing;
        }
        let since = u64::try_from(since.max(0)).unwrap_or_default();
        let age = since.saturating_add(self.age_ms);
        if Duration::from_millis(since) < bound && age < self.fresh_ms {
            Worth::Fresh(self.fresh_ms - age)
        } else if age < self.error_ms {
            Worth::Instead
        } else {
            Worth::Nothing
        }
    }
}

/// A page as it is stored.
fn stored(head: &Head, page: &Page) -> Option<Bytes> {
    let mut bytes = serde_json::to_vec(head).ok()?;
    bytes.push(b'\n');
    bytes.extend_from_slice(&written(page));
    Some(bytes.into())
}

fn found(mut bytes: Bytes) -> Option<(Head, Page)> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = serde_json::from_slice(&bytes.split_to(end + 1)[..end]).ok()?;
    Some((head, read(bytes)?))
}

impl Pages {
    pub(super) fn new(far: Arc<dyn Far>, bound: Duration) -> Self {
        Self {
            far,
            bound,
            written: Mutex::default(),
        }
    }

    /// What is there for a key: to be served, or, `instead` of an error, to stand in.
    pub(super) async fn find(
        &self,
        platform: &impl Platform,
        key: &str,
        instead: bool,
    ) -> Option<(Page, Vec<Box<str>>)> {
        let name = name(key)?;
        let (page, purges) = futures::join!(self.far.get(&name), self.far.get(PURGED));
        let (head, mut page) = found(page?)?;
        let purges = purges.and_then(|purges| serde_json::from_slice::<Purges>(&purges).ok());
        if purges.is_some_and(|purges| purges.reach(key, &head)) {
            return None;
        }
        let now_ms = milliseconds(platform);
        page.place = Some(match head.judge(now_ms, self.bound) {
            Worth::Fresh(left_ms) => Place::kv(left_ms),
            Worth::Instead if instead => Place::instead("kv"),
            Worth::Instead | Worth::Nothing => return None,
        });
        Some((page, head.tags))
    }

    /// Writes down what the origin vouches for, behind the answer, unless that was done a moment ago.
    pub(super) fn keep<P: Platform>(
        self: &Arc<Self>,
        platform: &P,
        (key, known): (&str, &[Box<str>]),
        policy: &Policy,
        asked_ms: i64,
        loaded: &Loaded<Page>,
    ) {
        let Vintage::Until { as_of, age } = loaded.vintage else {
            return;
        };
        let Some(name) = name(key).filter(|_| age < policy.fresh) else {
            return;
        };
        let mut tags = known.to_vec();
        tags.extend(loaded.tags.iter().cloned());
        let head = Head {
            asked_ms,
            age_ms: millis(age),
            fresh_ms: millis(policy.fresh),
            error_ms: millis(policy.fresh + policy.stale_if_error),
            epoch: as_of.epoch.0,
            seq: as_of.seq.0,
            tags,
        };
        if !self.is_due(key, digest(&written(&loaded.value)), platform.now()) {
            return;
        }
        let Some(value) = stored(&head, &loaded.value) else {
            return;
        };
        let lasting = policy.fresh + policy.stale_if_error;
        let lasting = lasting.saturating_sub(age).max(SHORTEST);
        let this = self.clone();
        platform.spawn(async move {
            // What is not taken is written by the next load.
            this.far.put(&name, value, lasting).await;
        });
    }

    /// Whether a key is to be written: at most once a second, and without a change only when half of the time
    /// has passed for which it is served.
    fn is_due(&self, key: &str, digest: u64, now: Monotonic) -> bool {
        let mut written = self.lock();
        if let Some((at, before)) = written.get(key) {
            let since = now.since(*at);
            if since < PAUSE || (*before == digest && since < self.bound / 2) {
                return false;
            }
        } else if written.len() >= KNOWN {
            written.clear();
        }
        written.insert(key.into(), (now, digest));
        true
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        // Nothing that can panic happens between two changes of it.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a purge down: pages that have seen less than `as_of` are not used any more, once it is seen.
    /// Whether it was taken. Of two at the same moment one may be lost.
    pub(super) async fn purge(
        &self,
        as_of: AsOf,
        tags: &[Box<str>],
        keys: Vec<Box<str>>,
        prefixes: Vec<Box<str>>,
    ) -> bool {
        // What is loaded from now on is worth a write, changed or not.
        self.lock().clear();
        let purges = self.far.get(PURGED).await;
        let purges = purges.and_then(|purges| serde_json::from_slice::<Purges>(&purges).ok());
        let mut purges = purges.unwrap_or_default();
        let (Epoch(epoch), Seq(seq)) = (as_of.epoch, as_of.seq);
        purges.note(Purge {
            epoch,
            seq,
            tags: tags.to_vec(),
            keys,
            prefixes,
        });
        match serde_json::to_vec(&purges) {
            Ok(text) => self.far.put(PURGED, text.into(), LASTING).await,
            Err(_) => false,
        }
    }
}

/// The key in the store, if it fits.
fn name(key: &str) -> Option<String> {
    (key.len() <= MAX_KEY).then(|| [PAGE, key].concat())
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(platform: &impl Platform) -> i64 {
    i64::try_from(platform.wall().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Tells one page from the next (FNV-1a): a mistake only delays a write.
fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, StatusCode};

    const BOUND: Duration = Duration::from_secs(55);

    fn head() -> Head {
        Head {
            asked_ms: 1_000_000,
            age_ms: 10_000,
            fresh_ms: 300_000,
            error_ms: 3_900_000,
            epoch: 1,
            seq: 5,
            tags: vec!["lists".into()],
        }
    }

    #[test]
    fn a_page_is_served_within_the_bound_and_stands_in_within_its_window() {
        let judge = |since_ms: i64| head().judge(1_000_000 + since_ms, BOUND);
        assert_eq!(judge(0), Worth::Fresh(290_000));
        assert_eq!(judge(-2_000), Worth::Fresh(290_000));
        assert_eq!(judge(-2_001), Worth::Nothing, "from the future");
        assert_eq!(judge(54_999), Worth::Fresh(235_001));
        assert_eq!(judge(55_000), Worth::Instead);
        assert_eq!(judge(3_889_999), Worth::Instead);
        assert_eq!(judge(3_890_000), Worth::Nothing);
        // Old when it came: the bound is not all.
        let old = Head {
            age_ms: 299_000,
            ..head()
        };
        assert_eq!(old.judge(1_001_000, BOUND), Worth::Instead);
    }

    fn purge(seq: u64) -> Purge {
        Purge {
            epoch: 1,
            seq,
            tags: Vec::new(),
            keys: Vec::new(),
            prefixes: Vec::new(),
        }
    }

    #[test]
    fn a_purge_reaches_what_has_not_seen_it() {
        let of = |purge: Purge| Purges {
            floor: None,
            all: vec![purge],
        };
        let tags = |epoch, seq, tag: &str| Purge {
            epoch,
            tags: vec![tag.into()],
            ..purge(seq)
        };
        for (purge, reached) in [
            (tags(1, 6, "lists"), true),
            (tags(1, 5, "lists"), false),
            (tags(1, 6, "other"), false),
            (tags(2, 1, "lists"), true),
            (
                Purge {
                    keys: vec!["list:/a|br".into()],
                    ..purge(6)
                },
                true,
            ),
            (
                Purge {
                    keys: vec!["list:/a".into()],
                    ..purge(6)
                },
                false,
            ),
            (
                Purge {
                    prefixes: vec!["list:/".into()],
                    ..purge(6)
                },
                true,
            ),
        ] {
            let told = format!("{purge:?}");
            assert_eq!(of(purge).reach("list:/a|br", &head()), reached, "{told}");
        }
    }

    #[test]
    fn what_is_older_than_all_purges_that_are_remembered_counts_as_purged() {
        let mut purges = Purges::default();
        for seq in 1..=5 {
            purges.note(purge(seq));
        }
        assert!(!purges.reach("k", &head()));
        for seq in 6..=REMEMBERED as u64 + 5 {
            purges.note(purge(seq));
        }
        assert_eq!((purges.all.len(), purges.floor), (REMEMBERED, Some((1, 5))));
        assert!(!purges.reach("k", &head()));
        purges.note(purge(1000));
        assert!(purges.reach("k", &head()));
    }

    #[test]
    fn a_page_survives_the_trip() {
        let mut headers = HeaderMap::new();
        headers.insert("etag", http::HeaderValue::from_static("\"1\""));
        let page = Page::new(StatusCode::OK, headers, Bytes::from_static(b"\n\xfftext"));
        let bytes = stored(&head(), &page).expect("it is JSON");
        assert_eq!(found(bytes.clone()), Some((head(), page)));
        for end in 0..20 {
            assert_eq!(found(bytes.slice(..end)), None);
        }
    }

    #[test]
    fn a_key_is_written_seldom() {
        struct Nowhere;
        impl Far for Nowhere {
            fn get<'a>(&'a self, _: &'a str) -> futures::future::BoxFuture<'a, Option<Bytes>> {
                Box::pin(std::future::ready(None))
            }
            fn list<'a>(
                &'a self,
                _: &'a str,
            ) -> futures::future::BoxFuture<'a, Option<Vec<String>>> {
                Box::pin(std::future::ready(None))
            }
            fn put<'a>(
                &'a self,
                _: &'a str,
                _: Bytes,
                _: Duration,
            ) -> futures::future::BoxFuture<'a, bool> {
                Box::pin(std::future::ready(false))
            }
        }
        let pages = Pages::new(Arc::new(Nowhere), BOUND);
        let at = |ms| Monotonic::from_start(Duration::from_millis(ms));
        for (ms, digest, due) in [
            (0, 1, true),
            (999, 2, false),
            (1_000, 2, true),
            (2_000, 2, false),
            (28_499, 2, false),
            (28_500, 2, true),
            (29_500, 1, true),
        ] {
            assert_eq!(pages.is_due("k", digest, at(ms)), due, "{ms}");
        }
        assert!(pages.is_due("other", 2, at(29_500)));
    }
}
