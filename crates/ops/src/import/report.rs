//! What an import did.

use super::films::Observer;
use super::mapping::Adjustments;
use super::reader::{Batch, Rejection};
use crate::figures::{duration, grouped, rate, table};
use pitchey_store_pg::bulk::{BatchCounts, ImportProgress};
use std::fmt;
use std::time::Duration;

/// So many bad lines are kept for the report; all of them are told as they come.
const MAX_KEPT: usize = 1000;

/// How an import ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// At the end of the file.
    Whole,
    /// More lines were refused than were tolerated.
    TooManyErrors,
    /// It was asked to stop.
    Interrupted,
}

/// What an import did. The counts of lines are of the whole file, the counts of pitches of this run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// How it ended.
    pub ended: Ended,
    /// Lines that are done, those of earlier runs included.
    pub lines: u64,
    /// Lines that a run before this one had done.
    pub resumed_after: u64,
    /// Pitches that are new.
    pub created: u64,
    /// Pitches that were changed.
    pub updated: u64,
    /// Pitches that stayed as they were.
    pub unchanged: u64,
    /// Lines about a film of an earlier line that say the same.
    pub repeated_identical: u64,
    /// Lines about a film of an earlier line that say something else.
    pub repeated_different: u64,
    /// Lines that were refused.
    pub rejected: u64,
    /// The first thousand of them, those of earlier runs left out.
    pub rejections: Vec<Rejection>,
    /// What was left out of lines that were taken; known at the end of the file.
    pub adjustments: Adjustments,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    pub(super) fn new(resumed_after: u64) -> Self {
        Self {
            ended: Ended::Whole,
            lines: resumed_after,
            resumed_after,
            created: 0,
            updated: 0,
            unchanged: 0,
            repeated_identical: 0,
            repeated_different: 0,
            rejected: 0,
            rejections: Vec::new(),
            adjustments: Adjustments::default(),
            seconds: 0.0,
        }
    }

    pub(super) fn batch(&mut self, batch: &Batch, observer: &mut impl Observer) {
        self.rejected = batch.rejected;
        for rejection in &batch.rejections {
            observer.rejected(rejection);
            if self.rejections.len() < MAX_KEPT {
                self.rejections.push(rejection.clone());
            }
        }
        for repetition in &batch.repetitions {
            if repetition.identical {
                self.repeated_identical += 1;
            } else {
                self.repeated_different += 1;
            }
            if repetition.line > self.resumed_after {
                observer.repeated(repetition);
            }
        }
    }

    pub(super) fn counts(&mut self, progress: &ImportProgress, before: &BatchCounts) {
        self.lines = progress.lines_done;
        self.created = progress.counts.created - before.created;
        self.updated = progress.counts.updated - before.updated;
        self.unchanged = progress.counts.unchanged - before.unchanged;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |label: &str, number: u64| (label.to_owned(), grouped(number));
        let mut rows = vec![row("lines", self.lines)];
        if self.resumed_after > 0 {
            rows.push(row("  done by an earlier run", self.resumed_after));
        }
        rows.extend([
            row("created", self.created),
            row("updated", self.updated),
            row("unchanged", self.unchanged),
        ]);
        let left_out = &self.adjustments;
        let unknown_genres = left_out.unknown_genres.values().sum();
        // What did not happen is not worth a line.
        let seldom = [
            ("repeated, identical", self.repeated_identical),
            ("repeated, told differently", self.repeated_different),
            ("unknown genres left out", unknown_genres),
            ("genres cut to eight", left_out.genres_cut),
            ("casts cut to a hundred names", left_out.casts_cut),
            ("names left out", left_out.names_left_out),
            ("synopses cut", left_out.synopses_cut),
        ];
        rows.extend(
            seldom
                .iter()
                .filter(|(_, n)| *n > 0)
                .map(|(label, n)| row(label, *n)),
        );
        rows.push(row("rejected", self.rejected));
        f.write_str(&table(&rows))?;
        if !left_out.unknown_genres.is_empty() {
            let words: Vec<_> = left_out
                .unknown_genres
                .iter()
                .map(|(word, n)| format!("{word} ({n})"))
                .collect();
            writeln!(f, "unknown genres: {}", words.join(", "))?;
        }
        let time = Duration::from_secs_f64(self.seconds);
        let done = self.lines - self.resumed_after;
        let per_second = grouped(rate(done, time));
        let took = format!("in {}, {per_second} lines/s", duration(time));
        match self.ended {
            Ended::Whole => writeln!(f, "done {took}"),
            Ended::TooManyErrors => writeln!(
                f,
                "stopped at line {} {took}: more bad lines than --max-errors allows; what is before it is in",
                self.lines
            ),
            Ended::Interrupted => writeln!(
                f,
                "stopped after line {} {took}; the same command goes on from there",
                self.lines
            ),
        }
    }
}
