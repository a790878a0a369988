//! How much one client may have of an edge: requests by class of route, and live connections.

use crate::client::Client;
use crate::edge_pitchey::SECRET;
use crate::edge_shell::{Edge, Shell, on_both_shells};
use crate::hub::client::Socket;
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::{Gateway, Hub, Program, Worker};
use std::future::ready;
use std::net::SocketAddr;
use std::path::Path;
use tokio::task::block_in_place;

on_both_shells! {
    who_asks_too_often_is_told_when_to_come_back_and_others_are_not,
    the_word_of_a_client_on_its_address_counts_for_nothing_and_limits_can_be_off,
}

/// Pitchey's edge before an origin that only counts. There is no Redis: limits need none.
pub(crate) fn program(upstream: &Upstream, settings: &[(&str, &str)]) -> Program {
    let program = Gateway::program(&upstream.url())
        .args(["--pitchey"])
        .env("GATEWAY_PITCHEY__SECRET", SECRET)
        .env("GATEWAY_PITCHEY__REDIS_URL", "redis://127.0.0.1:1/0");
    settings
        .iter()
        .fold(program, |program, (name, value)| program.env(name, value))
}

async fn upstream() -> Result<Upstream> {
    Upstream::start(|_| {
        let reply = Reply::new(200, "{}");
        ready(reply.with("ratelimit", "\"write\";r=5;t=1"))
    })
    .await
}

/// Pitchey's edge before an origin that only counts, which believes clients on their addresses; and where they
/// say them.
fn believing(
    shell: Shell,
    upstream: &Upstream,
    settings: &[(&str, &str)],
) -> Result<(Edge, &'static str)> {
    let prefixed = |program: Program, prefix: &str| {
        settings.iter().fold(program, |program, (name, value)| {
            program.env(&format!("{prefix}{name}"), value)
        })
    };
    match shell {
        Shell::Gateway => {
            let trusted = ("GATEWAY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]");
            let program = prefixed(program(upstream, &[trusted]), "GATEWAY_");
            let gateway = block_in_place(|| Gateway::start(&program))?;
            Ok((Edge::Gateway(gateway), "x-forwarded-for"))
        }
        Shell::Worker => {
            let config = Path::new(env!("CARGO_MANIFEST_DIR"));
            let config = config.join("../../deploy/edge/tests/addresses.capnp");
            let program = Worker::with_config(&config)?
                .env("WORKER_ORIGIN__URL", upstream.url())
                .env("WORKER_PITCHEY__SECRET", SECRET);
            let program = prefixed(program, "WORKER_");
            let worker = block_in_place(|| Worker::start(&program))?;
            Ok((Edge::Worker(worker), "cf-connecting-ip"))
        }
    }
}

async fn who_asks_too_often_is_told_when_to_come_back_and_others_are_not(
    shell: Shell,
) -> Result<()> {
    let upstream = upstream().await?;
    let settings = [
        ("LIMITS__WRITE", "3 then 1/h"),
        ("LIMITS__AUTH", "1 then 1/h"),
    ];
    let (edge, address) = believing(shell, &upstream, &settings)?;
    let client = Client::new(edge.address());
    let ask = async |target: &str, from: &str| {
        let headers = [(address, from)];
        let method = Method::POST;
        client.send(method, target, &headers, None).await
    };
    let mut told = Vec::new();
    for from in ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2::3"] {
        let answer = ask("/api/pitches", from).await?.expect(200)?;
        let lines = answer.headers.get_all("ratelimit").iter();
        let lines: Vec<_> = lines.map(|line| line.to_str()).collect::<Result<_, _>>()?;
        told.push(lines.join(", "));
    }
    assert_eq!(
        told,
        [
            "\"write\";r=5;t=1",
            "\"write\";r=5;t=1, \"edge-write\";r=1;t=7200",
            "\"write\";r=5;t=1, \"edge-write\";r=0;t=10800",
        ]
    );
    let refused = ask("/api/pitches", "2001:db8:1:2::4").await?;
    let fields = ["content-type", "ratelimit-policy", "ratelimit"].map(|name| refused.header(name));
    assert_eq!(
        (refused.status, fields),
        (
            429,
            [
                "application/problem+json",
                "\"edge-write\";q=3;w=10800",
                "\"edge-write\";r=0;t=10800",
            ]
        )
    );
    let after: u64 = refused.header("retry-after").parse()?;
    ensure!((3500..=3600).contains(&after), "{after}");
    // It is asked for its health, too.
    let seen = upstream.seen();
    let came = seen.iter().filter(|seen| seen.target == "/api/pitches");
    assert_eq!(came.count(), 3);
    // Another network, another class, and reading are not touched by it.
    ask("/api/pitches", "2001:db8:1:3::1").await?.expect(200)?;
    ask("/api/auth/login", "2001:db8:1:2::1")
        .await?
        .expect(200)?;
    let login = ask("/api/auth/%6cogin", "2001:db8:1:2::1").await?;
    assert_eq!(login.status, 429);
    let headers = [(address, "2001:db8:1:2::1")];
    client.get("/api/me", &headers).await?.expect(200)?;
    Ok(())
}

async fn the_word_of_a_client_on_its_address_counts_for_nothing_and_limits_can_be_off(
    shell: Shell,
) -> Result<()> {
    let upstream = upstream().await?;
    for (clients, last) in [("100", 429), ("0", 200)] {
        let settings = [
            ("PITCHEY__ENABLED", "true"),
            ("PITCHEY__SECRET", SECRET),
            ("PITCHEY__REDIS_URL", "redis://127.0.0.1:1/0"),
            ("LIMITS__WRITE", "1 then 1/h"),
            ("LIMITS__CLIENTS", clients),
        ];
        let edge = shell.start(&upstream.url(), &settings)?;
        let client = Client::new(edge.address());
        let mut statuses = Vec::new();
        for from in ["192.0.2.1", "192.0.2.2"] {
            let headers = [("x-forwarded-for", from)];
            let answer = client.send(Method::POST, "/a", &headers, None).await?;
            statuses.push(answer.status);
        }
        assert_eq!(statuses, [200, last], "{clients}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_does_not_take_all_live_connections() -> Result<()> {
    let upstream = upstream().await?;
    let hub = block_in_place(|| Hub::start(&[]))?;
    let url = format!("http://{}", hub.address());
    let settings = [
        ("GATEWAY_HUB__URL", url.as_str()),
        ("GATEWAY_HUB__MAX_PER_ADDRESS", "2"),
        ("GATEWAY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
    ];
    let gateway = block_in_place(|| Gateway::start(&program(&upstream, &settings)))?;
    let at: SocketAddr = gateway.address();
    let first = Socket::connect(at, Some(1), &[]).await?;
    let _second = Socket::connect(at, Some(2), &[]).await?;
    let client = Client::new(at);
    let refused = client.get("/sse?room=lists", &[]).await?;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "60"));
    // What the hub says to somebody else, it says: that there is no ticket.
    let other = [("x-forwarded-for", "192.0.2.1")];
    let other = client.get("/ws", &other).await?;
    ensure!(other.status != 429, "another address is refused");
    drop(first);
    // Its place is free once the gateway has seen it go.
    let again = async {
        loop {
            if let Ok(socket) = Socket::connect(at, Some(3), &[]).await {
                return socket;
            }
        }
    };
    let within = std::time::Duration::from_mins(1);
    let _third = tokio::time::timeout(within, again)
        .await
        .context("the place is not given back")?;
    Ok(())
}
