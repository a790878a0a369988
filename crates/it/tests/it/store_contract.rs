//! The repositories over a real PostgreSQL keep the contract of the ports.

use pitchey_model::{Profile, UserId, WalPosition};
use pitchey_regional::{Connections, RegionalStore};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store::contract::{self, Harness, ReadHarness, Traces};
use pitchey_store::mem::StoredPitch;
use pitchey_store::{Freshness as _, StoreError};
use pitchey_store_pg::{PgStore, PoolConfig};
use pitchey_testkit::TestDb;
use pitchey_testkit::postgres_server::execute;
use std::fmt::Write as _;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

struct Pg {
    database: TestDb,
    store: PgStore,
}

impl Pg {
    async fn new() -> Self {
        let database = TestDb::new().await;
        let url = database.url().to_owned().into();
        let config = PoolConfig {
            max_connections: 2,
            ..PoolConfig::default()
        };
        let store = PgStore::connect_lazy(&url, &config, SystemRuntime::new())
            .expect("the test database has a URL");
        Self { database, store }
    }

    async fn execute(&self, sql: String) {
        let url = self.database.url().to_owned();
        tokio::task::spawn_blocking(move || execute(&url, &sql))
            .await
            .expect("the task ends")
            .expect("the statements do");
    }
}

impl Harness for Pg {
    type Store = PgStore;

    fn store(&self) -> &PgStore {
        &self.store
    }

    fn now(&self) -> OffsetDateTime {
        SystemRuntime::new().wall().truncate_to_microsecond()
    }

    async fn given(&self, users: &[Profile], pitches: &[StoredPitch]) {
        let mut sql = String::new();
        for user in users {
            let _ = writeln!(
                sql,
                "INSERT INTO users (id, username, role, display_name, created_at) VALUES ('{}', '{}', '{}', '{}', '{}');",
                user.id,
                user.username.as_str(),
                user.role,
                user.display_name,
                user.created_at
            );
        }
        for pitch in pitches {
            let (detail, card) = (&pitch.detail, &pitch.detail.card);
            let list = |items: Vec<String>| format!("ARRAY[{}]::text[]", items.join(", "));
            let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let _ = writeln!(
                sql,
                "INSERT INTO pitches (id, creator_id, title, logline, synopsis, genres, format, stage, release_year, \
                 cast_members, status, visibility, published_at, created_at, updated_at, version, view_count, trending_score) \
                 VALUES ('{}', '{}', {}, {}, {}, {}, '{}', '{}', {}, {}, '{}', '{}', '{}', '{}', '{}', {}, {}, {});",
                card.id,
                card.creator.id,
                quoted(&card.title),
                quoted(&card.logline),
                quoted(&detail.synopsis),
                list(
                    card.genres
                        .iter()
                        .map(|genre| quoted(genre.as_str()))
                        .collect()
                ),
                card.format,
                card.stage,
                card.release_year
                    .map_or("NULL".to_owned(), |year| year.to_string()),
                list(detail.cast.iter().map(|name| quoted(name)).collect()),
                if pitch.listed { "published" } else { "draft" },
                card.visibility,
                card.published_at,
                card.published_at,
                detail.updated_at,
                detail.version,
                card.view_count,
                pitch.trending_score,
            );
        }
        self.execute(sql).await;
    }

    async fn lock_user(&self, user: UserId) {
        self.execute(format!(
            "UPDATE users SET locked_at = now() WHERE id = '{user}'"
        ))
        .await;
    }

    async fn delete_user(&self, user: UserId) {
        self.execute(format!(
            "UPDATE users SET deleted_at = now() WHERE id = '{user}'"
        ))
        .await;
    }

    async fn refresh(&self) {
        self.execute("REFRESH MATERIALIZED VIEW mv_pitch_stats".to_owned())
            .await;
    }

    async fn traces(&self) -> Traces {
        let (client, connection) = tokio_postgres::connect(self.database.url(), NoTls)
            .await
            .expect("the test database can be reached");
        let connection = tokio::spawn(connection);
        let texts = async |query: &str| -> Vec<String> {
            let rows = client.query(query, &[]).await.expect("the query is good");
            rows.iter().map(|row| row.get(0)).collect()
        };
        let count = async |table: &str| {
            let query = format!("SELECT count(*) FROM {table}");
            let row = client.query_one(&query, &[]).await;
            let count: i64 = row.expect("the query is good").get(0);
            count.unsigned_abs()
        };
        let traces = Traces {
            tags: texts("SELECT tag FROM cache_outbox ORDER BY id").await,
            events: texts("SELECT event_kind FROM event_outbox ORDER BY id").await,
            audit: texts("SELECT action FROM audit_log ORDER BY created_at, id").await,
            rum: count("rum_events").await,
            analytics: count("analytics_events").await,
        };
        drop(client);
        connection
            .await
            .expect("the task ends")
            .expect("the connection closes");
        traces
    }
}

contract::suite!(postgres, Pg::new());

/// The reads of an edge, over the same database.
struct Regional {
    pg: Pg,
    store: RegionalStore<One>,
    _connection: JoinSet<()>,
}

/// One connection, for everybody.
#[derive(Clone)]
struct One(Arc<Client>);

impl Connections for One {
    type Connection = Arc<Client>;

    async fn connection(&self) -> Result<Arc<Client>, StoreError> {
        Ok(self.0.clone())
    }

    fn release(&self, _: Arc<Client>) {}
}

impl Regional {
    async fn new() -> Self {
        let pg = Pg::new().await;
        let (client, connection) = tokio_postgres::connect(pg.database.url(), NoTls)
            .await
            .expect("the test database can be reached");
        let mut running = JoinSet::new();
        running.spawn(async move {
            // It ends when the client is dropped.
            let _ = connection.await;
        });
        // A primary has whatever is demanded.
        let store = RegionalStore::new(One(Arc::new(client)));
        Self {
            pg,
            store: store.reading(Some(WalPosition(u64::MAX))),
            _connection: running,
        }
    }
}

impl ReadHarness for Regional {
    type Reads = RegionalStore<One>;

    fn reads(&self) -> &RegionalStore<One> {
        &self.store
    }

    async fn hold(&self, users: &[Profile], pitches: &[StoredPitch]) {
        self.pg.given(users, pitches).await;
    }
}

contract::suite!(reads regional, Regional::new());
