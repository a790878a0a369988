//! A streaming physical replica of an [`OwnedPostgres`] that can be made to lag on purpose.

use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::net;
use crate::postgres_server::{OwnedPostgres, SUPERUSER, execute, query_bool, query_text};
use crate::process::Process;
use crate::service_user;
use crate::wait;

/// How long a replica may take to have what the primary has: it reconnects within that, too.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(30);

/// Settings of a replica beside those of every server. It looks for its primary at once after a
/// restart, not after five seconds; and a query there never loses to replay, so that tests of lag do
/// not fail for a cancelled one.
const SETTINGS: &str = "wal_retrieve_retry_interval = 100ms\nmax_standby_streaming_delay = -1\n";

/// A hot standby of a primary of this process, on a port of its own.
///
/// Everything here blocks: call it from a test's own thread, or through `spawn_blocking`. Dropping it
/// stops the server and removes its data; a slot on the primary keeps what it has not received yet, also
/// while it is down.
#[derive(Debug)]
pub struct OwnedReplica {
    server: OwnedPostgres,
    primary_url: String,
    slot: String,
}

impl OwnedReplica {
    /// Copies the primary and follows it from there.
    pub fn start(primary: &OwnedPostgres) -> Result<Self> {
        let slot = format!("replica_{}", net::random_hex(4)?);
        let server = OwnedPostgres::start_from(primary, |command| {
            command
                .args(["--host", "127.0.0.1", "--port", &primary.port().to_string()])
                .args(["--username", SUPERUSER, "--no-password"])
                .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
                .args(["--create-slot", "--slot", &slot]);
        })?;
        let replica = Self {
            server,
            primary_url: primary.url(),
            slot,
        };
        ensure!(
            query_bool(&replica.url(), "SELECT pg_is_in_recovery()")?,
            "the copy of a primary is no replica"
        );
        Ok(replica)
    }

    /// The URL of the maintenance database, as superuser.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The URL of the database with this name.
    pub fn url_of(&self, database: &str) -> String {
        self.server.url_of(database)
    }

    /// The port that it listens on, also while it is down.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The process, while it runs.
    pub fn process_mut(&mut self) -> Option<&mut Process> {
        self.server.process_mut()
    }

    /// Stops replaying: what the primary commits from now on arrives and is not seen.
    pub fn pause_replay(&self) -> Result<()> {
        execute(&self.url(), "SELECT pg_wal_replay_pause()")?;
        // It is asked for at once and happens at the next record or within some milliseconds.
        let url = self.url();
        wait::until("replay to pause", CAUGHT_UP_WITHIN, || {
            let paused = query_bool(&url, "SELECT pg_get_wal_replay_pause_state() = 'paused'")?;
            Ok(paused.then_some(()))
        })
    }

    /// Goes on replaying.
    pub fn resume_replay(&self) -> Result<()> {
        execute(&self.url(), "SELECT pg_wal_replay_resume()")
    }

    /// Waits until everything that the primary has written before the call is seen here.
    pub fn wait_until_caught_up(&self) -> Result<()> {
        let position = query_text(
            &self.primary_url,
            "SELECT pg_current_wal_insert_lsn()::text",
        )?;
        let query = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'::pg_lsn");
        let url = self.url();
        wait::until("the replica to catch up", CAUGHT_UP_WITHIN, || {
            Ok(query_bool(&url, &query)?.then_some(()))
        })
    }

    /// `kill -9`: connections break off, and the next start has to recover.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// Stops it in order.
    pub fn stop(&mut self) -> Result<()> {
        self.server.stop()
    }

    /// Starts it again, on the same port, where it goes on following. Replay is not paused then.
    pub fn restart(&mut self) -> Result<()> {
        self.server.restart()
    }
}

impl Drop for OwnedReplica {
    fn drop(&mut self) {
        let _ = self.server.stop();
        // A slot that nobody reads from would have the primary keep its log for ever. Where the primary
        // has gone first there is nothing to tidy.
        let _ = execute(
            &self.primary_url,
            &format!("SELECT pg_drop_replication_slot('{}')", self.slot),
        );
    }
}

impl OwnedPostgres {
    /// Starts a server on a copy of `primary` that `pg_basebackup`, told more by `tell`, makes.
    fn start_from(primary: &Self, tell: impl FnOnce(&mut Command)) -> Result<Self> {
        let mut server = Self::prepare(primary.programs().clone(), "pitchey-replica-")?;
        server.adopt_password(primary);
        let program = primary.programs().basebackup()?;
        let mut command = Command::new(&program);
        command
            .arg("--pgdata")
            .arg(server.data())
            .env("PGPASSWORD", primary.password())
            .current_dir(server.home());
        tell(&mut command);
        service_user::run_as(&mut command, server.user());
        let output = command
            .output()
            .with_context(|| format!("cannot start {}", program.display()))?;
        ensure!(
            output.status.success(),
            "pg_basebackup failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let settings = server.data().join("postgresql.auto.conf");
        let mut file = fs::File::options().append(true).open(settings)?;
        file.write_all(SETTINGS.as_bytes())?;
        drop(file);
        server.launch_on_a_free_port(None)?;
        Ok(server)
    }
}
