//! A Postgres server of our own: made from the machine's programs, gone without a trace at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tokio_postgres::{Client, NoTls};

use crate::guard::Guard;
use crate::net;
use crate::process::Process;
use crate::programs::PostgresPrograms;
use crate::service_user::{self, ServiceUser};
use crate::wait;

/// The superuser of every server that is started here.
pub(crate) const SUPERUSER: &str = "pitchey";

/// How long the server may take from its start to its first answer. Recovery after a kill counts.
const START_WITHIN: Duration = Duration::from_mins(1);

/// How long an orderly stop may take: the last checkpoint of a large seed takes a while.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// How often another port is tried when somebody else was quicker.
const PORT_ATTEMPTS: usize = 5;

/// Settings of every server: what the product relies on, and what tests need many of.
pub(crate) const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    // No socket file: its path would be limited to a hundred bytes.
    "unix_socket_directories=",
    "shared_preload_libraries=pg_stat_statements",
    "max_connections=200",
    "timezone=UTC",
    // The plans of short queries are never worth compiling.
    "jit=off",
    "log_line_prefix=%m [%p] %d ",
];

/// Settings for data that nobody will miss. They are several times as quick and lose everything
/// when the machine goes down, so a development run never has them. A server that is killed and
/// started again loses nothing.
pub(crate) const FORGETFUL: [&str; 2] = ["fsync=off", "full_page_writes=off"];

/// Settings for data that stays: room for a seed of a million rows.
const LASTING: [&str; 4] = [
    "shared_buffers=512MB",
    "maintenance_work_mem=256MB",
    "max_wal_size=4GB",
    "random_page_cost=1.1",
];

/// A Postgres server that this process owns, on a free port of the loopback interface.
///
/// Everything here blocks: call it from a test's own thread, or through `spawn_blocking`.
/// Dropping it stops the server and, unless the data is kept, removes its directory.
#[derive(Debug)]
pub struct OwnedPostgres {
    programs: PostgresPrograms,
    user: Option<ServiceUser>,
    home: PathBuf,
    log: PathBuf,
    kept: bool,
    port: u16,
    password: String,
    // Before the guard, so that the server has stopped when the guard removes its directory.
    process: Option<Process>,
    guard: Guard,
}

impl OwnedPostgres {
    /// Starts a server on a new, empty data directory that is removed at the end.
    ///
    /// It is tuned for tests: it does not survive the machine's going down.
    pub fn start() -> Result<Self> {
        let mut server = Self::prepare(PostgresPrograms::find()?, "pitchey-postgres-")?;
        server.initialise()?;
        server.launch_on_a_free_port(None)?;
        Ok(server)
    }

    /// A server without data, in a directory that is removed at the end.
    pub(crate) fn prepare(programs: PostgresPrograms, prefix: &str) -> Result<Self> {
        let user = ServiceUser::needed()?;
        let home = service_user::temporary_directory(prefix, user.as_ref())?;
        let guard = Guard::start(Duration::from_secs(5))?;
        guard.remove(&home)?;
        Ok(Self {
            programs,
            user,
            log: home.join("postgres.log"),
            home,
            kept: false,
            port: 0,
            password: String::new(),
            process: None,
            guard,
        })
    }

    /// Starts a server on the data in `home`, which is created the first time and stays.
    ///
    /// The user that the server runs as must own `home` and be able to reach it. The port of the last
    /// run is taken again if it is free.
    pub fn start_kept(home: &Path, log: &Path) -> Result<Self> {
        let user = ServiceUser::needed()?;
        let data = home.join("data");
        let programs = match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(version) => PostgresPrograms::find_version(version.trim().parse()?)
                .with_context(|| format!("the data in {} needs it", home.display()))?,
            Err(_) => PostgresPrograms::find()?,
        };
        let mut server = Self {
            programs,
            user,
            home: home.to_owned(),
            log: log.to_owned(),
            kept: true,
            port: 0,
            password: String::new(),
            process: None,
            guard: Guard::start(STOP_WITHIN)?,
        };
        // The last thing that setting up writes: without it, an earlier run was cut off.
        if server.password_file().exists() {
            server.password = fs::read_to_string(server.password_file())?;
            server.end_leftover()?;
        } else {
            if data.exists() {
                fs::remove_dir_all(&data)?;
            }
            server.initialise()?;
        }
        let last_port = fs::read_to_string(server.port_file()).ok();
        server.launch_on_a_free_port(last_port.and_then(|port| port.trim().parse().ok()))?;
        fs::write(server.port_file(), server.port.to_string())?;
        Ok(server)
    }

    /// The URL of the maintenance database, as superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of the database with this name.
    pub fn url_of(&self, database: &str) -> String {
        let Self { port, password, .. } = self;
        format!("postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/{database}")
    }

    /// The port that the server listens on, also while it is down.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// The process, while it runs.
    pub fn process_mut(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// The directory that holds the data.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `kill -9`: connections break off and the next start has to recover.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Stops the server in order ("fast": connections are cut, what was committed stays).
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(STOP_WITHIN)?;
        }
        Ok(())
    }

    /// Starts the server again, on the same port and data, after [`kill`](Self::kill) or
    /// [`stop`](Self::stop).
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        match self.launch(self.port)? {
            Launch::Ready => Ok(()),
            Launch::PortTaken => bail!("somebody took port {} meanwhile", self.port),
        }
    }

    pub(crate) fn programs(&self) -> &PostgresPrograms {
        &self.programs
    }

    pub(crate) fn user(&self) -> Option<&ServiceUser> {
        self.user.as_ref()
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Takes the password of the server whose data this one is a copy of.
    pub(crate) fn adopt_password(&mut self, other: &Self) {
        self.password.clone_from(&other.password);
    }

    /// Has the server and its sessions stand still: connections stay, and nobody answers.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.pause()
    }

    /// Has the server go on after [`pause`](Self::pause).
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.resume()
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("Postgres does not run")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn password_file(&self) -> PathBuf {
        self.home.join("password")
    }

    fn port_file(&self) -> PathBuf {
        self.home.join("port")
    }

    fn initialise(&mut self) -> Result<()> {
        let draft = self.home.join("password.draft");
        self.password = net::random_hex(16)?;
        fs::write(&draft, &self.password)?;
        service_user::hand_over(&draft, self.user.as_ref())?;

        let mut command = Command::new(&self.programs.initdb);
        command
            .arg("--pgdata")
            .arg(self.data())
            .arg("--pwfile")
            .arg(&draft)
            .args(["--username", SUPERUSER])
            // Not SCRAM: its key derivation costs an unoptimised client 50 ms a connection.
            .args(["--auth", "password"])
            .args(["--encoding", "UTF8", "--locale", locale()])
            .args(["--no-sync", "--no-instructions"])
            .current_dir(&self.home);
        service_user::run_as(&mut command, self.user.as_ref());
        let output = command.output().context("cannot start initdb")?;
        ensure!(
            output.status.success(),
            "initdb failed in {}:\n{}",
            self.home.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        fs::rename(&draft, self.password_file())?;
        Ok(())
    }

    pub(crate) fn launch_on_a_free_port(&mut self, preferred: Option<u16>) -> Result<()> {
        let mut preferred = preferred.filter(|port| net::is_free(*port));
        for _ in 0..PORT_ATTEMPTS {
            self.port = match preferred.take() {
                Some(port) => port,
                None => net::free_port()?,
            };
            if let Launch::Ready = self.launch(self.port)? {
                return Ok(());
            }
        }
        bail!("{PORT_ATTEMPTS} free ports in a row were taken by somebody else")
    }

    fn launch(&mut self, port: u16) -> Result<Launch> {
        let mut command = Command::new(&self.programs.postgres);
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &port.to_string()]);
        let tuning: &[&str] = if self.kept { &LASTING } else { &FORGETFUL };
        for setting in SETTINGS.iter().chain(tuning) {
            command.args(["-c", setting]);
        }
        command.current_dir(&self.home);
        // A group of its own: Ctrl-C in a terminal is for us, who then stop it in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        service_user::run_as(&mut command, self.user.as_ref());

        // An immediate stop is enough for data that is removed anyway.
        let signal = if self.kept { Signal::INT } else { Signal::QUIT };
        let log_start = fs::metadata(&self.log).map_or(0, |file| file.len());
        let mut process = Process::spawn("postgres", command, &self.log, signal, &self.guard)?;
        let url = self.url();
        let ready = wait::until("Postgres to answer", START_WITHIN, || {
            if let Some(status) = process.exited()? {
                let log = log_since(process.log_path(), log_start);
                if log.contains("could not bind") || log.contains("Address already in use") {
                    return Ok(Some(Launch::PortTaken));
                }
                bail!("Postgres ended at once ({status}):\n{log}");
            }
            Ok(answers(&url).is_ok().then_some(Launch::Ready))
        })
        .with_context(|| process.log_tail(20))?;
        if let Launch::Ready = ready {
            self.process = Some(process);
        }
        Ok(ready)
    }

    /// Deals with the server of an earlier run that was killed: waits while its guard stops it,
    /// stops it if there is no guard, and removes a stale lock file.
    fn end_leftover(&self) -> Result<()> {
        let lock = self.data().join("postmaster.pid");
        let patience = STOP_WITHIN + Duration::from_secs(5);
        let mut asked = false;
        wait::until("the Postgres of the last run to end", patience, || {
            let Ok(text) = fs::read_to_string(&lock) else {
                return Ok(Some(()));
            };
            let pid = text.lines().next().unwrap_or_default().trim().to_owned();
            if !is_postgres_on(&pid, &self.data()) {
                // Its process id may be anybody's by now, and Postgres would believe it alive.
                let _ = fs::remove_file(&lock);
                return Ok(Some(()));
            }
            if !asked {
                asked = true;
                let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process(pid, Signal::INT);
                }
            }
            Ok(None)
        })
    }
}

impl Drop for OwnedPostgres {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

enum Launch {
    Ready,
    PortTaken,
}

/// A locale with the whole of Unicode's letters and the order of its code points.
fn locale() -> &'static str {
    if cfg!(target_os = "linux") {
        "C.UTF-8"
    } else {
        "en_US.UTF-8"
    }
}

/// Fails unless the server accepts the user and answers a query.
pub(crate) fn answers(url: &str) -> Result<()> {
    within(Duration::from_secs(5), url, "SELECT 1")
}

/// Runs statements, separated by semicolons, on a connection of their own.
pub fn execute(url: &str, statements: &str) -> Result<()> {
    within(Duration::from_mins(2), url, statements)
}

/// The truth value that a query gives in its only row and column.
pub fn query_bool(url: &str, query: &str) -> Result<bool> {
    with_client(Duration::from_secs(30), url, async |client| {
        Ok(client.query_one(query, &[]).await?.get(0))
    })
}

/// The text that a query gives in its only row and column.
pub fn query_text(url: &str, query: &str) -> Result<String> {
    with_client(Duration::from_secs(30), url, async |client| {
        Ok(client.query_one(query, &[]).await?.get(0))
    })
}

fn within(deadline: Duration, url: &str, statements: &str) -> Result<()> {
    with_client(deadline, url, async |client| {
        Ok(client.batch_execute(statements).await?)
    })
}

fn with_client<T: Send>(
    deadline: Duration,
    url: &str,
    work: impl AsyncFnOnce(&Client) -> Result<T> + Send,
) -> Result<T> {
    net::block_on(|| async {
        let answer = async {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            let connection = tokio::spawn(connection);
            let value = work(&client).await?;
            drop(client);
            connection.await??;
            anyhow::Ok(value)
        };
        tokio::time::timeout(deadline, answer).await?
    })
}

/// What was written to the log from this byte on.
fn log_since(log: &Path, start: u64) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let start = usize::try_from(start).unwrap_or(0).min(bytes.len());
    String::from_utf8_lossy(&bytes[start..]).into_owned()
}

/// Whether the process is a Postgres server on this data directory.
///
/// Without `/proc` it is taken for one: then Postgres itself decides, as it always did.
fn is_postgres_on(pid: &str, data: &Path) -> bool {
    if !Path::new("/proc/self").exists() {
        return true;
    }
    let Ok(command_line) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    let arguments: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    arguments.contains(&data.as_os_str().as_encoded_bytes())
}
