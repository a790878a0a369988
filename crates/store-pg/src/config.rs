//! The limits of a pool. Every wait in it has an end.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// How the server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// No TLS: for a server on this machine or a private network.
    Disable,
    /// TLS if the server offers it, unchecked.
    Prefer,
    /// TLS, certificate and host name checked against the system's authorities or `tls_ca_file`.
    VerifyFull,
}

/// A streaming replica of the database. Its pool has the limits of the primary's.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaConfig {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// What it is called in metrics and the log, as in `eu-west-1`; no other is called so.
    pub name: String,
    /// How far it is from this origin, in any unit: the nearest that is well answers.
    #[serde(default)]
    pub distance: u32,
}

impl ReplicaConfig {
    /// The most replicas.
    const MOST: usize = 32;

    /// Adds a line to `problems` for each value that cannot work.
    pub fn validate(replicas: &[Self], problems: &mut Vec<String>) {
        if replicas.len() > Self::MOST {
            problems.push(format!("database.replicas: are more than {}", Self::MOST));
        }
        for (index, replica) in replicas.iter().enumerate() {
            let url = replica.url.expose_secret();
            let mut broken = |key: &str, how: &str| {
                problems.push(format!("database.replicas.{index}.{key}: {how}"));
            };
            if !["postgres://", "postgresql://"]
                .iter()
                .any(|scheme| url.starts_with(scheme))
            {
                broken("url", "does not start with postgres://");
            }
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let name = replica.name.as_str();
            if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
                broken(
                    "name",
                    "is not 1 to 64 letters, digits, dots, hyphens and underscores",
                );
            }
            let others = replicas.iter().take(index);
            if name == PRIMARY || others.into_iter().any(|other| other.name == name) {
                broken("name", "is another's, too");
            }
        }
    }
}

/// What the primary is called in metrics and the log.
pub(crate) const PRIMARY: &str = "primary";

/// The limits of a pool, in whole milliseconds where they are times.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolConfig {
    /// The most connections at once.
    pub max_connections: u32,
    /// How long a request may wait for a connection, connecting included.
    pub acquire_timeout_ms: u64,
    /// A connection idle for longer is closed.
    pub idle_timeout_ms: u64,
    /// A connection older than this is closed when it is given back.
    pub max_lifetime_ms: u64,
    /// A statement that runs longer is cancelled by the server.
    pub statement_timeout_ms: u64,
    /// A transaction that idles for longer is ended by the server.
    pub idle_in_transaction_timeout_ms: u64,
    /// Memory for each sort or hash of a statement, in KiB.
    pub work_mem_kib: u32,
    /// The server probes a connection that was silent for this long, and drops it after three probes.
    pub tcp_keepalive_ms: u64,
    /// How often the server looks, while a statement runs, whether its client is still there: it ends what
    /// nobody waits for any more. 0 turns it off, for servers on systems that cannot.
    pub connection_check_ms: u64,
    /// How many reads and transactions may wait for a place among those who use the server; more are refused
    /// at once.
    pub max_queued: usize,
    /// A statement, or a transaction, that takes at least as long is told of in the log.
    pub slow_statement_ms: u64,
    /// A replica that is further behind answers no reads.
    pub replica_max_lag_ms: u64,
    /// How long a read that demands its own writes waits for a replica to say whether it has them, before it
    /// turns to the primary.
    pub replica_ask_timeout_ms: u64,
    /// Whether changes are announced with their positions although there are no replicas here: edges may read
    /// replicas of their own.
    pub announce_positions: bool,
    /// How the server's certificate is checked.
    pub tls: TlsMode,
    /// The only authority to trust, as a PEM file; the system's if absent.
    pub tls_ca_file: Option<PathBuf>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            max_connections: 20,
            acquire_timeout_ms: 2_000,
            idle_timeout_ms: 60_000,
            max_lifetime_ms: 30 * 60_000,
            statement_timeout_ms: 5_000,
            idle_in_transaction_timeout_ms: 10_000,
            work_mem_kib: 16 * 1024,
            tcp_keepalive_ms: 30_000,
            connection_check_ms: 100,
            max_queued: 256,
            slow_statement_ms: 250,
            replica_max_lag_ms: 2_000,
            replica_ask_timeout_ms: 20,
            announce_positions: false,
            tls: TlsMode::Prefer,
            tls_ca_file: None,
        }
    }
}

impl PoolConfig {
    /// Adds a line to `problems` for each value that cannot work.
    pub fn validate(&self, problems: &mut Vec<String>) {
        let mut check = |ok: bool, problem: &str| {
            if !ok {
                problems.push(format!("database.{problem}"));
            }
        };
        check(
            (1..=1000).contains(&self.max_connections),
            "max_connections must be 1 to 1000",
        );
        check(
            (50..=60_000).contains(&self.acquire_timeout_ms),
            "acquire_timeout_ms must be 50 to 60000",
        );
        check(
            (1_000..=3_600_000).contains(&self.idle_timeout_ms),
            "idle_timeout_ms must be 1000 to 3600000",
        );
        check(
            (10_000..=86_400_000).contains(&self.max_lifetime_ms),
            "max_lifetime_ms must be 10000 to 86400000",
        );
        check(
            (10..=600_000).contains(&self.statement_timeout_ms),
            "statement_timeout_ms must be 10 to 600000",
        );
        check(
            (100..=600_000).contains(&self.idle_in_transaction_timeout_ms),
            "idle_in_transaction_timeout_ms must be 100 to 600000",
        );
        check(
            (64..=4 * 1024 * 1024).contains(&self.work_mem_kib),
            "work_mem_kib must be 64 to 4194304",
        );
        check(
            (1_000..=3_600_000).contains(&self.tcp_keepalive_ms),
            "tcp_keepalive_ms must be 1000 to 3600000",
        );
        check(
            self.connection_check_ms == 0 || (10..=60_000).contains(&self.connection_check_ms),
            "connection_check_ms must be 10 to 60000, or 0",
        );
        check(self.max_queued <= 100_000, "max_queued must be 0 to 100000");
        check(
            self.slow_statement_ms <= 600_000,
            "slow_statement_ms must be 0 to 600000",
        );
        check(
            (100..=60_000).contains(&self.replica_max_lag_ms),
            "replica_max_lag_ms must be 100 to 60000",
        );
        check(
            (1..=1_000).contains(&self.replica_ask_timeout_ms),
            "replica_ask_timeout_ms must be 1 to 1000",
        );
        check(
            self.tls_ca_file.is_none() || self.tls == TlsMode::VerifyFull,
            "tls_ca_file needs tls = \"verify-full\"",
        );
    }

    pub(crate) const fn acquire_timeout(&self) -> Duration {
        Duration::from_millis(self.acquire_timeout_ms)
    }
}
