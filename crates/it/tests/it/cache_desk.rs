//! What operators see of the caches and do to them, over real servers: by `/api/cache/…` and by `pitchey cache`.

use crate::cache_site::{Maker, PATIENCE, Thing};
use crate::client::{Client, PASSWORD, Person};
use crate::origin::Origin;
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::native::Output;
use pitchey_testkit::postgres_server::query_bool;
use pitchey_testkit::{Program, TestDb, TestRedis};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A machine that is slow makes no Redis that is away, nothing becomes old by itself, and nobody asks too often.
const CALM: [(&str, &str); 11] = [
    ("PITCHEY_CACHE__WARM", "false"),
    ("PITCHEY_CACHE__TIMEOUT_MS", "10000"),
    ("PITCHEY_CACHE__SILENCE_MS", "60000"),
    ("PITCHEY_CACHE__PITCH_DETAIL__MEMORY_S", "900"),
    ("PITCHEY_CACHE__PITCH_DETAIL__SHARED_S", "900"),
    ("PITCHEY_HTTP__REQUEST_TIMEOUT_MS", "30000"),
    ("PITCHEY_LIMITS__READ", "off"),
    ("PITCHEY_LIMITS__WRITE", "off"),
    ("PITCHEY_LIMITS__AUTH", "off"),
    ("PITCHEY_LIMITS__ACCOUNT", "off"),
    ("PITCHEY_LIMITS__ACCOUNT_TOTAL", "off"),
];

const ROOT: &str = "root@example.org";

/// How long one may wait for what another process has to hear of.
const LOOK: Duration = Duration::from_millis(5);

/// An origin that caches one pitch, which nobody has read yet, and an administrator.
struct Site {
    database: TestDb,
    redis: TestRedis,
    origin: Origin,
    maker: Maker,
}

impl Site {
    async fn start() -> Result<Self> {
        let database = TestDb::new().await;
        let redis = TestRedis::new().await;
        let url = redis.url();
        let more: Vec<_> = CALM.into_iter().chain([("REDIS_URL", &*url)]).collect();
        let origin = Origin::start_with(database.url(), &more).await?;
        let until = Instant::now() + PATIENCE;
        while !origin.metrics().await?.contains("cache_attached 1") {
            ensure!(Instant::now() < until, "the origin does not attach");
            tokio::time::sleep(LOOK).await;
        }
        let maker = Maker::new(&origin.client, 0, 1).await?;
        let site = Self {
            database,
            redis,
            origin,
            maker,
        };
        let create = [
            "admin",
            "create",
            "--username",
            "root",
            "--email",
            ROOT,
            "--operator",
            "olga",
        ];
        done(&site.pitchey(&create, PASSWORD).await?, 0)?;
        Ok(site)
    }

    fn client(&self) -> &Client {
        &self.origin.client
    }

    fn url(&self) -> String {
        format!("http://{}", self.origin.address)
    }

    fn pitch(&self) -> &Thing {
        &self.maker.things[1]
    }

    /// Reads the pitch as anybody may: where the answer came from, and the title in it.
    async fn read(&self) -> Result<(String, String)> {
        let answer = self.client().get(&self.pitch().target, &[]).await?;
        let answer = answer.expect(200)?;
        let title = answer.json()["title"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        Ok((answer.header("x-cache-status").to_owned(), title))
    }

    async fn status_of_read(&self) -> Result<String> {
        Ok(self.read().await?.0)
    }

    async fn edit(&mut self) -> Result<()> {
        let status = self
            .pitch()
            .edit(&self.origin.client, &self.maker.person)
            .await?;
        ensure!(status == 200, "the edit is answered {status}");
        self.maker.things[1].version += 1;
        Ok(())
    }

    /// Waits until the origin has heard that another process raised the tag.
    async fn wait_until_forgotten(&self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.status_of_read().await? == "HIT" {
            ensure!(Instant::now() < until, "it is still kept");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Its key in the caches.
    fn key(&self) -> String {
        format!("pitch_detail:{}", self.pitch().target)
    }

    /// The program, with a database and Redis, and this to read.
    async fn pitchey(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let more = [("DATABASE_URL", self.database.url())];
        self.pitchey_with(arguments, input, &more).await
    }

    async fn pitchey_with(
        &self,
        arguments: &[&str],
        input: &str,
        more: &[(&str, &str)],
    ) -> Result<Output> {
        let program = Program::pitchey()
            .args(arguments)
            .env("REDIS_URL", self.redis.url())
            .stdin(input);
        let program = more
            .iter()
            .fold(program, |program, (name, value)| program.env(name, value));
        tokio::task::spawn_blocking(move || program.run(PATIENCE)).await?
    }

    /// `pitchey cache`, asking the origin as the administrator.
    async fn ask(&self, arguments: &[&str], input: &str) -> Result<Output> {
        self.ask_as(
            ROOT,
            &self.url(),
            arguments,
            &format!("{PASSWORD}\n{input}"),
        )
        .await
    }

    async fn ask_as(
        &self,
        email: &str,
        origin: &str,
        arguments: &[&str],
        input: &str,
    ) -> Result<Output> {
        let place = ["--origin", origin, "--email", email];
        let arguments = [&["cache"], arguments, &place].concat();
        self.pitchey_with(&arguments, input, &[]).await
    }

    /// What is in the audit log of the caches: action, who, and detail.
    async fn audit(&self) -> Result<Vec<(String, Value, Value)>> {
        let tail = self.pitchey(&["audit", "tail", "--json"], "").await?;
        let entries: Vec<Value> = serde_json::from_str(&done(&tail, 0)?)?;
        let entries = entries.into_iter().filter_map(|mut entry| {
            let action = entry["action"].as_str()?.to_owned();
            let is_ours = action.starts_with("cache.");
            is_ours.then(|| (action, entry["actor"].take(), entry["detail"].take()))
        });
        Ok(entries.collect())
    }
}

/// What a program printed that ended as it should.
fn done(output: &Output, code: i32) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    ensure!(
        status.code() == Some(code),
        "{status} instead of {code}: {stdout}{stderr}"
    );
    assert!(!format!("{stdout}{stderr}").contains(PASSWORD));
    Ok(stdout.clone())
}

/// What a program complained of that failed and printed nothing else.
fn failed(output: &Output) -> Result<String> {
    let stdout = done(output, 1)?;
    ensure!(stdout.is_empty(), "it printed {stdout}");
    Ok(output.stderr.clone())
}

/// The administrator, signed in by the API.
struct Desk {
    client: Client,
    person: Person,
    id: Value,
}

impl Desk {
    async fn of(site: &Site) -> Result<Self> {
        let client = site.client().clone();
        let body = json!({ "email": ROOT, "password": PASSWORD });
        let login = client.send(Method::POST, "/api/auth/login", &[], Some(&body));
        let login = login.await?.expect(200)?;
        let cookie = login.header("set-cookie").split(';').next();
        let cookie = cookie.context("no cookie")?.to_owned();
        Ok(Self {
            client,
            person: Person { cookie },
            id: login.json()["user"]["id"].take(),
        })
    }

    async fn get(&self, target: &str) -> Result<Value> {
        let answer = self.client.read(&self.person, target).await?;
        Ok(answer.expect(200)?.json())
    }

    async fn post(&self, target: &str, body: Value) -> Result<Value> {
        let answer = self.client.post(&self.person, target, &body).await?;
        Ok(answer.expect(200)?.json())
    }

    async fn entry(&self, key: &str) -> Result<Value> {
        let key = key.replace('/', "%2F");
        self.get(&format!("/api/cache/entries/{key}")).await
    }
}

/// The figures of a kind.
fn kind<'a>(stats: &'a Value, kind: &str) -> Result<&'a Value> {
    let kinds = stats["kinds"].as_array().context("kinds")?;
    let found = kinds.iter().find(|one| one["kind"] == kind);
    found.context("the kind is not there")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desk_counts_shows_and_forgets_what_is_really_kept() -> Result<()> {
    let mut site = Site::start().await?;
    let desk = Desk::of(&site).await?;
    let (key, target) = (site.key(), site.pitch().target.clone());
    let tag = site.pitch().tag.clone();

    let status = desk.get("/api/cache/status").await?;
    let facts = ["has_shared", "connected", "attached", "distrusted"].map(|fact| &status[fact]);
    assert_eq!(facts, [true, true, true, false].map(Value::from).each_ref());

    // Counted, and in both tiers under its tag.
    assert_eq!(site.read().await?, ("MISS".to_owned(), Thing::text(1, 0)));
    assert_eq!(site.status_of_read().await?, "HIT");
    let stats = desk.get("/api/cache/stats").await?;
    let detail = kind(&stats, "pitch_detail")?;
    let figures = ["miss", "memory_hit", "shared_hit"].map(|name| &detail["counts"][name]);
    assert_eq!(figures, [1, 1, 0].map(Value::from).each_ref());
    assert_eq!(
        (&detail["answers"], &detail["hit_ratio"]),
        (&json!(2), &json!(0.5))
    );
    assert_eq!(detail["loads"]["count"], 1);
    let entry = desk.entry(&key).await?;
    for tier in ["memory", "shared"] {
        assert_eq!(entry[tier]["state"], "fresh", "{entry}");
        let tags = entry[tier]["tags"].as_array().context("tags")?;
        assert!(tags.contains(&json!(tag)), "{entry}");
    }

    // An edit invalidates it in both at once, and the next read has what was written.
    site.edit().await?;
    let entry = desk.entry(&key).await?;
    assert_eq!(entry["shared"], Value::Null, "{entry}");
    let memory = &entry["memory"];
    assert!(memory.is_null() || memory["state"] == "invalid", "{entry}");
    let edited = Thing::text(1, site.pitch().version);
    assert_eq!(site.read().await?, ("MISS".to_owned(), edited.clone()));
    assert_eq!(desk.entry(&key).await?["memory"]["state"], "fresh");

    // Purged by its tag, its key, and the beginning of its key.
    for (purge, count) in [
        (
            json!({"tags": [tag, "no-such-tag"], "soft": false}),
            json!({"tags": 2}),
        ),
        (json!({"keys": [key]}), json!({"keys": 1})),
        (
            json!({"prefixes": ["pitch_detail:"]}),
            json!({"prefixes": 1, "removed": 1}),
        ),
    ] {
        assert_eq!(site.status_of_read().await?, "HIT");
        let purged = desk.post("/api/cache/purge", purge).await?;
        let mut expected =
            json!({"tags": 0, "keys": 0, "prefixes": 0, "removed": 0, "acknowledged": true});
        for (name, count) in count.as_object().context("counts")? {
            expected[name] = count.clone();
        }
        assert_eq!(purged, expected);
        assert_eq!(site.status_of_read().await?, "MISS");
    }

    // What is warmed was loaded before it is asked for.
    desk.post("/api/cache/purge", json!({"keys": [key]}))
        .await?;
    let addresses = json!({"addresses": [target, "/api/pitches?limit=all"]});
    let warmed = desk.post("/api/cache/warm", addresses).await?;
    assert_eq!(warmed, json!({"warm": 1, "not_warm": 1, "left_out": 0}));
    assert_eq!(site.read().await?, ("HIT".to_owned(), edited));

    // Softly purged, it is served while it is refreshed.
    desk.post("/api/cache/purge", json!({"tags": [tag]}))
        .await?;
    assert_eq!(site.status_of_read().await?, "STALE");

    let purged = |tags: &str, keys: &str, prefixes: &str, soft: &str| {
        let detail = json!({"tags": tags, "keys": keys, "prefixes": prefixes, "soft": soft});
        ("cache.purge".to_owned(), desk.id.clone(), detail)
    };
    let warmed = json!({"count": "2", "addresses": format!("{target} /api/pitches?limit=all")});
    let expected = [
        purged(&format!("{tag} no-such-tag"), "", "", "false"),
        purged("", &key, "", "true"),
        purged("", "", "pitch_detail:", "true"),
        purged("", &key, "", "true"),
        ("cache.warm".to_owned(), desk.id.clone(), warmed),
        purged(&tag, "", "", "true"),
    ];
    assert_eq!(site.audit().await?, expected);
    site.origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_an_origin_and_leaves_no_session() -> Result<()> {
    let site = Site::start().await?;
    let (key, target) = (site.key(), site.pitch().target.clone());
    site.read().await?;
    site.read().await?;

    let stats = site.ask(&["stats", "--json"], "").await?;
    let stats: Value = serde_json::from_str(&done(&stats, 0)?)?;
    let detail = kind(&stats, "pitch_detail")?;
    assert_eq!(
        (&detail["answers"], &detail["counts"]["miss"]),
        (&json!(2), &json!(1))
    );
    let table = done(&site.ask(&["stats"], "").await?, 0)?;
    let row = table.lines().find(|line| line.starts_with("pitch_detail"));
    let row: Vec<&str> = row.context("a row")?.split_whitespace().collect();
    let expected = ["pitch_detail", "2", "50.0%", "1", "0", "0", "0", "1"];
    assert_eq!(row[..expected.len()], expected, "{table}");

    let status = site.ask(&["status", "--json"], "").await?;
    let status: Value = serde_json::from_str(&done(&status, 0)?)?;
    assert_eq!(status["attached"], true);
    let text = done(&site.ask(&["status"], "").await?, 0)?;
    assert!(
        text.starts_with("redis               connected\n"),
        "{text}"
    );

    // Warm: from the arguments, and from the lines behind the password.
    let purge = ["cache", "purge", "--key", &key, "--operator", "olga"];
    done(&site.pitchey(&purge, "").await?, 0)?;
    let lines = format!("\n{target}\n/api/pitches/new\n{target}\n");
    let warmed = site
        .ask(&["warm", "/api/search?q=thing", "-"], &lines)
        .await?;
    assert_eq!(done(&warmed, 0)?, "3 warm, 0 not warm, 0 left out\n");
    assert_eq!(site.status_of_read().await?, "HIT");
    let warmed = site
        .ask(&["warm", "--json", &target, "/api/pitches?limit=all"], "")
        .await?;
    let warmed: Value = serde_json::from_str(&done(&warmed, 1)?)?;
    assert_eq!(warmed, json!({"warm": 1, "not_warm": 1, "left_out": 0}));
    let told = failed(&site.ask(&["warm", &target, "/api/me"], "").await?)?;
    assert!(told.contains("Invalid content (422)"), "{told}");
    assert!(
        told.contains("\n  /api/me: must be the path and query of a public read"),
        "{told}"
    );

    let agents = "user_agent LIKE 'pitchey/%'";
    let ended = format!(
        "SELECT count(*) = 7 AND bool_and(revoked_at IS NOT NULL) FROM sessions WHERE {agents}"
    );
    assert!(
        query_bool(site.database.url(), &ended)?,
        "each call signed out"
    );
    site.origin.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_why_an_origin_tells_it_nothing() -> Result<()> {
    let site = Site::start().await?;
    let url = site.url();
    let stats = &["stats"][..];
    let told = failed(&site.ask_as(ROOT, &url, stats, "not the password\n").await?)?;
    let expected = format!("pitchey: cannot sign in as {ROOT}: Wrong credentials (401): ");
    assert!(told.starts_with(&expected), "{told}");

    let told = failed(
        &site
            .ask_as("maker0@example.org", &url, stats, PASSWORD)
            .await?,
    )?;
    let expected =
        format!("pitchey: maker0@example.org is no administrator of {url}: Forbidden (403): ");
    assert!(told.starts_with(&expected), "{told}");

    let metrics = format!("http://{}", site.origin.metrics);
    let told = failed(&site.ask_as(ROOT, &metrics, stats, PASSWORD).await?)?;
    let expected = format!(
        "pitchey: {metrics} does not answer as an origin of Pitchey to GET /api/auth/session"
    );
    assert!(told.starts_with(&expected), "{told}");

    // It does not speak TLS.
    let secure = url.replace("http://", "https://");
    let told = failed(&site.ask_as(ROOT, &secure, stats, PASSWORD).await?)?;
    assert!(told.starts_with("pitchey: "), "{told}");

    let agents = "user_agent LIKE 'pitchey/%'";
    let ended = format!(
        "SELECT count(*) = 1 AND bool_and(revoked_at IS NOT NULL) FROM sessions WHERE {agents}"
    );
    assert!(
        query_bool(site.database.url(), &ended)?,
        "who may not ask signed out"
    );
    site.origin.stop().await?;
    let told = failed(&site_away(&site.database, &url).await?)?;
    assert!(told.contains(&format!("{url} cannot be asked")), "{told}");
    assert!(told.contains("Connection refused"), "{told}");
    Ok(())
}

/// The same when nobody is there.
async fn site_away(database: &TestDb, url: &str) -> Result<Output> {
    let program = Program::pitchey()
        .args(["cache", "stats", "--origin", url, "--email", ROOT])
        .env("DATABASE_URL", database.url())
        .stdin(PASSWORD);
    tokio::task::spawn_blocking(move || program.run(PATIENCE)).await?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_without_an_origin_is_noted_or_says_that_it_is_not() -> Result<()> {
    let site = Site::start().await?;
    let tag = site.pitch().tag.clone();
    let purge = |more: &[&'static str]| {
        let head = ["cache", "purge", "--hard", "--tag", &*tag];
        head.iter()
            .copied()
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let run = async |more: &[&'static str], database: Option<&str>| {
        let arguments = purge(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let database = database.map(|url| ("DATABASE_URL", url));
        let more: Vec<_> = database.into_iter().collect();
        site.pitchey_with(&arguments, "", &more).await
    };
    let olga = &["--operator", "olga"][..];
    let known = Some(site.database.url());
    site.read().await?;

    // Nothing is purged that cannot be noted.
    let told = failed(&run(olga, None).await?)?;
    assert!(
        told.contains("nothing is purged, as the audit log cannot be written"),
        "{told}"
    );
    assert!(told.contains("no database: set DATABASE_URL"), "{told}");
    let away = Some("postgres://ann@127.0.0.1:1/pitchey");
    let told = failed(&run(olga, away).await?)?;
    assert!(
        told.contains("nothing is purged, as the audit log cannot be written"),
        "{told}"
    );
    assert_eq!(site.status_of_read().await?, "HIT");

    let purged = run(olga, known).await?;
    let acknowledged = "acknowledged: 1 tags, 0 keys, 0 prefixes (0 entries)\n";
    assert_eq!(
        (done(&purged, 0)?.as_str(), &*purged.stderr),
        (acknowledged, "")
    );
    site.wait_until_forgotten().await?;

    // In an emergency, nobody is asked who it is.
    let purged = run(&["--no-audit"], away).await?;
    let told = "pitchey: this purge is not in the audit log (--no-audit)\n";
    assert_eq!(
        (done(&purged, 0)?.as_str(), &*purged.stderr),
        (acknowledged, told)
    );
    site.wait_until_forgotten().await?;

    let detail =
        json!({"operator": "olga", "tags": tag, "keys": "", "prefixes": "", "soft": "false"});
    let expected = [("cache.purge".to_owned(), Value::Null, detail)];
    assert_eq!(site.audit().await?, expected);
    site.origin.stop().await
}
