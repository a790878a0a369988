//! A Redis server of our own: started from the machine's program, gone without a trace at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::guard::Guard;
use crate::net;
use crate::process::Process;
use crate::programs;
use crate::service_user::{self, ServiceUser};
use crate::wait;

/// Logical databases: one for each test that runs at the same time, and then some.
pub(crate) const DATABASES: &str = "256";

const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(10);
const PORT_ATTEMPTS: usize = 5;

/// A Redis server that this process owns, on a free port of the loopback interface.
///
/// Dropping it stops the server and, unless the data is kept, removes its directory.
#[derive(Debug)]
pub struct OwnedRedis {
    program: PathBuf,
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

impl OwnedRedis {
    /// Starts an empty server that forgets everything at the end.
    pub fn start() -> Result<Self> {
        Self::start_empty(false)
    }

    /// The same, but after a [`kill`](Self::kill) it has what it had, except for the last second perhaps.
    pub fn start_durable() -> Result<Self> {
        Self::start_empty(true)
    }

    fn start_empty(kept: bool) -> Result<Self> {
        let user = ServiceUser::needed()?;
        let home = service_user::temporary_directory("pitchey-redis-", user.as_ref())?;
        let guard = Guard::start(Duration::from_secs(5))?;
        guard.remove(&home)?;
        let mut server = Self::new(home, user, guard)?;
        server.kept = kept;
        server.launch_on_a_free_port(None)?;
        Ok(server)
    }

    /// Starts a server on the data in `home`, which stays. The port of the last run is taken again
    /// if it is free.
    pub fn start_kept(home: &Path, log: &Path) -> Result<Self> {
        let last_url = fs::read_to_string(home.join("url")).unwrap_or_default();
        end_leftover(&last_url)?;
        let guard = Guard::start(STOP_WITHIN)?;
        let mut server = Self::new(home.to_owned(), ServiceUser::needed()?, guard)?;
        log.clone_into(&mut server.log);
        server.kept = true;
        server.launch_on_a_free_port(port_of(&last_url))?;
        let url_file = home.join("url");
        fs::write(&url_file, server.url())?;
        service_user::hand_over(&url_file, server.user.as_ref())?;
        Ok(server)
    }

    fn new(home: PathBuf, user: Option<ServiceUser>, guard: Guard) -> Result<Self> {
        Ok(Self {
            program: programs::find_redis()?,
            user,
            log: home.join("redis.log"),
            home,
            kept: false,
            port: 0,
            password: net::random_hex(16)?,
            process: None,
            guard,
        })
    }

    /// The URL of logical database 0.
    pub fn url(&self) -> String {
        let Self { port, password, .. } = self;
        format!("redis://:{password}@127.0.0.1:{port}/0")
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

    /// `kill -9`: what the server held in memory alone is gone.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Stops the server in order.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.stop(STOP_WITHIN)?;
        }
        Ok(())
    }

    /// Starts the server again on the same port after [`kill`](Self::kill) or [`stop`](Self::stop).
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        if self.launch()? {
            return Ok(());
        }
        bail!("somebody took port {} meanwhile", self.port)
    }

    /// Kills the server and starts it again with nothing in it, as after the loss of its disk.
    pub fn restart_empty(&mut self) -> Result<()> {
        self.kill()?;
        for data in ["appendonlydir", "dump.rdb"].map(|name| self.home.join(name)) {
            let removed = if data.is_dir() {
                fs::remove_dir_all(&data)
            } else {
                fs::remove_file(&data)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot empty {}", data.display()));
                }
                _ => {}
            }
        }
        self.restart()
    }

    /// Has the server stand still: connections stay, and nobody answers.
    pub fn pause(&mut self) -> Result<()> {
        self.running()?.pause()
    }

    /// Has the server go on after [`pause`](Self::pause).
    pub fn resume(&mut self) -> Result<()> {
        self.running()?.resume()
    }

    /// Makes the server a replica of one that is not there: it answers reads from what it has, and
    /// writes with `READONLY`, as a primary that was demoted in a failover.
    pub fn make_read_only(&self) -> Result<()> {
        // Nobody listens on port 1.
        let replica_of = redis::cmd("REPLICAOF").arg("127.0.0.1").arg(1).to_owned();
        self.tell(&[setting("replica-read-only", "yes"), replica_of])
    }

    /// Leaves the server no memory: writes that need some are answered with `OOM`, and nothing is
    /// evicted.
    pub fn make_full(&self) -> Result<()> {
        self.tell(&[
            setting("maxmemory-policy", "noeviction"),
            setting("maxmemory", "1"),
        ])
    }

    /// Undoes [`make_read_only`](Self::make_read_only) and [`make_full`](Self::make_full). What it
    /// held is still there.
    pub fn make_writable(&self) -> Result<()> {
        let replica_of = redis::cmd("REPLICAOF").arg("NO").arg("ONE").to_owned();
        self.tell(&[replica_of, setting("maxmemory", "0")])
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().context("Redis does not run")
    }

    fn tell(&self, commands: &[redis::Cmd]) -> Result<()> {
        let mut connection = connect(&self.url())?;
        for command in commands {
            command.exec(&mut connection)?;
        }
        Ok(())
    }

    fn launch_on_a_free_port(&mut self, preferred: Option<u16>) -> Result<()> {
        let mut preferred = preferred.filter(|port| net::is_free(*port));
        for _ in 0..PORT_ATTEMPTS {
            self.port = match preferred.take() {
                Some(port) => port,
                None => net::free_port()?,
            };
            if self.launch()? {
                return Ok(());
            }
        }
        bail!("{PORT_ATTEMPTS} free ports in a row were taken by somebody else")
    }

    /// Starts the program; `false` if somebody else has the port.
    fn launch(&mut self) -> Result<bool> {
        // In a file, because everybody on the machine can read a command line.
        let settings = self.home.join("redis.conf");
        let persistence = if self.kept {
            "appendonly yes"
        } else {
            "appendonly no"
        };
        fs::write(
            &settings,
            format!(
                "bind 127.0.0.1\nport {}\nrequirepass {}\ndatabases {DATABASES}\ndir \"{}\"\n\
                 save \"\"\n{persistence}\nappendfsync everysec\n",
                self.port,
                self.password,
                self.home.display(),
            ),
        )?;
        service_user::hand_over(&settings, self.user.as_ref())?;

        let mut command = Command::new(&self.program);
        command.arg(&settings).current_dir(&self.home);
        // A group of its own: Ctrl-C in a terminal is for us, who then stop it in order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        service_user::run_as(&mut command, self.user.as_ref());
        let mut process = Process::spawn("redis", command, &self.log, Signal::TERM, &self.guard)?;
        let url = self.url();
        let ready = wait::until("Redis to answer", START_WITHIN, || {
            if let Some(status) = process.exited()? {
                let log = process.log_tail(20);
                if log.contains("Address already in use") || log.contains("Could not create server")
                {
                    return Ok(Some(false));
                }
                bail!("Redis ended at once ({status}):\n{log}");
            }
            Ok(answers(&url).is_ok().then_some(true))
        })
        .with_context(|| process.log_tail(20))?;
        if ready {
            self.process = Some(process);
        }
        Ok(ready)
    }
}

impl Drop for OwnedRedis {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn setting(name: &str, value: &str) -> redis::Cmd {
    redis::cmd("CONFIG")
        .arg("SET")
        .arg(name)
        .arg(value)
        .to_owned()
}

/// Stops the server of an earlier run that was killed: two on the same files would spoil them.
fn end_leftover(last_url: &str) -> Result<()> {
    let Ok(mut connection) = connect(last_url) else {
        return Ok(());
    };
    // The answer to this is that the connection closes.
    let _ = redis::cmd("SHUTDOWN").exec(&mut connection);
    wait::until("the Redis of the last run to end", STOP_WITHIN, || {
        Ok(connect(last_url).is_err().then_some(()))
    })
}

/// The port in a URL like `redis://:password@127.0.0.1:6379/0`.
fn port_of(url: &str) -> Option<u16> {
    let (address, _) = url.rsplit_once('/')?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// Fails unless the server accepts the password and answers.
pub(crate) fn answers(url: &str) -> Result<()> {
    let mut connection = connect(url)?;
    redis::cmd("PING").exec(&mut connection)?;
    Ok(())
}

/// A connection whose every wait has a deadline.
pub(crate) fn connect(url: &str) -> Result<redis::Connection> {
    let patience = Duration::from_secs(5);
    let connection = redis::Client::open(url)?.get_connection_with_timeout(patience)?;
    connection.set_read_timeout(Some(patience))?;
    connection.set_write_timeout(Some(patience))?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
