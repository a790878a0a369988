//! The edge in front of any site, by the rules of HTTP alone, on both shells; and what is about the gateway's
//! own connections.

use crate::client::{Answer, Client};
use crate::edge_shell::{Edge, Shell, on_both_shells};
use crate::upstream::{Reply, Seen, Upstream};
use anyhow::Result;
use http::Method;
use pitchey_testkit::{Gateway, Program};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, block_in_place};

struct Bed {
    edge: Edge,
    client: Client,
    upstream: Upstream,
}

impl Bed {
    fn gateway(&mut self) -> &mut Gateway {
        let Edge::Gateway(gateway) = &mut self.edge else {
            panic!("it is no gateway");
        };
        gateway
    }
}

fn open(shell: Shell, upstream: Upstream, settings: &[(&str, &str)]) -> Result<Bed> {
    let edge = shell.start(&upstream.url(), settings)?;
    let client = Client::new(edge.address());
    Ok(Bed {
        edge,
        client,
        upstream,
    })
}

/// An edge before an origin that answers this.
async fn before(
    shell: Shell,
    answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> Result<Bed> {
    let upstream = Upstream::start(move |seen| ready(answer(&seen))).await?;
    open(shell, upstream, &[])
}

on_both_shells! {
    what_is_stored_is_served_and_the_headers_say_so,
    what_is_not_to_be_stored_goes_to_one_alone,
    what_is_stale_in_its_window_is_served_and_renewed_behind,
    what_is_stale_stands_in_for_an_origin_that_fails_or_is_gone,
    what_must_be_validated_is_and_a_304_is_enough,
    ranges_come_from_what_is_stored,
    variants_are_kept_apart_and_a_change_makes_them_invalid,
    what_is_too_large_or_breaks_off_is_passed_on_and_not_stored,
    an_origin_that_hangs_and_clients_that_ask_too_much_get_an_answer,
}

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

fn told(answer: &Answer) -> String {
    let status = answer.header("cache-status");
    format!("{} {:?} {status}", answer.status, text(answer))
}

async fn what_is_stored_is_served_and_the_headers_say_so(shell: Shell) -> Result<()> {
    let bed = before(shell, |seen| {
        Reply::new(200, format!("answer {}", seen.before))
            .with("cache-control", "max-age=60")
            .with("etag", "\"a\"")
            .with("connection", "x-secret")
            .with("x-secret", "of the connection")
            .with("keep-alive", "timeout=5")
    })
    .await?;
    let steering = [
        ("x-forwarded-host", "evil.example"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ];
    let first = bed.client.get("/a?b=c", &steering).await?;
    let second = bed.client.get("/a?b=c", &[]).await?;
    let none = bed
        .client
        .get("/a?b=c", &[("if-none-match", "\"a\"")])
        .await?;
    let head = bed.client.send(Method::HEAD, "/a?b=c", &[], None).await?;
    let other = bed.client.get("/a?b=d", &[]).await?;
    let shown = |answer: &Answer| {
        let mut lines = vec![told(answer)];
        for (name, value) in &answer.headers {
            if name != "date" && name != "cache-status" {
                lines.push(format!(
                    "{name}: {}",
                    String::from_utf8_lossy(value.as_bytes())
                ));
            }
        }
        lines.sort_unstable();
        lines.join("\n")
    };
    let all = [&first, &second, &none, &head, &other]
        .map(shown)
        .join("\n\n");
    insta::with_settings!({filters => [(r"ttl=\d+", "ttl=[s]"), (r"age: \d+", "age: [s]")]}, {
        insta::assert_snapshot!("what_is_stored_is_served_and_the_headers_say_so", all);
    });
    let seen = bed.upstream.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].header("via"), "1.1 pitchey-edge");
    assert_eq!(seen[0].header("x-forwarded-for"), "127.0.0.1");
    for gone in [
        "x-forwarded-host",
        "x-original-url",
        "x-rewrite-url",
        "x-hop",
    ] {
        assert_eq!(seen[0].header(gone), "-", "{gone}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_one_goes_on() -> Result<()> {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let upstream = Upstream::start(move |seen| {
        let held = held.clone();
        async move {
            let _ = held.acquire().await;
            Reply::new(200, format!("{}", seen.before)).with("cache-control", "max-age=60")
        }
    })
    .await?;
    let bed = open(Shell::Gateway, upstream, &[])?;
    let mut asking = JoinSet::new();
    for _ in 0..50 {
        let client = bed.client.clone();
        asking.spawn(async move { client.get("/one", &[]).await });
    }
    bed.upstream.asked(1).await?;
    gate.add_permits(1000);
    while let Some(answer) = asking.join_next().await {
        assert_eq!(text(&answer??), "0");
    }
    assert_eq!(bed.upstream.seen().len(), 1);
    Ok(())
}

async fn what_is_not_to_be_stored_goes_to_one_alone(shell: Shell) -> Result<()> {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let upstream = Upstream::start(move |seen| {
        let held = held.clone();
        async move {
            let _ = held.acquire().await;
            Reply::new(200, format!("{}", seen.before)).with("cache-control", "private")
        }
    })
    .await?;
    let bed = open(shell, upstream, &[])?;
    let mut asking = JoinSet::new();
    for _ in 0..20 {
        let client = bed.client.clone();
        asking.spawn(async move { client.get("/mine", &[]).await });
    }
    bed.upstream.asked(1).await?;
    gate.add_permits(1000);
    let mut answers = BTreeSet::new();
    while let Some(answer) = asking.join_next().await {
        assert!(answers.insert(text(&answer??)), "two got the same");
    }
    assert_eq!((answers.len(), bed.upstream.seen().len()), (20, 20));
    let health = bed.client.get("/__edge/health", &[]).await?;
    assert_eq!(health.json()["entries"], 0);
    Ok(())
}

async fn what_is_stale_in_its_window_is_served_and_renewed_behind(shell: Shell) -> Result<()> {
    let bed = before(shell, |seen| {
        let age = if seen.before == 0 { "100" } else { "0" };
        Reply::new(200, format!("answer {}", seen.before))
            .with("cache-control", "max-age=50, stale-while-revalidate=600")
            .with("age", age)
    })
    .await?;
    assert_eq!(text(&bed.client.get("/", &[]).await?), "answer 0");
    let stale = bed.client.get("/", &[]).await?;
    assert_eq!(text(&stale), "answer 0");
    assert!(
        stale.header("cache-status").contains("hit; ttl=-"),
        "{}",
        told(&stale)
    );
    bed.upstream.asked(2).await?;
    // What is renewed is there soon; nobody asks the origin for it once more.
    let mut looks = 0;
    while text(&bed.client.get("/", &[]).await?) != "answer 1" {
        looks += 1;
        assert!(looks < 10_000, "it is not renewed");
    }
    Ok(())
}

async fn what_is_stale_stands_in_for_an_origin_that_fails_or_is_gone(shell: Shell) -> Result<()> {
    let mut bed = before(shell, |seen| {
        if seen.before == 0 || seen.target != "/kept" {
            Reply::new(200, "kept")
                .with("cache-control", "max-age=1, stale-if-error=600")
                .with("age", "100")
        } else {
            Reply::new(503, "broken")
        }
    })
    .await?;
    bed.client.get("/kept", &[]).await?;
    let failed = told(&bed.client.get("/kept", &[]).await?);
    assert_eq!(
        failed.split(" pitchey").next(),
        Some("200 \"kept\""),
        "{failed}"
    );
    let nobody = Upstream::start(|_| ready(Reply::new(500, ""))).await?;
    drop(std::mem::replace(&mut bed.upstream, nobody));
    let gone = told(&bed.client.get("/kept", &[]).await?);
    assert_eq!(
        gone.split(" pitchey").next(),
        Some("200 \"kept\""),
        "{gone}"
    );
    let absent = bed.client.get("/absent", &[]).await?;
    assert_eq!(
        (absent.status, absent.header("cache-control")),
        (502, "no-store")
    );
    Ok(())
}

async fn what_must_be_validated_is_and_a_304_is_enough(shell: Shell) -> Result<()> {
    let bed = before(shell, |seen| {
        let reply = if seen.header("if-none-match") == "\"1\"" {
            Reply::new(304, "")
        } else {
            Reply::new(200, "whole")
        };
        reply
            .with("cache-control", "no-cache")
            .with("etag", "\"1\"")
    })
    .await?;
    for _ in 0..3 {
        let answer = bed.client.get("/", &[]).await?;
        assert_eq!((answer.status, text(&answer)), (200, "whole".to_owned()));
    }
    let conditions: Vec<_> = bed
        .upstream
        .seen()
        .iter()
        .map(|seen| seen.header("if-none-match").to_owned())
        .collect();
    assert_eq!(conditions, ["-", "\"1\"", "\"1\""]);
    Ok(())
}

async fn ranges_come_from_what_is_stored(shell: Shell) -> Result<()> {
    let bed = before(shell, |_| {
        Reply::new(200, "0123456789".repeat(100))
            .with("cache-control", "max-age=60")
            .with("etag", "\"a\"")
    })
    .await?;
    bed.client.get("/", &[]).await?;
    let ask = |range: &'static str| {
        let client = bed.client.clone();
        async move { client.get("/", &[("range", range)]).await }
    };
    let part = ask("bytes=2-4").await?;
    assert_eq!((part.status, text(&part)), (206, "234".to_owned()));
    assert_eq!(part.header("content-range"), "bytes 2-4/1000");
    let last = ask("bytes=-3").await?;
    assert_eq!((last.status, text(&last)), (206, "789".to_owned()));
    let several = ask("bytes=0-1,988-989").await?;
    assert!(
        several
            .header("content-type")
            .starts_with("multipart/byteranges; boundary=")
    );
    assert!(text(&several).contains("bytes 988-989/1000\r\n\r\n89\r\n--"));
    assert_eq!(ask("bytes=1000-").await?.status, 416);
    assert_eq!(bed.upstream.seen().len(), 1);
    Ok(())
}

async fn variants_are_kept_apart_and_a_change_makes_them_invalid(shell: Shell) -> Result<()> {
    let bed = before(shell, |seen| {
        let word = seen.header("accept-language").to_owned();
        Reply::new(200, format!("{word} {} {}", seen.method, seen.body.len()))
            .with("cache-control", "max-age=60")
            .with("vary", "accept-language")
    })
    .await?;
    for _ in 0..2 {
        for language in ["de", "fr"] {
            let answer = bed
                .client
                .get("/", &[("accept-language", language)])
                .await?;
            assert_eq!(text(&answer), format!("{language} GET 0"));
        }
    }
    assert_eq!(bed.upstream.seen().len(), 2);
    let body = serde_json::json!({"a": 1});
    let changed = bed.client.send(Method::PUT, "/", &[], Some(&body)).await?;
    assert_eq!(text(&changed), "- PUT 7");
    let again = bed.client.get("/", &[("accept-language", "de")]).await?;
    assert_eq!(text(&again), "de GET 0");
    assert_eq!(bed.upstream.seen().len(), 4);
    Ok(())
}

async fn what_is_too_large_or_breaks_off_is_passed_on_and_not_stored(shell: Shell) -> Result<()> {
    let upstream = Upstream::start(|seen| {
        let reply = if seen.target == "/large" {
            Reply::new(200, vec![b'x'; 100_000])
        } else {
            Reply::new(200, "half").breaking_off()
        };
        ready(reply.with("cache-control", "max-age=60"))
    })
    .await?;
    let bed = open(shell, upstream, &[("STORE__LARGEST_BODY_KIB", "64")])?;
    for _ in 0..2 {
        // On connections of their own: one that breaks off takes no other with it.
        let client = Client::new(bed.edge.address());
        let large = client.get("/large", &[]).await?;
        assert_eq!(large.body.len(), 100_000);
        assert!(!large.header("cache-status").contains("stored"));
        match (shell, client.get("/broken", &[]).await) {
            (_, Err(_)) => {}
            // workerd may end what has no length as if it were whole, also what it passes on by itself.
            (Shell::Worker, Ok(broken)) => assert_eq!(text(&broken), "half"),
            (Shell::Gateway, Ok(_)) => panic!("a body that breaks off is told as that"),
        }
    }
    assert_eq!(bed.upstream.seen().len(), 4);
    Ok(())
}

async fn an_origin_that_hangs_and_clients_that_ask_too_much_get_an_answer(
    shell: Shell,
) -> Result<()> {
    let upstream = Upstream::start(|seen| async move {
        if seen.target == "/hangs" {
            std::future::pending::<()>().await;
        }
        Reply::new(200, "well")
    })
    .await?;
    let settings = [
        ("ORIGIN__RESPONSE_TIMEOUT_MS", "100"),
        ("HTTP__MAX_BODY_BYTES", "1000"),
        ("HTTP__MAX_HEADER_BYTES", "8192"),
    ];
    let bed = open(shell, upstream, &settings)?;
    assert_eq!(bed.client.get("/hangs", &[]).await?.status, 504);
    let large = serde_json::json!("x".repeat(2000));
    let refused = bed
        .client
        .send(Method::POST, "/", &[], Some(&large))
        .await?;
    assert_eq!(refused.status, 413);
    let long = "y".repeat(20_000);
    assert_eq!(bed.client.get("/", &[("x-long", &long)]).await?.status, 431);
    assert_eq!(text(&bed.client.get("/", &[]).await?), "well");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_come_to_the_point_is_cut_off() -> Result<()> {
    let upstream = Upstream::start(|_| ready(Reply::new(200, "well"))).await?;
    let bed = open(
        Shell::Gateway,
        upstream,
        &[("HTTP__HEADER_TIMEOUT_MS", "50")],
    )?;
    for begun in ["", "PRI * HT", "GET / HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = TcpStream::connect(bed.edge.address()).await?;
        stream.write_all(begun.as_bytes()).await?;
        let mut rest = Vec::new();
        let reading = stream.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_mins(1), reading).await?;
        assert!(
            ended.is_err() || !rest.starts_with(b"HTTP/1.1 200"),
            "{begun:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_spoken_with_those_who_begin_so() -> Result<()> {
    let bed = before(Shell::Gateway, |_| {
        Reply::new(200, "two").with("cache-control", "max-age=60")
    })
    .await?;
    let stream = TcpStream::connect(bed.edge.address()).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Empty<bytes::Bytes>>(
            executor, io,
        )
        .await?;
    let mut running = JoinSet::new();
    running.spawn(connection);
    for status in ["fwd=uri-miss", "hit"] {
        let request = http::Request::get(format!("http://{}/", bed.edge.address()));
        let request = request.body(http_body_util::Empty::new())?;
        let answer = sender.send_request(request).await?;
        assert_eq!(answer.status(), 200);
        let told = answer.headers()["cache-status"].to_str()?.to_owned();
        assert!(told.contains(status), "{told}");
        http_body_util::BodyExt::collect(answer.into_body()).await?;
    }
    assert_eq!(bed.upstream.seen()[0].header("via"), "2 pitchey-edge");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_the_request_in_flight_finish() -> Result<()> {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let upstream = Upstream::start(move |_| {
        let held = held.clone();
        async move {
            let _ = held.acquire().await;
            Reply::new(200, "finished")
        }
    })
    .await?;
    let mut bed = open(Shell::Gateway, upstream, &[])?;
    let client = bed.client.clone();
    let mut asking = JoinSet::new();
    asking.spawn(async move { client.get("/", &[]).await });
    bed.upstream.asked(1).await?;
    bed.gateway().process().request_stop()?;
    while TcpStream::connect(bed.edge.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    let answer = asking.join_next().await.expect("it was asked")??;
    assert_eq!(text(&answer), "finished");
    let ended = block_in_place(|| bed.gateway().process().wait(Duration::from_mins(1)))?;
    assert!(ended.success(), "{ended}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_it_takes_and_what_is_wrong() -> Result<()> {
    let mut report = String::new();
    for arguments in [
        &["--help"][..],
        &[],
        &["--origin", "localhost:80/x"],
        &["--origin", "ftp://example.org"],
        &["--origin", "http://example.org", "--listen", "here"],
        &["--origin", "http://example.org", "--cache", "all"],
        &["--origin", "http://example.org", "--check-config"],
    ] {
        let program = Program::new("pitchey-gateway", "gateway").args(arguments);
        let output = block_in_place(|| program.run(Duration::from_mins(1)))?;
        let code = output.status.code().unwrap_or(-1);
        let _ = writeln!(report, "$ gateway {}", arguments.join(" "));
        let _ = writeln!(report, "{}{}= {code}\n", output.stdout, output.stderr);
    }
    insta::assert_snapshot!(report);
    Ok(())
}
