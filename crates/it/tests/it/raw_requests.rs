//! What a socket can send that a client library would not: the server answers, and lives.

use crate::origin::Origin;
use anyhow::Result;
use pitchey_testkit::TestDb;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Sends bytes and gives back the status line and the kind of problem.
async fn send(origin: &Origin, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(origin.address).await?;
    // The server may answer and close before it has taken everything: what it said is read all the same.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .split_whitespace()
        .nth(1)
        .unwrap_or("closed")
        .to_owned();
    let kind = answer
        .split("/problems/")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    Ok(format!("{status} {}", kind.unwrap_or("-")))
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_get_an_answer_and_the_server_lives() -> Result<()> {
    let database = TestDb::new().await;
    let origin = Origin::start(database.url()).await?;
    let get = |target: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").into_bytes()
    };
    let long = |n: usize| get(&format!("/api/pitches?genre={}", "x".repeat(n)));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a NUL in the target", get("/api/pitches?genre=a\0b")),
        ("a NUL, escaped", get("/api/pitches?genre=a%00b")),
        ("a NUL, escaped, in an id", get("/api/pitches/%00")),
        ("a NUL in a header", b"GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\nconnection: close\r\n\r\n".to_vec()),
        ("bytes that are not UTF-8", get("/api/search?q=%ff%fe")),
        ("raw bytes above ASCII", b"GET /api/search?q=\xff HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()),
        ("an address of 4,200 bytes", long(4_200)),
        ("an address of 60,000 bytes", long(60_000)),
        ("an address of 200,000 bytes", long(200_000)),
        ("a method that is none", b"FETCH /api/pitches HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()),
        ("DELETE on a list", b"DELETE /api/pitches HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()),
        ("CONNECT", b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()),
        ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_vec()),
        ("an absolute address", get("http://x/api/health/live")),
        ("dots in the path", get("/api/../api/pitches/../../etc/passwd")),
        ("a body on a GET", b"GET /api/health/live HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc".to_vec()),
        ("a body that is too large", b"POST /api/pitches HTTP/1.1\r\nhost: x\r\ncontent-length: 70000\r\nconnection: close\r\n\r\n".to_vec()),
        ("two lengths", b"POST /api/pitches HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabc".to_vec()),
        ("a length and chunks", b"POST /api/pitches HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n".to_vec()),
        ("no HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n".to_vec()),
    ];
    let mut report = String::new();
    for (name, bytes) in cases {
        let _ = writeln!(report, "{name}: {}", send(&origin, &bytes).await?);
        assert_eq!(
            origin.get("/api/health/live").await?.status,
            200,
            "after {name}"
        );
    }
    insta::assert_snapshot!(report);
    origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn browsing_by_genre_over_http_gives_every_film_once_and_then_304() -> Result<()> {
    let database = TestDb::new().await;
    let fill = "INSERT INTO users (id, username, role, display_name) VALUES (gen_random_uuid(), 'ann', 'creator', 'Ann');
        INSERT INTO pitches (id, creator_id, title, genres, format, stage, status, published_at)
        SELECT gen_random_uuid(), (SELECT id FROM users), 'Film ' || n,
               CASE n % 2 WHEN 0 THEN '{western}'::text[] ELSE '{noir,western}' END,
               'feature', 'script', 'published', now() - (n / 7) * interval '1 hour'
        FROM generate_series(1, 250) n";
    let url = database.url().to_owned();
    tokio::task::spawn_blocking(move || pitchey_testkit::postgres_server::execute(&url, fill))
        .await??;
    let origin = Origin::start(database.url()).await?;
    for (genre, expected) in [("western", 250), ("noir", 125)] {
        let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), String::new());
        loop {
            let page = origin
                .get(&format!("/api/pitches?genre={genre}&limit=40{cursor}"))
                .await?
                .json();
            for item in page["items"].as_array().into_iter().flatten() {
                assert!(seen.insert(item["id"].to_string()), "a film came twice");
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
            assert!(seen.len() <= expected, "pages go on for ever");
        }
        assert_eq!(seen.len(), expected, "{genre}");
    }
    let first = origin.get("/api/pitches?limit=1").await?;
    let again = origin
        .get_with(
            "/api/pitches?limit=1",
            &[("if-none-match", first.header("etag"))],
        )
        .await?;
    assert_eq!((again.status, again.body.len()), (304, 0));
    origin.stop().await
}
