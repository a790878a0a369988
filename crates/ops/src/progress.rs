//! Showing how far something is: a bar on a terminal, a line every few seconds elsewhere.

use crate::figures::{duration, grouped, rate};
use indicatif::{ProgressBar, ProgressStyle};
use pitchey_runtime::{Clock as _, Monotonic, SystemRuntime};
use std::io::IsTerminal as _;
use std::time::Duration;

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How far something is, on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    clock: SystemRuntime,
    started: Monotonic,
    printed: Monotonic,
    first: u64,
}

impl Progress {
    /// Begins at `first`, of `length` parts if that is known; `what` is counted.
    pub(crate) fn new(
        what: &'static str,
        length: Option<u64>,
        first: u64,
        clock: SystemRuntime,
    ) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| match length {
            Some(length) => ProgressBar::new(length).with_style(style("{wide_bar} {percent:>3}%")),
            None => ProgressBar::new_spinner().with_style(style("{spinner}")),
        });
        Self {
            what,
            bar,
            clock,
            started: clock.now(),
            printed: clock.now(),
            first,
        }
    }

    /// `count` were done, which is `position` parts.
    pub(crate) fn at(&mut self, count: u64, position: u64) {
        let now = self.clock.now();
        let elapsed = now - self.started;
        let text = || {
            let per_second = rate(count.saturating_sub(self.first), elapsed);
            format!(
                "{} {}, {}/s, {}",
                grouped(count),
                self.what,
                grouped(per_second),
                duration(elapsed)
            )
        };
        match &self.bar {
            Some(bar) => {
                bar.set_message(text());
                bar.set_position(position);
            }
            None if now - self.printed >= LINE_EVERY => {
                eprintln!("{}", text());
                self.printed = now;
            }
            None => {}
        }
    }

    /// Prints a line without tearing the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(head: &str) -> ProgressStyle {
    // The template is ours, so that it is well-formed is seen at once.
    ProgressStyle::with_template(&format!("{head} {{msg}}"))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}
