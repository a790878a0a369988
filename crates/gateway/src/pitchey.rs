//! The gateway as the edge of Pitchey: a node that hears what is invalidated.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use pitchey_cache::{Backplane, CatchUp, Node, NodeConfig, SHARED_BREAKER};
use pitchey_edge::sessions::{Sessions, Whose};
use pitchey_edge::{Page, Site, SiteSettings};
use pitchey_resilience::Breaker;
use pitchey_runtime::SystemRuntime;
use pitchey_tiers::{Follower, MokaMemory, RedisConfig, RedisLink, RedisShared};
use secrecy::ExposeSecret as _;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ms};
use crate::native::Native;

/// The edge, as it is here.
pub type NativeSite = Site<Native, MokaMemory<Page>, RedisShared<SystemRuntime>>;

/// Whom it serves, as it is known here.
pub type NativeSessions = Sessions<Native, MokaMemory<Whose>, RedisShared<SystemRuntime>>;

/// About what a session takes in memory.
const SESSION_BYTES: u64 = 512;

/// How long an answer of the follower's connection may take.
const FOLLOWER_TIMEOUT: Duration = Duration::from_millis(500);

/// What keeps the edge attached.
pub struct Hearing {
    link: RedisLink<SystemRuntime>,
    node: Arc<Node>,
}

/// The edge that the configuration asks for, and what keeps it attached.
pub fn site(
    config: &Config,
    platform: &Native,
    runtime: SystemRuntime,
) -> anyhow::Result<(NativeSite, Hearing)> {
    let pitchey = &config.pitchey;
    let redis = RedisConfig {
        prefix: pitchey.prefix.clone(),
        call_timeout: ms(pitchey.timeout_ms),
        ..RedisConfig::new(pitchey.redis_url.clone())
    };
    let link = RedisLink::new(redis, runtime)?;
    let node = Arc::new(Node::new(NodeConfig {
        silence: ms(pitchey.silence_ms),
        ..NodeConfig::default()
    }));
    let tier = RedisShared::new(link.clone());
    let breaker = Breaker::new(SHARED_BREAKER);
    let backplane = Backplane::new(node.clone(), tier, platform.clone(), breaker);
    let memory = MokaMemory::new(config.store.memory_mib << 20);
    let mut secret = HeaderValue::from_str(pitchey.secret.expose_secret())?;
    secret.set_sensitive(true);
    let settings = SiteSettings {
        origin: config.origin.uri().map_err(anyhow::Error::msg)?,
        name: "pitchey-edge".to_owned(),
        secret,
        largest_body: config.store.largest_body_kib << 10,
        patience: ms(config.origin.response_timeout_ms),
    };
    let site = Site::new(platform.clone(), backplane, memory, settings);
    Ok((site, Hearing { link, node }))
}

/// The sessions of so many clients, known for as long as that edge hears what ends them.
pub fn sessions(site: &NativeSite, clients: usize) -> NativeSessions {
    let clients = u64::try_from(clients).unwrap_or(u64::MAX);
    let memory = MokaMemory::new(clients.saturating_mul(SESSION_BYTES));
    let backplane = site.answers().backplane().clone();
    Sessions::new(site.platform().clone(), backplane, memory)
}

impl Hearing {
    /// Keeps the connection to Redis and hears what it announces, until `stop` is cancelled.
    pub async fn run(self, stop: CancellationToken) {
        let Self { link, node } = self;
        let follower = Follower::new(link.clone(), node, NothingLeft, FOLLOWER_TIMEOUT);
        tokio::join!(link.keep_connected(&stop), follower.run(&stop));
    }
}

/// What could not be delivered, the origins deliver: until they have, they vouch for nothing.
struct NothingLeft;

impl CatchUp for NothingLeft {
    async fn catch_up(&self) -> bool {
        true
    }
}
