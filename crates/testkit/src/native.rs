//! The workspace's own programs as child processes: the origin, the operators' command line.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::guard::Guard;
use crate::net;
use crate::process::Process;
use crate::wait;

/// Where the programs are that `cargo xtask test` has built; without it they are built when needed.
const DIRECTORY_VARIABLE: &str = "PITCHEY_BIN_DIR";

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(15);
const PORT_ATTEMPTS: usize = 5;

/// Variables of the developer's environment that would reach into a test.
const AMBIENT: [&str; 3] = ["DATABASE_URL", "REDIS_URL", "RUST_LOG"];

/// A program of the workspace, with arguments and environment to start it with.
#[derive(Clone, Debug)]
pub struct Program {
    package: String,
    name: String,
    /// Where it is, if it is none of the workspace.
    place: Option<PathBuf>,
    arguments: Vec<OsString>,
    environment: Vec<(String, OsString)>,
    directory: Option<PathBuf>,
    input: Vec<u8>,
}

/// How a program ended and what it printed.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code, or the signal that ended it.
    pub status: ExitStatus,
    /// All that it printed to standard output.
    pub stdout: String,
    /// All that it printed to standard error.
    pub stderr: String,
}

impl Program {
    /// The origin.
    pub fn origin() -> Self {
        Self::new("pitchey-origin", "origin").with_little_memory("PITCHEY_CACHE__MEMORY_MIB")
    }

    /// A memory is prepared for as many entries as fit, which without optimisation takes a program seconds. Tests
    /// need little; what is measured has what it is delivered with.
    pub(crate) fn with_little_memory(self, variable: &str) -> Self {
        if cfg!(debug_assertions) {
            self.env(variable, "8")
        } else {
            self
        }
    }

    /// The command line for operators.
    pub fn pitchey() -> Self {
        Self::new("pitchey-ops", "pitchey")
    }

    /// The binary `name` of the workspace's package `package`.
    pub fn new(package: &str, name: &str) -> Self {
        Self {
            package: package.to_owned(),
            name: name.to_owned(),
            place: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            input: Vec::new(),
        }
    }

    /// A program that is none of the workspace.
    pub fn at(place: &Path) -> Self {
        let name = place.file_name().unwrap_or(place.as_os_str());
        Self {
            place: Some(place.to_owned()),
            ..Self::new("", &name.to_string_lossy())
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(self, arguments: impl IntoIterator<Item = T>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets an environment variable. `DATABASE_URL`, `REDIS_URL`, `RUST_LOG` and whatever begins with
    /// `PITCHEY_`, `HUB_` or `WORKER_` are not inherited.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Sets the directory that it runs in.
    #[must_use]
    pub fn current_dir(mut self, directory: &Path) -> Self {
        self.directory = Some(directory.to_owned());
        self
    }

    /// Sets what [`run`](Self::run) gives it to read from standard input; otherwise that is empty.
    #[must_use]
    pub fn stdin(mut self, input: impl AsRef<[u8]>) -> Self {
        input.as_ref().clone_into(&mut self.input);
        self
    }

    /// Runs the program to its end, or kills it when `within` has passed, which is an error.
    ///
    /// Blocks: call it from a test's own thread, or through `spawn_blocking`.
    pub fn run(&self, within: Duration) -> Result<Output> {
        let logs = tempfile::tempdir()?;
        let stdout = logs.path().join("stdout");
        let stderr = logs.path().join("stderr");
        let stdin = logs.path().join("stdin");
        std::fs::write(&stdin, &self.input)?;
        let guard = Guard::start(Duration::ZERO)?;
        let mut process = Process::spawn_apart(
            &self.name,
            self.command()?,
            File::open(&stdin)?.into(),
            (&stdout, &stderr),
            Signal::TERM,
            &guard,
        )?;
        let ended = process.wait(within);
        let read =
            |path| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        match ended {
            Ok(status) => Ok(Output {
                status,
                stdout: read(&stdout)?,
                stderr: read(&stderr)?,
            }),
            Err(error) => {
                process.kill()?;
                Err(error).with_context(|| read(&stderr).unwrap_or_default())
            }
        }
    }

    /// Starts the program and leaves it running, its outputs in a log file.
    pub fn start(&self) -> Result<Running> {
        let logs = tempfile::tempdir()?;
        let guard = Guard::start(Duration::from_secs(2))?;
        let log = logs.path().join(&self.name);
        let process = Process::spawn(&self.name, self.command()?, &log, Signal::TERM, &guard)?;
        Ok(Running { process, logs })
    }

    fn command(&self) -> Result<Command> {
        let mut command = match &self.place {
            Some(place) => Command::new(place),
            None => Command::new(path(&self.package, &self.name)?),
        };
        command.args(&self.arguments);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if ["PITCHEY_", "HUB_", "WORKER_"]
                .iter()
                .any(|own| name.starts_with(own))
                || AMBIENT.contains(&name.as_ref())
            {
                command.env_remove(name.as_ref());
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        // A group of its own, so that Ctrl-C for the tests is not Ctrl-C for it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(command)
    }
}

/// A program that runs. Dropping it stops it.
#[derive(Debug)]
pub struct Running {
    process: Process,
    logs: TempDir,
}

impl Running {
    /// The process: its id, its log, signals to it and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// What it has printed so far, as much of the end as is worth reading.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The directory with its log.
    pub fn logs(&self) -> &Path {
        self.logs.path()
    }
}

/// An origin of its own for a test, on free ports.
#[derive(Debug)]
pub struct Origin {
    running: Running,
    listen: SocketAddr,
    metrics: SocketAddr,
}

impl Origin {
    /// What seals its cursors.
    pub const CURSOR_KEY: &str = "a key for tests, which is long enough";

    /// Starts an origin on this database and waits until it is ready.
    pub fn start(database_url: &str) -> Result<Self> {
        Self::start_with(&Program::origin().env("DATABASE_URL", database_url))
    }

    /// Starts an origin with more of an environment and waits until it is ready.
    pub fn start_with(program: &Program) -> Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            if let Some(origin) = Self::try_start(program)? {
                return Ok(origin);
            }
        }
        bail!("{PORT_ATTEMPTS} times in a row, somebody else took the origin's port")
    }

    /// One attempt; `None` if somebody else was quicker with a port.
    fn try_start(program: &Program) -> Result<Option<Self>> {
        let [listen, metrics] = [net::free_port()?, net::free_port()?]
            .map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let environment = origin_environment(listen, metrics, Self::CURSOR_KEY);
        let program = environment
            .iter()
            .fold(program.clone(), |program, (name, value)| {
                program.env(name, value)
            });
        let running = program.start()?;
        let mut origin = Self {
            running,
            listen,
            metrics,
        };
        let ready = wait::until("the origin to be ready", READY_WITHIN, || {
            if let Some(status) = origin.running.process.exited()? {
                let log = origin.running.log();
                if log.contains("Address already in use") {
                    return Ok(Some(false));
                }
                bail!("the origin ended at once ({status}):\n{log}");
            }
            Ok((http_status(listen, "/api/health/ready").ok() == Some(200)).then_some(true))
        })
        .with_context(|| origin.running.process.log_tail(20))?;
        Ok(ready.then_some(origin))
    }

    /// Its base URL, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// The URL of its metrics.
    pub fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics)
    }

    /// The address that its metrics are at.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The process: its id, its log, signals to it and its end.
    pub fn process(&mut self) -> &mut Process {
        &mut self.running.process
    }

    /// What it has logged so far, as much of the end as is worth reading.
    pub fn log(&self) -> String {
        self.running.log()
    }

    /// Asks it to stop in order and gives back how it ended.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.running.process.stop(STOP_WITHIN)
    }
}

/// What an origin is told in its environment, beside `DATABASE_URL` and `REDIS_URL`.
pub fn origin_environment(
    listen: SocketAddr,
    metrics: SocketAddr,
    cursor_key: &str,
) -> [(&'static str, String); 3] {
    [
        ("PITCHEY_HTTP__ADDRESS", listen.to_string()),
        ("PITCHEY_METRICS__ADDRESS", metrics.to_string()),
        ("PITCHEY_CURSOR__KEY", cursor_key.to_owned()),
    ]
}

/// The status code of a GET, for waiting until a server is ready. For more, use an HTTP client.
pub fn http_status(address: SocketAddr, path: &str) -> Result<u16> {
    let patience = Duration::from_secs(2);
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    // In one piece: whoever answers the first of several closes before the others.
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    let text = std::str::from_utf8(&head)?;
    let code = text
        .strip_prefix("HTTP/1.1 ")
        .context("that is no HTTP response")?;
    Ok(code.trim().parse()?)
}

/// What this process has built: it does not change under a running test.
static BUILT: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// The path of a program of the workspace, which is built first unless that has been done.
fn path(package: &str, name: &str) -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
        let program = Path::new(&directory).join(name);
        ensure!(
            program.is_file(),
            "{DIRECTORY_VARIABLE} has no program {name}"
        );
        return Ok(program);
    }
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if !built.iter().any(|known| known == name) {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // What cargo or nextest says about the test would make build scripts run again.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(name.as_ref());
            }
        }
        let output = command
            .args(["build", "--quiet", "-p", package, "--bin", name])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .context("cannot start cargo")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot build {name}:\n{errors}");
        built.push(name.to_owned());
    }
    Ok(built_directory()?.join(name))
}

/// Where cargo puts programs: beside the directory `deps`, in which this test's program is.
fn built_directory() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let directory = own.parent().context("a program is in a directory")?;
    let outer = directory.parent().filter(|_| directory.ends_with("deps"));
    Ok(outer.unwrap_or(directory).to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one request with this text.
    fn serve_once(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            let mut request = [0; 1024];
            let _ = stream.read(&mut request)?;
            stream.write_all(answer.as_bytes())
        });
        address
    }

    #[test]
    fn the_status_of_a_response_is_read() {
        let address = serve_once("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert_eq!(http_status(address, "/").expect("it answers"), 503);
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        let address = serve_once("+PONG, I am no HTTP server\r\n");
        http_status(address, "/").expect_err("that is no status");
        let nobody = SocketAddr::from(([127, 0, 0, 1], net::free_port().expect("a free port")));
        http_status(nobody, "/").expect_err("nobody listens");
    }
}
