//! The `cache` section.

use std::time::Duration;

use pitchey_api::edge::{EdgeSecret, MIN_SECRET};
use pitchey_cache::{Policy, Unverified};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{Rules, redact};

/// What is kept of answers and sessions, where, and for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// Redis, which all origins share: `redis://:password@host:port/0`, or `rediss://` over TLS. Without it
    /// nothing is kept, unless `alone` is set.
    #[serde(serialize_with = "redact::url")]
    pub url: SecretString,
    /// There is one origin and no Redis: it keeps answers in its memory alone.
    pub alone: bool,
    /// What the keys in Redis begin with.
    pub prefix: String,
    /// Memory for answers, in MiB.
    pub memory_mib: u64,
    /// How long a call to Redis may take.
    pub timeout_ms: u64,
    /// How long what is in memory is trusted after the last proof that no invalidation was missed: how far
    /// an origin that is cut off from Redis may lag behind the others.
    pub silence_ms: u64,
    /// What edges show that are to be told what answers are made of: at least 32 bytes, or nothing.
    #[serde(serialize_with = "redact::whole")]
    pub edge_key: SecretString,
    /// Whether the front page is loaded before it is asked for.
    pub warm: bool,
    /// `GET /api/pitches/{id}`.
    pub pitch_detail: KindConfig,
    /// Lists of pitches.
    pub pitch_list: KindConfig,
    /// Searches.
    pub search: KindConfig,
    /// Profiles.
    pub user_profile: KindConfig,
    /// Sessions, by the hash of their token.
    pub session: KindConfig,
}

/// The times of one kind, in seconds; what is not given has the default of the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KindConfig {
    /// How long a copy stays in memory before Redis is asked again.
    pub memory_s: Option<u64>,
    /// How long it is fresh in Redis.
    pub shared_s: Option<u64>,
    /// How long it is fresh in all tiers together.
    pub fresh_s: Option<u64>,
    /// How long it may be served after that while one refreshes it.
    pub stale_while_revalidate_s: Option<u64>,
    /// How long it may be served after that when loading fails.
    pub stale_if_error_s: Option<u64>,
    /// How long it is remembered that there is nothing.
    pub negative_s: Option<u64>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            url: SecretString::default(),
            alone: false,
            prefix: "pitchey:".to_owned(),
            memory_mib: 256,
            timeout_ms: 50,
            silence_ms: 1_000,
            edge_key: SecretString::default(),
            warm: true,
            pitch_detail: KindConfig::default(),
            pitch_list: KindConfig::default(),
            search: KindConfig::default(),
            user_profile: KindConfig::default(),
            session: KindConfig::default(),
        }
    }
}

/// Memory, Redis, all, stale-while-revalidate, stale-if-error, negative: in seconds.
type Defaults = [u64; 6];

const PITCH_DETAIL: Defaults = [30, 180, 1800, 60, 3600, 10];
const PITCH_LIST: Defaults = [30, 180, 300, 60, 3600, 10];
const SEARCH: Defaults = [15, 180, 300, 30, 600, 10];
const USER_PROFILE: Defaults = [60, 300, 3600, 300, 3600, 10];
const SESSION: Defaults = [10, 60, 60, 0, 0, 5];

/// How long finding a session may take.
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);

impl KindConfig {
    /// With the kind's default for what is not given.
    fn or(self, defaults: Defaults) -> Self {
        let [memory, shared, fresh, revalidate, error, negative] = defaults;
        Self {
            memory_s: self.memory_s.or(Some(memory)),
            shared_s: self.shared_s.or(Some(shared)),
            fresh_s: self.fresh_s.or(Some(fresh)),
            stale_while_revalidate_s: self.stale_while_revalidate_s.or(Some(revalidate)),
            stale_if_error_s: self.stale_if_error_s.or(Some(error)),
            negative_s: self.negative_s.or(Some(negative)),
        }
    }

    fn policy(self, defaults: Defaults) -> Policy {
        let given = self.or(defaults);
        let time = |seconds: Option<u64>| Duration::from_secs(seconds.unwrap_or_default());
        Policy {
            memory: time(given.memory_s),
            shared: time(given.shared_s),
            fresh: time(given.fresh_s),
            stale_while_revalidate: time(given.stale_while_revalidate_s),
            stale_if_error: time(given.stale_if_error_s),
            negative: time(given.negative_s),
            ..Policy::default()
        }
    }
}

impl CacheConfig {
    /// With the default of its kind for every time that is not given, so that whoever shows the configuration
    /// shows the times that hold.
    pub(super) fn with_times(self) -> Self {
        Self {
            pitch_detail: self.pitch_detail.or(PITCH_DETAIL),
            pitch_list: self.pitch_list.or(PITCH_LIST),
            search: self.search.or(SEARCH),
            user_profile: self.user_profile.or(USER_PROFILE),
            session: self.session.or(SESSION),
            ..self
        }
    }

    /// Whether anything is kept.
    pub fn is_on(&self) -> bool {
        self.alone || self.has_redis()
    }

    /// Whether there is a Redis.
    pub fn has_redis(&self) -> bool {
        !self.url.expose_secret().is_empty()
    }

    /// The policies of answers, with their names: loading one may take as long as a request.
    pub fn response_policies(&self, request_timeout: Duration) -> Vec<(&'static str, Policy)> {
        use pitchey_api::ResponseKind;
        let of_kind = |kind: ResponseKind| match kind {
            ResponseKind::PitchDetail => self.pitch_detail.policy(PITCH_DETAIL),
            ResponseKind::PitchList => self.pitch_list.policy(PITCH_LIST),
            ResponseKind::Search => self.search.policy(SEARCH),
            ResponseKind::UserProfile => self.user_profile.policy(USER_PROFILE),
        };
        let policy = |kind: ResponseKind| Policy {
            hard_timeout: request_timeout,
            soft_timeout: Policy::default().soft_timeout.min(request_timeout),
            ..of_kind(kind)
        };
        let kinds = ResponseKind::ALL.into_iter();
        kinds.map(|kind| (kind.name(), policy(kind))).collect()
    }

    /// The policy of sessions: each use is checked against the numbers in Redis, and without them the
    /// database is asked.
    pub fn session_policy(&self) -> Policy {
        Policy {
            strict: true,
            unverified: Unverified::Load,
            early_refresh: 0.0,
            // Found by its key or not at all; and one who writes waits for it first.
            hard_timeout: SESSION_TIMEOUT,
            soft_timeout: SESSION_TIMEOUT,
            ..self.session.policy(SESSION)
        }
    }

    /// How long a call to Redis may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// What edges show, if there are any.
    pub fn edge(&self) -> Option<EdgeSecret> {
        EdgeSecret::new(self.edge_key.expose_secret().as_bytes())
    }

    /// How long memory is trusted without proof.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        let mut rules = Rules::of("cache", problems);
        rules.range("memory_mib", self.memory_mib, 1, 1 << 20);
        rules.range("timeout_ms", self.timeout_ms, 1, 10_000);
        rules.range("silence_ms", self.silence_ms, 500, 60_000);
        let url = self.url.expose_secret();
        let is_redis = ["redis://", "rediss://"]
            .iter()
            .any(|scheme| url.starts_with(scheme));
        if self.has_redis() && !is_redis {
            rules.broken("url", "does not start with redis:// or rediss://");
        }
        let secret = self.edge_key.expose_secret().len();
        if secret != 0 && secret < MIN_SECRET {
            rules.broken("edge_key", "has at least 32 bytes");
        }
        if self.has_redis() && self.alone {
            rules.broken("alone", "cache.url names a Redis, which others may share");
        }
        if self.prefix.is_empty() || self.prefix.len() > 64 {
            rules.broken("prefix", "has 1 to 64 bytes");
        }
        // How long a request may take has a rule of its own.
        for (name, policy) in self.response_policies(Policy::default().hard_timeout) {
            policy.validate(&format!("cache.{name}"), problems);
        }
        self.session_policy().validate("cache.session", problems);
    }
}
