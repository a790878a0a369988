//! Loading the front page before it is asked for: when the origin begins, and ever again.
//!
//! One question at a time and with a pause between them, past the queue that visitors stand in: a round is
//! as good as not there to everybody else. What is fresh is left alone, and what another origin has loaded
//! is found in the shared tier.

use std::time::Duration;

use http::Uri;
use pitchey_api::PublicReads;
use pitchey_runtime::{Clock, Random, Timer};
use serde::Deserialize;
use uuid::Uuid;

use crate::caches::OriginCaches;

/// How often something was warmed. Label: `outcome` (`warm`, `not_warm`).
const WARMED: &str = "cache_warmed_total";
/// How long the last round took, in seconds.
const ROUND: &str = "cache_warming_round_seconds";

/// What the front page shows.
const LISTS: [&str; 4] = [
    "/api/pitches/trending",
    "/api/pitches/new",
    "/api/pitches/public",
    "/api/pitches",
];

/// How many pitches of each list are warmed: a page has no more.
const OF_EACH: usize = 100;

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(20);

/// How often it is looked whether the origin is attached.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The pause between rounds, and as much again at random, so that origins do not keep in step: about as
/// long as copies stay in memory without being compared.
const REST: Duration = Duration::from_secs(20);

/// Warms round after round; never ends.
pub async fn run(reads: PublicReads, caches: OriginCaches, runtime: impl Clock + Timer + Random) {
    loop {
        // What is loaded before is not trusted after.
        while !caches.is_attached() {
            runtime.sleep(LOOK_EVERY).await;
        }
        let begun = runtime.now();
        round(&reads, &runtime).await;
        let took = runtime.now().since(begun);
        metrics::gauge!(ROUND).set(took.as_secs_f64());
        let share = (runtime.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        runtime.sleep(REST.mul_f64(1.0 + share)).await;
    }
}

/// The lists, and what is on them.
async fn round(reads: &PublicReads, timer: &impl Timer) {
    let mut shown = Vec::new();
    for list in LISTS {
        let list = Uri::from_static(list);
        warm(reads, list.clone()).await;
        if let Some(body) = reads.read(list).await {
            shown.extend(ids_on(&body));
        }
        timer.sleep(PAUSE).await;
    }
    shown.sort_unstable();
    shown.dedup();
    for id in shown {
        if let Ok(address) = Uri::try_from(format!("/api/pitches/{id}")) {
            warm(reads, address).await;
        }
        timer.sleep(PAUSE).await;
    }
}

async fn warm(reads: &PublicReads, address: Uri) {
    let outcome = if reads.warm(address).await {
        "warm"
    } else {
        "not_warm"
    };
    metrics::counter!(WARMED, "outcome" => outcome).increment(1);
}

/// A list, as far as it matters here.
#[derive(Deserialize)]
struct Listed {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    id: Uuid,
}

/// The pitches on a list.
fn ids_on(body: &[u8]) -> Vec<Uuid> {
    let listed = serde_json::from_slice::<Listed>(body);
    let items = listed.map(|listed| listed.items).unwrap_or_default();
    items.iter().take(OF_EACH).map(|item| item.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_list_is_read_off_it() {
        let body = br#"{"items":[{"id":"00000000-0000-0000-0000-000000000007","title":"x"}],"next_cursor":null}"#;
        assert_eq!(ids_on(body), [Uuid::from_u128(7)]);
        assert_eq!(ids_on(b"{}"), [] as [Uuid; 0]);
        assert_eq!(ids_on(b"not JSON"), [] as [Uuid; 0]);
    }
}
