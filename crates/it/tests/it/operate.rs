//! What operators do by `pitchey`: administrators, accounts, sessions, pitches, the outbox and the audit log.

use anyhow::{Context as _, Result};
use clap::Parser as _;
use pitchey_passwords::{Memory, Parameters};
use pitchey_testkit::native::Output;
use pitchey_testkit::postgres_server::{execute, query_bool};
use pitchey_testkit::{Program, TestDb, wait};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;
use tokio_postgres::NoTls;

const PATIENCE: Duration = Duration::from_secs(30);

const ANN: &str = "00000000-0000-7000-8000-00000000000a";
const BEA: &str = "00000000-0000-7000-8000-00000000000b";
const NOBODY: &str = "00000000-0000-7000-8000-00000000000f";
const PITCH: &str = "00000000-0000-7000-8000-0000000000a1";
const DRAFT: &str = "00000000-0000-7000-8000-0000000000a2";
const SESSIONS: [&str; 2] = [
    "00000000-0000-7000-8000-0000000000b1",
    "00000000-0000-7000-8000-0000000000b2",
];

/// Ann with two pitches and two sessions, and Bea, who was imported and clears the screen.
async fn site() -> Result<TestDb> {
    let database = TestDb::new().await;
    execute(
        database.url(),
        &format!(
            "INSERT INTO users (id, username, email, password_hash, role, display_name, created_at)
             VALUES ('{ANN}', 'ann', 'ann@example.org', 'x', 'creator', 'Ann Archer', '2026-01-02 03:04:05Z'),
                    ('{BEA}', 'bea', NULL, NULL, 'investor', E'Bea\\x1b[2J\\u009b31m', '2026-01-02 03:04:05Z');
             INSERT INTO pitches (id, creator_id, title, logline, genres, format, stage, status, published_at)
             VALUES ('{PITCH}', '{ANN}', E'The\\x1b]0;x\\x07 Heist', 'L', '{{drama}}', 'feature', 'script', 'published', now()),
                    ('{DRAFT}', '{ANN}', 'Draft', 'L', '{{drama}}', 'feature', 'script', 'draft', NULL);
             INSERT INTO sessions (id, user_id, token_hash, user_agent, ip, created_at, last_seen_at, idle_expires_at, expires_at)
             SELECT id::uuid, '{ANN}', sha256(id::bytea), E'curl\\x1b[31m', '192.0.2.1', now(), now(),
                    now() + interval '1 day', now() + interval '30 days'
             FROM unnest(ARRAY['{}', '{}']) AS id",
            SESSIONS[0], SESSIONS[1]
        ),
    )?;
    Ok(database)
}

/// Runs the command line as the program does; gives what it prints.
async fn text(database: &TestDb, arguments: &[&str]) -> Result<String> {
    let head = ["pitchey", "--database-url", database.url()];
    let cli = pitchey_ops::Cli::try_parse_from(head.iter().chain(arguments))?;
    let mut out = Vec::new();
    let code = pitchey_ops::run(cli, &mut out).await?;
    assert_eq!(code, ExitCode::SUCCESS);
    let text = String::from_utf8(out)?;
    let steers = |c: char| c != '\n' && c.is_control();
    assert!(!text.contains(steers), "it steers the terminal: {text:?}");
    Ok(text)
}

async fn json(database: &TestDb, arguments: &[&str]) -> Result<Value> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let text = text(database, &arguments).await?;
    serde_json::from_str(&text).with_context(|| format!("not JSON: {text}"))
}

/// The same with the name of an operator.
async fn by_olga(database: &TestDb, arguments: &[&str]) -> Result<Value> {
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--operator", "olga"])
        .collect();
    json(database, &arguments).await
}

async fn failure(database: &TestDb, arguments: &[&str]) -> Result<String> {
    match text(database, arguments).await {
        Ok(text) => anyhow::bail!("it went well: {text}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

/// The program itself, without a terminal.
async fn program(database: &TestDb, arguments: &[&str], input: &str) -> Result<Output> {
    let program = Program::pitchey()
        .args(arguments)
        .env("DATABASE_URL", database.url())
        .env("USER", "olga")
        .stdin(input);
    tokio::task::spawn_blocking(move || program.run(PATIENCE)).await?
}

fn holds(database: &TestDb, condition: &str) -> Result<()> {
    assert!(
        query_bool(database.url(), &format!("SELECT {condition}"))?,
        "{condition}"
    );
    Ok(())
}

/// The audit log as `action subject detail`.
async fn audit(database: &TestDb) -> Result<Vec<String>> {
    let entries = json(database, &["audit", "tail"]).await?;
    let entries = entries.as_array().context("entries")?;
    let of = |entry: &Value, key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let line = |entry| format!("{} {}", of(entry, "action"), of(entry, "subject"));
    Ok(entries
        .iter()
        .map(|entry| format!("{} {}", line(entry), entry["detail"]))
        .collect())
}

#[tokio::test]
async fn accounts_are_listed_page_by_page_and_by_what_they_are() -> Result<()> {
    let database = site().await?;
    let first = json(&database, &["users", "list", "--limit", "1"]).await?;
    assert_eq!(first["users"][0]["username"], "bea");
    assert_eq!(first["users"][0]["email"], Value::Null);
    assert_eq!(first["next"], BEA);
    let second = ["users", "list", "--limit", "1", "--after", BEA];
    let second = json(&database, &second).await?;
    assert_eq!(second["users"][0]["id"], ANN);
    assert_eq!(second["next"], Value::Null);

    let listed = async |arguments: &[&str]| {
        let page = json(&database, &[&["users", "list"], arguments].concat()).await?;
        let users = page["users"].as_array().context("users")?.clone();
        anyhow::Ok(
            users
                .into_iter()
                .map(|user| user["username"].clone())
                .collect::<Vec<_>>(),
        )
    };
    assert_eq!(listed(&["--role", "investor"]).await?, ["bea"]);
    assert_eq!(listed(&["--search", "ARCHER"]).await?, ["ann"]);
    assert_eq!(listed(&["--locked"]).await?, [""; 0]);
    assert_eq!(listed(&["--unlocked"]).await?, ["bea", "ann"]);

    let text = text(&database, &["users", "list", "--limit", "1"]).await?;
    insta::assert_snapshot!(text, @r"
    USERNAME  ROLE      STATE   MADE                  EMAIL  NAME                   ID
    bea       investor  active  2026-01-02 03:04:05Z  –      Bea\u{1b}[2J\u{9b}31m  00000000-0000-7000-8000-00000000000b
    there are more: --after 00000000-0000-7000-8000-00000000000b
    ");
    Ok(())
}

#[tokio::test]
async fn an_account_is_found_by_name_address_and_id() -> Result<()> {
    let database = site().await?;
    for who in ["ann", "Ann@Example.org", ANN] {
        let shown = json(&database, &["users", "show", who]).await?;
        assert_eq!(shown["id"], ANN, "{who}");
        let figures = (
            &shown["sessions"],
            &shown["pitches"],
            &shown["has_password"],
        );
        assert_eq!(figures, (&json!(2), &json!(2), &json!(true)));
    }
    execute(
        database.url(),
        "UPDATE users SET updated_at = created_at WHERE username = 'bea'",
    )?;
    insta::assert_snapshot!(text(&database, &["users", "show", "bea"]).await?, @r"
    id         00000000-0000-7000-8000-00000000000b
    username   bea
    name       Bea\u{1b}[2J\u{9b}31m
    email      –
    role       investor
    state      active
    made       2026-01-02 03:04:05Z
    changed    2026-01-02 03:04:05Z
    locked     –
    deleted    –
    version    1
    password   no
    sessions   0
    last seen  –
    pitches    0
    ");
    Ok(())
}

#[tokio::test]
async fn locking_ends_the_sessions_once_and_is_told_with_its_reason() -> Result<()> {
    let database = site().await?;
    let lock = ["users", "lock", "ann", "--reason", "three complaints"];
    let locked = by_olga(&database, &lock).await?;
    let expected = json!({ "id": ANN, "username": "ann", "changed": true, "sessions_ended": 2 });
    assert_eq!(locked, expected);
    holds(
        &database,
        "locked_at IS NOT NULL FROM users WHERE username = 'ann'",
    )?;
    holds(&database, "bool_and(revoked_at IS NOT NULL) FROM sessions")?;
    let again = by_olga(&database, &lock).await?;
    assert_eq!(
        (&again["changed"], &again["sessions_ended"]),
        (&json!(false), &json!(0))
    );
    let unlock = ["users", "unlock", "ann", "--operator", "olga"];
    assert_eq!(
        text(&database, &unlock).await?,
        "ann is unlocked now; 0 sessions ended\n"
    );
    assert_eq!(
        text(&database, &unlock).await?,
        "ann is unlocked already: nothing is changed\n"
    );
    holds(
        &database,
        "locked_at IS NULL FROM users WHERE username = 'ann'",
    )?;
    assert_eq!(
        audit(&database).await?,
        [
            format!(r#"account.lock {ANN} {{"operator":"olga","reason":"three complaints"}}"#),
            format!(r#"account.unlock {ANN} {{"operator":"olga"}}"#),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn another_role_ends_the_sessions() -> Result<()> {
    let database = site().await?;
    let role = ["users", "role", "ann", "production"];
    let done = by_olga(&database, &role).await?;
    assert_eq!(
        (&done["changed"], &done["sessions_ended"]),
        (&json!(true), &json!(2))
    );
    holds(
        &database,
        "role = 'production' FROM users WHERE username = 'ann'",
    )?;
    holds(&database, "bool_and(revoked_at IS NOT NULL) FROM sessions")?;
    assert_eq!(
        audit(&database).await?,
        [format!(
            r#"account.role {ANN} {{"from":"creator","operator":"olga","to":"production"}}"#
        )]
    );
    let again = [&role[..], &["--operator", "olga"]].concat();
    assert_eq!(
        text(&database, &again).await?,
        "ann is production already: nothing is changed\n"
    );
    Ok(())
}

#[tokio::test]
async fn sessions_are_listed_and_end_one_by_one_or_all() -> Result<()> {
    let database = site().await?;
    let listed = json(&database, &["sessions", "list", "ann"]).await?;
    assert_eq!(listed["user"], ANN);
    assert_eq!(listed["sessions"][0]["id"], SESSIONS[1]);
    assert_eq!(listed["sessions"][0]["ip"], "192.0.2.1");
    assert_eq!(listed["sessions"][0]["user_agent"], "curl\u{1b}[31m");
    let table = text(&database, &["sessions", "list", "ann"]).await?;
    assert!(
        table.contains(SESSIONS[0]) && table.contains(r"curl\u{1b}[31m"),
        "{table}"
    );

    let one = by_olga(&database, &["sessions", "revoke", SESSIONS[0]]).await?;
    assert_eq!(one, json!({ "user": ANN, "sessions_ended": 1 }));
    let revoke = ["sessions", "revoke", SESSIONS[0], "--operator", "olga"];
    assert_eq!(
        failure(&database, &revoke).await?,
        format!("there is no live session {}", SESSIONS[0])
    );
    let all = ["sessions", "revoke", "--all", "ann", "--operator", "olga"];
    for ended in ["1 session", "0 sessions"] {
        assert_eq!(
            text(&database, &all).await?,
            format!("{ended} of the account {ANN} ended\n")
        );
    }
    let listed = json(&database, &["sessions", "list", "ann"]).await?;
    assert_eq!(listed["sessions"], json!([]));
    assert_eq!(
        audit(&database).await?,
        [
            format!(r#"session.end {} {{"operator":"olga"}}"#, SESSIONS[0]),
            format!(r#"session.end_all {ANN} {{"operator":"olga","sessions_ended":"1"}}"#),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_pitch_is_shown_and_taken_off_the_site_with_its_traces() -> Result<()> {
    let database = site().await?;
    let shown = json(&database, &["pitches", "show", PITCH]).await?;
    assert_eq!(shown["status"], "published");
    assert_eq!(shown["creator"]["username"], "ann");
    let table = text(&database, &["pitches", "show", PITCH]).await?;
    assert!(table.contains(r"The\u{1b}]0;x\u{7} Heist"), "{table}");

    let unpublish = ["pitches", "unpublish", PITCH, "--reason", "a complaint"];
    let done = by_olga(&database, &unpublish).await?;
    assert_eq!(
        done,
        json!({ "id": PITCH, "status": "archived", "version": 2 })
    );
    holds(
        &database,
        &format!(
            "status = 'archived' AND archived_at IS NOT NULL FROM pitches WHERE id = '{PITCH}'"
        ),
    )?;
    holds(
        &database,
        &format!("count(*) = 1 FROM cache_outbox WHERE tag = 'pitch:{PITCH}'"),
    )?;
    holds(
        &database,
        "count(*) = 1 FROM event_outbox WHERE event_kind = 'pitch_changed'",
    )?;
    assert_eq!(
        audit(&database).await?,
        [format!(
            r#"pitch.archive {PITCH} {{"operator":"olga","reason":"a complaint"}}"#
        )]
    );

    let draft = [
        "pitches",
        "unpublish",
        DRAFT,
        "--reason",
        "x",
        "--operator",
        "olga",
    ];
    let error = failure(&database, &draft).await?;
    assert!(
        error.starts_with(&format!("the pitch {DRAFT} stays as it is: ")),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn what_was_delivered_is_delivered_once_more() -> Result<()> {
    let database = site().await?;
    execute(
        database.url(),
        &format!(
            "INSERT INTO cache_outbox (tag, delivered_at) VALUES ('lists', now()), ('search', NULL);
             INSERT INTO event_outbox (aggregate_kind, aggregate_id, event_kind, payload, delivered_at)
             VALUES ('pitch', '{PITCH}', 'pitch_changed', '{{}}', now()),
                    ('user', '{ANN}', 'notified', '{{}}', now()),
                    ('user', '{ANN}', 'notified', '{{}}', now() - interval '2 hours')"
        ),
    )?;
    let status = json(&database, &["outbox", "status"]).await?;
    assert_eq!(status["tags"]["pending"], 1);
    assert_eq!(status["events"]["pending"], 0);
    assert_eq!(status["events"]["delivered_last_hour"], 2);

    let replay = ["outbox", "replay", "--since", "1h"];
    let notified = [&replay[..], &["--events", "--kind", "notified"]].concat();
    let replayed = by_olga(&database, &notified).await?;
    assert_eq!(replayed, json!({ "tags": null, "events": 1 }));
    holds(
        &database,
        "count(*) = 1 FROM event_outbox WHERE delivered_at IS NULL AND event_kind = 'notified'",
    )?;
    let tags = [&replay[..], &["--tags", "--operator", "olga"]].concat();
    assert_eq!(
        text(&database, &tags).await?,
        "1 invalidation to be delivered once more\n"
    );
    let replayed = by_olga(&database, &replay).await?;
    assert_eq!(replayed, json!({ "tags": 0, "events": 1 }));
    let table = text(&database, &["outbox", "status"]).await?;
    assert!(table.contains("events        2"), "{table}");

    let entries = json(&database, &["audit", "tail"]).await?;
    let entries = entries.as_array().context("entries")?;
    let details: Vec<_> = entries
        .iter()
        .map(|entry| {
            assert_eq!(entry["action"], "outbox.replay");
            assert_eq!(entry["subject"], Value::Null);
            (
                &entry["detail"]["what"],
                &entry["detail"]["kind"],
                &entry["detail"]["operator"],
            )
        })
        .collect();
    let (olga, none) = (&json!("olga"), &Value::Null);
    assert_eq!(
        details,
        [
            (&json!("events"), &json!("notified"), olga),
            (&json!("tags"), none, olga),
            (&json!("tags"), none, olga),
            (&json!("events"), none, olga),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn the_audit_log_ends_with_the_newest_and_is_narrowed() -> Result<()> {
    let database = site().await?;
    execute(
        database.url(),
        &format!(
            "INSERT INTO audit_log (id, actor_id, action, subject_kind, subject_id, detail, ip, request_id, created_at)
             SELECT ('00000000-0000-7000-8000-0000000000c' || i)::uuid, actor::uuid, action, 'pitch', subject::uuid,
                    detail::jsonb, '192.0.2.7', E'r\\x1b[2J', '2026-01-02 03:04:00Z'::timestamptz + i * interval '1 second'
             FROM (VALUES (1, '{ANN}', 'pitch.create', '{PITCH}', '{{}}'),
                          (2, '{BEA}', 'nda.request', '{PITCH}', '{{\"to\": \"a\\u001bb\"}}'),
                          (3, '{ANN}', 'pitch.create', '{DRAFT}', '{{}}')) AS v (i, actor, action, subject, detail)"
        ),
    )?;
    let actions = async |arguments: &[&str]| {
        let entries = json(&database, &[&["audit", "tail"], arguments].concat()).await?;
        let entries = entries.as_array().context("entries")?.clone();
        let seconds = entries.into_iter().map(|entry| entry["created_at"].clone());
        anyhow::Ok(seconds.collect::<Vec<_>>())
    };
    let at = |second: u32| format!("2026-01-02T03:04:0{second}Z");
    assert_eq!(actions(&[]).await?, [at(1), at(2), at(3)]);
    assert_eq!(actions(&["--limit", "2"]).await?, [at(2), at(3)]);
    assert_eq!(actions(&["--actor", "ann"]).await?, [at(1), at(3)]);
    assert_eq!(actions(&["--subject", PITCH]).await?, [at(1), at(2)]);
    let both = ["--subject", PITCH, "--actor", "bea"];
    assert_eq!(actions(&both).await?, [at(2)]);
    insta::assert_snapshot!(text(&database, &["audit", "tail", "--subject", PITCH]).await?, @r"
    WHEN                  BY                                    ACTION        SUBJECT                                     DETAIL
    2026-01-02 03:04:01Z  00000000-0000-7000-8000-00000000000a  pitch.create  pitch 00000000-0000-7000-8000-0000000000a1  ip=192.0.2.7 request=r\u{1b}[2J
    2026-01-02 03:04:02Z  00000000-0000-7000-8000-00000000000b  nda.request   pitch 00000000-0000-7000-8000-0000000000a1  to=a\u{1b}b ip=192.0.2.7 request=r\u{1b}[2J
    ");
    Ok(())
}

#[tokio::test]
async fn a_followed_audit_log_goes_on_until_it_is_interrupted() -> Result<()> {
    let database = site().await?;
    let entry = |action: &str, ago: &str| {
        let entry = format!(
            "INSERT INTO audit_log (id, action, subject_kind, detail, created_at)
             VALUES (gen_random_uuid(), '{action}', 'user', '{{}}', now() - interval '{ago}')"
        );
        execute(database.url(), &entry)
    };
    entry("account.before", "3 seconds")?;
    entry("account.last", "1 second")?;
    let follow = ["audit", "tail", "--limit", "1", "--follow", "--json"];
    let mut running = Program::pitchey()
        .args(follow)
        .env("DATABASE_URL", database.url())
        .start()?;
    let seen = |running: &pitchey_testkit::native::Running| {
        let log = running.log();
        let entries = log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let actions = entries.filter_map(|entry: Value| Some(entry["action"].as_str()?.to_owned()));
        actions.collect::<Vec<_>>()
    };
    wait::until("the entry that was there", PATIENCE, || {
        Ok((seen(&running) == ["account.last"]).then_some(()))
    })?;
    entry("account.new", "0 seconds")?;
    wait::until("the new entry", PATIENCE, || {
        Ok((seen(&running).len() > 1).then_some(()))
    })?;
    // As if its change had begun earlier and had ended later.
    entry("account.late", "2 seconds")?;
    wait::until("the late entry", PATIENCE, || {
        Ok((seen(&running).len() > 2).then_some(()))
    })?;
    running.process().signal(Signal::INT)?;
    assert!(running.process().wait(PATIENCE)?.success());
    assert_eq!(
        seen(&running),
        ["account.last", "account.new", "account.late"]
    );
    Ok(())
}

const PASSWORD: &str = "seven green bottles hum quietly";

#[tokio::test]
async fn an_administrator_is_made_with_a_password_that_nobody_sees() -> Result<()> {
    let database = site().await?;
    let create = [
        "admin",
        "create",
        "--username",
        "root",
        "--email",
        "Root@Example.org",
        "--json",
    ];
    let made = program(&database, &create, &format!("{PASSWORD}\nmore\n")).await?;
    assert!(made.status.success(), "{}", made.stderr);
    assert!(!(made.stdout.clone() + &made.stderr).contains(PASSWORD));
    let account: Value = serde_json::from_str(&made.stdout)?;
    assert_eq!(account["username"], "root");
    assert_eq!(account["display_name"], "root");
    assert_eq!(account["role"], "admin");

    let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    let hash: String = client
        .query_one(
            "SELECT password_hash FROM users WHERE username = 'root'",
            &[],
        )
        .await?
        .get(0);
    let (today, memory) = (Parameters::default(), &mut Memory::default());
    let checked = pitchey_passwords::check(PASSWORD, Some(&hash), &today, memory);
    assert!(checked.matches && !checked.weaker, "{hash}");
    let id = account["id"].as_str().context("an id")?;
    assert_eq!(
        audit(&database).await?,
        [format!(
            r#"account.register {id} {{"operator":"olga","role":"admin"}}"#
        )]
    );

    let again = program(&database, &create, PASSWORD).await?;
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(again.stdout, "");
    let taken = "the username root and the address root@example.org are taken";
    assert!(
        again.stderr.to_lowercase().contains(taken),
        "{}",
        again.stderr
    );
    Ok(())
}

#[tokio::test]
async fn a_password_that_registration_refuses_makes_no_administrator() -> Result<()> {
    let database = site().await?;
    let create = [
        "admin",
        "create",
        "--username",
        "root",
        "--email",
        "root@example.org",
    ];
    for (input, told) in [
        ("", "no password"),
        ("short\n", "12 to 256 characters"),
        ("password1234\n", "guessed too soon"),
        ("root@example.org\n", "guessed too soon"),
    ] {
        let refused = program(&database, &create, input).await?;
        assert_eq!(refused.status.code(), Some(1), "{input:?}");
        assert!(refused.stderr.contains(told), "{}", refused.stderr);
        assert_eq!(refused.stdout, "");
    }
    holds(&database, "count(*) = 2 FROM users")?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_there_is_named() -> Result<()> {
    let database = site().await?;
    let reason = ["--reason", "x", "--operator", "olga"];
    let lock = [&["users", "lock", "nobody"], &reason[..]].concat();
    let unpublish = [&["pitches", "unpublish", NOBODY], &reason[..]].concat();
    let no_account = "there is no account nobody".to_owned();
    let no_pitch = format!("there is no pitch {NOBODY}");
    for (arguments, told) in [
        (&["users", "show", "nobody"][..], &no_account),
        (&lock, &no_account),
        (
            &["users", "unlock", "nobody", "--operator", "o"],
            &no_account,
        ),
        (
            &["users", "role", "nobody", "admin", "--operator", "o"],
            &no_account,
        ),
        (&["sessions", "list", "nobody"], &no_account),
        (
            &["sessions", "revoke", "--all", "nobody", "--operator", "o"],
            &no_account,
        ),
        (&["audit", "tail", "--actor", "nobody"], &no_account),
        (&["pitches", "show", NOBODY], &no_pitch),
        (&unpublish, &no_pitch),
    ] {
        assert_eq!(&failure(&database, arguments).await?, told, "{arguments:?}");
    }
    execute(
        database.url(),
        "UPDATE users SET deleted_at = now() WHERE username = 'bea'",
    )?;
    let shown = json(&database, &["users", "show", "bea"]).await?;
    assert_ne!(shown["deleted_at"], Value::Null);
    let lock = [&["users", "lock", "bea"], &reason[..]].concat();
    assert_eq!(
        failure(&database, &lock).await?,
        "the account bea is deleted"
    );
    Ok(())
}

#[tokio::test]
async fn exit_codes_tell_not_found_from_called_wrongly() -> Result<()> {
    let database = site().await?;
    let missing = program(&database, &["users", "show", "no\u{1b}body"], "").await?;
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(missing.stdout, "");
    assert_eq!(
        missing.stderr,
        "pitchey: there is no account no\\u{1b}body\n"
    );
    let wrong = program(&database, &["users", "role", "ann", "root"], "").await?;
    assert_eq!(wrong.status.code(), Some(2), "{}", wrong.stderr);
    // Without a name of their own, an operator is the one who is signed in to the machine.
    let done = program(&database, &["users", "role", "ann", "investor"], "").await?;
    assert!(done.status.success(), "{}", done.stderr);
    holds(&database, "detail->>'operator' = 'olga' FROM audit_log")?;
    Ok(())
}
