//! `pitchey edge status`, `figures`, `routes`, `purge` and `warm`: one edge, asked as an operator.

use super::ask::{Door, Edge};
use crate::figures::grouped;
use crate::output::Output;
use crate::table::{Table, bytes, fields};
use anyhow::Context as _;
use pitchey_edge::desk::{Purge, Purged, RouteShown, Status, Warmed};
use pitchey_edge::figures::{Figures, Summary, Told};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// The most paths that are read from a file.
const MOST_PATHS: usize = 100_000;

/// How many paths an edge takes at once.
const AT_ONCE: usize = 200;

/// What is to be forgotten.
#[derive(Debug, Clone, clap::Args)]
#[group(id = "what", required = true, multiple = true, args = ["tag", "key", "prefix"])]
pub(crate) struct PurgeOptions {
    #[command(flatten)]
    door: Door,
    /// Whatever was made from this, as `pitch:…` or `lists`; may be repeated.
    #[arg(long, value_name = "TAG")]
    tag: Vec<Box<str>>,
    /// What is kept for this address, as `/api/pitches/new?limit=10`; may be repeated.
    #[arg(long, value_name = "PATH")]
    key: Vec<Box<str>>,
    /// The same for all addresses that begin so; may be repeated. A walk over all that is kept.
    #[arg(long, value_name = "PATH")]
    prefix: Vec<Box<str>>,
}

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct WarmOptions {
    #[command(flatten)]
    door: Door,
    /// Paths, with their queries.
    #[arg(value_name = "PATH", required_unless_present = "file")]
    path: Vec<Box<str>>,
    /// A file with a path on each line.
    #[arg(long, value_name = "FILE", conflicts_with = "path")]
    file: Option<PathBuf>,
    /// What is asked with as Accept-Encoding, if not what browsers send.
    #[arg(long, value_name = "CODINGS")]
    accept_encoding: Option<String>,
}

pub(super) async fn status(door: Door, output: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let status: Status = Edge::new(door)?.ask("/__edge/status", None).await?;
    output.show(&status, || text(&status))?;
    Ok(ExitCode::SUCCESS)
}

fn text(status: &Status) -> String {
    let size = i64::try_from(status.bytes).unwrap_or(i64::MAX);
    let mut lines = vec![
        ("mode", status.mode.clone()),
        ("version", status.version.clone()),
        ("up", format!("{} s", grouped(status.up_s))),
        ("entries", grouped(status.entries)),
        ("memory", bytes(size)),
    ];
    if let Some(hearing) = &status.hearing {
        let attached = if hearing.attached { "yes" } else { "no" };
        lines.extend([
            ("hears Redis", attached.to_owned()),
            ("epoch", hearing.epoch.clone()),
            ("heard up to", grouped(hearing.applied)),
            ("era", grouped(hearing.era)),
            ("trusted for", format!("{} ms", hearing.trusted_for_ms)),
        ]);
    }
    if let Some(live) = status.live {
        lines.push(("live connections", grouped(live)));
    }
    fields(&lines)
}

pub(super) async fn figures(door: Door, output: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let told: Option<Told> = Edge::new(door)?.ask("/__edge/figures", None).await?;
    output.show(&told, || match &told {
        None => "this edge has no place to keep figures in\n".to_owned(),
        Some(told) => figures_text(told),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn figures_text(told: &Told) -> String {
    let mut table = Table::new(&[
        "from",
        ">span s",
        ">edges",
        "of",
        ">requests",
        ">each s",
        ">hits %",
        ">errors %",
        ">p50 ms",
        ">p95 ms",
        ">p99 ms",
    ]);
    let optional = |value: Option<f64>, decimals: usize| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
    };
    let mut add = |summary: &Summary, of: &str, figures: &Figures| {
        let percent = |share: Option<f64>| optional(share.map(|share| share * 100.0), 1);
        table.row([
            summary.from.clone(),
            grouped(summary.span_s.into()),
            grouped(summary.edges.into()),
            of.to_owned(),
            grouped(figures.requests),
            format!("{:.1}", figures.per_second),
            percent(figures.hit_rate),
            percent(figures.error_rate),
            optional(figures.p50_ms, 1),
            optional(figures.p95_ms, 1),
            optional(figures.p99_ms, 1),
        ]);
    };
    for spans in [&told.windows, &told.hours] {
        for (n, summary) in spans.iter().enumerate() {
            add(summary, "all", &summary.all);
            // Of the newest one also what it is made of.
            for (name, figures) in summary.classes.iter().filter(|_| n == 0) {
                add(summary, name, figures);
            }
            for (name, figures) in summary.locations.iter().filter(|_| n == 0) {
                add(summary, &format!("at {name}"), figures);
            }
        }
    }
    if table.is_empty() {
        return "no span of five minutes is over yet\n".to_owned();
    }
    table.to_text()
}

pub(super) async fn routes(door: Door, output: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    let routes: Vec<RouteShown> = Edge::new(door)?.ask("/__edge/routes", None).await?;
    output.show(&routes, || {
        if routes.is_empty() {
            return "no table of routes: the rules of HTTP say what is kept\n".to_owned();
        }
        let mut table = Table::new(&[
            "route",
            "kind",
            ">fresh s",
            ">renewing s",
            ">error s",
            "query",
        ]);
        for route in &routes {
            table.row([
                route.route.clone(),
                route.kind.clone(),
                grouped(route.fresh_s),
                grouped(route.stale_while_revalidate_s),
                grouped(route.stale_if_error_s),
                route.parameters.join(" "),
            ]);
        }
        table.to_text()
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn purge(
    options: PurgeOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let purge = Purge {
        tags: options.tag,
        keys: options.key,
        prefixes: options.prefix,
    };
    let body = Some(json!(purge));
    let purged: Purged = Edge::new(options.door)?.ask("/__edge/purge", body).await?;
    output.show(&purged, || {
        let Purged {
            tags,
            keys,
            prefixes,
        } = purged;
        format!("acknowledged: {tags} tags, {keys} keys, {prefixes} prefixes\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn warm(
    options: WarmOptions,
    output: &mut Output<'_>,
) -> anyhow::Result<ExitCode> {
    let paths = match &options.file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("{} cannot be read", file.display()))?;
            let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let paths: Vec<Box<str>> = lines.map(Into::into).collect();
            anyhow::ensure!(paths.len() <= MOST_PATHS, "more than {MOST_PATHS} paths");
            paths
        }
        None => options.path,
    };
    let edge = Edge::new(options.door)?;
    let mut table = Table::new(&["path", ">status", ">ms", ">bytes", "cache"]);
    let mut is_well = true;
    for some in paths.chunks(AT_ONCE) {
        let mut body = json!({ "paths": some });
        if let Some(coding) = &options.accept_encoding {
            body["accept_encoding"] = json!(coding);
        }
        let warmed: Vec<Warmed> = edge.ask("/__edge/warm", Some(body)).await?;
        is_well &= warmed.iter().all(Warmed::is_well);
        output.show_each(&warmed, || {
            for one in &warmed {
                let dash = || "–".to_owned();
                table.row([
                    one.path.to_string(),
                    one.status.map_or_else(dash, |status| status.to_string()),
                    grouped(one.ms),
                    grouped(one.bytes),
                    one.cache.clone().unwrap_or_else(dash),
                ]);
            }
            table.next_text()
        })?;
    }
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
