//! Static files from the gateway's folder.

use crate::client::{Answer, Client};
use crate::edge_pitchey::SECRET;
use crate::upstream::{Reply, Upstream};
use anyhow::Result;
use http::Method;
use pitchey_testkit::Gateway;
use std::future::ready;
use std::path::Path;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// What is dropped first stops first.
struct Bed {
    _gateway: Gateway,
    upstream: Upstream,
    home: TempDir,
    client: Client,
}

async fn open(files: &[(&str, &str)]) -> Result<Bed> {
    let home = tempfile::tempdir()?;
    for (name, content) in files {
        write(home.path(), name, content)?;
    }
    let upstream = Upstream::start(|_| ready(Reply::new(200, "the origin's"))).await?;
    let program = Gateway::program(&upstream.url())
        .args(["--pitchey"])
        .env("GATEWAY_PITCHEY__SECRET", SECRET)
        // There is no Redis in these tests.
        .env("GATEWAY_PITCHEY__REDIS_URL", "redis://127.0.0.1:9")
        .env("GATEWAY_ASSETS__DIRECTORY", home.path().join("files"));
    let gateway = block_in_place(|| Gateway::start(&program))?;
    Ok(Bed {
        client: Client::new(gateway.address()),
        _gateway: gateway,
        upstream,
        home,
    })
}

impl Bed {
    /// The origin was asked for none of them; how it is, it may have been asked.
    fn asked_nobody_else(&self) {
        let seen = self.upstream.seen();
        let mut files = seen.iter().map(|seen| &*seen.target);
        assert_eq!(files.find(|target| target.starts_with("/assets")), None);
    }
}

fn write(home: &Path, name: &str, content: &str) -> Result<()> {
    let path = home.join("files").join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    Ok(std::fs::write(path, content)?)
}

fn told(answer: &Answer) -> (u16, String, &str, &str) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let coding = answer.header("content-encoding");
    (answer.status, text, coding, answer.header("cache-control"))
}

const FOR_GOOD: &str = "public, max-age=31536000, immutable";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_in_the_coding_that_the_client_likes_best() -> Result<()> {
    const SCRIPT: &str = "/assets/app-5DW4GQ3H.js";
    let bed = open(&[
        ("app-5DW4GQ3H.js", "plain"),
        ("app-5DW4GQ3H.js.br", "as brotli"),
        ("app-5DW4GQ3H.js.zst", "as zstd"),
        ("app-5DW4GQ3H.js.gz", "as gzip"),
        ("fonts/one.woff2", "a font"),
    ])
    .await?;
    let mut tags = Vec::new();
    for (accepted, text, coding) in [
        ("gzip, deflate, br, zstd", "as brotli", "br"),
        ("gzip, zstd", "as zstd", "zstd"),
        ("br;q=0.2, gzip;q=0.9", "as gzip", "gzip"),
        ("identity", "plain", ""),
    ] {
        for cached in ["fwd=", "hit"] {
            let headers = [("accept-encoding", accepted)];
            let answer = bed.client.get(SCRIPT, &headers).await?;
            assert_eq!(told(&answer), (200, text.to_owned(), coding, FOR_GOOD));
            let said = answer.header("cache-status");
            assert!(said.contains(cached), "{accepted}: {said}");
            assert_eq!(
                answer.header("content-type"),
                "text/javascript; charset=utf-8"
            );
            assert_eq!(answer.header("vary"), "accept-encoding");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            tags.push(answer.header("etag").to_owned());
        }
    }
    tags.dedup();
    assert_eq!(tags.len(), 4, "each coding has a tag of its own: {tags:?}");
    let font = bed.client.get("/assets/fonts/one.woff2", &[]).await?;
    assert_eq!(font.header("content-type"), "font/woff2");
    bed.asked_nobody_else();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_and_tags_are_understood_and_what_changes_is_seen_at_once() -> Result<()> {
    let bed = open(&[("site.css", "body { color: red }")]).await?;
    let whole = bed.client.get("/assets/site.css", &[]).await?.expect(200)?;
    assert_eq!(whole.header("cache-control"), "public, no-cache");
    let tag = whole.header("etag").to_owned();
    let again = bed.client.get("/assets/site.css", &[]).await?.expect(200)?;
    let said = again.header("cache-status");
    assert!(said.contains("fwd=stale; fwd-status=304"), "{said}");
    assert_eq!(again.body, whole.body);
    let part = bed
        .client
        .get("/assets/site.css", &[("range", "bytes=0-3")])
        .await?;
    let said = (part.status, &*part.body, part.header("content-range"));
    assert_eq!(said, (206, &b"body"[..], "bytes 0-3/19"));
    let known = bed
        .client
        .get("/assets/site.css", &[("if-none-match", &tag)])
        .await?;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let head = bed
        .client
        .send(Method::HEAD, "/assets/site.css", &[], None)
        .await?;
    assert_eq!((head.status, head.header("content-length")), (200, "19"));

    write(bed.home.path(), "site.css", "body { color: green }")?;
    let new = bed
        .client
        .get("/assets/site.css", &[("if-none-match", &tag)])
        .await?;
    assert_eq!(told(&new).1, "body { color: green }");
    assert_ne!(new.header("etag"), tag);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_the_files_of_the_folder_is_read() -> Result<()> {
    let bed = open(&[("a.txt", "a"), (".hidden", "no"), ("folder/b.txt", "b")]).await?;
    std::fs::write(bed.home.path().join("secret"), "no")?;
    for path in [
        "/assets/",
        "/assets/missing.txt",
        "/assets/folder",
        "/assets/.hidden",
        "/assets/%2e%2e/secret",
        "/assets/folder/%2e%2e/%2e%2e/secret",
        "/assets/..%2fsecret",
        "/assets/a.txt%00",
    ] {
        let answer = bed.client.get(path, &[]).await?;
        let said = (answer.status, answer.header("cache-control"));
        assert_eq!(said, (404, "no-store"), "{path}");
    }
    let refused = bed
        .client
        .send(Method::POST, "/assets/a.txt", &[], None)
        .await?;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, "GET, HEAD")
    );
    // What was missing may come.
    write(bed.home.path(), "missing.txt", "there now")?;
    let answer = bed.client.get("/assets/missing.txt", &[]).await?;
    assert_eq!(told(&answer).1, "there now");
    bed.asked_nobody_else();
    Ok(())
}
