//! What came of a load.

use super::Options;
use super::place::Broken;
use super::publisher::Published;
use super::tally::{Figures, Tally};
use crate::figures::{grouped, rate};
use crate::table::{fields, milliseconds};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    sockets: u64,
    /// That were in their room at least once.
    entered: u64,
    connected_in_ms: f64,
    connect: Option<Figures>,
    published: u64,
    publish_failed: u64,
    published_per_s: u64,
    deliveries: u64,
    deliveries_per_s: u64,
    frames: u64,
    latency: Option<Figures>,
    reconnects: u64,
    recovered: u64,
    unrecovered: u64,
    recovered_updates: u64,
    storm: Option<Figures>,
    slow: u64,
    slow_closed: u64,
    closed: BTreeMap<u16, u64>,
    errors: BTreeMap<String, u64>,
    twice: u64,
    out_of_order: u64,
    missed: u64,
    behind: u64,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        connected_in: Duration,
        published: &Published,
        tally: &Tally,
        (broken, behind): (Broken, u64),
    ) -> Self {
        let counts = tally.lock();
        Self {
            sockets: options.sockets.into(),
            entered: counts.entered,
            connected_in_ms: connected_in.as_secs_f64() * 1e3,
            connect: counts.connects.figures(),
            published: published.count,
            publish_failed: published.failed,
            published_per_s: rate(published.count, published.time),
            deliveries: counts.deliveries,
            deliveries_per_s: rate(counts.deliveries, published.time),
            frames: counts.frames,
            latency: counts.latency.figures(),
            reconnects: counts.reconnects,
            recovered: counts.recovered,
            unrecovered: counts.unrecovered,
            recovered_updates: counts.recovered_updates,
            storm: counts.storm.figures(),
            slow: u64::from(options.sockets) * u64::from(options.slow) / 100,
            slow_closed: counts.slow_closed,
            closed: counts.closed.clone(),
            errors: counts.errors.clone(),
            twice: broken.twice,
            out_of_order: broken.out_of_order,
            missed: broken.missed,
            behind,
        }
    }

    /// Whether everyone got in and the promise was kept.
    pub(super) fn is_well(&self) -> bool {
        let broken = self.twice + self.out_of_order + self.missed + self.behind;
        broken == 0 && self.entered == self.sockets && self.publish_failed == 0
    }

    pub(super) fn text(&self) -> String {
        let times = |figures: &Option<Figures>| {
            figures.map_or_else(
                || "–".to_owned(),
                |figures| {
                    let [p50, p99, max] =
                        [figures.p50_ms, figures.p99_ms, figures.max_ms].map(milliseconds);
                    format!("p50 {p50} ms, p99 {p99} ms, max {max} ms")
                },
            )
        };
        let mut rows = vec![
            (
                "clients",
                format!(
                    "{} of {} were in their rooms, after {} ms",
                    grouped(self.entered),
                    grouped(self.sockets),
                    milliseconds(self.connected_in_ms)
                ),
            ),
            ("connecting", times(&self.connect)),
            (
                "published",
                format!(
                    "{} ({}/s), {} failed",
                    grouped(self.published),
                    grouped(self.published_per_s),
                    grouped(self.publish_failed)
                ),
            ),
            (
                "deliveries",
                format!(
                    "{} ({}/s) in {} frames",
                    grouped(self.deliveries),
                    grouped(self.deliveries_per_s),
                    grouped(self.frames)
                ),
            ),
            ("latency", times(&self.latency)),
            (
                "reconnects",
                format!(
                    "{}: {} recovered {} updates, {} were told to read anew",
                    grouped(self.reconnects),
                    grouped(self.recovered),
                    grouped(self.recovered_updates),
                    grouped(self.unrecovered)
                ),
            ),
        ];
        if self.storm.is_some() {
            rows.push(("back after the storm", times(&self.storm)));
        }
        if self.slow > 0 {
            let (closed, slow) = (grouped(self.slow_closed), grouped(self.slow));
            rows.push(("slow readers", format!("{closed} of {slow} were closed")));
        }
        for (code, count) in &self.closed {
            rows.push(("closed by hubs", format!("{} with {code}", grouped(*count))));
        }
        for (kind, count) in &self.errors {
            rows.push(("errors", format!("{} × {kind}", grouped(*count))));
        }
        rows.push((
            "promise",
            format!(
                "{} twice, {} out of order, {} missed, {} behind at the end",
                grouped(self.twice),
                grouped(self.out_of_order),
                grouped(self.missed),
                grouped(self.behind)
            ),
        ));
        fields(&rows)
    }
}
