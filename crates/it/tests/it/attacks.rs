//! Attacks that a real database has to be there for.

use crate::origin::Origin;
use anyhow::{Context as _, Result};
use http::Method;
use pitchey_testkit::TestDb;
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio_postgres::NoTls;

/// Texts that would mean something to PostgreSQL if they became part of a statement or of a pattern.
const STATEMENTS: [&str; 8] = [
    "'; DROP TABLE pitches; --",
    "' OR '1'='1",
    "\\'; SELECT pg_sleep(10); --",
    "$$; TRUNCATE users CASCADE; $$",
    "%' OR title LIKE '%",
    "1; COPY users TO PROGRAM 'id' --",
    "a:* & b | !c <-> 'd'",
    "((((\"",
];

/// As part of an address.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        let _ = write!(escaped, "%{byte:02x}");
        escaped
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_sql_is_text() -> Result<()> {
    let database = TestDb::new().await;
    let limits = [("PITCHEY_LIMITS__AUTH", "off")];
    let origin = Origin::start_with(database.url(), &limits).await?;
    let client = origin.client.clone();
    let creator = client.register("carla", "creator").await?;
    for text in STATEMENTS {
        let content = json!({
            "title": text, "format": "short", "logline": text, "synopsis": text, "full_synopsis": text,
            "genres": ["drama"], "cast": [text],
        });
        let made = client
            .post(&creator, "/api/pitches", &content)
            .await?
            .expect(201)?;
        let path = made.header("location").to_owned();
        let any = [("if-match", "*")];
        let publish = format!("{path}/publish");
        let published = client.ask(&creator, Method::POST, &publish, &any, None);
        published.await?.expect(200)?;
        let read = client.get(&path, &[]).await?.expect(200)?.json();
        for name in ["title", "logline", "synopsis"] {
            assert_eq!(read[name], text, "{name}");
        }
        let profile = json!({"display_name": text, "bio": text, "company": text});
        let changed = client.ask(&creator, Method::PATCH, "/api/me", &any, Some(&profile));
        assert_eq!(changed.await?.expect(200)?.json()["display_name"], text);

        let text = escaped(text);
        client
            .get(&format!("/api/search?q={text}"), &[])
            .await?
            .expect(200)?;
        for target in [
            format!("/api/pitches?genre={text}"),
            format!("/api/pitches?sort={text}"),
            format!("/api/pitches?creator={text}"),
            format!("/api/pitches?fields={text}"),
            format!("/api/pitches?cursor={text}"),
            format!("/api/pitches/{text}"),
            format!("/api/users/{text}"),
        ] {
            client.get(&target, &[]).await?.expect(400)?;
        }
    }
    let body = json!({"email": "' OR 1=1 --@example.org", "password": "' OR '1'='1"});
    let login = client.send(Method::POST, "/api/auth/login", &[], Some(&body));
    login.await?.expect(422)?;
    let own = client.read(&creator, "/api/me/pitches").await?.json();
    let items = own["items"].as_array().map(Vec::len);
    assert_eq!(items, Some(STATEMENTS.len()), "everything is still there");
    origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_has_no_account_at_all() -> Result<()> {
    let database = TestDb::new().await;
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    let connection = tokio::spawn(connection);
    for table in ["users", "sessions"] {
        let count = format!("SELECT count(*) FROM {table}");
        let row = client.query_one(&count, &[]).await?;
        assert_eq!(row.get::<_, i64>(0), 0, "{table}");
    }
    drop(client);
    connection.await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_passwords_and_sessions_only_hashes_are_stored() -> Result<()> {
    let database = TestDb::new().await;
    let origin = Origin::start(database.url()).await?;
    let creator = origin.client.register("carla", "creator").await?;
    let (_, token) = creator.cookie.split_once('=').context("no value")?;
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    let connection = tokio::spawn(connection);
    let user = client
        .query_one(
            "SELECT password_hash, to_jsonb(users)::text FROM users",
            &[],
        )
        .await?;
    let (hash, all): (String, String) = (user.get(0), user.get(1));
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
        "{hash}"
    );
    assert!(!all.contains(crate::client::PASSWORD));
    let session = "SELECT octet_length(token_hash), to_jsonb(sessions)::text FROM sessions";
    let session = client.query_one(session, &[]).await?;
    let (length, all): (i32, String) = (session.get(0), session.get(1));
    assert_eq!(length, 32);
    assert!(!all.contains(token));
    let all: Value = serde_json::from_str(&all)?;
    assert!(all["token_hash"].is_string());
    drop(client);
    connection.await??;
    origin.stop().await
}
