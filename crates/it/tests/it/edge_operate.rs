//! `pitchey edge`, from a shell, at a real edge.

use crate::client::Client;
use crate::edge_desk::{DESK, DESK_SETTING, before, counting};
use crate::edge_shell::{Edge, Shell, on_both_shells};
use anyhow::{Result, ensure};
use pitchey_testkit::Program;
use pitchey_testkit::native::Output;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::block_in_place;

on_both_shells! {
    operators_see_and_steer_an_edge,
}

/// `pitchey edge`, at this edge, by this secret.
fn run(edge: &Edge, secret: &str, arguments: &[&str]) -> Result<Output> {
    let url = format!("http://{}", edge.address());
    let program = Program::pitchey()
        .args([&["edge"], arguments].concat())
        .env("PITCHEY_EDGE", url)
        .env("GATEWAY_DESK__SECRET", secret);
    block_in_place(|| program.run(Duration::from_mins(1)))
}

/// The JSON that it prints.
fn asked(edge: &Edge, arguments: &[&str]) -> Result<Value> {
    let output = run(edge, DESK, &[arguments, &["--json"]].concat())?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    Ok(serde_json::from_str(&output.stdout)?)
}

async fn operators_see_and_steer_an_edge(shell: Shell) -> Result<()> {
    let upstream = counting().await?;
    let gateway = before(shell, &upstream, &[DESK_SETTING])?;
    let client = Client::new(gateway.address());

    let warmed = run(&gateway, DESK, &["warm", "/a", "/b"])?;
    assert_eq!(warmed.status.code(), Some(0), "{warmed:?}");
    assert_eq!(upstream.seen().len(), 2);
    let hit = client.get("/b", &[("accept-encoding", "br")]).await?;
    assert!(hit.header("cache-status").contains("; hit"));

    let purged = asked(&gateway, &["purge", "--key", "/a", "--prefix", "/x"])?;
    assert_eq!(purged, json!({"tags": 0, "keys": 1, "prefixes": 1}));
    client.get("/a", &[]).await?.expect(200)?;
    assert_eq!(upstream.seen().len(), 3);

    let status = asked(&gateway, &["status"])?;
    assert_eq!(
        (&status["mode"], &status["entries"], &status["live"]),
        (&json!("proxy"), &json!(2), &Value::Null)
    );
    assert_eq!(asked(&gateway, &["routes"])?, json!([]));
    let table = run(&gateway, DESK, &["status"])?;
    assert!(table.stdout.contains("proxy"), "{table:?}");

    // Nothing is done by halves: what cannot be done is told, and the exit code is 1.
    let tags = run(&gateway, DESK, &["purge", "--tag", "lists"])?;
    assert_eq!(tags.status.code(), Some(1));
    assert!(tags.stderr.contains("refuses (400)") && tags.stderr.contains("tags: "));
    let other = run(
        &gateway,
        "what other operators sign with, elsewhere",
        &["status"],
    )?;
    assert_eq!(other.status.code(), Some(1));
    assert!(other.stderr.contains("refuses (401)"), "{other:?}");
    let short = run(&gateway, "short", &["status"])?;
    assert!(short.stderr.contains("fewer than 32 bytes"), "{short:?}");
    let shut = before(shell, &upstream, &[])?;
    let shut = run(&shut, DESK, &["status"])?;
    assert!(shut.stderr.contains("no such door"), "{shut:?}");
    Ok(())
}
