//! A database of its own for each test, cloned from a template that is migrated once.
//!
//! The template's name carries a hash of the migrations, so a server that lives longer than one run
//! never hands out an old schema. An advisory lock, held on the maintenance database by the process
//! that uses a database, says that it is in use; what nobody holds is a leftover of a killed run and
//! is dropped by the next one.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc as async_mpsc, oneshot};
use tokio_postgres::{Client, NoTls};

use crate::net;
use crate::provision;

/// The prefix of every database made here.
const PREFIX: &str = "pitchey_test_";
const TEMPLATE_PREFIX: &str = "pitchey_template_";

/// Migrating the template, waiting for another process to do it, or making a clone.
const CREATE_WITHIN: Duration = Duration::from_mins(2);
const DROP_WITHIN: Duration = Duration::from_secs(20);

/// A database for one test, dropped with this value.
#[derive(Debug)]
pub struct TestDb {
    name: String,
    url: String,
    keeper: &'static Keeper,
}

impl TestDb {
    /// A database with the current schema and no rows but those of the migrations.
    ///
    /// # Panics
    ///
    /// When no Postgres can be had or the migrations fail: a test can do nothing about it.
    pub async fn new() -> Self {
        Self::create(Template::Migrated).await
    }

    /// A database with nothing in it, for tests of the migrations themselves.
    ///
    /// # Panics
    ///
    /// When no Postgres can be had.
    pub async fn empty() -> Self {
        Self::create(Template::Empty).await
    }

    async fn create(template: Template) -> Self {
        let creation = async {
            // Provisioning blocks, and a test's runtime may have one thread only.
            let keeper = tokio::task::spawn_blocking(Keeper::shared).await??;
            let name = format!("{PREFIX}{}_{}", std::process::id(), net::random_hex(4)?);
            keeper.create(name.clone(), template).await?;
            let url = with_database(&keeper.server_url, &name)?;
            anyhow::Ok(Self { name, url, keeper })
        };
        let created = tokio::time::timeout(CREATE_WITHIN, creation).await;
        created
            .context("timed out")
            .flatten()
            .unwrap_or_else(|error| panic!("no database for this test: {error:#}"))
    }

    /// The URL of the database, as superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        self.keeper.drop_database(std::mem::take(&mut self.name));
    }
}

#[derive(Clone, Copy, Debug)]
enum Template {
    Migrated,
    Empty,
}

enum Order {
    Create(String, Template, oneshot::Sender<Result<()>>),
    Drop(String, mpsc::Sender<()>),
}

/// A thread with the one connection that creates, locks and drops this process's databases.
///
/// It has a runtime of its own, so that a [`TestDb`] can be dropped outside any runtime and outlive
/// the one it was made in.
#[derive(Debug)]
struct Keeper {
    server_url: String,
    orders: async_mpsc::UnboundedSender<Order>,
}

impl Keeper {
    /// The keeper of this process; the first caller starts it.
    fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Keeper, String>> = OnceLock::new();
        SHARED
            .get_or_init(|| {
                provision::shared_postgres()
                    .and_then(|server| Self::start(server.url()))
                    .map_err(|error| format!("{error:#}"))
            })
            .as_ref()
            .map_err(|error| anyhow::anyhow!("{error}"))
    }

    fn start(server_url: &str) -> Result<Self> {
        let (orders, inbox) = async_mpsc::unbounded_channel();
        let (started, start) = mpsc::channel();
        let url = server_url.to_owned();
        std::thread::Builder::new()
            .name("database-keeper".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                match runtime {
                    Ok(runtime) => runtime.block_on(keep(&url, inbox, &started)),
                    Err(error) => drop(started.send(Err(error.into()))),
                }
            })?;
        start.recv_timeout(CREATE_WITHIN)??;
        Ok(Self {
            server_url: server_url.to_owned(),
            orders,
        })
    }

    async fn create(&self, name: String, template: Template) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.orders.send(Order::Create(name, template, reply))?;
        answer.await?
    }

    fn drop_database(&self, name: String) {
        let (reply, answer) = mpsc::channel();
        if self.orders.send(Order::Drop(name, reply)).is_ok() {
            // In vain means a leftover, which the next run drops.
            let _ = answer.recv_timeout(DROP_WITHIN);
        }
    }
}

/// The life of the keeper: connect, tidy, then carry out orders to the end of the process.
async fn keep(
    server_url: &str,
    mut inbox: async_mpsc::UnboundedReceiver<Order>,
    started: &mpsc::Sender<Result<()>>,
) {
    let client = match connect(server_url).await {
        Ok(client) => client,
        Err(error) => return drop(started.send(Err(error))),
    };
    let swept = sweep(&client).await;
    let failed = swept.is_err();
    if started.send(swept).is_err() || failed {
        return;
    }
    let mut migrated = None;
    while let Some(order) = inbox.recv().await {
        match order {
            Order::Create(name, template, reply) => {
                let created = create(&client, server_url, &name, template, &mut migrated).await;
                let _ = reply.send(created);
            }
            Order::Drop(name, reply) => {
                if let Err(error) = drop_database(&client, &name).await {
                    eprintln!("testkit: {name} is left over: {error:#}");
                }
                let _ = reply.send(());
            }
        }
    }
}

async fn connect(url: &str) -> Result<Client> {
    let attempt =
        tokio::time::timeout(Duration::from_secs(10), tokio_postgres::connect(url, NoTls));
    let (client, connection) = attempt
        .await
        .context("no answer")?
        .context("cannot connect")?;
    tokio::spawn(connection);
    Ok(client)
}

async fn create(
    client: &Client,
    server_url: &str,
    name: &str,
    template: Template,
    migrated: &mut Option<String>,
) -> Result<()> {
    let template = match (template, &*migrated) {
        (Template::Empty, _) => "template0",
        (Template::Migrated, Some(template)) => template,
        (Template::Migrated, None) => {
            let template = ensure_template(client, server_url).await?;
            migrated.insert(template)
        }
    };
    // First the lock, so that no other process takes the new database for a leftover.
    client
        .execute("SELECT pg_advisory_lock($1)", &[&lock_key(name)])
        .await?;
    client
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
        .await
        .context("cannot clone the template")
}

async fn drop_database(client: &Client, name: &str) -> Result<()> {
    // Forced: a test that failed may still have its pool open.
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        .await?;
    client
        .execute("SELECT pg_advisory_unlock($1)", &[&lock_key(name)])
        .await?;
    Ok(())
}

/// The template of the current migrations, made by whichever process comes first.
async fn ensure_template(client: &Client, server_url: &str) -> Result<String> {
    let name = format!("{TEMPLATE_PREFIX}{}", migrations_hash()?);
    // Held shared to the end of the process: whoever has it exclusively may drop the template.
    let lock = |statement| {
        let key = lock_key(&name);
        async move { client.execute(statement, &[&key]).await }
    };
    lock("SELECT pg_advisory_lock_shared($1)").await?;
    if exists(client, &name).await? {
        return Ok(name);
    }
    lock("SELECT pg_advisory_unlock_shared($1)").await?;
    lock("SELECT pg_advisory_lock($1)").await?;
    // Another process may have made it between the two locks.
    if !exists(client, &name).await? {
        make_template(client, server_url, &name).await?;
    }
    lock("SELECT pg_advisory_lock_shared($1)").await?;
    lock("SELECT pg_advisory_unlock($1)").await?;
    Ok(name)
}

async fn exists(client: &Client, name: &str) -> Result<bool> {
    let statement = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    Ok(client.query_one(statement, &[&name]).await?.get(0))
}

async fn make_template(client: &Client, server_url: &str, name: &str) -> Result<()> {
    // Under another name until it is whole, so that a killed run leaves no half of a template.
    let draft = format!("{name}_draft");
    client
        .batch_execute(&format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"))
        .await?;
    client
        .batch_execute(&format!("CREATE DATABASE {draft} TEMPLATE template0"))
        .await?;
    pitchey_store_pg::migrate::run(&with_database(server_url, &draft)?)
        .await
        .context("the migrations failed")?;
    // A template that somebody is connected to cannot be cloned, so nobody may be.
    client
        .batch_execute(&format!("ALTER DATABASE {draft} ALLOW_CONNECTIONS false"))
        .await?;
    terminate_sessions(client, &draft).await?;
    client
        .batch_execute(&format!("ALTER DATABASE {draft} RENAME TO {name}"))
        .await?;
    Ok(())
}

async fn terminate_sessions(client: &Client, database: &str) -> Result<()> {
    let statement =
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1";
    client.execute(statement, &[&database]).await?;
    Ok(())
}

/// Drops the databases and old templates that no living process holds.
async fn sweep(client: &Client) -> Result<()> {
    let current = format!("{TEMPLATE_PREFIX}{}", migrations_hash()?);
    let rows = client
        .query(
            "SELECT datname FROM pg_database
             WHERE starts_with(datname, $1) OR starts_with(datname, $2)",
            &[&PREFIX, &TEMPLATE_PREFIX],
        )
        .await?;
    for row in rows {
        let name: String = row.get(0);
        if name.starts_with(&current) {
            continue;
        }
        // A draft is held by whoever holds the template that it becomes.
        let key = lock_key(name.trim_end_matches("_draft"));
        let free: bool = client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&key])
            .await?
            .get(0);
        if free {
            // Another process may sweep the same one at the same time: either may win.
            let _ = drop_database(client, &name).await;
        }
    }
    Ok(())
}

/// The advisory lock that stands for the database of this name.
fn lock_key(name: &str) -> i64 {
    let digest = Sha256::digest(name.as_bytes());
    let mut key = [0; 8];
    key.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(key)
}

/// The URL of another database of the same server.
fn with_database(server_url: &str, database: &str) -> Result<String> {
    let (address, query) = match server_url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (server_url, String::new()),
    };
    let authority = address
        .find("://")
        .context("the database URL has no scheme")?
        + 3;
    let end = address[authority..]
        .find('/')
        .map_or(address.len(), |slash| authority + slash);
    Ok(format!("{}/{database}{query}", &address[..end]))
}

fn migrations() -> Result<Vec<(String, String)>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql/migrations");
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Ok(found);
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            found.push((name, std::fs::read_to_string(&path)?));
        }
    }
    found.sort();
    Ok(found)
}

/// Twelve digits that change with the name or the text of any migration.
fn migrations_hash() -> Result<String> {
    let mut hash = Sha256::new();
    for (name, text) in migrations()? {
        for part in [name.as_bytes(), text.as_bytes()] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    Ok(net::hex(&hash.finalize()[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        for (server, expected) in [
            ("postgres://u:p@h:1/postgres", "postgres://u:p@h:1/x"),
            (
                "postgres://h/postgres?sslmode=require",
                "postgres://h/x?sslmode=require",
            ),
            ("postgres://h", "postgres://h/x"),
        ] {
            assert_eq!(with_database(server, "x").expect("a URL"), expected);
        }
        with_database("h/postgres", "x").expect_err("that is no URL");
    }
}
