//! What signed-in people do, where only a real PostgreSQL shows whether it is right: races, locks, and the
//! rows that a write leaves beside its own.

mod effects;
mod races;
mod reads;

use anyhow::{Result, bail};
use pitchey_model::decide::{Expected, NdaStep};
use pitchey_model::lifecycle::{NdaAction, PitchAction};
use pitchey_model::{
    Actor, Format, Genre, Interest, Money, Nda, NewInterest, NewNda, Pitch, PitchContent, Role,
    Stage, UserId, Visibility,
};
use pitchey_runtime::{Clock as _, SystemRuntime, uuid_v7};
use pitchey_store::Market as _;
use pitchey_store::accounts::Origin;
use pitchey_store::market::{Created, Outcome, StoredAnswer};
use pitchey_store_pg::{PgStore, PoolConfig};
use pitchey_testkit::TestDb;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

struct Site {
    store: PgStore,
    client: Client,
    clock: SystemRuntime,
    origin: Origin,
    _connection: JoinSet<()>,
    _database: TestDb,
}

impl Site {
    async fn new() -> Result<Self> {
        let database = TestDb::new().await;
        let config = PoolConfig {
            // Many wait at once, on a machine that may have other things to do.
            acquire_timeout_ms: 60_000,
            statement_timeout_ms: 60_000,
            ..PoolConfig::default()
        };
        let clock = SystemRuntime::new();
        let store = PgStore::connect_lazy(&database.url().into(), &config, clock)?;
        let (client, connection) = tokio_postgres::connect(database.url(), NoTls).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async {
            let _ = connection.await;
        });
        Ok(Self {
            store,
            client,
            clock,
            origin: Origin {
                ip: None,
                request_id: Some("r-1".to_owned()),
            },
            _connection: driver,
            _database: database,
        })
    }

    /// An id that nothing has; `.0` makes it one of any kind.
    fn id(&self) -> UserId {
        uuid_v7(&self.clock, &self.clock).into()
    }

    async fn person(&self, name: &str, role: Role) -> Result<Actor> {
        let actor = Actor {
            id: self.id(),
            username: name.parse()?,
            display_name: name.to_uppercase(),
            role,
            session: self.id().0.into(),
        };
        self.run(&format!(
            "INSERT INTO users (id, username, role, display_name)
             VALUES ('{}', '{name}', '{role}', '{}')",
            actor.id, actor.display_name
        ))
        .await?;
        Ok(actor)
    }

    async fn creator(&self) -> Result<Actor> {
        self.person("ann", Role::Creator).await
    }

    async fn investor(&self) -> Result<Actor> {
        self.person("ivy", Role::Investor).await
    }

    async fn draft(&self, creator: &Actor, visibility: Visibility) -> Result<Pitch> {
        let (id, now) = (self.id().0.into(), self.clock.wall());
        let created = self
            .store
            .create_pitch(creator, id, content(visibility), None, now);
        made_now(created.await??)
    }

    async fn published(&self, creator: &Actor, visibility: Visibility) -> Result<Pitch> {
        let draft = self.draft(creator, visibility).await?;
        self.step(creator, &draft, PitchAction::Publish).await
    }

    async fn step(&self, actor: &Actor, pitch: &Pitch, action: PitchAction) -> Result<Pitch> {
        let expected = Expected::OneOf(vec![pitch.version]);
        let now = self.clock.wall();
        let stepped = self
            .store
            .step_pitch(actor, pitch.id, &expected, action, &self.origin, now);
        Ok(stepped.await??)
    }

    async fn request(&self, actor: &Actor, pitch: &Pitch) -> Outcome<Nda> {
        let new = NewNda {
            id: self.id().0.into(),
            pitch: pitch.id,
            message: "May I?".to_owned(),
        };
        let now = self.clock.wall();
        let requested = self.store.request_nda(actor, new, None, &self.origin, now);
        Ok(requested.await?.map(|created| match created {
            Created::New(nda) => nda,
            Created::Before(answer) => panic!("there was no key: {answer:?}"),
        }))
    }

    async fn express(&self, actor: &Actor, pitch: &Pitch) -> Outcome<Interest> {
        let new = NewInterest {
            id: self.id().0.into(),
            pitch: pitch.id,
            amount: Money {
                amount: 5_000_000,
                currency: "EUR".parse().expect("three capital letters"),
            },
            message: "Count me in".to_owned(),
        };
        let now = self.clock.wall();
        let expressed = self
            .store
            .express_interest(actor, new, None, &self.origin, now);
        Ok(expressed.await?.map(|created| match created {
            Created::New(interest) => interest,
            Created::Before(answer) => panic!("there was no key: {answer:?}"),
        }))
    }

    /// What a creator says to an NDA; an approval held until just now if it is to be `over`.
    async fn decide(&self, actor: &Actor, nda: &Nda, action: NdaAction, over: bool) -> Result<Nda> {
        let now = self.clock.wall();
        let step = NdaStep {
            action,
            decision: String::new(),
            expires_at: over.then(|| now - Duration::from_secs(1)),
        };
        let expected = Expected::OneOf(vec![nda.version]);
        let stepped = self
            .store
            .step_nda(actor, nda.id, &expected, step, &self.origin, now);
        Ok(stepped.await??)
    }

    async fn run(&self, sql: &str) -> Result<()> {
        Ok(self.client.batch_execute(sql).await?)
    }

    async fn lines(&self, query: &str) -> Result<Vec<String>> {
        let rows = self.client.query(query, &[]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn count(&self, table: &str) -> Result<i64> {
        let query = format!("SELECT count(*) FROM {table}");
        Ok(self.client.query_one(&query, &[]).await?.get(0))
    }

    /// What the writes since the last call left beside their own rows, ids as `…`.
    async fn left(&self) -> Result<Vec<String>> {
        let left = self
            .lines(
                "SELECT line FROM (
                     SELECT 1, id, 'tag ' || regexp_replace(tag, ':.{36}$', ':…') FROM cache_outbox
                     UNION ALL
                     SELECT 2, id, concat_ws(' ', 'event', aggregate_kind, event_kind, payload->>'status',
                                             payload->>'notice', payload->>'version') FROM event_outbox
                     UNION ALL
                     SELECT 3, 0, concat_ws(' ', 'notice to', username, kind, 'from', payload->>'username',
                                            payload->>'pitch_title')
                     FROM notifications JOIN users ON users.id = user_id
                     UNION ALL
                     SELECT 4, 0, concat_ws(' ', 'audit', username, action, subject_kind, request_id)
                     FROM audit_log JOIN users ON users.id = actor_id
                 ) AS lines (kind, id, line) ORDER BY kind, id, line",
            )
            .await?;
        self.run("TRUNCATE cache_outbox, event_outbox, notifications, audit_log")
            .await?;
        Ok(left)
    }
}

fn content(visibility: Visibility) -> PitchContent {
    PitchContent {
        title: "Title".to_owned(),
        logline: "A logline".to_owned(),
        synopsis: "A synopsis".to_owned(),
        genres: vec![Genre::Noir, Genre::Crime],
        format: Format::Feature,
        stage: Stage::Script,
        release_year: Some(2030),
        cast: vec!["Zoë, Jr.".to_owned()],
        visibility,
        full_synopsis: "All of it".to_owned(),
        budget: Some(Money {
            amount: 100_000_000,
            currency: "USD".parse().expect("three capital letters"),
        }),
    }
}

fn made_now<T: std::fmt::Debug>(created: Created<T>) -> Result<T> {
    match created {
        Created::New(made) => Ok(made),
        Created::Before(answer) => bail!("made before: {answer:?}"),
    }
}

/// What a test keeps under a key.
fn answer(pitch: &Pitch) -> StoredAnswer {
    StoredAnswer {
        status: 201,
        headers: vec![("etag".to_owned(), format!("\"{}\"", pitch.version))],
        body: pitch.id.to_string().into_bytes(),
    }
}
