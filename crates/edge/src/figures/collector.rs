//! What isolates have counted, by way of a far store: each writes its own, a timer adds them up.
//!
//! Whatever is written is written whole, under a name that says of when and by whom it is. So it does no harm if it
//! is written twice, and none if two timers add up the same.

use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::answered::Answered;
use super::ledger::{HOUR_S, Told, WINDOW_S, WINDOWS};
use super::tally::{Counts, Tally};
use super::window::Window;
use crate::far::Far;
use crate::health::Status;

/// How long what one isolate has counted is kept.
const ISOLATE_KEPT: Duration = Duration::from_hours(2);
const WINDOW_KEPT: Duration = Duration::from_hours(48);
const HOUR_KEPT: Duration = Duration::from_hours(90 * 24);

/// So many hours are told of: each is a read of the store.
const HOURS: usize = 24;

/// So long after it was said, in seconds, that something is written, if it ever is: Workers let nothing go on for
/// longer behind an answer.
const LATEST_S: i64 = 30;

/// So many isolates are added up: each is a read, and Workers allow a thousand of them.
const MOST: usize = 900;

/// So many are read at a time: as many as Workers let wait together.
const AT_ONCE: usize = 6;

/// What one isolate counts, and where it is written.
pub struct Collector {
    far: Arc<dyn Far>,
    name: String,
    tally: Tally,
    own: Mutex<Own>,
}

/// What was counted and not yet forgotten: that of one window.
#[derive(Debug, Default)]
struct Own {
    from_s: i64,
    counts: Counts,
    /// Until when somebody is about to write it, in seconds since 1970.
    due_s: i64,
}

/// What is written by one isolate.
#[derive(Serialize, Deserialize)]
struct Written {
    location: String,
    counts: Counts,
}

impl Collector {
    /// One that writes under a name that no other has.
    pub fn new(far: Arc<dyn Far>, name: String) -> Self {
        Self {
            far,
            name,
            tally: Tally::default(),
            own: Mutex::default(),
        }
    }

    /// An answer is there, after so long. If that is said, the caller is to [`write`](Self::write) a little later,
    /// for this moment.
    pub fn count(&self, answered: Answered, took: Duration, now: OffsetDateTime) -> bool {
        self.tally.count(answered, took);
        let now_s = now.unix_timestamp();
        let mut own = self.own();
        let is_first = own.due_s <= now_s;
        if is_first {
            // Who is to write may be gone before.
            own.due_s = now_s + LATEST_S;
        }
        is_first
    }

    /// Writes what was counted, as that of an edge at this location, in the window of the moment at which that was
    /// said; `false` if it was not taken, and is lost unless the next one is.
    pub async fn write(&self, location: &str, said: OffsetDateTime) -> bool {
        let window = Window::at(said.unix_timestamp(), WINDOW_S);
        let (key, written) = {
            let mut own = self.own();
            own.due_s = 0;
            if own.from_s != window.from_s {
                *own = Own {
                    from_s: window.from_s,
                    ..Own::default()
                };
            }
            own.counts.add(&self.tally.take());
            let written = Written {
                location: location.to_owned(),
                counts: own.counts.clone(),
            };
            (
                format!("{}{}", isolates(window.from_s), self.name),
                to_bytes(&written),
            )
        };
        self.far.put(&key, written, ISOLATE_KEPT).await
    }

    /// Adds up what all have written of the two windows that are over, and of the hour if one is; `parts` is how
    /// the parts are now. Whether all of it was taken.
    pub async fn add_up(&self, now: OffsetDateTime, parts: &[(String, Status)]) -> bool {
        let now_s = now.unix_timestamp();
        let window_s = i64::from(WINDOW_S);
        let mut all_taken = true;
        // What was written late is there the next time.
        for ago in [2, 1] {
            let from_s = Window::at(now_s, WINDOW_S).from_s - ago * window_s;
            let Some(window) = self.of_isolates(from_s).await else {
                all_taken = false;
                continue;
            };
            all_taken &= self.put("5m", &window, WINDOW_KEPT).await;
        }
        let hour = Window::at(now_s, HOUR_S);
        // The first two after the hour: what the first one came too early for.
        if now_s - hour.from_s < 2 * window_s {
            let from_s = hour.from_s - i64::from(HOUR_S);
            let mut hour = Window::at(from_s, HOUR_S);
            let reading = (0..).map(|n| self.get("5m", from_s + n * window_s));
            for window in join_all(reading.take(WINDOWS)).await.into_iter().flatten() {
                hour.join(&window);
            }
            hour.parts = parts.iter().cloned().collect();
            all_taken &= self.put("1h", &hour, HOUR_KEPT).await;
        }
        all_taken
    }

    /// What has been added up, as far as the store gives it.
    pub async fn told(&self, now: OffsetDateTime) -> Told {
        let now_s = now.unix_timestamp();
        let read = async |span: &str, span_s: u32, most: usize| {
            let begin = Window::at(now_s, span_s).from_s;
            let names = (1..).map(|ago| begin - ago * i64::from(span_s)).take(most);
            let reading = stream::iter(names).map(|from_s| self.get(span, from_s));
            let found = reading.buffered(AT_ONCE).filter_map(ready);
            found.map(|window: Window| window.summary()).collect().await
        };
        Told {
            windows: read("5m", WINDOW_S, WINDOWS).await,
            hours: read("1h", HOUR_S, HOURS).await,
        }
    }

    /// What isolates have written of a window.
    async fn of_isolates(&self, from_s: i64) -> Option<Window> {
        let names = self.far.list(&isolates(from_s)).await?;
        let mut window = Window::at(from_s, WINDOW_S);
        let read = names.iter().take(MOST);
        let reading = stream::iter(read).map(|name| self.read::<Written>(name));
        let mut reading = reading.buffer_unordered(AT_ONCE);
        while let Some(written) = reading.next().await {
            if let Some(Written { location, counts }) = written {
                window.add(&location, &counts);
                window.edges += 1;
            }
        }
        let count = u32::try_from(names.len()).unwrap_or(u32::MAX);
        window.unread = count.saturating_sub(window.edges);
        Some(window)
    }

    async fn get(&self, span: &str, from_s: i64) -> Option<Window> {
        self.read(&format!("figures/{span}/{from_s}")).await
    }

    async fn put(&self, span: &str, window: &Window, kept: Duration) -> bool {
        let key = format!("figures/{span}/{}", window.from_s);
        self.far.put(&key, to_bytes(window), kept).await
    }

    async fn read<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let bytes = self.far.get(key).await?;
        serde_json::from_slice(&bytes).ok()
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        // Nothing that can panic happens between two changes of it.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the names begin with under which isolates write.
fn isolates(from_s: i64) -> String {
    format!("figures/at/{from_s}/")
}

fn to_bytes(value: &impl Serialize) -> Bytes {
    // Nothing that is written fails to be JSON.
    serde_json::to_vec(value).unwrap_or_default().into()
}
