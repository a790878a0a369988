//! Long work in steps, each with its name, its outcome and its time.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};

/// A run of steps, timed from its beginning.
pub(crate) struct Steps {
    started: Instant,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs a step; what it prints follows its name.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("[{:>6.1} s] {name}", self.started.elapsed().as_secs_f64());
        let started = Instant::now();
        let outcome = work();
        let took = started.elapsed();
        let elapsed = self.started.elapsed().as_secs_f64();
        match &outcome {
            Ok(_) => eprintln!("[{elapsed:>6.1} s] {name}: ok, {:.1} s", took.as_secs_f64()),
            Err(_) => eprintln!(
                "[{elapsed:>6.1} s] {name}: FAILED, {:.1} s",
                took.as_secs_f64()
            ),
        }
        self.done.push((name.to_owned(), took));
        outcome
    }

    /// The steps that were done, with the time that each took.
    pub(crate) fn table(&self) -> String {
        let rows = self.done.iter().map(|(name, took)| (name.as_str(), *took));
        let mut table = String::new();
        for (name, took) in rows.chain([("all", self.started.elapsed())]) {
            let _ = writeln!(table, "{:>8.1} s  {name}", took.as_secs_f64());
        }
        table
    }
}

/// Runs a command whose output is worth seeing.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let words = words(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{words}`"))?;
    ensure!(status.success(), "`{words}` failed ({status})");
    Ok(())
}

/// Runs a command whose output is only worth seeing when it fails. Beside a spinner on a terminal.
pub(crate) fn run_quietly(label: &str, command: &mut Command) -> Result<String> {
    let spinner = if std::io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")?;
        let spinner = ProgressBar::new_spinner()
            .with_style(style)
            .with_message(label.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        spinner
    } else {
        eprintln!("           {label} …");
        ProgressBar::hidden()
    };
    let words = words(command);
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{words}`"))?;
    spinner.finish_and_clear();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("`{words}` failed ({}):\n{printed}{errors}", output.status);
    }
    Ok(printed)
}

/// The command as one would type it, without the path of its program.
fn words(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    let arguments = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned());
    std::iter::once(name)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_what_it_printed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo err >&2; exit 3"]);
        let error = run_quietly("failing", &mut command)
            .expect_err("it exits with 3")
            .to_string();
        for part in ["`sh -c", "3", "out\n", "err\n"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn every_step_is_in_the_table_also_a_failed_one() {
        let mut steps = Steps::new();
        steps.step("first", || Ok(())).expect("it works");
        steps
            .step("second", || -> Result<()> { bail!("no") })
            .expect_err("it fails");
        let table = steps.table();
        for name in ["first", "second", "all"] {
            assert!(table.contains(name), "{table}");
        }
    }
}
