//! The load: details by Zipf's law and some lists, at a rate; and what came of a phase of it.

use crate::Plan;
use crate::client::Client;
use crate::percentile::percentile;
use anyhow::{Context as _, Result};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many pitches are asked for.
const DETAILS: usize = 400;

/// One request in so many is for a list.
const LIST_EACH: u64 = 5;

const LISTS: [&str; 8] = [
    "/api/pitches",
    "/api/pitches?limit=40",
    "/api/pitches/new",
    "/api/pitches/trending",
    "/api/pitches?genre=drama",
    "/api/pitches?genre=comedy",
    "/api/pitches?genre=noir",
    "/api/pitches?sort=views",
];

/// What is asked for, in an order that is the same for the same seed.
pub(crate) struct Targets {
    details: Vec<String>,
    /// The sums of the weights up to each place.
    sums: Vec<f64>,
    state: u64,
}

impl Targets {
    pub(crate) async fn find(client: &Client, seed: u64) -> Result<Self> {
        let (mut details, mut cursor) = (Vec::new(), String::new());
        while details.len() < DETAILS {
            let target = format!("/api/pitches?limit=50{cursor}");
            let page = client.get(&target, &[]).await?.expect(200)?.json();
            let items = page["items"].as_array().context("no list")?;
            let ids = items.iter().filter_map(|item| item["id"].as_str());
            details.extend(ids.map(|id| format!("/api/pitches/{id}")));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let mut sum = 0.0;
        let sums = (1..=details.len()).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let sums = sums.collect();
        Ok(Self {
            details,
            sums,
            state: seed,
        })
    }

    /// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014: splitmix64.
    fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn next(&mut self) -> String {
        let bits = self.next_u64();
        if bits.is_multiple_of(LIST_EACH) {
            let place = (bits >> 32) as usize % LISTS.len();
            return LISTS[place].to_owned();
        }
        let whole = self.sums.last().copied().unwrap_or_default();
        let share = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let place = self.sums.partition_point(|sum| *sum < share * whole);
        self.details[place.min(self.details.len() - 1)].clone()
    }
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    Memory,
    Redis,
    Origin,
    Coalesced,
    Nowhere,
}

impl From {
    pub(crate) const TIERS: [(Self, &str); 4] = [
        (Self::Memory, "memory"),
        (Self::Redis, "redis"),
        (Self::Origin, "origin"),
        (Self::Coalesced, "coalesced"),
    ];

    /// What `Cache-Status` says.
    fn of(status: &str) -> Self {
        let detail = status.rsplit("detail=").next().unwrap_or_default();
        let known = Self::TIERS.iter().find(|(_, name)| *name == detail);
        known.map_or(Self::Nowhere, |(from, _)| *from)
    }
}

/// One request and its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) planned: Instant,
    pub(crate) waited_ms: f64,
    pub(crate) good: bool,
    pub(crate) stale: bool,
    pub(crate) from: From,
}

/// Asks at the rate of the plan for so long.
pub(crate) async fn browse(
    client: &Client,
    targets: &mut Targets,
    plan: &Plan,
    lasts: Duration,
) -> Result<Vec<Asked>> {
    let mut asks = JoinSet::new();
    let start = Instant::now();
    for n in 0.. {
        let planned = start + Duration::from_secs(1) * n / plan.per_second;
        if planned - start >= lasts {
            break;
        }
        let target = targets.next();
        tokio::time::sleep_until(planned).await;
        let client = client.clone();
        asks.spawn(async move {
            let answer = client.get(&target, &[]).await?;
            anyhow::Ok(Asked {
                planned,
                waited_ms: planned.elapsed().as_secs_f64() * 1000.0,
                good: answer.status == 200,
                stale: answer.header("x-cache-status") == "STALE",
                from: From::of(answer.header("cache-status")),
            })
        });
    }
    let mut all = Vec::new();
    while let Some(asked) = asks.join_next().await {
        all.push(asked??);
    }
    Ok(all)
}

/// What came of one phase.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    pub(crate) requests: usize,
    pub(crate) errors: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// The shares of answers from each of [`From::TIERS`], in percent.
    pub(crate) tiers: [f64; 4],
    pub(crate) stale: f64,
    pub(crate) reads_per_request: f64,
}

impl Phase {
    pub(crate) fn of<'a>(asked: impl Iterator<Item = &'a Asked>, database_reads: u64) -> Self {
        let asked: Vec<&Asked> = asked.collect();
        let mut waits: Vec<f64> = asked.iter().map(|one| one.waited_ms).collect();
        waits.sort_by(f64::total_cmp);
        let requests = asked.len();
        let percent = |is: &dyn Fn(&Asked) -> bool| {
            let count = asked.iter().filter(|one| is(one)).count();
            count as f64 * 100.0 / requests as f64
        };
        Self {
            requests,
            errors: asked.iter().filter(|one| !one.good).count(),
            p50_ms: percentile(&waits, 0.5),
            p99_ms: percentile(&waits, 0.99),
            max_ms: percentile(&waits, 1.0),
            tiers: From::TIERS.map(|(from, _)| percent(&|one| one.from == from)),
            stale: percent(&|one| one.stale),
            reads_per_request: database_reads as f64 / requests as f64,
        }
    }
}
