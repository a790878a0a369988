//! `cargo xtask dev`, without the build before it: the program that runs the whole platform.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pitchey_testkit::native::{Running, http_status};
use pitchey_testkit::service_user::remove_kept_directory;
use pitchey_testkit::{Program, Worker, wait};
use rustix::process::Signal;
use tempfile::TempDir;

/// From nothing to ready, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(2);

/// A directory for the data of development runs.
struct Home(TempDir);

impl Home {
    fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn start(&self, arguments: &[&str]) -> Result<Running> {
        // They are found beside `dev`, so they have to be there.
        let gateway = Program::new("pitchey-gateway", "gateway");
        let hub = Program::new("pitchey-hub", "hub");
        for program in [Program::origin(), Program::pitchey(), gateway, hub] {
            program.arg("--version").run(PATIENCE)?;
        }
        let mut program = Program::new("pitchey-testkit", "dev")
            .arg("--directory")
            .arg(self.path())
            .args(["--pitches", "40"])
            .args(arguments);
        for (name, value) in Worker::variables() {
            program = program.env(name, value);
        }
        program.start()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // The data may be elsewhere, where the servers can reach it.
        for name in ["postgres", "redis"] {
            let _ = remove_kept_directory(&self.path().join(name));
        }
    }
}

/// The address in the line that says that all is ready, once it is there.
fn ready(run: &mut Running) -> Result<SocketAddr> {
    let line = wait::until("the development run to be ready", PATIENCE, || {
        let log = run.log();
        if let Some(status) = run.process().exited()? {
            anyhow::bail!("it ended ({status}):\n{log}");
        }
        Ok(log
            .lines()
            .last()
            .filter(|line| line.starts_with("ready "))
            .map(str::to_owned))
    })
    .with_context(|| run.log())?;
    let address = line
        .strip_prefix("ready http://")
        .context("the last line names the URL")?;
    Ok(address.parse()?)
}

/// The process ids in the table, which are the only numbers that stand where they stand.
fn pids(log: &str) -> Vec<u32> {
    let rows = log.lines().filter(|line| line.contains("://"));
    rows.filter_map(|row| row.split_whitespace().nth(1)?.parse().ok())
        .collect()
}

fn any_alive(pids: &[u32]) -> bool {
    pids.iter().any(|pid| {
        // A zombie that nobody waits for is dead all the same.
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !state.is_empty() && !state.contains(") Z ")
    })
}

#[test]
fn a_run_ends_in_order_and_the_next_one_finds_its_data() -> Result<()> {
    let home = Home::new()?;
    let mut run = home.start(&[])?;
    let address = ready(&mut run)?;
    assert_eq!(http_status(address, "/api/pitches")?, 200);
    assert!(run.log().contains("seed …"), "{}", run.log());
    let first = pids(&run.log());
    assert_eq!(first.len(), 5, "{}", run.log());

    run.process().signal(Signal::INT)?;
    assert!(run.process().wait(PATIENCE)?.success(), "{}", run.log());
    assert!(!any_alive(&first), "{}", run.log());

    let mut run = home.start(&[])?;
    let address = ready(&mut run)?;
    assert!(
        run.log().contains("data kept: 40 generated pitches"),
        "{}",
        run.log()
    );
    assert_eq!(http_status(address, "/api/pitches")?, 200);
    run.process().signal(Signal::TERM)?;
    assert!(run.process().wait(PATIENCE)?.success(), "{}", run.log());
    Ok(())
}

#[test]
fn the_edge_may_be_a_worker() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let home = Home::new()?;
    let mut run = home.start(&["--edge", "workerd"])?;
    let address = ready(&mut run)?;
    assert!(run.log().contains("workerd runs"), "{}", run.log());
    assert_eq!(http_status(address, "/api/pitches")?, 200);
    let all = pids(&run.log());
    run.process().signal(Signal::INT)?;
    assert!(run.process().wait(PATIENCE)?.success(), "{}", run.log());
    assert!(!any_alive(&all), "{}", run.log());
    Ok(())
}

#[test]
fn a_second_run_is_refused_with_the_process_that_is_in_its_way() -> Result<()> {
    let home = Home::new()?;
    let mut first = home.start(&[])?;
    ready(&mut first)?;

    let mut second = home.start(&[])?;
    assert!(!second.process().wait(PATIENCE)?.success());
    let owner = format!("kill {}", first.process().pid());
    assert!(second.log().contains(&owner), "{}", second.log());
    assert!(
        first.process().exited()?.is_none(),
        "the first run was disturbed"
    );
    Ok(())
}

#[test]
fn after_a_kill_nothing_runs_on_and_the_next_run_recovers() -> Result<()> {
    let home = Home::new()?;
    let mut run = home.start(&[])?;
    ready(&mut run)?;
    let left = pids(&run.log());
    run.process().kill()?;

    // At once, while the servers of the killed run may still be stopping.
    let mut next = home.start(&[])?;
    ready(&mut next)?;
    assert!(next.log().contains("data kept"), "{}", next.log());
    wait::until(
        "the processes of the killed run to be gone",
        PATIENCE,
        || Ok((!any_alive(&left)).then_some(())),
    )?;
    Ok(())
}

#[test]
fn a_process_that_dies_ends_the_run_with_its_name_and_the_end_of_its_log() -> Result<()> {
    let home = Home::new()?;
    let mut run = home.start(&[])?;
    ready(&mut run)?;
    let pids = pids(&run.log());
    // After it come the hub and the gateway.
    let origin = pids.iter().rev().nth(2).context("there is a table")?;
    let origin = i32::try_from(*origin)?;
    let origin = rustix::process::Pid::from_raw(origin).context("a process id is positive")?;
    rustix::process::kill_process(origin, Signal::KILL)?;

    assert!(!run.process().wait(PATIENCE)?.success());
    let log = run.log();
    assert!(log.contains("origin ended by itself"), "{log}");
    assert!(
        log.contains("listening"),
        "the end of its log is missing: {log}"
    );
    assert!(!any_alive(&pids));
    Ok(())
}

#[test]
fn a_redis_that_dies_is_not_missed_and_comes_back() -> Result<()> {
    let home = Home::new()?;
    let mut run = home.start(&[])?;
    let origin = ready(&mut run)?;
    let redis = i32::try_from(pids(&run.log())[1])?;
    let redis = rustix::process::Pid::from_raw(redis).context("a process id is positive")?;
    rustix::process::kill_process(redis, Signal::KILL)?;

    for said in ["redis ended by itself", "redis runs again"] {
        wait::until(said, PATIENCE, || {
            Ok(run.log().contains(said).then_some(()))
        })?;
        assert_eq!(http_status(origin, "/api/pitches?limit=3")?, 200);
    }
    assert!(run.process().exited()?.is_none());
    run.process().signal(Signal::INT)?;
    assert!(run.process().wait(PATIENCE)?.success());
    Ok(())
}

#[test]
fn an_interrupt_during_the_start_stops_what_has_been_started() -> Result<()> {
    let home = Home::new()?;
    let mut run = home.start(&[])?;
    wait::until("Postgres to start", PATIENCE, || {
        Ok(run.log().contains("postgres runs").then_some(()))
    })?;
    let lock = home.path().join("postgres/data/postmaster.pid");
    run.process().signal(Signal::INT)?;
    assert!(run.process().wait(PATIENCE)?.success(), "{}", run.log());
    assert!(!lock.exists(), "Postgres still runs");
    Ok(())
}
