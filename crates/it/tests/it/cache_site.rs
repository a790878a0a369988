//! Origins with caches over one database with a replica and one Redis, each with a way to Redis of its own.

use crate::client::{Answer, Client, Person};
use anyhow::{Context as _, Result};
use http::Method;
use pitchey_testkit::{FaultProxy, Origin, OwnedPostgres, OwnedRedis, OwnedReplica, Program};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::task::block_in_place;

/// How long anything here may take to come up, or to be well again.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often it is looked whether it is.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Which process: the place of an origin, and how many were in it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Life {
    pub(crate) place: usize,
    pub(crate) before: u32,
}

/// Where an origin is now.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) life: Life,
    pub(crate) client: Client,
    metrics: Client,
}

impl Door {
    fn to(origin: &Origin, life: Life) -> Self {
        Self {
            life,
            client: Client::new(origin.address()),
            metrics: Client::new(origin.metrics_address()),
        }
    }

    /// The beginning of its addresses.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.client.address())
    }

    /// The sum of what the metrics say under names that begin so.
    pub(crate) async fn figure(&self, name: &str) -> Result<f64> {
        let answer = self.metrics.get("/metrics", &[]).await?.expect(200)?;
        let text = String::from_utf8(answer.body)?;
        let values = text.lines().filter_map(|line| line.strip_prefix(name));
        values
            .map(|rest| {
                let value = rest.rsplit(' ').next().unwrap_or_default();
                value.parse::<f64>().context("no number")
            })
            .sum()
    }

    /// How often an origin has begun a statement.
    pub(crate) async fn statements(&self, name: &str) -> Result<f64> {
        let name = format!("db_statement_duration_seconds_count{{statement=\"{name}\"}}");
        self.figure(&name).await
    }

    /// Waits until a figure is at least this.
    pub(crate) async fn wait_for(&self, name: &str, least: f64) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        while self.figure(name).await? < least {
            anyhow::ensure!(Instant::now() < until, "{name} does not come to {least}");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }
}

/// The doors of all origins, for those who ask them.
#[derive(Clone, Debug)]
pub(crate) struct Doors(Arc<RwLock<Vec<Door>>>);

impl Doors {
    pub(crate) fn door(&self, place: usize) -> Door {
        let doors = self.0.read().unwrap_or_else(PoisonError::into_inner);
        doors[place % doors.len()].clone()
    }

    fn set(&self, door: Door) {
        let mut doors = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let place = door.life.place;
        doors[place] = door;
    }
}

/// All of it. What is dropped first stops first.
pub(crate) struct Site {
    pub(crate) doors: Doors,
    pub(crate) origins: Vec<Origin>,
    pub(crate) proxies: Vec<FaultProxy>,
    programs: Vec<Program>,
    pub(crate) redis: OwnedRedis,
    pub(crate) replica: OwnedReplica,
    pub(crate) primary: OwnedPostgres,
}

impl Site {
    /// So many origins, with more of a configuration.
    pub(crate) async fn start(places: usize, more: &[(&str, &str)]) -> Result<Self> {
        let (primary, replica, redis) = block_in_place(|| {
            let primary = OwnedPostgres::start()?;
            let replica = OwnedReplica::start(&primary)?;
            anyhow::Ok((primary, replica, OwnedRedis::start_durable()?))
        })?;
        pitchey_store_pg::migrate::run(&primary.url()).await?;
        block_in_place(|| replica.wait_until_caught_up())?;
        let replicas = format!("[{{url=\"{}\",name=\"near\"}}]", replica.url());
        let (mut origins, mut proxies, mut programs) = (Vec::new(), Vec::new(), Vec::new());
        let mut doors = Vec::new();
        for place in 0..places {
            let (proxy, redis_url) = FaultProxy::in_front_of(&redis.url())?;
            let program = Program::origin()
                .env("DATABASE_URL", primary.url())
                .env("PITCHEY_DATABASE__REPLICAS", &replicas)
                // It answers however far it lags: what may be old is for the cache to know.
                .env("PITCHEY_DATABASE__REPLICA_MAX_LAG_MS", "60000")
                .env("PITCHEY_CACHE__URL", &redis_url)
                .env("PITCHEY_CACHE__WARM", "false")
                .env("PITCHEY_LIMITS__READ", "off")
                .env("PITCHEY_LIMITS__SEARCH", "off")
                .env("PITCHEY_LIMITS__WRITE", "off")
                .env("PITCHEY_LIMITS__AUTH", "off")
                .env("PITCHEY_LOG__FILTER", "info,access=off");
            let program = more
                .iter()
                .fold(program, |program, (name, value)| program.env(name, value));
            let origin = block_in_place(|| Origin::start_with(&program))?;
            doors.push(Door::to(&origin, Life { place, before: 0 }));
            origins.push(origin);
            proxies.push(proxy);
            programs.push(program);
        }
        let site = Self {
            doors: Doors(Arc::new(RwLock::new(doors))),
            origins,
            proxies,
            programs,
            redis,
            replica,
            primary,
        };
        if !more.contains(&("PITCHEY_CACHE__ALONE", "true")) {
            site.wait_until_attached().await?;
        }
        Ok(site)
    }

    /// Ends an origin at once, and starts another in its place.
    pub(crate) fn kill_origin(&mut self, place: usize) -> Result<()> {
        let Life { before, .. } = self.doors.door(place).life;
        block_in_place(|| self.origins[place].process().kill())?;
        let origin = block_in_place(|| Origin::start_with(&self.programs[place]))?;
        let life = Life {
            place,
            before: before + 1,
        };
        self.doors.set(Door::to(&origin, life));
        self.origins[place] = origin;
        Ok(())
    }

    /// Waits until every origin hears all that Redis announces.
    pub(crate) async fn wait_until_attached(&self) -> Result<()> {
        for place in 0..self.origins.len() {
            let attached = self.doors.door(place);
            let waiting = attached.wait_for("cache_attached ", 1.0);
            waiting.await.with_context(|| self.origins[place].log())?;
        }
        Ok(())
    }
}

/// Somebody who makes and edits. What they edit carries a number in its title, or in their name, that is
/// its version, so that whoever reads it anywhere can tell how old it is.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) person: Person,
    /// The things that are theirs, the account first.
    pub(crate) things: Vec<Thing>,
}

/// Something with a version.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) number: usize,
    /// Where it is changed.
    pub(crate) target: String,
    /// Where its present version is told, from the database.
    pub(crate) fresh: String,
    /// The field that carries the number.
    pub(crate) field: &'static str,
    /// The tag that its changes raise.
    pub(crate) tag: String,
    pub(crate) version: u32,
}

impl Thing {
    /// What its title or name is in a version.
    pub(crate) fn text(number: usize, version: u32) -> String {
        format!("Thing {number} take {version}")
    }

    /// A new pitch of somebody, which everybody may read.
    pub(crate) async fn publish(client: &Client, person: &Person, number: usize) -> Result<Self> {
        let body = json!({
            "title": Self::text(number, 0), "format": "short", "stage": "script", "logline": "x",
            "genres": ["short"],
        });
        let made = client.post(person, "/api/pitches", &body).await?;
        let made = made.expect(201)?;
        let target = made.header("location").to_owned();
        let headers = [("if-match", made.header("etag"))];
        let publish = format!("{target}/publish");
        let published = client.ask(person, Method::POST, &publish, &headers, None);
        let published = published.await?.expect(200)?;
        Ok(Self {
            number,
            fresh: format!("{target}/full"),
            field: "title",
            tag: format!("pitch:{}", target.rsplit('/').next().unwrap_or_default()),
            version: version(&published).context("no version")?,
            target,
        })
    }

    /// Changes it from the version that is known; the status that was answered.
    pub(crate) async fn edit(&self, client: &Client, person: &Person) -> Result<u16> {
        Ok(self.ask_edit(client, person).await?.status)
    }

    /// Changes it, and gives the cookie by which who did so sees it.
    pub(crate) async fn edit_and_know(
        &mut self,
        client: &Client,
        person: &Person,
    ) -> Result<String> {
        let edited = self.ask_edit(client, person).await?.expect(200)?;
        self.version += 1;
        let mut cookies = edited.headers.get_all("set-cookie").iter();
        let cookie = cookies.find_map(|line| {
            let pair = line.to_str().ok()?.split(';').next()?;
            let is_one = |name: &&str| pair.starts_with(*name);
            let names = ["__Host-position=", "__Host-changed="];
            names.iter().any(is_one).then(|| pair.to_owned())
        });
        cookie.context("no cookie says so")
    }

    async fn ask_edit(&self, client: &Client, person: &Person) -> Result<Answer> {
        let version = format!("\"{}\"", self.version);
        let body = json!({self.field: Self::text(self.number, self.version + 1)});
        let headers = [("if-match", version.as_str())];
        let edited = client.ask(person, Method::PATCH, &self.target, &headers, Some(&body));
        edited.await
    }
}

fn version(answer: &Answer) -> Option<u32> {
    u32::try_from(answer.json()["version"].as_u64()?).ok()
}

/// The version that is told at an address that no cache answers.
pub(crate) async fn fresh_version(client: &Client, person: &Person, thing: &Thing) -> Result<u32> {
    let answer = client.read(person, &thing.fresh).await?.expect(200)?;
    version(&answer).context("no version")
}

impl Maker {
    /// An account with so many published pitches. Its things are numbered from `first` on.
    pub(crate) async fn new(client: &Client, first: usize, pitches: usize) -> Result<Self> {
        let person = client.register(&format!("maker{first}"), "creator").await?;
        let me = client.read(&person, "/api/me").await?.expect(200)?;
        let id = me.json()["id"].as_str().context("no id")?.to_owned();
        let mut things = vec![Thing {
            number: first,
            target: "/api/me".to_owned(),
            fresh: "/api/me".to_owned(),
            field: "display_name",
            tag: format!("creator:{id}"),
            version: version(&me).context("no version")?,
        }];
        for number in first + 1..=first + pitches {
            things.push(Thing::publish(client, &person, number).await?);
        }
        Ok(Self { person, things })
    }
}

/// The things that an answer shows, with the versions that it shows them in.
pub(crate) fn shown(json: &Value, seen: &mut Vec<(usize, u32)>) {
    match json {
        Value::String(text) => {
            let parts = text
                .strip_prefix("Thing ")
                .and_then(|rest| rest.split_once(" take "));
            if let Some((number, version)) = parts
                && let (Ok(number), Ok(version)) = (number.parse(), version.parse())
            {
                seen.push((number, version));
            }
        }
        Value::Array(items) => items.iter().for_each(|item| shown(item, seen)),
        Value::Object(fields) => fields.values().for_each(|field| shown(field, seen)),
        _ => {}
    }
}
