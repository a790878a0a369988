//! What a scraper reads of the gateway.

use crate::cache_site::Maker;
use crate::client::Client;
use crate::edge_pitchey::{edit, open_on};
use crate::edge_shell::Shell;
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result};
use pitchey_testkit::{Gateway, net};
use std::future::ready;
use std::net::SocketAddr;
use tokio::task::block_in_place;

fn address() -> Result<SocketAddr> {
    Ok(SocketAddr::from(([127, 0, 0, 1], net::free_port()?)))
}

async fn figures(client: &Client) -> Result<String> {
    let answer = client.get("/metrics", &[]).await?.expect(200)?;
    assert!(answer.header("content-type").starts_with("text/plain"));
    Ok(String::from_utf8(answer.body)?)
}

/// The value of a series, by its whole name.
fn value(figures: &str, series: &str) -> Result<u64> {
    let mut lines = figures.lines();
    let line = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.with_context(|| format!("no {series} in:\n{figures}"))?;
    Ok(line.parse()?)
}

fn answers(class: &str, cache: &str, status: &str) -> String {
    let labels = format!("class=\"{class}\",cache=\"{cache}\",status=\"{status}\"");
    format!("edge_answer_duration_seconds_count{{{labels}}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_answer_is_counted_by_what_it_was_and_how_it_came_about() -> Result<()> {
    let metrics = address()?;
    let text = metrics.to_string();
    let settings = [("METRICS__ADDRESS", &*text), ("HEALTH__INTERVAL_MS", "100")];
    let bed = open_on(Shell::Gateway, &[], &settings).await?;
    let scraper = Client::new(metrics);
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    for _ in 0..3 {
        bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    }
    edit(&bed.edge, &maker.person, &mut pitch).await?;
    bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    bed.edge.get("/api/me", &[]).await?.expect(401)?;
    bed.edge.get("/__edge/health", &[]).await?.expect(200)?;
    bed.edge
        .get("/api/search?sort=up", &[])
        .await?
        .expect(400)?;

    let told = figures(&scraper).await?;
    for (series, expected) in [
        (answers("read", "HIT", "2xx"), 2),
        (answers("read", "MISS", "2xx"), 2),
        (answers("read", "BYPASS", "4xx"), 1),
        (answers("search", "BYPASS", "4xx"), 1),
        ("cache_attached".to_owned(), 1),
        ("cache_memory_entries".to_owned(), 1),
        ("dependency_up{name=\"origin\"}".to_owned(), 1),
    ] {
        assert_eq!(value(&told, &series)?, expected, "{series}");
    }
    let of_kind = |what| format!("cache_events_total{{kind=\"pitch_detail\",what=\"{what}\"}}");
    assert_eq!(value(&told, &of_kind("memory_hit"))?, 2);
    assert_eq!(value(&told, &of_kind("miss"))?, 2);
    assert!(value(&told, &answers("own", "none", "2xx"))? >= 1);
    assert!(value(&told, &answers("write", "BYPASS", "2xx"))? >= 1);
    // They are not for the public, and nothing else is on their listener.
    assert_eq!(bed.edge.get("/metrics", &[]).await?.status, 404);
    assert_eq!(scraper.get(&pitch.target, &[]).await?.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_front_of_any_site_there_are_figures_as_well() -> Result<()> {
    let upstream = Upstream::start(|seen| {
        ready(match &*seen.target {
            "/kept" => Reply::new(200, "x").with("cache-control", "max-age=60"),
            _ => Reply::new(500, ""),
        })
    })
    .await?;
    let metrics = address()?;
    let program =
        Gateway::program(&upstream.url()).env("GATEWAY_METRICS__ADDRESS", metrics.to_string());
    let gateway = block_in_place(|| Gateway::start(&program))?;
    let client = Client::new(gateway.address());
    for _ in 0..2 {
        client.get("/kept", &[]).await?.expect(200)?;
    }
    client.get("/broken", &[]).await?.expect(500)?;
    let told = figures(&Client::new(metrics)).await?;
    assert_eq!(value(&told, &answers("proxy", "HIT", "2xx"))?, 1);
    assert_eq!(value(&told, &answers("proxy", "MISS", "2xx"))?, 1);
    assert_eq!(value(&told, &answers("proxy", "MISS", "5xx"))?, 1);
    assert_eq!(value(&told, "cache_memory_entries")?, 1);
    Ok(())
}
