//! Accounts, sessions, operators, batches and upkeep, where only a real PostgreSQL shows whether it is right:
//! races, bounds, and the rows that a write leaves beside its own.

use anyhow::{Context as _, Result};
use pitchey_model::decide::{Expected, Refusal};
use pitchey_model::{Actor, PitchId, ProfileChange, Role, RumMetric, SessionId, UserId};
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store::accounts::{NewAccount, NewSession, Origin, Rehash, Taken};
use pitchey_store::intake::{AnalyticsEvent, RumSample, View};
use pitchey_store::{Accounts as _, Intake as _};
use pitchey_store_pg::operate::{AuditFilter, AuditPosition, UserFilter, UserKey};
use pitchey_store_pg::{PgStore, PoolConfig, Rescored};
use pitchey_testkit::TestDb;
use pitchey_testkit::postgres_server::execute;
use secrecy::SecretString;
use std::cell::Cell;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use uuid::Uuid;

struct Site {
    store: PgStore,
    client: Client,
    ids: Cell<u128>,
    now: OffsetDateTime,
    _connection: JoinSet<()>,
    database: TestDb,
}

impl Site {
    async fn new() -> Result<Self> {
        let database = TestDb::new().await;
        // A deadlock would be undone and tried again: here it is a statement that does not end.
        let name = database.name();
        let patient = format!("ALTER DATABASE {name} SET deadlock_timeout = '10min'");
        execute(database.url(), &patient)?;
        let config = PoolConfig {
            // Many wait at once, on a machine that may have other things to do.
            acquire_timeout_ms: 60_000,
            statement_timeout_ms: 30_000,
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
            ids: Cell::new(0),
            now: clock.wall(),
            _connection: driver,
            database,
        })
    }

    /// Ids in the order in which they are asked for, also within a millisecond.
    fn id(&self) -> Uuid {
        self.ids.set(self.ids.get() + 1);
        Uuid::from_u128((0x0190 << 112) | self.ids.get())
    }

    fn account(&self, name: &str) -> Result<NewAccount> {
        Ok(NewAccount {
            id: UserId(self.id()),
            username: name.parse()?,
            email: format!("{name}@example.org").parse()?,
            password_hash: SecretString::from("hash"),
            role: Role::Creator,
            display_name: name.to_uppercase(),
        })
    }

    fn session(&self) -> NewSession {
        let id = self.id();
        NewSession {
            id: SessionId(id),
            token_hash: token(id),
            user_agent: "test".to_owned(),
            idle_expires_at: self.now + Duration::from_hours(1),
            expires_at: self.now + Duration::from_hours(24),
        }
    }

    async fn user(&self, name: &str) -> Result<UserId> {
        let account = self.account(name)?;
        let id = account.id;
        let outcome = self
            .store
            .register(account, None, &Origin::default(), self.now)
            .await?;
        assert_eq!(outcome, Ok(()));
        Ok(id)
    }

    /// Opens a session so many seconds from now.
    async fn open(&self, user: UserId, second: u64) -> Result<SessionId> {
        let session = self.session();
        let id = session.id;
        let at = self.now + Duration::from_secs(second);
        let origin = Origin::default();
        let opened = self
            .store
            .open_session(user, session, None, None, &origin, at);
        anyhow::ensure!(opened.await?, "the account is not open");
        Ok(id)
    }

    /// The rows of a query, columns joined by spaces.
    async fn rows(&self, query: &str) -> Result<Vec<String>> {
        let messages = self.client.simple_query(query).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let columns = (0..row.len()).map(|at| row.get(at).unwrap_or("null"));
                Some(columns.collect::<Vec<_>>().join(" "))
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    async fn one(&self, query: &str) -> Result<String> {
        let mut rows = self.rows(query).await?;
        rows.pop().context("no row")
    }

    async fn pitch(&self, creator: UserId, status: &str) -> Result<PitchId> {
        let id = PitchId(self.id());
        self.client
            .batch_execute(&format!(
                "INSERT INTO pitches (id, creator_id, title, logline, genres, format, stage, status, published_at)
                 VALUES ('{id}', '{creator}', 'T', 'L', '{{drama}}', 'feature', 'script', '{status}', now())"
            ))
            .await?;
        Ok(id)
    }

    async fn forget(&self) -> Result<()> {
        let truncate = "TRUNCATE cache_outbox, event_outbox, audit_log";
        Ok(self.client.batch_execute(truncate).await?)
    }

    /// What was left in the outbox and the audit log.
    async fn traces(&self) -> Result<[Vec<String>; 3]> {
        Ok([
            self.rows("SELECT tag FROM cache_outbox ORDER BY tag")
                .await?,
            self.rows("SELECT event_kind FROM event_outbox ORDER BY id")
                .await?,
            self.rows(
                "SELECT action, coalesce(actor_id::text, 'operator ' || (detail->>'operator'))
                 FROM audit_log ORDER BY created_at, id",
            )
            .await?,
        ])
    }
}

fn token(id: Uuid) -> [u8; 32] {
    let mut token = [0; 32];
    token[..16].copy_from_slice(id.as_bytes());
    token
}

async fn all<T: Send + 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = Vec::new();
    while let Some(task) = tasks.join_next().await {
        results.push(task??);
    }
    Ok(results)
}

fn as_strings(items: &[&str]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn of_many_who_want_a_name_at_once_one_has_it_and_the_others_are_told() -> Result<()> {
    let site = Site::new().await?;
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let mut account = site.account("ann")?;
        // Half of them want the address as well.
        if n % 2 == 1 {
            account.email = format!("a{n}@example.org").parse()?;
        }
        let (store, session, now) = (site.store.clone(), site.session(), site.now);
        tasks.spawn(async move {
            let origin = Origin::default();
            Ok((
                n % 2 == 0,
                store.register(account, Some(session), &origin, now).await?,
            ))
        });
    }
    let outcomes = all(tasks).await?;
    let won = outcomes.iter().filter(|(_, outcome)| outcome.is_ok());
    assert_eq!(won.count(), 1);
    let same_address = site.one("SELECT email FROM users").await? == "ann@example.org";
    for (wanted, outcome) in outcomes {
        if let Err(taken) = outcome {
            let expected = Taken {
                username: true,
                email: wanted && same_address,
            };
            assert_eq!(taken, expected);
        }
    }
    let left = site
        .one("SELECT (SELECT count(*) FROM sessions), (SELECT count(*) FROM audit_log), (SELECT count(*) FROM cache_outbox)")
        .await?;
    assert_eq!(left, "1 1 1", "who is told leaves nothing");
    Ok(())
}

#[tokio::test]
async fn the_hundred_and_first_session_ends_the_oldest() -> Result<()> {
    let site = Site::new().await?;
    let user = site.user("ann").await?;
    let first = site.open(user, 0).await?;
    for second in 1..100 {
        site.open(user, second).await?;
    }
    site.forget().await?;
    site.open(user, 100).await?;
    let at = site.now + Duration::from_secs(101);
    let sessions = site.store.sessions(user, at).await?;
    assert_eq!(sessions.len(), 100);
    assert!(sessions.iter().all(|session| session.id != first));
    assert_eq!(site.store.session(&token(first.0), at).await?, None);
    let [tags, events, _] = site.traces().await?;
    assert_eq!((tags.len(), events), (1, as_strings(&["session_ended"])));
    assert_eq!(
        site.one("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
            .await?,
        "100"
    );
    Ok(())
}

#[tokio::test]
async fn sessions_open_and_end_at_once_without_a_deadlock() -> Result<()> {
    let site = Site::new().await?;
    let users = [site.user("ann").await?, site.user("bea").await?];
    let mut tasks = JoinSet::new();
    let mut last: Option<[u8; 32]> = None;
    for n in 0..60_usize {
        let (store, now) = (site.store.clone(), site.now);
        let user = users[n % 2];
        let session = site.session();
        let replaces = last.replace(session.token_hash);
        tasks.spawn(async move {
            let origin = Origin::default();
            if n % 3 == 0 {
                store.end_sessions(user, &origin, now).await?;
            } else {
                let opened = store.open_session(user, session, replaces, None, &origin, now);
                opened.await?;
            }
            Ok(())
        });
    }
    all(tasks).await?;
    for user in users {
        site.store
            .end_sessions(user, &Origin::default(), site.now)
            .await?;
        assert_eq!(site.store.sessions(user, site.now).await?, []);
    }
    Ok(())
}

#[tokio::test]
async fn of_two_password_changes_at_once_one_is_done() -> Result<()> {
    let site = Site::new().await?;
    let user = site.user("ann").await?;
    for second in 0..5 {
        site.open(user, second).await?;
    }
    site.forget().await?;
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let (store, session, now) = (site.store.clone(), site.session(), site.now);
        tasks.spawn(async move {
            let rehash = Rehash {
                old: "hash".into(),
                new: format!("hash {n}").into(),
            };
            Ok(store
                .change_password(user, rehash, session, &Origin::default(), now)
                .await?)
        });
    }
    let done = all(tasks).await?;
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(site.store.sessions(user, site.now).await?.len(), 1);
    let [tags, events, audit] = site.traces().await?;
    assert_eq!((tags.len(), events.len(), audit.len()), (5, 1, 1));
    Ok(())
}

#[tokio::test]
async fn of_two_editors_of_a_profile_one_wins_and_the_tags_of_lists_rise() -> Result<()> {
    let site = Site::new().await?;
    let user = site.user("ann").await?;
    site.forget().await?;
    let actor = Actor {
        id: user,
        username: "ann".parse()?,
        display_name: "ANN".to_owned(),
        role: Role::Creator,
        session: SessionId(site.id()),
    };
    let mut tasks = JoinSet::new();
    for n in 0..8 {
        let (store, actor, now) = (site.store.clone(), actor.clone(), site.now);
        tasks.spawn(async move {
            let change = ProfileChange {
                display_name: Some(format!("Ann {n}")),
                ..ProfileChange::default()
            };
            let expected = Expected::OneOf(vec![1]);
            Ok(store.change_profile(&actor, &expected, change, now).await?)
        });
    }
    let outcomes = all(tasks).await?;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(|lost| *lost == Err(Refusal::Stale)));
    let account = site.store.account(user).await?.context("she is there")?;
    assert_eq!(won, [Ok(account)]);
    let [tags, ..] = site.traces().await?;
    assert_eq!(tags, [format!("creator:{user}"), format!("user:{user}")]);
    Ok(())
}

#[tokio::test]
async fn what_a_refused_change_held_is_free_when_the_refusal_is_told() -> Result<()> {
    let site = Site::new().await?;
    let user = site.user("ann").await?;
    let actor = Actor {
        id: user,
        username: "ann".parse()?,
        display_name: "ANN".to_owned(),
        role: Role::Creator,
        session: SessionId(site.id()),
    };
    let take = format!("SELECT FROM users WHERE id = '{user}' FOR UPDATE NOWAIT");
    for _ in 0..50 {
        let (stale, change) = (Expected::OneOf(vec![7]), ProfileChange::default());
        let refused = site.store.change_profile(&actor, &stale, change, site.now);
        assert_eq!(refused.await?, Err(Refusal::Stale));
        site.client.batch_execute(&take).await?;
    }
    Ok(())
}

#[tokio::test]
async fn operators_find_lock_and_change_accounts_and_are_named() -> Result<()> {
    let site = Site::new().await?;
    let (store, now) = (&site.store, site.now);
    let ann = site.user("ann").await?;
    let bea = site.user("bea").await?;
    let mut root = site.account("root")?;
    root.role = Role::Admin;
    assert_eq!(store.create_account(&root, "olga", now).await?, Ok(()));
    let again = store.create_account(&root, "olga", now).await?;
    assert!(again.is_err_and(|taken| taken.username && taken.email));

    for key in [ann.to_string().as_str(), "ann", "Ann@Example.org"] {
        let key: UserKey = key.parse()?;
        assert_eq!(store.find_user(&key).await?, Some(ann), "{key:?}");
    }
    assert_eq!(store.find_user(&"nobody".parse::<UserKey>()?).await?, None);
    let listed = async |filter: UserFilter, after, limit| {
        let users = store.list_users(&filter, after, limit).await?;
        anyhow::Ok(users.into_iter().map(|user| user.id).collect::<Vec<_>>())
    };
    assert_eq!(
        listed(UserFilter::default(), None, 2).await?,
        [root.id, bea]
    );
    assert_eq!(listed(UserFilter::default(), Some(bea), 2).await?, [ann]);
    let creators = UserFilter {
        role: Some(Role::Creator),
        text: Some("BEA@".to_owned()),
        ..UserFilter::default()
    };
    assert_eq!(listed(creators, None, 9).await?, [bea]);

    let first = site.open(ann, 0).await?;
    site.open(ann, 1).await?;
    site.pitch(ann, "draft").await?;
    let shown = store.show_user(ann, now).await?.context("she is there")?;
    assert_eq!(
        (shown.sessions, shown.pitches, shown.has_password),
        (2, 1, true)
    );
    site.forget().await?;
    // One change a second: the audit log tells their order by time.
    let at = |second| now + Duration::from_secs(second);
    assert_eq!(store.revoke_session(first, "olga", at(2)).await?, Some(ann));
    assert_eq!(store.revoke_session(first, "olga", at(2)).await?, None);
    let locked = store
        .lock_user(ann, "olga", "spam", at(3))
        .await?
        .context("there")?;
    assert_eq!((locked.changed, locked.sessions_ended), (true, 1));
    let locked = store
        .lock_user(ann, "olga", "spam", at(3))
        .await?
        .context("there")?;
    assert_eq!((locked.changed, locked.sessions_ended), (false, 0));
    let only_locked = UserFilter {
        locked: Some(true),
        ..UserFilter::default()
    };
    assert_eq!(listed(only_locked, None, 9).await?, [ann]);
    assert!(site.open(ann, 4).await.is_err(), "nobody gets in");
    assert!(store.unlock_user(ann, "olga", at(5)).await?.is_some());
    let opened = site.open(ann, 5).await?;
    assert!(store.session(&token(opened.0), now).await?.is_some());
    let changed = store.set_role(ann, Role::Production, "olga", at(6)).await?;
    let changed = changed.context("she is there")?;
    assert_eq!((changed.changed, changed.sessions_ended), (true, 1));
    assert_eq!(store.revoke_sessions(ann, "olga", now).await?, 0);
    let nobody = UserId(site.id());
    assert_eq!(store.lock_user(nobody, "olga", "spam", now).await?, None);

    let shown = store.show_user(ann, now).await?.context("she is there")?;
    assert_eq!(shown.user.role, Role::Production);
    assert_eq!(
        shown.user.version, 2,
        "a profile tells the role, not the lock"
    );
    let [tags, events, audit] = site.traces().await?;
    assert!(tags.contains(&format!("user:{ann}")), "{tags:?}");
    assert_eq!(events, as_strings(&["session_ended"; 3]));
    let by_olga: Vec<_> = audit
        .iter()
        .filter_map(|line| line.strip_suffix(" operator olga"))
        .collect();
    assert_eq!(
        by_olga,
        [
            "session.end",
            "account.lock",
            "account.unlock",
            "account.role"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn an_operator_takes_a_pitch_off_the_site() -> Result<()> {
    let site = Site::new().await?;
    let ann = site.user("ann").await?;
    let (draft, shown) = (
        site.pitch(ann, "draft").await?,
        site.pitch(ann, "published").await?,
    );
    site.forget().await?;
    let refused = site
        .store
        .unpublish_pitch(draft, "olga", "spam", site.now)
        .await?;
    assert!(
        matches!(refused, Err(Refusal::NotAllowed(_))),
        "{refused:?}"
    );
    let nothing = site
        .store
        .unpublish_pitch(PitchId(site.id()), "olga", "spam", site.now);
    assert_eq!(nothing.await?, Err(Refusal::NotFound));
    assert_eq!(site.traces().await?, [const { Vec::<String>::new() }; 3]);

    let down = site
        .store
        .unpublish_pitch(shown, "olga", "spam", site.now)
        .await??;
    assert_eq!((down.id, down.version), (shown, 2));
    let record = site.store.pitch_record(shown).await?;
    let record = record.context("it is there")?;
    assert_eq!(record.status.as_str(), "archived");
    assert_eq!(record.creator.username.as_str(), "ann");
    assert_eq!(site.one("SELECT count(*) FROM pitch_listings").await?, "0");
    let [tags, events, audit] = site.traces().await?;
    for tag in [
        format!("pitch:{shown}"),
        format!("creator:{ann}"),
        "lists".to_owned(),
        "genre:drama".to_owned(),
    ] {
        assert!(tags.contains(&tag), "{tag} is not in {tags:?}");
    }
    assert_eq!(events, as_strings(&["pitch_changed"]));
    assert_eq!(audit, as_strings(&["pitch.archive operator olga"]));
    Ok(())
}

#[tokio::test]
async fn the_audit_log_is_walked_by_time_actor_and_subject() -> Result<()> {
    let site = Site::new().await?;
    let (ann, bea) = (site.user("ann").await?, site.user("bea").await?);
    site.forget().await?;
    // Two at each moment: the id tells them apart.
    for second in [0, 0, 1, 1, 2] {
        site.open(ann, second).await?;
    }
    let at = |second| site.now + Duration::from_secs(second);
    site.store.revoke_sessions(ann, "olga", at(3)).await?;
    site.open(bea, 4).await?;

    let everything = AuditFilter::default();
    let whole = site.store.audit_log(&everything, None, 100).await?;
    assert_eq!(whole.len(), 7);
    assert_eq!(whole[1].detail["operator"], "olga");
    let of_ann = AuditFilter {
        actor: Some(ann),
        ..AuditFilter::default()
    };
    let about_ann = AuditFilter {
        subject: Some(ann.0),
        ..AuditFilter::default()
    };
    for (filter, expected) in [(&everything, 7), (&of_ann, 5), (&about_ann, 1)] {
        let whole = site.store.audit_log(filter, None, 100).await?;
        assert_eq!(whole.len(), expected);
        // Page by page it is the same.
        let (mut walked, mut after) = (Vec::new(), None);
        loop {
            let page = site.store.audit_log(filter, after, 2).await?;
            let Some(last) = page.last() else { break };
            after = Some(AuditPosition {
                created_at: last.created_at,
                id: last.id,
            });
            walked.extend(page);
        }
        assert_eq!(walked, whole);
    }
    let late = AuditFilter {
        since: Some(at(2)),
        ..of_ann.clone()
    };
    assert_eq!(site.store.audit_log(&late, None, 100).await?.len(), 1);
    let neither = AuditFilter {
        subject: Some(ann.0),
        ..of_ann
    };
    assert_eq!(site.store.audit_log(&neither, None, 100).await?, []);
    Ok(())
}

#[tokio::test]
async fn batches_of_views_at_once_count_each_once_and_touch_nothing_else() -> Result<()> {
    let site = Site::new().await?;
    // A large table is not read from end to end: rows are met in the order of the batch.
    for setting in ["enable_seqscan", "enable_hashjoin", "enable_mergejoin"] {
        let name = site.database.name();
        let off = format!("ALTER DATABASE {name} SET {setting} = off");
        execute(site.database.url(), &off)?;
    }
    let ann = site.user("ann").await?;
    let mut pitches = Vec::new();
    for _ in 0..200 {
        pitches.push(site.pitch(ann, "published").await?);
    }
    let query = "SELECT md5(string_agg(p::text, ',' ORDER BY id)) FROM
        (SELECT id, version, updated_at, published_at FROM pitches) p";
    let before = site.one(query).await?;
    let listings = "SELECT md5(string_agg(l::text || l.xmin, ',' ORDER BY pitch_id, shelf)) FROM pitch_listings l";
    let listings_before = site.one(listings).await?;
    let mut tasks = JoinSet::new();
    for batch in 0..12_u8 {
        let (store, now, mut pitches) = (site.store.clone(), site.now, pitches.clone());
        // Each in another order, half of the viewers in two batches.
        pitches.rotate_left(16 * usize::from(batch));
        if batch % 2 == 1 {
            pitches.reverse();
        }
        tasks.spawn(async move {
            let mut counted = 0;
            for day in 0..10 {
                let view = |pitch: &PitchId| View {
                    pitch: *pitch,
                    viewer: [batch / 2; 16],
                    at: now - Duration::from_hours(24 * day),
                };
                let views: Vec<View> = pitches.iter().map(view).collect();
                counted += store.record_views(&views).await?;
            }
            Ok(counted)
        });
    }
    assert_eq!(all(tasks).await?.iter().sum::<u64>(), 6 * 10 * 200);
    assert_eq!(
        site.rows("SELECT DISTINCT view_count FROM pitches").await?,
        ["60"]
    );
    assert_eq!(site.one(query).await?, before);
    assert_eq!(site.one(listings).await?, listings_before);

    let hour_ago = site.now - Duration::from_hours(1);
    let rescored = site.store.refresh_scores(hour_ago).await?;
    assert_eq!(
        rescored,
        Rescored {
            pitches: 200,
            listings: 600
        }
    );
    assert_eq!(
        site.rows("SELECT DISTINCT view_count FROM pitch_listings")
            .await?,
        ["60"]
    );
    assert_eq!(
        site.one("SELECT sum(views) FROM mv_pitch_stats").await?,
        "null"
    );
    site.store.refresh_stats().await?;
    assert_eq!(
        site.one("SELECT sum(views) FROM mv_pitch_stats").await?,
        "12000"
    );
    Ok(())
}

#[tokio::test]
async fn one_strange_event_does_not_fail_its_batch() -> Result<()> {
    let site = Site::new().await?;
    let event = |payload: String| AnalyticsEvent {
        id: site.id(),
        at: site.now,
        kind: "page.view".to_owned(),
        user: None,
        pitch: None,
        client: [7; 16],
        path: "/".to_owned(),
        payload,
    };
    let many = format!("{{\"a\":[{}]}}", vec!["1"; 2000].join(","));
    assert!(many.len() <= 4096);
    let events = [
        event(r#"{"n": 1}"#.to_owned()),
        event(r#"{"n": "\u0000"}"#.to_owned()),
        event(r#"{"n": 1e400}"#.to_owned()),
        event(many),
    ];
    site.store.record_events(&events).await?;
    site.store.record_events(&events).await?;
    assert_eq!(
        site.rows("SELECT payload FROM analytics_events ORDER BY id")
            .await?,
        [r#"{"n": 1}"#, "{\"n\": \"\u{fffd}\"}", "{}", "{}"]
    );
    let sample = RumSample {
        id: site.id(),
        at: site.now,
        metric: RumMetric::Lcp,
        value: 1234.5,
        route: "/".to_owned(),
        edge_location: String::new(),
        connection: String::new(),
    };
    for _ in 0..2 {
        let batch = [sample.clone(), sample.clone()];
        site.store.record_rum(&batch).await?;
    }
    assert_eq!(
        site.rows("SELECT metric, value FROM rum_events").await?,
        ["lcp 1234.5"]
    );
    Ok(())
}

#[tokio::test]
async fn partitions_are_made_ahead_and_what_has_expired_goes() -> Result<()> {
    let site = Site::new().await?;
    let later = site.now + Duration::from_hours(24 * 60);
    assert!(site.store.ensure_partitions(later).await? > 7);
    assert_eq!(site.store.ensure_partitions(later).await?, 0);
    let sample = RumSample {
        id: site.id(),
        at: later + Duration::from_hours(24 * 6),
        metric: RumMetric::Cls,
        value: 0.1,
        route: "/".to_owned(),
        edge_location: String::new(),
        connection: String::new(),
    };
    site.store.record_rum(&[sample]).await?;

    let user = site.user("ann").await?;
    for second in 0..3 {
        site.open(user, second).await?;
    }
    site.client
        .batch_execute(&format!(
            "INSERT INTO idempotency_keys (user_id, key, request_hash, response_status, response_headers, response_body, expires_at)
             SELECT '{user}', k, sha256('x'), 201, '[]', '', now() + interval '1 day' FROM unnest(ARRAY['a', 'b']) k"
        ))
        .await?;
    let kept = site.store.clean_up(site.now, 10).await?;
    assert_eq!((kept.sessions, kept.idempotency_keys), (0, 0));
    // A batch that is full is not the last.
    let removed = site.store.clean_up(later, 1).await?;
    assert_eq!((removed.sessions, removed.idempotency_keys), (3, 2));
    Ok(())
}
