//! `pitchey import`: taking over what others have.
//!
//! `pitchey import films FILE` reads a catalogue of films, one JSON object a line, and makes each a pitch of its
//! first-billed name's account; the module `mapping` says how in detail.
//!
//! - **Again**: a second run changes nothing, a record that changed changes its pitch. What is not in the file
//!   any more stays.
//! - **Bad lines** are reported on standard error with number and reason, counted, and do not stop the rest.
//!   A line is good or bad as a whole; `\r\n` ends and a byte order mark at the start of the file are no fault,
//!   an empty line is.
//! - **The same film twice** in a file: the first line counts. Later ones are counted as repeated, and named
//!   if they say something else.
//! - **Cut off**, by Ctrl-C or by a failure: batches that were written stay, and the same command on the same
//!   file goes on behind them. A pipe cannot be recognised, so there the next run begins anew, which is only
//!   slower.
//!
//! Exit codes: 0 every line is in; 3 the file was read to its end, but lines were refused; 1 stopped by a
//! failure or by more bad lines than `--max-errors`; 130 stopped by Ctrl-C; 2 called wrongly.

mod films;
mod lines;
mod mapping;
mod reader;
mod record;
mod report;
mod sentences;
mod source;

pub use films::{FilmsOptions, Observer, import_films};
pub use mapping::Adjustments;
pub use reader::{Rejection, Repetition};
pub use report::{Ended, Report};

use crate::figures::grouped;
use crate::interrupt::{EXIT_INTERRUPTED, Interrupt};
use crate::progress::Progress;
use pitchey_runtime::SystemRuntime;
use secrecy::SecretString;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::task::JoinSet;

/// The exit code when lines were refused.
const EXIT_REJECTED: u8 = 3;

/// What can be imported.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Films, one JSON object a line: title, year, cast, genres, extract, href.
    Films(FilmsArgs),
}

/// How films are imported.
#[derive(Debug, clap::Args)]
pub struct FilmsArgs {
    /// The file, plain or compressed by gzip or zstd; `-` reads standard input.
    file: PathBuf,
    /// Stop when more lines than this are refused.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    max_errors: u64,
    /// The name of the account that films without a cast belong to.
    #[arg(long, value_name = "NAME", default_value = "back-catalogue")]
    catalogue: String,
    /// Begin at the first line even if an earlier run of this file was cut off.
    #[arg(long)]
    no_resume: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) async fn run(
    command: Command,
    database_url: &SecretString,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<ExitCode> {
    let Command::Films(args) = command;
    let mut tasks = JoinSet::new();
    let interrupt = Interrupt::listen(
        &mut tasks,
        "stopping after this batch; again to stop at once",
    )?;
    let runtime = SystemRuntime::new();
    let options = FilmsOptions {
        max_errors: args.max_errors,
        catalogue: args.catalogue,
        resume: !args.no_resume,
        ..FilmsOptions::new(args.file)
    };
    let mut screen = Screen {
        progress: None,
        runtime,
    };
    let report = import_films(&options, database_url, runtime, interrupt, &mut screen).await?;
    drop(screen);
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        write!(out, "{report}")?;
    }
    Ok(match report.ended {
        Ended::Whole if report.rejected == 0 => ExitCode::SUCCESS,
        Ended::Whole => ExitCode::from(EXIT_REJECTED),
        Ended::TooManyErrors => ExitCode::FAILURE,
        Ended::Interrupted => ExitCode::from(EXIT_INTERRUPTED),
    })
}

/// Shows on standard error what happens.
struct Screen {
    progress: Option<Progress>,
    runtime: SystemRuntime,
}

impl Screen {
    fn say(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.say(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Observer for Screen {
    fn begun(&mut self, length: Option<u64>, lines_done: u64) {
        self.progress = Some(Progress::new("lines", length, lines_done, self.runtime));
        if lines_done > 0 {
            self.say(&format!(
                "an earlier run of this file was cut off: going on after line {}",
                grouped(lines_done)
            ));
        }
    }

    fn rejected(&mut self, rejection: &Rejection) {
        self.say(&format!("line {}: {}", rejection.line, rejection.reason));
    }

    fn repeated(&mut self, repetition: &Repetition) {
        if !repetition.identical {
            self.say(&format!(
                "line {}: the same film as line {}, told differently: left out",
                repetition.line, repetition.of
            ));
        }
    }

    fn batch_done(&mut self, lines_done: u64, position: u64) -> ControlFlow<()> {
        if let Some(progress) = &mut self.progress {
            progress.at(lines_done, position);
        }
        ControlFlow::Continue(())
    }
}
