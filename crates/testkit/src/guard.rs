//! A small process that cleans up after this one, however this one ends.
//!
//! `Drop` runs on a return and on a panic, but not on `kill -9`, on an abort or at the end of a
//! process with something left in a `static`. The guard covers those: it is a shell that reads from
//! a pipe of which this process holds the only other end. When the pipe closes, it stops the servers
//! it was told of and removes their directories. It has a process group of its own, so that neither
//! Ctrl-C nor a test runner that kills a whole group ends it too early.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use crate::wait;

const SCRIPT: &str = include_str!("guard.sh");

/// A handle on the guard; the clean-up starts when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pipe: Mutex<Option<ChildStdin>>,
    shell: Mutex<Child>,
    patience: Duration,
}

impl Guard {
    /// Starts a guard that gives each process `patience` between its signal and `kill -9`.
    pub fn start(patience: Duration) -> Result<Self> {
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "pitchey-guard"])
            .arg(patience.as_secs().to_string())
            // A test runner waits for whoever holds its pipes, so the guard holds none of them.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            .process_group(0)
            .spawn()
            .context("cannot start `sh` to guard the test servers")?;
        let pipe = shell.stdin.take();
        Ok(Self(Arc::new(Inner {
            pipe: Mutex::new(pipe),
            shell: Mutex::new(shell),
            patience,
        })))
    }

    /// Has the process signalled when this one ends.
    pub fn watch(&self, pid: u32, signal: Signal) -> Result<()> {
        self.tell(&format!("watch {pid}:{}", signal.as_raw()))
    }

    /// The process has ended and its id may soon be another's: the guard leaves it alone.
    pub fn forget(&self, pid: u32) -> Result<()> {
        self.tell(&format!("forget {pid}"))
    }

    /// Has the directory removed, after the processes have ended.
    pub fn remove(&self, directory: &Path) -> Result<()> {
        let path = directory
            .to_str()
            .filter(|path| !path.contains('\n'))
            .with_context(|| format!("the path {} is not plain text", directory.display()))?;
        ensure!(directory.is_absolute(), "the path {path} is not absolute");
        self.tell(&format!("remove {path}"))
    }

    /// Has the Docker container removed, where the `docker` command is installed.
    pub fn remove_container(&self, name: &str) -> Result<()> {
        self.tell(&format!("container {name}"))
    }

    fn tell(&self, line: &str) -> Result<()> {
        let mut pipe = self.0.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = pipe.as_mut().context("the guard has been dismissed")?;
        writeln!(pipe, "{line}").context("the guard of the test servers has died")
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let pipe = self.pipe.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(pipe.take());
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Waited for, so that nothing is left when the caller goes on. It works on alone after that.
        let within = self.patience + Duration::from_secs(5);
        let _ = wait::until("the guard to clean up", within, || Ok(shell.try_wait()?));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_the_guard_ends_what_it_watches_and_removes_its_directories() {
        let directory = tempfile::Builder::new()
            .prefix("pitchey guard ")
            .tempdir()
            .expect("a temporary directory")
            .keep();
        std::fs::write(directory.join("file"), "x").expect("the directory is writable");
        let mut sleeper = Command::new("sleep").arg("600").spawn().expect("sleep");

        let guard = Guard::start(Duration::from_secs(5)).expect("a guard");
        guard.watch(sleeper.id(), Signal::TERM).expect("told");
        guard.remove(&directory).expect("told");
        drop(guard);

        let status = sleeper.wait().expect("the sleeper is our child");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(15)
        );
        assert!(!directory.exists());
    }

    #[test]
    fn a_process_that_ignores_its_signal_is_killed() {
        let mut deaf = Command::new("sh")
            .args(["-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
            .stdout(Stdio::piped())
            // Its last `sleep` outlives it and must not hold the test's own output open.
            .stderr(Stdio::null())
            .spawn()
            .expect("sh");
        let mut ready = [0; 6];
        std::io::Read::read_exact(deaf.stdout.as_mut().expect("piped"), &mut ready)
            .expect("it says when the signal is ignored");

        let guard = Guard::start(Duration::from_secs(0)).expect("a guard");
        guard.watch(deaf.id(), Signal::TERM).expect("told");
        drop(guard);

        let status = deaf.wait().expect("it is our child");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&status),
            Some(9)
        );
    }

    #[test]
    fn a_forgotten_process_is_left_alone() {
        let mut sleeper = Command::new("sleep").arg("600").spawn().expect("sleep");
        let guard = Guard::start(Duration::from_secs(0)).expect("a guard");
        guard.watch(sleeper.id(), Signal::TERM).expect("told");
        guard.forget(sleeper.id()).expect("told");
        drop(guard);
        assert!(sleeper.try_wait().expect("it is our child").is_none());
        sleeper.kill().expect("it still runs");
        sleeper.wait().expect("it is our child");
    }
}
