//! A span of time, what was counted in it at each location, and what it comes to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::tally::{Counts, quantile_ms};
use crate::health::{Status, rfc3339};

/// What was counted in a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// When it began, in seconds since 1970.
    pub from_s: i64,
    /// How long it is, in seconds.
    pub span_s: u32,
    /// From how many edges.
    pub edges: u32,
    /// From how many more nothing was read.
    #[serde(default)]
    pub unread: u32,
    /// What was counted, by location.
    pub locations: BTreeMap<String, Counts>,
    /// How the parts were in the end, if that is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Status>,
}

impl Window {
    /// The window of this length that a moment is in; nothing was counted in it yet.
    pub fn at(now_s: i64, span_s: u32) -> Self {
        Self {
            from_s: now_s - now_s.rem_euclid(span_s.into()),
            span_s,
            ..Self::default()
        }
    }

    /// Whether a moment is behind it.
    pub fn is_over(&self, now_s: i64) -> bool {
        now_s >= self.from_s + i64::from(self.span_s)
    }

    /// Adds what one edge has counted there.
    pub fn add(&mut self, location: &str, counts: &Counts) {
        // Most often it is known.
        match self.locations.get_mut(location) {
            Some(own) => own.add(counts),
            None => _ = self.locations.insert(location.to_owned(), counts.clone()),
        }
    }

    /// Adds a part of this window. As many edges were there as there were in any part.
    pub fn join(&mut self, part: &Self) {
        for (location, counts) in &part.locations {
            self.add(location, counts);
        }
        self.edges = self.edges.max(part.edges);
        self.unread = self.unread.max(part.unread);
    }

    /// What it comes to.
    pub fn summary(&self) -> Summary {
        let span = f64::from(self.span_s);
        let mut all = Sums::default();
        let mut classes: BTreeMap<&str, Sums> = BTreeMap::new();
        let mut locations = BTreeMap::new();
        for (location, counts) in &self.locations {
            let mut here = Sums::default();
            for ([class, cache, status], counts) in counts.by_labels() {
                for sums in [&mut all, &mut here, classes.entry(class).or_default()] {
                    sums.add(cache, status, counts);
                }
            }
            locations.insert(location.clone(), here.figures(span));
        }
        let classes = classes.into_iter();
        let classes = classes.map(|(class, sums)| (class.to_owned(), sums.figures(span)));
        let from = OffsetDateTime::from_unix_timestamp(self.from_s).ok();
        Summary {
            from: from.and_then(rfc3339).unwrap_or_default(),
            span_s: self.span_s,
            edges: self.edges,
            unread: self.unread,
            all: all.figures(span),
            classes: classes.collect(),
            locations,
            parts: self.parts.clone(),
        }
    }
}

/// What a span of time comes to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// When it began, by RFC 3339.
    pub from: String,
    /// How long it is, in seconds.
    pub span_s: u32,
    /// How many edges have told of it.
    pub edges: u32,
    /// How many more there were that are not in it.
    pub unread: u32,
    /// All answers.
    pub all: Figures,
    /// By class of routes.
    pub classes: BTreeMap<String, Figures>,
    /// By location of the edge; one that has no name is empty.
    pub locations: BTreeMap<String, Figures>,
    /// How the parts were in the end, if that is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Status>,
}

/// What some answers come to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// How many there were.
    pub requests: u64,
    /// And each second.
    pub per_second: f64,
    /// Of those that were looked for in the cache, the share that came from it; `None` if none was.
    pub hit_rate: Option<f64>,
    /// The share of answers with 5xx.
    pub error_rate: Option<f64>,
    /// What half of them took at most until the header was there, in milliseconds.
    pub p50_ms: Option<f64>,
    /// What 95 of 100 took.
    pub p95_ms: Option<f64>,
    /// What 99 of 100 took.
    pub p99_ms: Option<f64>,
}

#[derive(Default)]
struct Sums {
    places: Vec<u64>,
    hits: u64,
    misses: u64,
    errors: u64,
}

impl Sums {
    fn add(&mut self, cache: &str, status: &str, counts: &[u64]) {
        if self.places.len() < counts.len() {
            self.places.resize(counts.len(), 0);
        }
        for (own, more) in self.places.iter_mut().zip(counts) {
            *own = own.saturating_add(*more);
        }
        let count: u64 = counts.iter().sum();
        match cache {
            "HIT" | "STALE" | "REVALIDATED" => self.hits += count,
            "MISS" => self.misses += count,
            _ => {}
        }
        if status == "5xx" {
            self.errors += count;
        }
    }

    fn figures(&self, span_s: f64) -> Figures {
        let requests: u64 = self.places.iter().sum();
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        Figures {
            requests,
            per_second: requests as f64 / span_s,
            hit_rate: share(self.hits, self.hits + self.misses),
            error_rate: share(self.errors, requests),
            p50_ms: quantile_ms(&self.places, 0.5),
            p95_ms: quantile_ms(&self.places, 0.95),
            p99_ms: quantile_ms(&self.places, 0.99),
        }
    }
}
