//! Runs a command with a Postgres and a Redis of its own.
//!
//! Starts the servers, hands their URLs down in `DATABASE_URL` and `REDIS_URL`, and stops them when
//! the command has ended. It exits as the command did.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use pitchey_testkit::guard::Guard;
use pitchey_testkit::plan::Service;
use pitchey_testkit::postgres_server::execute;
use pitchey_testkit::provision::{Server, Wishes, provision};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a command with a Postgres and a Redis of its own.
#[derive(Parser)]
struct Options {
    /// Apply the `.sql` files of this directory, in the order of their names, to the database.
    #[arg(long, value_name = "DIRECTORY")]
    apply: Option<PathBuf>,
    /// The command; without one, say what would be used.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

fn main() -> ExitCode {
    run_with_services(&Options::parse()).unwrap_or_else(|error| {
        eprintln!("with-services: {error:#}");
        ExitCode::FAILURE
    })
}

fn run_with_services(options: &Options) -> Result<ExitCode> {
    let mut servers = Vec::new();
    for service in Service::ALL {
        let started = Instant::now();
        let server = provision(service, &Wishes::from_env(service)?)?;
        eprintln!(
            "{:<10} {:<12} {:<24} {:.1} s",
            service.to_string(),
            server.way().to_string(),
            server.description(),
            started.elapsed().as_secs_f64()
        );
        servers.push(server);
    }
    let Some((program, arguments)) = options.command.split_first() else {
        return Ok(ExitCode::SUCCESS);
    };
    if let Some(directory) = &options.apply {
        apply(directory, servers[0].url())?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(run(program, arguments, &servers))?;
    drop(servers);
    Ok(exit_code(status))
}

/// Applies migrations as they are, without the record that the product keeps of them.
fn apply(directory: &Path, url: &str) -> Result<()> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read {}", directory.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    for file in &files {
        let text = std::fs::read_to_string(file)?;
        execute(url, &text).with_context(|| format!("in {}", file.display()))?;
    }
    Ok(())
}

/// Runs the command to its end, which alone decides when that is: an interrupt from the terminal
/// reaches it by itself, a SIGTERM is handed on.
async fn run(program: &OsString, arguments: &[OsString], servers: &[Server]) -> Result<ExitStatus> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;

    // Before the command, so that it is watched from the moment that it runs.
    let guard = Guard::start(Duration::from_secs(5))?;
    let mut command = Command::new(program);
    command.args(arguments);
    for server in servers {
        command.env(server.service().url_variable(), server.url());
    }
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = child
        .id()
        .context("the command has only just been started")?;
    guard.watch(pid, Signal::TERM)?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => pass_on(pid, Signal::TERM)?,
            _ = hang_up.recv() => pass_on(pid, Signal::HUP)?,
        }
    };
    guard.forget(pid)?;
    Ok(status)
}

/// Signals the command, which has not been waited for yet, so its id is still its own.
fn pass_on(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.try_into()?).context("a process id is positive")?;
    Ok(kill_process(pid, signal)?)
}

/// As a shell would: 128 and the signal's number for a command that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from)
}
