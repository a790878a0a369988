//! The caches of an origin: answers and sessions over one backplane, and what keeps them true.
//!
//! Answers are in the process's memory and, where there is one, in Redis, which all origins share. What
//! a commit changes is invalidated before it is acknowledged ([`Invalidate`]); what that leaves undone the
//! relay does ([`Deliver`](crate::relay::Deliver)). After Redis was away, nothing in it is trusted until the
//! outbox holds nothing that was left before.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use pitchey_api::cached::{Handler, SessionLoad};
use pitchey_api::edge::Heard;
use pitchey_api::ports::{Boxed, SharedLimits};
use pitchey_api::{CachedResponse, Problem, ResponseKind, Responses, SessionCache};
use pitchey_cache::shared::Strength;
use pitchey_cache::warm::Warmth;
use pitchey_cache::{
    Answer, AsOf, Backplane, Cache, CatchUp, GetError, Kind, Load, Loaded, NoShared, Node,
    NodeConfig, Policy, Position, SHARED_BREAKER, Shared, Source,
};
use pitchey_model::WalPosition;
use pitchey_realtime::Keep;
use pitchey_resilience::{Breaker, Deadline, Phase};
use pitchey_runtime::{Background as Tasks, Clock as _, SystemRuntime, Timer as _, timeout};
use pitchey_store::Freshness as _;
use pitchey_store::accounts::{Session, TokenHash};
use pitchey_store_pg::{Invalidate, OutboxTag, PgStore, RequestScope};
use pitchey_tiers::{
    Follower, MokaMemory, RedisConfig, RedisLink, RedisRooms, RedisShared, record_kinds,
    record_memory, record_node,
};
use tokio_util::sync::CancellationToken;

use crate::config::CacheConfig;
use crate::sessions::CachedSession;
use crate::shared_limits::RedisLimits;

type Answers<S> = Cache<CachedResponse, Problem, MokaMemory<CachedResponse>, S, Tasks>;
type Sessions<S> = Cache<CachedSession, Problem, MokaMemory<CachedSession>, S, Tasks>;

/// Memory for sessions: they are checked in Redis each time, so there is little use for more.
const SESSION_BYTES: u64 = 8 << 20;

/// How long an answer of the follower's connection may take.
const FOLLOWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How long delivering what was left may take before the next attempt.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it is looked whether others have delivered it.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(20);

/// The caches over one sort of shared tier.
pub struct Caches<S> {
    pub(crate) backplane: Backplane<S, Tasks>,
    pub(crate) answers: Answers<S>,
    pub(crate) sessions: Sessions<S>,
    pub(crate) tasks: Tasks,
}

impl<S> Clone for Caches<S> {
    fn clone(&self) -> Self {
        Self {
            backplane: self.backplane.clone(),
            answers: self.answers.clone(),
            sessions: self.sessions.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

/// The caches of an origin, whatever they stand on.
#[derive(Clone)]
pub enum OriginCaches {
    /// In Redis, too.
    Redis(Caches<RedisShared<SystemRuntime>>, RedisLink<SystemRuntime>),
    /// In memory alone.
    Alone(Caches<NoShared>),
}

impl OriginCaches {
    /// The caches that the configuration asks for, if any. Loading an answer may take as long as a request.
    pub fn new(
        config: &CacheConfig,
        request_timeout: Duration,
        runtime: SystemRuntime,
    ) -> anyhow::Result<Option<Self>> {
        let policies = config.response_policies(request_timeout);
        let node_config = NodeConfig {
            silence: config.silence(),
            ..NodeConfig::default()
        };
        if config.has_redis() {
            let redis = RedisConfig {
                prefix: config.prefix.clone(),
                call_timeout: config.timeout(),
                ..RedisConfig::new(config.url.clone())
            };
            let link = RedisLink::new(redis, runtime)?;
            let shared = RedisShared::new(link.clone());
            let caches = Caches::new(Node::new(node_config), shared, config, policies, runtime);
            return Ok(Some(Self::Redis(caches, link)));
        }
        Ok(config.alone.then(|| {
            let node = Node::alone(node_config);
            Self::Alone(Caches::new(node, NoShared, config, policies, runtime))
        }))
    }

    /// Where the API keeps answers.
    pub fn responses(&self) -> Arc<dyn Responses> {
        match self {
            Self::Redis(caches, _) => Arc::new(caches.clone()),
            Self::Alone(caches) => Arc::new(caches.clone()),
        }
    }

    /// Where the API keeps sessions.
    pub fn sessions(&self) -> Arc<dyn SessionCache> {
        match self {
            Self::Redis(caches, _) => Arc::new(caches.clone()),
            Self::Alone(caches) => Arc::new(caches.clone()),
        }
    }

    /// Whether memory may be used: what is loaded before would be loaded again.
    pub fn is_attached(&self) -> bool {
        match self {
            Self::Redis(caches, _) => caches.backplane.node().status(caches.tasks.now()).attached,
            Self::Alone(_) => true,
        }
    }

    /// Where the API counts for all origins together, if they share anything.
    pub fn limits(&self) -> Option<Arc<dyn SharedLimits>> {
        match self {
            Self::Redis(caches, link) => {
                let backplane = caches.backplane.clone();
                let clock = caches.tasks.clone();
                Some(Arc::new(RedisLimits::new(link.clone(), backplane, clock)))
            }
            Self::Alone(_) => None,
        }
    }

    /// Where those who listen are told what happens, if hubs could be listening.
    pub fn rooms(&self) -> Option<RedisRooms<SystemRuntime>> {
        match self {
            Self::Redis(_, link) => Some(RedisRooms::new(link.clone(), Keep::default())),
            Self::Alone(_) => None,
        }
    }

    /// What commits tell of what they have changed.
    pub fn invalidation(&self) -> Arc<dyn Invalidate> {
        match self {
            Self::Redis(caches, _) => Arc::new(caches.clone()),
            Self::Alone(caches) => Arc::new(caches.clone()),
        }
    }

    /// Publishes what happened.
    pub fn record_metrics(&self) {
        match self {
            Self::Redis(caches, _) => caches.record_metrics(),
            Self::Alone(caches) => caches.record_metrics(),
        }
    }

    /// Keeps the connection to Redis and hears what it announces, until `stop` is cancelled.
    pub async fn run(self, store: PgStore, stop: CancellationToken) {
        let (caches, link) = match self {
            Self::Redis(caches, link) => (caches, link),
            Self::Alone(_) => return stop.cancelled().await,
        };
        let node = caches.backplane.node().clone();
        let catching_up = CatchingUp {
            caches: caches.clone(),
            store,
        };
        let follower = Follower::new(link.clone(), node, catching_up, FOLLOWER_TIMEOUT);
        // In boxes, or the type of what runs here would be deeper than the compiler follows.
        let following: Boxed<'_, ()> = Box::pin(follower.run(&stop));
        let connecting: Boxed<'_, ()> = Box::pin(link.keep_connected(&stop));
        tokio::join!(connecting, following);
    }

    /// Waits for what goes on behind the answers, for at most `patience`.
    pub async fn finish(&self, patience: Duration) {
        let tasks = match self {
            Self::Redis(caches, _) => &caches.tasks,
            Self::Alone(caches) => &caches.tasks,
        };
        if !tasks.finish(patience).await {
            tracing::debug!("refreshes are cut off");
        }
    }

    /// Drops what is cached under these tags, everywhere; whether that is acknowledged.
    pub async fn deliver(&self, tags: &[OutboxTag], position: Option<WalPosition>) -> bool {
        let tags: Vec<String> = tags.iter().map(|tag| tag.tag.clone()).collect();
        match self {
            Self::Redis(caches, _) => caches.invalidate(tags, position).await,
            Self::Alone(caches) => caches.invalidate(tags, position).await,
        }
    }
}

impl<S: Shared> Caches<S> {
    fn new(
        node: Node,
        tier: S,
        config: &CacheConfig,
        policies: Vec<(&'static str, Policy)>,
        runtime: SystemRuntime,
    ) -> Self {
        let tasks = Tasks::new(runtime);
        let breaker = Breaker::with_listener(SHARED_BREAKER, |transition| {
            let to = match transition.to {
                Phase::Open | Phase::ForcedOpen => "open",
                Phase::HalfOpen => "half_open",
                Phase::Closed | Phase::ForcedClosed => "closed",
            };
            metrics::counter!("cache_breaker_transitions_total", "to" => to).increment(1);
            tracing::info!(to, "the breaker of the shared tier");
        });
        let backplane = Backplane::new(Arc::new(node), tier, tasks.clone(), breaker);
        let answers = Cache::new(
            backplane.clone(),
            MokaMemory::new(config.memory_mib << 20),
            policies,
        );
        let sessions = Cache::new(
            backplane.clone(),
            MokaMemory::new(SESSION_BYTES),
            vec![("session", config.session_policy())],
        );
        Self {
            backplane,
            answers,
            sessions,
            tasks,
        }
    }

    fn record_metrics(&self) {
        record_kinds(self.answers.stats());
        record_kinds(self.sessions.stats());
        record_memory(self.answers.size(), self.answers.in_flight());
        record_node(&self.backplane.node().status(self.tasks.now()));
    }
}

const fn kind(kind: ResponseKind) -> Kind {
    Kind(match kind {
        ResponseKind::PitchDetail => 0,
        ResponseKind::PitchList => 1,
        ResponseKind::Search => 2,
        ResponseKind::UserProfile => 3,
    })
}

impl<S: Shared> Responses for Caches<S> {
    fn hit(&self, of: ResponseKind, key: &str) -> Option<Answer<CachedResponse>> {
        self.answers.hit(kind(of), key)
    }

    fn get<'a>(
        &'a self,
        of: ResponseKind,
        key: &'a str,
        handler: Handler,
    ) -> Boxed<'a, Result<Answer<CachedResponse>, GetError<Problem>>> {
        let handler = self.bounded(of, handler);
        Box::pin(self.answers.get_missed(kind(of), key, handler))
    }

    fn warm<'a>(&'a self, of: ResponseKind, key: &'a str, handler: Handler) -> Boxed<'a, bool> {
        let handler = self.bounded(of, handler);
        Box::pin(async move {
            let warming = self.answers.warm(kind(of), key, Duration::ZERO, handler);
            let warmth = warming.await;
            matches!(warmth, Warmth::Fresh | Warmth::Found | Warmth::Loaded)
        })
    }

    fn heard_of(&self, as_of: AsOf) -> bool {
        self.backplane.node().heard_of(as_of)
    }

    fn as_of(&self, answer: &Answer<CachedResponse>) -> Option<AsOf> {
        self.backplane.node().as_of(&answer.entry)
    }

    fn heard(&self) -> Option<Heard> {
        let (as_of, Position(position)) = self.backplane.node().heard(self.tasks.now())?;
        Some(Heard {
            as_of,
            position: WalPosition(position),
        })
    }

    fn newest(&self) -> Option<AsOf> {
        self.backplane.node().known(self.tasks.now())
    }
}

impl<S: Shared> Caches<S> {
    fn bounded(&self, of: ResponseKind, handler: Handler) -> Bounded {
        let patience = self.answers.policies().nth(kind(of).0);
        Bounded {
            handler,
            scope: RequestScope::current_or_nobody(self.tasks.now()),
            patience: patience.map_or(Duration::ZERO, |(_, policy)| policy.hard_timeout),
            tasks: self.tasks.clone(),
        }
    }
}

/// A load for everybody: one who asked with less patience must not spoil it for the others, so it has a
/// deadline of its own. What it costs is charged to the one who asked first.
struct Bounded {
    handler: Handler,
    scope: RequestScope,
    patience: Duration,
    tasks: Tasks,
}

impl Source<CachedResponse, Problem> for Bounded {
    fn tags(&self) -> Vec<Box<str>> {
        self.handler.tags()
    }

    fn discovers(&self) -> &'static [&'static str] {
        self.handler.discovers()
    }

    async fn load(&self, load: Load) -> Result<Loaded<CachedResponse>, Problem> {
        let deadline = Deadline::after(self.tasks.now(), self.patience);
        let scope = self.scope.until(deadline);
        scope.run(self.handler.load(load)).await
    }
}

impl<S: Shared> SessionCache for Caches<S> {
    fn session<'a>(
        &'a self,
        token: &'a TokenHash,
        load: SessionLoad,
    ) -> Boxed<'a, Result<Option<Session>, Problem>> {
        Box::pin(async move {
            let key = pitchey_api::session_cache_key(token);
            let answer = self.sessions.get(Kind(0), &key, SessionSource(load)).await;
            match answer {
                Ok(answer) => Ok(answer.value().live(self.tasks.wall())),
                Err(GetError::Load(problem)) => Err(problem),
                Err(GetError::Timeout | GetError::Incomplete) => {
                    Err(Problem::unavailable(Duration::from_secs(1)))
                }
            }
        })
    }
}

struct SessionSource(SessionLoad);

impl Source<CachedSession, Problem> for SessionSource {
    fn tags(&self) -> Vec<Box<str>> {
        Vec::new()
    }

    async fn load(&self, _: Load) -> Result<Loaded<CachedSession>, Problem> {
        let session = (self.0)().await?;
        Ok(CachedSession::loaded(session))
    }
}

impl<S: Shared> Invalidate for Caches<S> {
    fn invalidate(
        &self,
        tags: Vec<String>,
        position: Option<WalPosition>,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            let mut tags: Vec<Box<str>> = tags.into_iter().map(Into::into).collect();
            tags.sort_unstable();
            tags.dedup();
            let position = position.map_or(Position::default(), |WalPosition(at)| Position(at));
            let done = self.backplane.invalidate(&tags, Strength::Hard, position);
            match done.await {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%error, "an invalidation was not acknowledged");
                    false
                }
            }
        })
    }
}

/// Delivers what the outbox holds, before Redis is trusted again.
struct CatchingUp {
    caches: Caches<RedisShared<SystemRuntime>>,
    store: PgStore,
}

impl CatchingUp {
    async fn deliver(&self) -> bool {
        let begun = self.caches.tasks.now();
        loop {
            let position = match self.store.written_position().await {
                Ok(position) => position,
                Err(error) => {
                    tracing::debug!(%error, "no position to catch up with");
                    return false;
                }
            };
            let round = self.store.relay_tags(500, |tags| async move {
                let text = tags.iter().map(|tag| tag.tag.clone()).collect();
                let done = self.caches.invalidate(text, position).await;
                let ids = tags.iter().map(|tag| tag.id);
                if done { ids.collect() } else { Vec::new() }
            });
            match round.await {
                Ok(round) if round.go_on() => continue,
                Ok(round) if round.taken > round.delivered => return false,
                Ok(_) => {}
                Err(_) => return false,
            }
            // Others may be at some of it: what was left before this began must be done.
            let Ok(status) = self.store.outbox_status().await else {
                return false;
            };
            let waited = (self.caches.tasks.now() - begun).as_secs_f64();
            if status.tags.oldest_s.is_none_or(|age| age < waited) {
                let reached = position.map_or(Position::default(), |WalPosition(at)| Position(at));
                return self.caches.backplane.tier().reach(reached).await.is_ok();
            }
            self.caches.tasks.sleep(CATCH_UP_PAUSE).await;
        }
    }
}

impl CatchUp for CatchingUp {
    async fn catch_up(&self) -> bool {
        let delivering: Boxed<'_, bool> = Box::pin(self.deliver());
        let delivered = timeout(&self.caches.tasks, CATCH_UP_TIMEOUT, delivering).await;
        delivered.unwrap_or(false)
    }
}
