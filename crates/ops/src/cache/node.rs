//! `pitchey cache status --origin` and `stats`: what one origin knows and did, as it tells it.

use super::origin::{Door, OriginUrl, ask_as_admin};
use crate::figures::grouped;
use crate::output::Output;
use crate::table::{Table, bytes, fields, milliseconds};
use anyhow::Context as _;
use pitchey_model::Email;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Whose figures.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StatsOptions {
    #[command(flatten)]
    door: Door,
}

/// `GET /api/cache/status`, as far as it is shown.
#[derive(Debug, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, shown as such"
)]
struct Status {
    has_shared: bool,
    connected: bool,
    attached: bool,
    distrusted: bool,
    epoch: String,
    applied: u64,
    era: u64,
    trusted_for_ms: u64,
    breaker: String,
    memory: Vec<Memory>,
}

#[derive(Debug, Deserialize)]
struct Memory {
    cache: String,
    entries: u64,
    bytes: i64,
    loads_in_flight: u64,
}

/// `GET /api/cache/stats`, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Stats {
    kinds: Vec<KindStats>,
}

#[derive(Debug, Deserialize)]
struct KindStats {
    kind: String,
    answers: u64,
    hit_ratio: Option<f64>,
    counts: BTreeMap<String, u64>,
    loads: Times,
    lookups: Times,
}

#[derive(Debug, Deserialize)]
struct Times {
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// Shows what an origin knows of its caches.
pub(crate) async fn status(
    origin: &OriginUrl,
    email: &Email,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    ask_as_admin(origin, email, async |admin| {
        let value: Value = admin.get("/api/cache/status").await?;
        let status = Status::deserialize(&value).context("its status has another shape")?;
        output.show(&value, || status.text())?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

/// Shows what the caches of an origin did since it began.
pub(crate) async fn stats(
    options: StatsOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let Door { origin, email } = &options.door;
    ask_as_admin(origin, email, async |admin| {
        let value: Value = admin.get("/api/cache/stats").await?;
        let stats = Stats::deserialize(&value).context("its figures have another shape")?;
        output.show(&value, || stats.text())?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

impl Status {
    fn text(&self) -> String {
        let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
        let redis = match (self.has_shared, self.connected) {
            (false, _) => "none",
            (true, true) => "connected",
            (true, false) => "not connected",
        };
        let mut text = fields(&[
            ("redis", redis.to_owned()),
            ("attached", yes(self.attached)),
            ("distrusted", yes(self.distrusted)),
            ("epoch", self.epoch.clone()),
            ("heard up to number", self.applied.to_string()),
            ("times begun anew", self.era.to_string()),
            ("memory trusted for", format!("{} ms", self.trusted_for_ms)),
            ("breaker", self.breaker.clone()),
        ]);
        let mut table = Table::new(&["memory", ">entries", ">size", ">loading"]);
        for memory in &self.memory {
            table.row([
                memory.cache.clone(),
                grouped(memory.entries),
                bytes(memory.bytes),
                grouped(memory.loads_in_flight),
            ]);
        }
        text.push('\n');
        text.push_str(&table.to_text());
        text
    }
}

impl Stats {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            "kind",
            ">answers",
            ">hits",
            ">memory",
            ">shared",
            ">stale",
            ">coalesced",
            ">miss",
            ">negative",
            ">refreshes",
            ">errors",
            ">load p50",
            ">p99",
            ">lookup p50",
            ">p99",
        ]);
        let dash = || "–".to_owned();
        let ms = |time: Option<f64>| time.map_or_else(dash, milliseconds);
        for kind in &self.kinds {
            let ratio = kind.hit_ratio.map(|ratio| format!("{:.1}%", ratio * 100.0));
            // An origin of another version may count other things.
            let sum = |names: &[&str]| kind.sum(names).map_or_else(dash, grouped);
            table.row([
                kind.kind.clone(),
                grouped(kind.answers),
                ratio.unwrap_or_else(dash),
                sum(&["memory_hit"]),
                sum(&["shared_hit"]),
                sum(&[
                    "memory_stale",
                    "shared_stale",
                    "stale_on_error",
                    "unverified",
                ]),
                sum(&["coalesced", "awaited"]),
                sum(&["miss"]),
                sum(&["negative"]),
                sum(&["refresh"]),
                sum(&["load_error", "load_timeout", "shared_error"]),
                ms(kind.loads.p50_ms),
                ms(kind.loads.p99_ms),
                ms(kind.lookups.p50_ms),
                ms(kind.lookups.p99_ms),
            ]);
        }
        table.to_text()
    }
}

impl KindStats {
    /// How often any of these happened, if all are counted.
    fn sum(&self, names: &[&str]) -> Option<u64> {
        let counts = names.iter().map(|name| self.counts.get(*name).copied());
        counts.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pitchey_cache::stats::Counter;
    use serde_json::json;

    #[test]
    fn what_an_origin_knows_is_told() {
        let status = json!({
            "has_shared": true, "connected": true, "attached": true, "distrusted": false, "epoch": "81985529216486895",
            "applied": 12345, "era": 1, "trusted_for_ms": 870, "breaker": "closed",
            "memory": [
                {"cache": "answers", "entries": 1234, "bytes": 5_000_000, "loads_in_flight": 2},
                {"cache": "sessions", "entries": 0, "bytes": 0, "loads_in_flight": 0},
            ],
        });
        let status = Status::deserialize(&status).expect("a status");
        insta::assert_snapshot!(status.text(), @r"
        redis               connected
        attached            yes
        distrusted          no
        epoch               81985529216486895
        heard up to number  12345
        times begun anew    1
        memory trusted for  870 ms
        breaker             closed

        MEMORY    ENTRIES     SIZE  LOADING
        answers     1,234  4.8 MiB        2
        sessions        0      0 B        0
        ");
    }

    fn stats(kinds: &Value) -> Stats {
        Stats::deserialize(&json!({ "kinds": kinds })).expect("figures")
    }

    #[test]
    fn every_answer_of_a_kind_is_in_one_column() {
        // Each thing that is counted has a figure of its own, so that none can stand for another.
        let counts: BTreeMap<&str, u64> = Counter::ALL
            .iter()
            .zip(0..)
            .map(|(counter, n)| (counter.name(), 1 << n))
            .collect();
        let times = json!({"count": 0, "p50_ms": 0.512, "p99_ms": 16.384});
        let none = json!({"count": 0, "p50_ms": null, "p99_ms": null});
        let zero: BTreeMap<&str, u64> = counts.keys().map(|name| (*name, 0)).collect();
        let stats = stats(&json!([
            {"kind": "pitch_detail", "answers": 12415, "hit_ratio": 0.9948, "counts": counts, "loads": times, "lookups": none},
            {"kind": "session", "answers": 0, "hit_ratio": null, "counts": zero, "loads": none, "lookups": none},
        ]));
        insta::assert_snapshot!(stats.text(), @r"
        KIND          ANSWERS   HITS  MEMORY  SHARED   STALE  COALESCED  MISS  NEGATIVE  REFRESHES  ERRORS  LOAD P50   P99  LOOKUP P50  P99
        pitch_detail   12,415  99.5%       1       4  12,298         48    64       128        256  68,608     0.512  16.4           –    –
        session             0      –       0       0       0          0     0         0          0       0         –     –           –    –
        ");
    }

    #[test]
    fn what_an_origin_does_not_count_is_not_zero() {
        let none = json!({"count": 0, "p50_ms": null, "p99_ms": null});
        let stats = stats(&json!([
            {"kind": "search", "answers": 7, "hit_ratio": 1.0, "counts": {"memory_hit": 7}, "loads": none, "lookups": none},
        ]));
        assert_eq!(stats.kinds[0].sum(&["memory_hit"]), Some(7));
        assert_eq!(stats.kinds[0].sum(&["memory_hit", "miss"]), None);
    }
}
