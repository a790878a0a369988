//! What the gateway keeps of any site, coded for clients that take it. On Workers Cloudflare does that itself.

use crate::client::{Answer, Client};
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result};
use http::Method;
use pitchey_testkit::Gateway;
use std::future::ready;
use std::io::Read as _;
use tokio::task::block_in_place;

/// An origin that codes nothing, and the gateway in front of it.
async fn open(settings: &[(&str, &str)]) -> Result<(Gateway, Client, Upstream)> {
    let upstream = Upstream::start(|seen| {
        let cache = match &*seen.target {
            "/no-transform" => "max-age=60, no-transform",
            _ => "max-age=60",
        };
        let reply = Reply::new(200, text())
            .with("content-type", "text/plain")
            .with("cache-control", cache)
            .with("etag", "\"a\"");
        ready(reply)
    })
    .await?;
    let program = Gateway::program(&upstream.url());
    let program = settings
        .iter()
        .fold(program, |program, (name, value)| program.env(name, value));
    let gateway = block_in_place(|| Gateway::start(&program))?;
    let client = Client::new(gateway.address());
    for target in ["/", "/no-transform"] {
        client.get(target, &[]).await?.expect(200)?;
    }
    Ok((gateway, client, upstream))
}

/// Long enough to be coded aside.
fn text() -> String {
    "line after line, much like the others\n".repeat(2_000)
}

fn decoded(answer: &Answer) -> Result<String> {
    let mut out = String::new();
    let body = &*answer.body;
    match answer.header("content-encoding") {
        "br" => brotli::Decompressor::new(body, 4096).read_to_string(&mut out)?,
        "gzip" => flate2::read::GzDecoder::new(body).read_to_string(&mut out)?,
        _ => (&mut { body }).read_to_string(&mut out)?,
    };
    Ok(out)
}

fn told(answer: &Answer) -> [&str; 4] {
    ["content-encoding", "etag", "vary", "accept-ranges"].map(|name| answer.header(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_is_kept_comes_in_the_coding_that_a_client_takes() -> Result<()> {
    let (_gateway, client, upstream) = open(&[]).await?;
    let whole = text();
    for (accepted, coding) in [("gzip, br", "br"), ("gzip", "gzip"), ("br", "br")] {
        let headers = [("accept-encoding", accepted)];
        let answer = client.get("/", &headers).await?.expect(200)?;
        assert_eq!(told(&answer), [coding, "W/\"a\"", "accept-encoding", ""]);
        assert!(answer.body.len() < whole.len() / 2, "{}", answer.body.len());
        assert_eq!(decoded(&answer)?, whole);
        let head = client.send(Method::HEAD, "/", &headers, None).await?;
        let length: usize = head.header("content-length").parse()?;
        assert_eq!((told(&head), length), (told(&answer), answer.body.len()));
    }
    let plain = client.get("/", &[]).await?.expect(200)?;
    assert_eq!(told(&plain)[..3], ["", "\"a\"", "accept-encoding"]);
    assert_eq!(decoded(&plain)?, whole);

    // A part is of the plain one, and not for who has the beginning of a coded one.
    let part = [("accept-encoding", "br"), ("range", "bytes=0-3")];
    let answer = client.get("/", &part).await?.expect(206)?;
    assert_eq!((told(&answer)[0], &*answer.body), ("", &b"line"[..]));
    let rest = [part[0], part[1], ("if-range", "W/\"a\"")];
    let answer = client.get("/", &rest).await?.expect(200)?;
    assert_eq!(decoded(&answer)?, whole);

    // Each copy stays what it is.
    for tag in ["\"a\"", "W/\"a\""] {
        let headers = [("accept-encoding", "br"), ("if-none-match", tag)];
        let unchanged = client.get("/", &headers).await?.expect(304)?;
        assert_eq!(unchanged.header("etag"), tag);
    }
    assert_eq!(upstream.seen().len(), 2, "all of it is from what is kept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_coded_where_somebody_says_so() -> Result<()> {
    let (_gateway, client, _upstream) = open(&[]).await?;
    let coded = ("accept-encoding", "br");
    let of_origin = client.get("/no-transform", &[coded]).await?.expect(200)?;
    let of_client = [coded, ("cache-control", "no-transform")];
    let of_client = client.get("/", &of_client).await?.expect(200)?;
    let (_other, client, _upstream) = open(&[("GATEWAY_STORE__COMPRESS", "false")]).await?;
    let of_operator = client.get("/", &[coded]).await?.expect(200)?;
    for answer in [of_origin, of_client, of_operator] {
        assert_eq!(told(&answer)[..2], ["", "\"a\""]);
        let body = String::from_utf8(answer.body).context("it is coded")?;
        assert_eq!(body, text());
    }
    Ok(())
}
