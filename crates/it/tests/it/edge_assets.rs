//! Static files: the gateway's from a folder and from S3, the worker's from R2. One suite for all of them.

use crate::client::{Answer, Client};
use crate::edge_pitchey::SECRET;
use crate::edge_shell::Edge;
use crate::upstream::{Reply, Upstream};
use anyhow::Result;
use http::Method;
use pitchey_testkit::{FaultProxy, Faults, Gateway, R2Server, S3Server, Worker};
use std::future::ready;
use tempfile::TempDir;
use tokio::task::block_in_place;

/// Where files lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Folder,
    S3,
    R2,
}

/// The files of a test.
enum Files {
    Folder(TempDir),
    S3(S3Server),
    R2(R2Server),
}

/// What is dropped first stops first.
struct Bed {
    _edge: Edge,
    upstream: Upstream,
    /// Between the edge and what is no folder.
    between: Option<FaultProxy>,
    files: Files,
    client: Client,
}

impl Files {
    fn put(&self, name: &str, content: &str) -> Result<()> {
        match self {
            Self::Folder(home) => {
                let path = home.path().join("files").join(name);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(path, content)?;
            }
            Self::S3(bucket) => bucket.put(name, content.to_owned()),
            Self::R2(bucket) => bucket.put(name, content.to_owned()),
        }
        Ok(())
    }
}

/// The largest body that is kept in these tests, in bytes.
const LARGEST: usize = 2048;

async fn open(place: Place, files: &[(&str, &str)]) -> Result<Bed> {
    let upstream = Upstream::start(|_| ready(Reply::new(200, "the origin's"))).await?;
    let (there, at) = match place {
        Place::Folder => (Files::Folder(tempfile::tempdir()?), None),
        Place::S3 => {
            let bucket = S3Server::start()?;
            let at = bucket.address();
            (Files::S3(bucket), Some(at))
        }
        Place::R2 => {
            let bucket = R2Server::start()?;
            let at = bucket.address();
            (Files::R2(bucket), Some(at))
        }
    };
    for (name, content) in files {
        there.put(name, content)?;
    }
    let between = at.map(FaultProxy::start).transpose()?;
    let (prefix, mut program) = match place {
        Place::Folder | Place::S3 => ("GATEWAY_", Gateway::program(&upstream.url())),
        Place::R2 => ("WORKER_", Worker::program(&upstream.url())?),
    };
    let mut settings = vec![
        ("PITCHEY__SECRET".to_owned(), SECRET.to_owned()),
        ("LIMITS__CLIENTS".to_owned(), "0".to_owned()),
        ("STORE__LARGEST_BODY_KIB".to_owned(), "2".to_owned()),
    ];
    let mut tell = |name: &str, value: &str| settings.push((name.to_owned(), value.to_owned()));
    match (&there, &between) {
        (Files::Folder(home), _) => {
            let path = home.path().join("files");
            tell("ASSETS__DIRECTORY", &path.to_string_lossy());
        }
        (Files::S3(_), Some(between)) => {
            let endpoint = format!("http://{}", between.address());
            tell("ASSETS__S3__ENDPOINT", &endpoint);
            tell("ASSETS__S3__TIMEOUT_MS", "1000");
            for (name, value) in S3Server::settings() {
                tell(&format!("ASSETS__S3__{name}"), value);
            }
        }
        (_, Some(between)) => {
            program = program.arg(format!("--external-addr=assets={}", between.address()));
            tell("ASSETS__ENABLED", "true");
            tell("ASSETS__TIMEOUT_MS", "1000");
        }
        (_, None) => {}
    }
    if place != Place::R2 {
        program = program.arg("--pitchey");
        // There is no Redis in these tests.
        tell("PITCHEY__REDIS_URL", "redis://127.0.0.1:9");
    }
    for (name, value) in settings {
        program = program.env(&format!("{prefix}{name}"), value);
    }
    let edge = block_in_place(|| match place {
        Place::R2 => Worker::start(&program).map(Edge::Worker),
        Place::Folder | Place::S3 => Gateway::start(&program).map(Edge::Gateway),
    })?;
    Ok(Bed {
        client: Client::new(edge.address()),
        _edge: edge,
        upstream,
        between,
        files: there,
    })
}

impl Bed {
    async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.client.get(target, headers).await
    }

    /// The origin was asked for none of them; how it is, it may have been asked.
    fn asked_nobody_else(&self) {
        let seen = self.upstream.seen();
        let mut files = seen.iter().map(|seen| &*seen.target);
        assert_eq!(files.find(|target| target.starts_with("/assets")), None);
    }
}

fn told(answer: &Answer) -> (u16, String, &str, &str) {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let coding = answer.header("content-encoding");
    (answer.status, text, coding, answer.header("cache-control"))
}

const FOR_GOOD: &str = "public, max-age=31536000, immutable";

async fn a_file_comes_in_the_coding_that_the_client_likes_best(place: Place) -> Result<()> {
    const SCRIPT: &str = "/assets/app-5DW4GQ3H.js";
    let bed = open(
        place,
        &[
            ("app-5DW4GQ3H.js", "plain"),
            ("app-5DW4GQ3H.js.br", "as brotli"),
            ("app-5DW4GQ3H.js.zst", "as zstd"),
            ("app-5DW4GQ3H.js.gz", "as gzip"),
            ("fonts/one.woff2", "a font"),
        ],
    )
    .await?;
    let mut tags = Vec::new();
    for (accepted, text, coding) in [
        ("gzip, deflate, br, zstd", "as brotli", "br"),
        ("gzip, zstd", "as zstd", "zstd"),
        ("br;q=0.2, gzip;q=0.9", "as gzip", "gzip"),
        ("identity", "plain", ""),
    ] {
        for (query, cached) in [("", "fwd="), ("", "hit"), ("?v=2", "hit")] {
            let headers = [("accept-encoding", accepted)];
            let answer = bed.get(&format!("{SCRIPT}{query}"), &headers).await?;
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
    // Nobody can make it ask for what is fresh.
    let headers = [
        ("accept-encoding", "identity"),
        ("cache-control", "no-cache"),
    ];
    let answer = bed.get(SCRIPT, &headers).await?;
    let said = answer.header("cache-status");
    assert!(said.contains("hit"), "{said}");
    tags.dedup();
    assert_eq!(tags.len(), 4, "each coding has a tag of its own: {tags:?}");
    let font = bed.get("/assets/fonts/one.woff2", &[]).await?;
    assert_eq!(font.header("content-type"), "font/woff2");
    bed.asked_nobody_else();
    Ok(())
}

async fn parts_and_tags_are_understood_and_what_changes_is_seen_at_once(
    place: Place,
) -> Result<()> {
    let bed = open(place, &[("site.css", "body { color: red }")]).await?;
    let whole = bed.get("/assets/site.css", &[]).await?.expect(200)?;
    assert_eq!(
        whole.header("cache-control"),
        "public, max-age=0, stale-if-error=604800"
    );
    let tag = whole.header("etag").to_owned();
    let again = bed.get("/assets/site.css", &[]).await?.expect(200)?;
    let said = again.header("cache-status");
    assert!(said.contains("fwd=stale; fwd-status=304"), "{said}");
    assert_eq!(again.body, whole.body);
    let part = bed
        .get("/assets/site.css", &[("range", "bytes=0-3")])
        .await?;
    let said = (part.status, &*part.body, part.header("content-range"));
    assert_eq!(said, (206, &b"body"[..], "bytes 0-3/19"));
    let known = bed
        .get("/assets/site.css", &[("if-none-match", &tag)])
        .await?;
    assert_eq!((known.status, known.body.len()), (304, 0));
    let head = bed
        .client
        .send(Method::HEAD, "/assets/site.css", &[], None)
        .await?;
    assert_eq!((head.status, head.header("content-length")), (200, "19"));

    bed.files.put("site.css", "body { color: green }")?;
    let new = bed
        .get("/assets/site.css", &[("if-none-match", &tag)])
        .await?;
    assert_eq!(told(&new).1, "body { color: green }");
    assert_ne!(new.header("etag"), tag);
    bed.asked_nobody_else();
    Ok(())
}

async fn nothing_but_the_files_are_read(place: Place) -> Result<()> {
    let bed = open(
        place,
        &[("a.txt", "a"), (".hidden", "no"), ("folder/b.txt", "b")],
    )
    .await?;
    if let Files::Folder(home) = &bed.files {
        std::fs::write(home.path().join("secret"), "no")?;
    }
    for path in [
        "/assets/",
        "/assets/missing.txt",
        "/assets/folder",
        "/assets/a.txt/b",
        "/assets/.hidden",
        "/assets/%2e%2e/secret",
        "/assets/folder/%2e%2e/%2e%2e/secret",
        "/assets/..%2fsecret",
        "/assets/a.txt%00",
    ] {
        let answer = bed.get(path, &[]).await?;
        let said = (answer.status, answer.header("cache-control"));
        assert_eq!(said, (404, "no-store"), "{path}");
        assert_eq!(answer.json()["status"], 404, "{path}");
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
    bed.files.put("missing.txt", "there now")?;
    let answer = bed.get("/assets/missing.txt", &[]).await?;
    assert_eq!(told(&answer).1, "there now");
    bed.asked_nobody_else();
    Ok(())
}

async fn what_is_too_large_to_be_kept_is_passed_on_in_whole_and_in_parts(
    place: Place,
) -> Result<()> {
    let long: String = ('a'..='z').cycle().take(3 * LARGEST).collect();
    let bed = open(place, &[("film-5DW4GQ3H.mp4", &long)]).await?;
    let film = "/assets/film-5DW4GQ3H.mp4";
    for _ in 0..2 {
        let whole = bed.get(film, &[]).await?.expect(200)?;
        let said = whole.header("cache-status").to_owned();
        assert!(said.contains("fwd=") && !said.contains("stored"), "{said}");
        assert_eq!(
            (
                whole.header("accept-ranges"),
                whole.header("content-length")
            ),
            ("bytes", "6144")
        );
        assert_eq!(whole.body, long.as_bytes());
    }
    let part = bed.get(film, &[("range", "bytes=3000-5999")]).await?;
    assert_eq!(
        (part.status, part.header("content-range")),
        (206, "bytes 3000-5999/6144")
    );
    assert_eq!(part.body, &long.as_bytes()[3000..6000]);
    let end = bed.get(film, &[("range", "bytes=-10")]).await?;
    assert_eq!(
        (end.status, end.body),
        (206, long[6134..].to_owned().into())
    );
    let outside = bed.get(film, &[("range", "bytes=6144-")]).await?;
    assert_eq!(
        (outside.status, outside.header("content-range")),
        (416, "bytes */6144")
    );
    let other = [("range", "bytes=0-9"), ("if-range", "\"another\"")];
    assert_eq!(bed.get(film, &other).await?.status, 200);
    Ok(())
}

async fn a_store_that_fails_is_stood_in_for_as_long_as_the_rules_allow(place: Place) -> Result<()> {
    let files = [
        ("app-5DW4GQ3H.js", "for good"),
        ("a.css", "for now"),
        ("b.css", "b"),
    ];
    let bed = open(place, &files).await?;
    let between = bed.between.as_ref().expect("it is no folder");
    for name in ["app-5DW4GQ3H.js", "a.css"] {
        bed.get(&format!("/assets/{name}"), &[])
            .await?
            .expect(200)?;
    }
    for (faults, status) in [(None, 502), (Some(Faults::hung()), 504)] {
        match faults {
            None => between.cut(),
            Some(faults) => between.set(faults),
        }
        let kept = bed.get("/assets/app-5DW4GQ3H.js", &[]).await?.expect(200)?;
        assert!(
            kept.header("cache-status").contains("hit"),
            "{:?}",
            kept.headers
        );
        let stale = bed.get("/assets/a.css", &[]).await?.expect(200)?;
        assert_eq!(told(&stale).1, "for now");
        let none = bed.get("/assets/b.css", &[]).await?;
        assert_eq!(
            (none.status, none.header("cache-control")),
            (status, "no-store")
        );
        between.heal();
    }
    bed.files.put("a.css", "for later")?;
    let new = bed.get("/assets/a.css", &[]).await?.expect(200)?;
    assert_eq!(told(&new).1, "for later");
    bed.asked_nobody_else();
    Ok(())
}

macro_rules! in_each_place {
    ($($module:ident in $place:ident { $($test:ident,)+ })+) => {
        $(mod $module {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $test() -> anyhow::Result<()> {
                    let place = super::Place::$place;
                    if place == super::Place::R2 && !pitchey_testkit::Worker::is_there() {
                        return Ok(());
                    }
                    super::$test(place).await
                }
            )+
        })+
    };
}

in_each_place! {
    folder in Folder {
    a_file_comes_in_the_coding_that_the_client_likes_best,
    parts_and_tags_are_understood_and_what_changes_is_seen_at_once,
    nothing_but_the_files_are_read,
    what_is_too_large_to_be_kept_is_passed_on_in_whole_and_in_parts,
    }
    s3 in S3 {
    a_file_comes_in_the_coding_that_the_client_likes_best,
    parts_and_tags_are_understood_and_what_changes_is_seen_at_once,
    nothing_but_the_files_are_read,
    what_is_too_large_to_be_kept_is_passed_on_in_whole_and_in_parts,
    a_store_that_fails_is_stood_in_for_as_long_as_the_rules_allow,
    }
    r2 in R2 {
    a_file_comes_in_the_coding_that_the_client_likes_best,
    parts_and_tags_are_understood_and_what_changes_is_seen_at_once,
    nothing_but_the_files_are_read,
    what_is_too_large_to_be_kept_is_passed_on_in_whole_and_in_parts,
    a_store_that_fails_is_stood_in_for_as_long_as_the_rules_allow,
    }
}
