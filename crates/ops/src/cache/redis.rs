//! `pitchey cache status`, `inspect` and `purge`: what is in Redis, whether or not an origin runs.

use crate::Database;
use crate::operate::line;
use crate::output::Output;
use crate::table::{Table, bytes, fields};
use anyhow::{Context as _, bail};
use pitchey_cache::Position;
use pitchey_cache::shared::{Lookup, Shared as _, Strength, Wish};
use pitchey_runtime::{Clock as _, SystemRuntime, timeout};
use pitchey_store::accounts::Operation;
use pitchey_tiers::{Overview, RedisConfig, RedisLink, RedisShared};
use secrecy::SecretString;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a call may take: a tool may wait longer than a visitor.
const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long connecting may take, further attempts included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long writing into the audit log may take: what is to be purged is read meanwhile.
const NOTE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many names one invalidation of ours has at most.
const MAX_NAMES: usize = 1000;

/// Where the shared tier is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Place {
    /// Redis, as redis://:password@host:port/0, or rediss:// over TLS.
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<SecretString>,
    /// What the keys begin with, as the origins' `cache.prefix`.
    #[arg(long, value_name = "PREFIX", default_value = "pitchey:")]
    key_prefix: String,
}

/// What is looked at.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct OverviewOptions {
    #[command(flatten)]
    place: Place,
    /// Look at so many thousand keys at most, about, to count entries.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    thousands: u32,
}

/// Which entry.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct InspectOptions {
    #[command(flatten)]
    place: Place,
    /// The key, as `pitch_list:/api/pitches/new`.
    #[arg(value_parser = name)]
    key: Box<str>,
}

/// What is to be forgotten.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "what", required = true, multiple = true, args = ["tag", "key", "prefix"])]
pub(crate) struct PurgeOptions {
    #[command(flatten)]
    place: Place,
    /// Whatever was made from this, as `pitch:…` or `lists`; may be repeated.
    #[arg(long, value_name = "TAG", value_parser = name)]
    tag: Vec<Box<str>>,
    /// This entry; may be repeated.
    #[arg(long, value_name = "KEY", value_parser = name)]
    key: Vec<Box<str>>,
    /// All entries whose keys begin so, as `search:`; may be repeated. A walk over all keys.
    #[arg(long, value_name = "PREFIX", value_parser = name)]
    prefix: Vec<Box<str>>,
    /// Do not serve what carries the tags while it is refreshed. Keys and prefixes are always removed.
    #[arg(long, requires = "tag")]
    hard: bool,
    /// Who makes the change, for the audit log.
    #[arg(
        long,
        env = "USER",
        hide_env_values = true,
        value_name = "NAME",
        value_parser = line::<100>,
        required_unless_present = "no_audit"
    )]
    operator: Option<String>,
    /// Write nothing into the audit log: for when there is no database.
    #[arg(long)]
    no_audit: bool,
}

fn name(text: &str) -> Result<Box<str>, String> {
    let fits = (1..=pitchey_cache::MAX_KEY).contains(&text.len());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.into())
    } else {
        Err(format!(
            "must have 1 to {} bytes and no control characters",
            pitchey_cache::MAX_KEY
        ))
    }
}

type Redis = RedisShared<SystemRuntime>;

/// The tier, and the task that keeps it connected, which ends when it is dropped.
async fn connect(place: &Place) -> anyhow::Result<(Redis, JoinSet<()>)> {
    let url = place.redis_url.clone();
    let url = url.context("no Redis: set REDIS_URL or give --redis-url")?;
    let runtime = SystemRuntime::new();
    let config = RedisConfig {
        prefix: place.key_prefix.clone(),
        call_timeout: CALL_TIMEOUT,
        ..RedisConfig::new(url)
    };
    let link = RedisLink::new(config, runtime)?;
    let mut tasks = JoinSet::new();
    let connecting = link.clone();
    tasks.spawn(async move { connecting.keep_connected(&CancellationToken::new()).await });
    let connected = timeout(&runtime, CONNECT_TIMEOUT, link.connected()).await;
    connected.map_err(|_| anyhow::anyhow!("Redis cannot be reached"))?;
    Ok((RedisShared::new(link), tasks))
}

pub(crate) async fn status(
    options: OverviewOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let (redis, _tasks) = connect(&options.place).await?;
    let seen = redis.transport().overview(options.thousands).await?;
    let value = json!({
        "epoch": seen.epoch.map(|epoch| epoch.to_string()),
        "seq": seen.seq,
        "position": position(seen.position),
        "beat_age_ms": seen.beat_age_ms,
        "announcements": seen.announcements,
        "memory_bytes": seen.memory_bytes,
        "keys": seen.keys,
        "entries": seen.entries,
        "tags": seen.tags,
        "leases": seen.leases,
        "all_keys_seen": seen.is_whole,
    });
    output.show(&value, || text(&seen))?;
    Ok(ExitCode::SUCCESS)
}

fn position(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}

fn text(seen: &Overview) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let size = seen.memory_bytes.and_then(|n| i64::try_from(n).ok());
    let mut text = fields(&[
        ("epoch", or_dash(seen.epoch.map(|epoch| epoch.to_string()))),
        ("newest number", seen.seq.to_string()),
        ("position", position(seen.position)),
        (
            "last beat",
            or_dash(seen.beat_age_ms.map(|ms| format!("{ms} ms ago"))),
        ),
        ("announcements", seen.announcements.to_string()),
        ("memory", or_dash(size.map(bytes))),
        ("keys", seen.keys.to_string()),
        ("tags", seen.tags.to_string()),
        ("leases", seen.leases.to_string()),
    ]);
    let mut table = Table::new(&["kind", ">entries"]);
    for (kind, count) in &seen.entries {
        table.row([kind.clone(), count.to_string()]);
    }
    if !table.is_empty() {
        text.push('\n');
        text.push_str(&table.to_text());
    }
    if !seen.is_whole {
        text.push_str("\nnot all keys were looked at: give more --thousands\n");
    }
    text
}

pub(crate) async fn inspect(
    options: InspectOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let (redis, _tasks) = connect(&options.place).await?;
    let lookup = Lookup {
        key: options.key,
        wish: Wish::Never,
        lease: Duration::ZERO,
        tags: Vec::new(),
        keep: Duration::ZERO,
    };
    let Some(entry) = redis.lookup(&lookup).await?.entry else {
        output.show(&json!(null), || "nothing valid is kept\n".to_owned())?;
        return Ok(ExitCode::FAILURE);
    };
    let age = u64::try_from(entry.age.as_millis()).unwrap_or(u64::MAX);
    let tags: Vec<&str> = entry.tags.iter().map(|tag| &**tag).collect();
    let value = json!({
        "age_ms": age,
        "fresh_for_ms": entry.meta.fresh_ms.saturating_sub(age),
        "softened": entry.softened,
        "absent": entry.meta.absent,
        "bytes": entry.payload.len(),
        "load_us": entry.meta.cost_us,
        "seq": entry.as_of.seq.0,
        "tags": tags,
    });
    output.show(&value, || {
        fields(&[
            ("age", format!("{age} ms")),
            (
                "fresh for",
                format!("{} ms", entry.meta.fresh_ms.saturating_sub(age)),
            ),
            ("softened", entry.softened.to_string()),
            ("says nothing is there", entry.meta.absent.to_string()),
            ("bytes", entry.payload.len().to_string()),
            ("load took", format!("{} µs", entry.meta.cost_us)),
            ("loaded after number", entry.as_of.seq.0.to_string()),
            ("tags", tags.join(" ")),
        ])
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn purge(
    options: PurgeOptions,
    database: &Database,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let (redis, _tasks) = connect(&options.place).await?;
    let strength = if options.hard {
        Strength::Hard
    } else {
        Strength::Soft
    };
    match &options.operator {
        Some(operator) if !options.no_audit => {
            // First, so that nothing is done of which nobody knows.
            let noted = note(&options, operator, database).await;
            noted.context(
                "nothing is purged, as the audit log cannot be written (--no-audit purges without)",
            )?;
        }
        _ => eprintln!("pitchey: this purge is not in the audit log (--no-audit)"),
    }
    // Nothing was written, so no copy of the source is too old that was not before.
    let position = Position::default();
    for tags in options.tag.chunks(MAX_NAMES) {
        redis.invalidate(tags, strength, position).await?;
    }
    for keys in options.key.chunks(MAX_NAMES) {
        redis.remove(keys, position).await?;
    }
    let mut removed = 0;
    for prefix in &options.prefix {
        removed += redis.remove_prefix(prefix, position).await?;
    }
    let value = json!({
        "tags": options.tag.len(),
        "keys": options.key.len(),
        "prefixes": options.prefix.len(),
        "removed_by_prefix": removed,
    });
    output.show(&value, || {
        format!(
            "acknowledged: {} tags, {} keys, {} prefixes ({removed} entries)\n",
            options.tag.len(),
            options.key.len(),
            options.prefix.len()
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes into the audit log what is going to be purged, as an origin does.
async fn note(options: &PurgeOptions, operator: &str, database: &Database) -> anyhow::Result<()> {
    let PurgeOptions {
        tag, key, prefix, ..
    } = options;
    let operation = Operation::cache_purge(tag, key, prefix, !options.hard);
    let runtime = SystemRuntime::new();
    let store = database.connect()?;
    let noting = store.note_operated(operator, &operation, runtime.wall());
    let noted = timeout(&runtime, NOTE_TIMEOUT, noting).await;
    store.close().await;
    match noted {
        Ok(noted) => Ok(noted?),
        Err(_) => bail!(
            "the database did not answer in {} s",
            NOTE_TIMEOUT.as_secs()
        ),
    }
}
