//! The table and the file.

use crate::Options;
use crate::edits::Edits;
use crate::percentile::percentile;
use crate::replay::{Counts, Day, Kind, Tier};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What was measured, and where.
pub(crate) struct Report {
    pub(crate) machine: Value,
    pub(crate) options: Options,
    pub(crate) day: Day,
    /// The statements of the day.
    pub(crate) database: Counts,
    pub(crate) edits: Edits,
    /// Edits through the worker, where it could be run.
    pub(crate) bounded: Option<Edits>,
}

/// What the worker promises when nothing else is said, and what its clock adds, in milliseconds.
const BOUND_MS: f64 = 5_000.0 + 2.0;

fn waits(sorted: &[f64]) -> [f64; 3] {
    [0.5, 0.99, 1.0].map(|share| percentile(sorted, share))
}

impl Report {
    /// Whether what is promised was kept.
    pub(crate) fn is_sound(&self) -> bool {
        let Self { day, edits, .. } = self;
        let bounded = self.bounded.as_ref().is_none_or(|bounded| {
            let longest = percentile(&bounded.lags, 1.0);
            bounded.old == 0 && longest <= BOUND_MS
        });
        day.failed == 0 && day.refused == 0 && day.old == 0 && edits.old == 0 && bounded
    }

    fn count(&self, is: impl Fn(Kind, Tier) -> bool) -> u64 {
        let reads = self.day.reads.iter();
        reads
            .filter(|((kind, tier), _)| is(*kind, *tier))
            .map(|(_, count)| count)
            .sum()
    }

    /// A row: how many reads, and the share of each tier in percent.
    fn row(&self, is: impl Fn(Kind) -> bool) -> (u64, [f64; 5]) {
        let all = self.count(|kind, _| is(kind));
        let share =
            |tier| self.count(|kind, one| is(kind) && one == tier) as f64 * 100.0 / all as f64;
        (all, Tier::ALL.map(|(tier, _)| share(tier)))
    }

    fn rows(&self) -> Vec<(&'static str, (u64, [f64; 5]))> {
        let kinds = Kind::ALL.into_iter();
        let mut rows: Vec<_> = kinds
            .map(|(kind, name)| (name, self.row(|one| one == kind)))
            .collect();
        rows.push(("all", self.row(|_| true)));
        rows
    }

    pub(crate) fn table(&self) -> String {
        let Self {
            machine,
            options,
            day,
            edits,
            ..
        } = self;
        let mut table = format!(
            "{}, {} cores, Linux {}, load average before: {}\na day in {} s, {} requests/s on average, {} pitches\n\n",
            machine["cpu"].as_str().unwrap_or_default(),
            machine["cores"],
            machine["kernel"].as_str().unwrap_or_default(),
            machine["load_average"].as_str().unwrap_or_default(),
            options.seconds,
            options.rate,
            options.pitches,
        );
        let _ = write!(table, "{:<16} {:>9}", "answered by, %", "reads");
        for (_, tier) in Tier::ALL {
            let _ = write!(table, " {tier:>10}");
        }
        table.push('\n');
        for (name, (reads, shares)) in self.rows() {
            let _ = write!(table, "{name:<16} {reads:>9}");
            for share in shares {
                let _ = write!(table, " {share:>10.2}");
            }
            table.push('\n');
        }
        let reads = self.count(|_, _| true);
        let statements = self.database.of_reads();
        let saved = 100.0 - statements as f64 * 100.0 / reads as f64;
        let _ = writeln!(
            table,
            "\nstatements for {reads} reads: {statements}, one each without caches: {saved:.2} % saved"
        );
        for (name, sorted) in [
            ("the edge", &day.from_edge),
            ("behind it", &day.from_behind),
        ] {
            let [p50, p99, most] = waits(sorted);
            let _ = writeln!(
                table,
                "waits, answered by {name}: p50 {p50:.2} ms, p99 {p99:.2} ms, longest {most:.1} ms"
            );
        }
        let _ = writeln!(
            table,
            "failed: {}; edits: {}, refused {}, old at the next read {}; published: {}",
            day.failed, day.edits, day.refused, day.old, day.published
        );
        let [p50, p99, most] = waits(&edits.lags);
        let _ = writeln!(
            table,
            "\n{} edits in a row ({} reads before them from an edge's memory): old at the next read through the same \
             edge: {}\nthrough another edge: {} old at first; lag p50 {p50:.2} ms, p99 {p99:.2} ms, longest {most:.2} ms",
            edits.made, edits.from_memory, edits.old, edits.old_elsewhere
        );
        let [p50, p99, most] = waits(&edits.took);
        let _ = writeln!(
            table,
            "an edit took p50 {p50:.1} ms, p99 {p99:.1} ms, longest {most:.1} ms"
        );
        if let Some(bounded) = &self.bounded {
            let [p50, p99, most] = waits(&bounded.lags);
            let _ = writeln!(
                table,
                "\n{} edits through the worker, of many pitches at once ({} reads before them from its memory): old at \
                 the next read of who made it: {}\nfor others {} old at first; lag p50 {p50:.0} ms, p99 {p99:.0} ms, \
                 longest {most:.0} ms; the bound is {BOUND_MS} ms",
                bounded.made, bounded.from_memory, bounded.old, bounded.old_elsewhere
            );
        }
        table
    }

    pub(crate) fn json(&self) -> Value {
        let Self {
            machine,
            options,
            day,
            database,
            edits,
            bounded,
        } = self;
        let rows = self.rows();
        let rows = rows.iter().map(|(name, (reads, shares))| {
            let tiers = Tier::ALL.iter().zip(shares);
            let tiers: serde_json::Map<String, Value> = tiers
                .map(|((_, tier), share)| ((*tier).to_owned(), json!(share)))
                .collect();
            json!({"kind": name, "reads": reads, "percent": tiers})
        });
        let times = |sorted: &[f64]| {
            let [p50, p99, most] = waits(sorted);
            json!({"p50_ms": p50, "p99_ms": p99, "max_ms": most})
        };
        let row = |edits: &Edits| {
            json!({
                "edits": edits.made,
                "from_memory": edits.from_memory,
                "old": edits.old,
                "old_elsewhere": edits.old_elsewhere,
                "lag": times(&edits.lags),
                "took": times(&edits.took),
            })
        };
        json!({
            "machine": machine,
            "seconds": options.seconds,
            "rate": options.rate,
            "pitches": options.pitches,
            "seed": options.seed,
            "rows": rows.collect::<Vec<_>>(),
            "statements": database.0,
            "statements_of_reads": database.of_reads(),
            "failed": day.failed,
            "edits": {"made": day.edits, "refused": day.refused, "old": day.old},
            "published": day.published,
            "waits": {"edge": times(&day.from_edge), "behind": times(&day.from_behind)},
            "edits_in_a_row": row(edits),
            "edits_through_the_worker": bounded.as_ref().map(row),
        })
    }
}
