//! The table and the file: of each fault and phase the medians between the least and the most.

use crate::load::{From, Phase};
use crate::percentile::percentile;
use crate::{Fault, Plan, Turn};
use serde_json::{Value, json};
use std::fmt::{self, Write as _};

const PHASES: [&str; 3] = ["before", "during", "after"];

/// A median between the least and the most.
#[derive(Debug, Clone, Copy)]
struct Spread([f64; 3]);

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self([0.0, 0.5, 1.0].map(|share| percentile(&values, share)))
    }

    fn json(self) -> Value {
        let Self([least, median, most]) = self;
        if median.is_nan() {
            return Value::Null;
        }
        json!({"median": median, "min": least, "max": most})
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([least, median, most]) = self;
        if median.is_nan() {
            return f.pad("–");
        }
        f.pad(&format!("{median:.1} ({least:.1}–{most:.1})"))
    }
}

/// What was measured, and where.
pub(crate) struct Report {
    pub(crate) machine: Value,
    pub(crate) plan: Plan,
    pub(crate) turns: Vec<Turn>,
}

impl Report {
    fn turns(&self, fault: Fault) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.fault == fault)
    }

    fn phase(&self, fault: Fault, number: usize, figure: impl Fn(&Phase) -> f64) -> Spread {
        Spread::of(self.turns(fault).map(|turn| figure(&turn.phases[number])))
    }

    fn errors(&self, fault: Fault, number: usize) -> usize {
        self.turns(fault)
            .map(|turn| turn.phases[number].errors)
            .sum()
    }

    fn course(&self, fault: Fault, figure: impl Fn(&Turn) -> Option<f64>) -> Spread {
        Spread::of(self.turns(fault).filter_map(figure))
    }

    /// In how many turns the origin was still cut off at the end.
    fn lost(&self, fault: Fault) -> usize {
        self.turns(fault).filter(|turn| turn.course.lost).count()
    }

    pub(crate) fn table(&self) -> String {
        let (machine, plan) = (&self.machine, &self.plan);
        let mut table = format!(
            "{}, {} cores, Linux {}, load average before: {}\n{} rounds, phases of {} s, {} requests/s, {} pitches\n\n",
            machine["cpu"].as_str().unwrap_or_default(),
            machine["cores"],
            machine["kernel"].as_str().unwrap_or_default(),
            machine["load_average"].as_str().unwrap_or_default(),
            plan.rounds,
            plan.phase.as_secs(),
            plan.per_second,
            plan.pitches,
        );
        let _ = writeln!(
            table,
            "{:<16} {:<7} {:<17} {:<19} {:<21} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>9}",
            "Redis",
            "",
            "p50 ms",
            "p99 ms",
            "max ms",
            "mem %",
            "redis",
            "origin",
            "coal.",
            "stale",
            "errors",
            "reads/req"
        );
        for fault in Fault::ALL {
            for (number, name) in PHASES.iter().enumerate() {
                let figure = |figure: fn(&Phase) -> f64| self.phase(fault, number, figure);
                let median = |Spread([_, median, _])| median;
                let tier = |at: usize| median(self.phase(fault, number, |phase| phase.tiers[at]));
                let _ = writeln!(
                    table,
                    "{:<16} {name:<7} {:<17} {:<19} {:<21} {:>6.1} {:>6.1} {:>6.1} {:>6.1} {:>6.1} {:>6} {:>9.2}",
                    if number == 0 { fault.name() } else { "" },
                    figure(|phase| phase.p50_ms),
                    figure(|phase| phase.p99_ms),
                    figure(|phase| phase.max_ms),
                    tier(0),
                    tier(1),
                    tier(2),
                    tier(3),
                    median(figure(|phase| phase.stale)),
                    self.errors(fault, number),
                    median(figure(|phase| phase.reads_per_request)),
                );
            }
        }
        let _ = writeln!(
            table,
            "\n{:<16} {:<26} {:<26} {:<26} {:<18} not attached at the end",
            "Redis",
            "attached ms after its end",
            "breaker open ms after begin",
            "closed ms after begin",
            "timeouts paid"
        );
        for fault in Fault::ALL {
            let _ = writeln!(
                table,
                "{:<16} {:<26} {:<27} {:<26} {:<18} {} of {}",
                fault.name(),
                self.course(fault, |turn| turn.course.attached_after),
                self.course(fault, |turn| turn.course.opened),
                self.course(fault, |turn| turn.course.closed),
                self.course(fault, |turn| Some(turn.course.timeouts as f64)),
                self.lost(fault),
                plan.rounds,
            );
        }
        table
    }

    pub(crate) fn json(&self) -> Value {
        let phase = |fault: Fault, number: usize| {
            let figure = |figure: fn(&Phase) -> f64| self.phase(fault, number, figure).json();
            let tiers = From::TIERS.iter().enumerate().map(|(at, (_, name))| {
                let share = self.phase(fault, number, |phase| phase.tiers[at]);
                ((*name).to_owned(), share.json())
            });
            json!({
                "requests": figure(|phase| phase.requests as f64),
                "p50_ms": figure(|phase| phase.p50_ms),
                "p99_ms": figure(|phase| phase.p99_ms),
                "max_ms": figure(|phase| phase.max_ms),
                "percent_from": tiers.collect::<serde_json::Map<_, _>>(),
                "percent_stale": figure(|phase| phase.stale),
                "errors": self.errors(fault, number),
                "database_reads_per_request": figure(|phase| phase.reads_per_request),
            })
        };
        let faults = Fault::ALL.map(|fault| {
            let course = |figure: fn(&Turn) -> Option<f64>| self.course(fault, figure).json();
            json!({
                "redis": fault.name(),
                "before": phase(fault, 0), "during": phase(fault, 1), "after": phase(fault, 2),
                "attached_again_after_ms": course(|turn| turn.course.attached_after),
                "not_attached_at_the_end": self.lost(fault),
                "breaker_opened_after_ms": course(|turn| turn.course.opened),
                "breaker_closed_after_ms": course(|turn| turn.course.closed),
                "timeouts_paid": course(|turn| Some(turn.course.timeouts as f64)),
            })
        });
        let plan = &self.plan;
        json!({
            "bench": "redis_faults", "machine": self.machine, "rounds": plan.rounds,
            "phase_s": plan.phase.as_secs(), "requests_per_s": plan.per_second,
            "pitches": plan.pitches, "faults": faults,
        })
    }
}
