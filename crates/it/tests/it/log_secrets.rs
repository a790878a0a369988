//! What the origin's process logs when it logs everything: what happened, and no secret.

use crate::client::{Client, PASSWORD, Person};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use pitchey_testkit::{Origin, Program, TestDb};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use tokio_postgres::NoTls;

const WRONG: &str = "wrong-horse-battery-staple";
const NEW: &str = "ninety green bottles hum";
const MOLE: &str = "velvet tunnels underneath";
const SYNOPSIS: &str = "the gardener buried the second will";
const MESSAGE: &str = "my aunt sent me with the sealed letter";
const OFFER: &str = "the consortium wires it from the islands";
const SEARCHED: &str = "unmentionablewhim";
const BUDGET: i64 = 731_902_846_513;
/// What the origin is told by the testkit.
const CURSOR_KEY: &str = "a key for tests, which is long enough";
const DATABASE_PASSWORD: &str = "quinces-in-the-pantry";

/// A run in which much happened.
struct Run {
    /// Everything that the process has printed.
    log: String,
    /// What must not be in it, and what it is.
    secrets: Vec<(String, String)>,
    /// The actions in the audit log.
    audit: BTreeSet<String>,
}

impl Run {
    fn lines(&self) -> Result<Vec<Value>> {
        let lines = self.log.lines();
        lines
            .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
            .collect()
    }
}

/// The forms in which bytes could be told.
fn forms(what: &str, bytes: &[u8], into: &mut Vec<(String, String)>) {
    let mut hex = String::new();
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    let listed: Vec<String> = bytes[..8].iter().map(u8::to_string).collect();
    for (form, text) in [
        ("hex", hex.clone()),
        ("upper-case hex", hex.to_uppercase()),
        ("base64", STANDARD.encode(bytes)),
        ("base64url", URL_SAFE_NO_PAD.encode(bytes)),
        ("a list of numbers", listed.join(", ")),
    ] {
        into.push((format!("{what} as {form}"), text));
    }
}

/// Everything that a session of this person could give away.
async fn of_session(
    client: &Client,
    person: &Person,
    into: &mut Vec<(String, String)>,
) -> Result<()> {
    let (_, token) = person.cookie.split_once('=').context("no value")?;
    let token = URL_SAFE_NO_PAD.decode(token)?;
    ensure!(token.len() == 32);
    forms("a session token", &token, into);
    forms("the hash of a token", &Sha256::digest(&token), into);
    let session = client.read(person, "/api/auth/session").await?.json();
    let csrf = session["session"]["csrf_token"].as_str().context("none")?;
    forms("a CSRF token", &URL_SAFE_NO_PAD.decode(csrf)?, into);
    Ok(())
}

async fn sign_in(client: &Client, name: &str, password: &str) -> Result<Option<Person>> {
    let body = json!({"email": format!("{name}@example.org"), "password": password});
    let answer = client
        .send(Method::POST, "/api/auth/login", &[], Some(&body))
        .await?;
    let cookie = answer.header("set-cookie").split(';').next();
    Ok((answer.status == 200).then(|| Person {
        cookie: cookie.unwrap_or_default().to_owned(),
    }))
}

/// Accounts, their passwords and their sessions. Gives a creator and an investor who are signed in.
async fn accounts(
    client: &Client,
    secrets: &mut Vec<(String, String)>,
) -> Result<(Person, Person)> {
    let creator = client.register("carla", "creator").await?;
    of_session(client, &creator, secrets).await?;
    ensure!(sign_in(client, "carla", WRONG).await?.is_none());
    ensure!(sign_in(client, "nobody", WRONG).await?.is_none());
    let again = sign_in(client, "carla", PASSWORD)
        .await?
        .context("refused")?;
    of_session(client, &again, secrets).await?;
    client
        .read(&again, "/api/auth/sessions")
        .await?
        .expect(200)?;
    client
        .post(&again, "/api/auth/logout", &json!({}))
        .await?
        .expect(204)?;

    let wrong = json!({"current_password": WRONG, "new_password": NEW});
    client
        .post(&creator, "/api/auth/password", &wrong)
        .await?
        .expect(422)?;
    let right = json!({"current_password": PASSWORD, "new_password": NEW});
    let changed = client
        .post(&creator, "/api/auth/password", &right)
        .await?
        .expect(200)?;
    let cookie = changed.header("set-cookie").split(';').next();
    let creator = Person {
        cookie: cookie.context("no cookie")?.to_owned(),
    };
    of_session(client, &creator, secrets).await?;
    let investor = client.register("ivan", "investor").await?;
    of_session(client, &investor, secrets).await?;
    Ok((creator, investor))
}

/// A pitch under an NDA, asked for, granted, and paid for. Gives its address.
async fn deal(client: &Client, creator: &Person, investor: &Person) -> Result<String> {
    let content = json!({
        "title": "The Orchard", "format": "feature", "genres": ["drama"], "logline": "It bears.",
        "visibility": "nda", "full_synopsis": SYNOPSIS,
        "budget": {"amount": BUDGET, "currency": "EUR"},
    });
    let key = [("idempotency-key", "orchard-1")];
    for _ in 0..2 {
        client
            .ask(creator, Method::POST, "/api/pitches", &key, Some(&content))
            .await?
            .expect(201)?;
    }
    let own = client.read(creator, "/api/me/pitches").await?.json();
    let id = own["items"][0]["id"].as_str().context("no pitch")?;
    let pitch = format!("/api/pitches/{id}");
    let any = [("if-match", "*")];
    let step = async |who: &Person, target: String| {
        let none = json!({});
        let done = client.ask(who, Method::POST, &target, &any, Some(&none));
        done.await?.expect(200)
    };
    step(creator, format!("{pitch}/publish")).await?;
    let full = format!("{pitch}/full");
    client.read(investor, &full).await?.expect(403)?;
    let ask = json!({"message": MESSAGE});
    let nda = client
        .post(investor, &format!("{pitch}/ndas"), &ask)
        .await?
        .expect(201)?;
    step(creator, format!("{}/approve", nda.header("location"))).await?;
    let read = client.read(investor, &full).await?.expect(200)?;
    ensure!(read.json()["full_synopsis"] == SYNOPSIS);
    let offer = json!({"amount": {"amount": BUDGET, "currency": "EUR"}, "message": OFFER});
    client
        .post(investor, &format!("{pitch}/interests"), &offer)
        .await?
        .expect(201)?;
    client
        .post(investor, &format!("{pitch}/view"), &json!({}))
        .await?
        .expect(204)?;
    let event = json!({"events": [{"kind": "page.shown", "payload": {"note": MESSAGE}}]});
    client
        .post(investor, "/api/analytics/events", &event)
        .await?
        .expect(204)?;
    Ok(pitch)
}

/// Requests that are refused, some with a secret where none belongs.
async fn refusals(client: &Client, creator: &Person) -> Result<()> {
    for (target, status) in [
        ("/api/users/carla%40example.org", 400),
        ("/api/nope%0A%7B%22level%22:%22ERROR%22%7D", 404),
        ("/api/pitches?genre=opera", 400),
        ("/api/me", 401),
        (&format!("/api/search?q={SEARCHED}"), 200),
        (&format!("/api/search?q={SEARCHED}"), 429),
        (&format!("/api/auth/session?password={WRONG}"), 400),
    ] {
        client.get(target, &[]).await?.expect(status)?;
    }
    let odd = [
        ("user-agent", "a\", \"level\": \"ERROR"),
        ("x-request-id", "no plain id {}"),
        ("authorization", WRONG),
    ];
    client.get("/api/health/live", &odd).await?.expect(200)?;
    let taken = json!({
        "email": "carla@example.org", "username": "carla", "password": MOLE, "role": "creator",
    });
    client
        .send(Method::POST, "/api/auth/register", &[], Some(&taken))
        .await?
        .expect(409)?;
    let unknown = json!({"email": "carla@example.org", "password": MOLE, "secret": WRONG});
    client
        .send(Method::POST, "/api/auth/login", &[], Some(&unknown))
        .await?
        .expect(422)?;
    let foreign = [
        ("origin", "https://evil.example"),
        ("cookie", &creator.cookie),
    ];
    client
        .send(Method::POST, "/api/auth/logout", &foreign, None)
        .await?
        .expect(403)?;
    Ok(())
}

/// Faults of the database, whose messages can quote whole rows.
async fn faults(
    client: &Client,
    database: &tokio_postgres::Client,
    creator: &Person,
    role: &str,
) -> Result<()> {
    database
        .batch_execute(
            "ALTER TABLE users ADD CONSTRAINT no_moles CHECK (username <> 'mole');
             ALTER TABLE pitches ADD CONSTRAINT no_traps CHECK (title <> 'Trap');
             ALTER TABLE sessions ADD CONSTRAINT no_agents CHECK (user_agent <> 'agent');",
        )
        .await?;
    let mole = json!({
        "email": "mole@example.org", "username": "mole", "password": MOLE, "role": "creator",
    });
    client
        .send(Method::POST, "/api/auth/register", &[], Some(&mole))
        .await?
        .expect(500)?;
    let trap = json!({"title": "Trap", "format": "short", "full_synopsis": SYNOPSIS});
    client
        .post(creator, "/api/pitches", &trap)
        .await?
        .expect(500)?;
    let agent = [("user-agent", "agent")];
    let body = json!({"email": "carla@example.org", "password": NEW});
    client
        .send(Method::POST, "/api/auth/login", &agent, Some(&body))
        .await?
        .expect(500)?;
    // The connections end under it, and no new ones are had.
    let close = format!(
        "ALTER ROLE {role} NOLOGIN;
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
    );
    database.batch_execute(&close).await?;
    client.get("/api/pitches", &[]).await?.expect(503)?;
    client.read(creator, "/api/me").await?.expect(503)?;
    Ok(())
}

/// A role of its own, so that its password is one that can be looked for.
async fn connect_as_its_own_role(database: &TestDb) -> Result<(String, String)> {
    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    tokio::spawn(connection);
    let role = format!("{}_origin", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{DATABASE_PASSWORD}'"
        ))
        .await?;
    let (scheme, rest) = database.url().split_once("://").context("no URL")?;
    let rest = rest.split_once('@').map_or(rest, |(_, host)| host);
    Ok((
        format!("{scheme}://{role}:{DATABASE_PASSWORD}@{rest}"),
        role,
    ))
}

/// Runs an origin that logs everything, and does everything that has to do with secrets.
async fn run(filter: &str) -> Result<Run> {
    let database = TestDb::new().await;
    let (url, role) = connect_as_its_own_role(&database).await?;
    let program = Program::origin()
        .env("DATABASE_URL", url)
        .env("PITCHEY_LOG__FILTER", filter)
        .env("PITCHEY_DATABASE__ACQUIRE_TIMEOUT_MS", "500")
        .env("PITCHEY_LIMITS__AUTH", "off")
        .env("PITCHEY_LIMITS__SEARCH", "1 then 1/h");
    let start = tokio::task::spawn_blocking(move || Origin::start_with(&program));
    let mut origin = start.await??;
    let client = Client::new(origin.address());
    let (sql, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    tokio::spawn(connection);

    let mut secrets: Vec<(String, String)> = [
        ("a password", PASSWORD),
        ("a wrong password", WRONG),
        ("a new password", NEW),
        ("the password of a refused account", MOLE),
        ("a hash of a password", "$argon2"),
        ("an e-mail address", "@example.org"),
        ("an e-mail address in a path", "%40example.org"),
        ("a cookie", "__Host-session"),
        ("the key of cursors", CURSOR_KEY),
        ("the password of the database", DATABASE_PASSWORD),
        ("a protected synopsis", SYNOPSIS),
        ("a budget", &BUDGET.to_string()),
        ("the message of an NDA", MESSAGE),
        ("the message of an offer", OFFER),
        ("what somebody searched for", SEARCHED),
    ]
    .map(|(what, text)| (what.to_owned(), text.to_owned()))
    .into();
    let (creator, investor) = accounts(&client, &mut secrets).await?;
    deal(&client, &creator, &investor).await?;
    refusals(&client, &creator).await?;
    for row in sql.query("SELECT password_hash FROM users", &[]).await? {
        let hash: Option<String> = row.get(0);
        let hash = hash.context("an account without a hash")?;
        let parts = hash.rsplit('$').take(2);
        secrets.extend(parts.map(|part| ("salt or hash".to_owned(), part.into())));
    }
    let rows = sql.query("SELECT DISTINCT action FROM audit_log", &[]);
    let audit = rows.await?.iter().map(|row| row.get(0)).collect();
    faults(&client, &sql, &creator, &role).await?;

    tokio::task::spawn_blocking(move || {
        let stopped = origin.stop()?;
        ensure!(stopped.success(), "{stopped}");
        let log = std::fs::read_to_string(origin.process().log_path())?;
        Ok(Run {
            log,
            secrets,
            audit,
        })
    })
    .await?
}

/// The first line with a secret, as much as tells where it comes from.
fn found(log: &str, secret: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains(secret))?;
    Some(line.chars().take(2000).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_any_line_whatever_is_logged() -> Result<()> {
    let run = run("trace").await?;
    let lines = run.lines()?;
    // A log that says nothing has no secrets.
    for level in ["DEBUG", "INFO", "WARN", "ERROR"] {
        assert!(lines.iter().any(|line| line["level"] == level), "{level}");
    }
    for route in [
        "/api/auth/register",
        "/api/auth/login",
        "/api/auth/password",
        "/api/pitches/{id}/full",
    ] {
        assert!(lines.iter().any(|line| line["route"] == route), "{route}");
    }
    let ours = lines.iter().filter(|line| line["level"] == "DEBUG");
    assert!(ours.count() > 20, "too few lines to say anything");
    let told: Vec<String> = run
        .secrets
        .iter()
        .filter_map(|(what, secret)| Some(format!("{what}: {}", found(&run.log, secret)?)))
        .collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_one_json_object_with_its_time_in_utc_whatever_is_sent() -> Result<()> {
    let run = run("debug").await?;
    let lines = run.lines()?;
    assert!(!lines.is_empty());
    for line in &lines {
        let time = line["timestamp"].as_str().context("no time")?;
        ensure!(time.ends_with('Z') && time.contains('T'), "{time}");
        for name in ["level", "target"] {
            ensure!(line[name].is_string(), "{line}");
        }
    }
    let requests = lines.iter().filter(|line| line["target"] == "access");
    for request in requests {
        for name in ["method", "route", "path", "request_id"] {
            ensure!(request[name].is_string(), "{request}");
        }
        for name in ["status", "duration_ms", "bytes"] {
            ensure!(request[name].is_number(), "{request}");
        }
        let id = request["request_id"].as_str().unwrap_or_default();
        ensure!(id.len() == 36, "an id that is not plain is not taken: {id}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_refusals_and_faults_are_told() -> Result<()> {
    let run = run("info").await?;
    let lines = run.lines()?;
    let failed = lines.iter().filter(|line| line["event"] == "login_failed");
    let clients: Vec<&Value> = failed.map(|line| &line["client"]).collect();
    assert_eq!(clients, ["127.0.0.1", "127.0.0.1"]);
    for status in [400, 401, 403, 404, 409, 422, 429, 500, 503] {
        let told = |line: &&Value| line["target"] == "access" && line["status"] == status;
        assert!(lines.iter().any(|line| told(&line)), "{status}");
    }
    let faults = lines.iter().filter(|line| line["level"] == "ERROR");
    let faults: Vec<&str> = faults.filter_map(|line| line["error"].as_str()).collect();
    for constraint in ["no_moles", "no_traps", "no_agents"] {
        assert!(
            faults.iter().any(|fault| fault.contains(constraint)),
            "{faults:?}"
        );
    }
    let outages = lines
        .iter()
        .filter(|line| line["message"] == "the store did not answer");
    assert!(outages.count() > 0);
    insta::assert_debug_snapshot!(run.audit);
    Ok(())
}
