//! A child process with a log file, a guard and an orderly end.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::guard::Guard;
use crate::{process_table, wait};

/// How much of the end of a log is read: enough for a panic with its backtrace.
const TAIL_BYTES: u64 = 64 * 1024;

/// How long a dropped process may take to end by itself.
const DROP_PATIENCE: Duration = Duration::from_secs(5);

/// How long the kernel may take to stop a process.
const PAUSE_WITHIN: Duration = Duration::from_secs(10);

/// A running child process. Dropping it stops it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    stop_signal: Signal,
    guard: Guard,
    /// Children that stand still, each told to the guard.
    paused_children: Vec<u32>,
    paused: bool,
}

impl Process {
    /// Starts `command` with both its outputs appended to the file `log`.
    ///
    /// `stop_signal` asks it to end in order; `guard` sends the same if this process dies first.
    pub fn spawn(
        name: &str,
        command: Command,
        log: &Path,
        stop_signal: Signal,
        guard: &Guard,
    ) -> Result<Self> {
        Self::spawn_apart(name, command, Stdio::null(), (log, log), stop_signal, guard)
    }

    /// Starts `command` with both its outputs going where this process's go; there is no log.
    pub fn spawn_attached(
        name: &str,
        mut command: Command,
        stop_signal: Signal,
        guard: &Guard,
    ) -> Result<Self> {
        command.stdout(Stdio::inherit()).stderr(Stdio::inherit());
        command.stdin(Stdio::null());
        Self::launch(name, command, Path::new("/dev/null"), stop_signal, guard)
    }

    /// As [`Self::spawn`], with standard input from somewhere, and standard output and standard error in two
    /// files; the log is the second.
    pub(crate) fn spawn_apart(
        name: &str,
        mut command: Command,
        stdin: Stdio,
        (stdout, stderr): (&Path, &Path),
        stop_signal: Signal,
        guard: &Guard,
    ) -> Result<Self> {
        command
            .stdin(stdin)
            .stdout(append_to(stdout)?)
            .stderr(append_to(stderr)?);
        Self::launch(name, command, stderr, stop_signal, guard)
    }

    fn launch(
        name: &str,
        mut command: Command,
        log: &Path,
        stop_signal: Signal,
        guard: &Guard,
    ) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        guard.watch(child.id(), stop_signal)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
            stop_signal,
            guard: guard.clone(),
            paused_children: Vec::new(),
            paused: false,
        })
    }

    /// What the process is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that both outputs go to.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// The end of the log, as much as is worth reading.
    pub fn log(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }

    /// The last `lines` lines of the log.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(lines);
        log.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    }

    /// How the process ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            let _ = self.guard.forget(self.child.id());
        }
        Ok(status)
    }

    /// Sends a signal to the process, by its id.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        // An ended child that was waited for has no id any more: another may have it.
        if self.exited()?.is_some() {
            return Ok(());
        }
        send(self.child.id(), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Has the process and its children stand still where they are, as a machine that swaps or a
    /// debugger would: connections stay, and nobody answers. Needs `/proc`.
    ///
    /// Returns once all of them do.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        self.paused = true;
        let pid = self.pid();
        wait::until("the process to stand still", PAUSE_WITHIN, || {
            Ok(process_table::stands_still(pid)?.then_some(()))
        })?;
        // It makes no more children now.
        for child in process_table::children(pid)? {
            // Should we be killed, somebody has to set it free: it would wait for ever.
            self.guard.watch(child, Signal::CONT)?;
            self.paused_children.push(child);
            let _ = send(child, Signal::STOP);
        }
        for &child in &self.paused_children {
            wait::until("a child to stand still", PAUSE_WITHIN, || {
                // One that has ended stands still, too.
                Ok(process_table::stands_still(child)
                    .unwrap_or(true)
                    .then_some(()))
            })?;
        }
        Ok(())
    }

    /// Has the process and its children go on after [`pause`](Self::pause).
    pub fn resume(&mut self) -> Result<()> {
        self.paused = false;
        for child in self.paused_children.drain(..) {
            // Nobody but its parent gives a child's id away, and the parent stands still.
            let _ = send(child, Signal::CONT);
            self.guard.forget(child)?;
        }
        self.signal(Signal::CONT)
    }

    /// Whether it was told to stand still.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait::until(&what, within, || self.exited())
    }

    /// Asks the process to end, without waiting for it.
    pub fn request_stop(&mut self) -> Result<()> {
        self.signal(self.stop_signal)?;
        // What stands still does not hear.
        if self.paused { self.resume() } else { Ok(()) }
    }

    /// Asks the process to end and kills it when `within` has passed.
    pub fn stop(&mut self, within: Duration) -> Result<ExitStatus> {
        self.request_stop()?;
        match self.wait(within) {
            Ok(status) => Ok(status),
            Err(_) => self.kill(),
        }
    }

    /// `kill -9`: the process gets no chance to tidy up.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::KILL)?;
        if self.paused {
            // Children notice that they are alone, and end, once they go on.
            self.resume()?;
        }
        self.wait(DROP_PATIENCE)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop(DROP_PATIENCE);
    }
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    Ok(kill_process(
        pid.context("a process id is positive")?,
        signal,
    )?)
}

fn append_to(path: &Path) -> Result<File> {
    let file = File::options().create(true).append(true).open(path);
    file.with_context(|| format!("cannot write {}", path.display()))
}

/// The last [`TAIL_BYTES`] of a file, as text.
fn tail(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;

    fn sh(script: &str) -> (tempfile::TempDir, Process) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let guard = Guard::start(Duration::from_secs(1)).expect("a guard");
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let log = directory.path().join("log");
        let process = Process::spawn("sh", command, &log, Signal::TERM, &guard).expect("starts");
        (directory, process)
    }

    #[test]
    fn both_outputs_are_in_the_log() {
        let (_directory, mut process) = sh("echo one; echo two >&2; echo three");
        let status = process.wait(Duration::from_secs(10)).expect("it ends");
        assert!(status.success());
        assert_eq!(process.log(), "one\ntwo\nthree\n");
        assert_eq!(process.log_tail(2), "two\nthree");
    }

    #[test]
    fn stop_sends_the_stop_signal() {
        let (_directory, mut process) = sh("exec sleep 600");
        let status = process.stop(Duration::from_secs(10)).expect("it ends");
        assert_eq!(status.signal(), Some(15));
    }

    #[test]
    fn stop_kills_what_does_not_listen() {
        let (_directory, mut process) = sh("trap '' TERM; echo deaf; while :; do sleep 1; done");
        wait::until("the trap", Duration::from_secs(10), || {
            Ok(process.log().contains("deaf").then_some(()))
        })
        .expect("the shell starts");
        let status = process.stop(Duration::ZERO).expect("it ends");
        assert_eq!(status.signal(), Some(9));
    }

    /// How many lines there are in the log.
    fn ticks(process: &Process) -> usize {
        process.log().lines().count()
    }

    fn wait_for_ticks(process: &Process, more_than: usize) {
        wait::until("a tick", Duration::from_secs(10), || {
            Ok((ticks(process) > more_than).then_some(()))
        })
        .expect("it ticks");
    }

    #[test]
    fn a_paused_process_and_its_children_stand_still_until_they_are_resumed() {
        let tick = "while :; do echo tick; sleep 0.01; done";
        let (_directory, mut process) = sh(&format!("({tick}) & {tick}"));
        wait_for_ticks(&process, 3);
        process.pause().expect("it is paused");
        assert!(process.is_paused());
        let pid = process.pid();
        let children = process_table::children(pid).expect("a table");
        assert!(!children.is_empty(), "the loop in the background");
        for pid in children.into_iter().chain([pid]) {
            assert!(process_table::stands_still(pid).expect("it is there"));
        }
        let before = ticks(&process);
        process.resume().expect("it goes on");
        wait_for_ticks(&process, before);
        assert!(!process_table::stands_still(pid).expect("it is there"));
        // The loop in the background does not listen to the other's signal.
        for child in process_table::children(pid).expect("a table") {
            let _ = send(child, Signal::KILL);
        }
    }

    #[test]
    fn a_paused_process_can_be_stopped_in_order() {
        let (_directory, mut process) =
            sh("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done");
        wait_for_ticks(&process, 0);
        process.pause().expect("it is paused");
        let status = process.stop(Duration::from_secs(10)).expect("it ends");
        assert_eq!(
            (status.code(), process.log().as_str()),
            (Some(7), "up\nbye\n")
        );
    }

    #[test]
    fn a_signal_to_an_ended_process_goes_nowhere() {
        let (_directory, mut process) = sh("exit 3");
        let status = process.wait(Duration::from_secs(10)).expect("it ends");
        assert_eq!(status.code(), Some(3));
        process.signal(Signal::KILL).expect("nothing to signal");
        assert_eq!(process.kill().expect("still ended").code(), Some(3));
    }
}
