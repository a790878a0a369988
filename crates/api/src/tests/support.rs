//! An API with a few people and pitches, and a way to ask it.

use crate::cache_desk::{CacheEntry, CacheStatus, Purge, Purged};
use crate::ports::{Boxed, Busy, CacheDesk, Counters, Passwords, SharedLimits, TooWeak, Verified};
use crate::{
    ApiState, ClientAddress, CursorKey, LimitSettings, Readiness, RequestId, Responses, Site,
    SiteSettings, full_router, openapi,
};
use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, Request, StatusCode};
use pitchey_cache::stats::KindSnapshot;
use pitchey_model::ticket::TicketKeys;
use pitchey_model::{Genre, Profile, Role, SessionId};
use pitchey_runtime::{Clock as _, ManualClock, SeededRandom};
use pitchey_store::accounts::{Accounts as _, NewSession, Origin};
use pitchey_store::intake::{AnalyticsEvent, RumSample, View};
use pitchey_store::mem::{self, MemStore};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tower::ServiceExt as _;
use uuid::Uuid;

/// What the counters were given.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) views: Vec<View>,
    pub(super) rum: Vec<RumSample>,
    pub(super) events: Vec<AnalyticsEvent>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Recording(pub(super) Arc<Mutex<Counted>>);

impl Recording {
    fn with(&self, change: impl FnOnce(&mut Counted)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Counters for Recording {
    fn view(&self, view: View) {
        self.with(|counted| counted.views.push(view));
    }
    fn rum(&self, samples: Vec<RumSample>) {
        self.with(|counted| counted.rum.extend(samples));
    }
    fn events(&self, events: Vec<AnalyticsEvent>) {
        self.with(|counted| counted.events.extend(events));
    }
}

/// Stands in for real hashing, which would cost a test tens of milliseconds each. It counts its checks.
#[derive(Debug, Clone, Default)]
pub(super) struct PlainPasswords {
    pub(super) checks: Arc<Mutex<Vec<bool>>>,
    pub(super) busy: Arc<Mutex<bool>>,
}

impl PlainPasswords {
    pub(super) fn hash_of(password: &str) -> SecretString {
        SecretString::from(format!("plain:{password}"))
    }

    fn check_busy(&self) -> Result<(), Busy> {
        let busy = *self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let retry_after = Duration::from_secs(3);
        if busy {
            Err(Busy { retry_after })
        } else {
            Ok(())
        }
    }
}

impl Passwords for PlainPasswords {
    fn hash(
        &self,
        password: SecretString,
        about: Vec<String>,
    ) -> Boxed<'_, Result<Result<SecretString, TooWeak>, Busy>> {
        Box::pin(async move {
            self.check_busy()?;
            let password = password.expose_secret();
            let weak = password.contains("password") || about.iter().any(|a| password.contains(a));
            Ok(if weak {
                Err(TooWeak)
            } else {
                Ok(Self::hash_of(password))
            })
        })
    }

    fn verify(
        &self,
        password: SecretString,
        hash: Option<SecretString>,
    ) -> Boxed<'_, Result<Verified, Busy>> {
        Box::pin(async move {
            self.check_busy()?;
            let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.push(hash.is_some());
            let expected = Self::hash_of(password.expose_secret());
            let matches = hash.is_some_and(|h| h.expose_secret() == expected.expose_secret());
            Ok(Verified {
                matches,
                rehash: None,
            })
        })
    }
}

/// The people of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    /// A creator: forty-one listed pitches, and the others of these tests.
    Ann,
    /// Another creator.
    Bob,
    /// An investor.
    Ivy,
    /// A production company.
    Pia,
    /// An admin.
    Ada,
}

impl Who {
    pub(super) const ALL: [Self; 6] = [
        Self::Nobody,
        Self::Ann,
        Self::Bob,
        Self::Ivy,
        Self::Pia,
        Self::Ada,
    ];

    const fn number(self) -> u8 {
        self as u8
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Ann => "ann",
            Self::Bob => "bob",
            Self::Ivy => "ivy",
            Self::Pia => "pia",
            Self::Ada => "ada",
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Nobody | Self::Ann | Self::Bob => Role::Creator,
            Self::Ivy => Role::Investor,
            Self::Pia => Role::Production,
            Self::Ada => Role::Admin,
        }
    }

    pub(super) fn profile(self) -> Profile {
        Profile {
            role: self.role(),
            ..mem::creator(u128::from(self.number()), self.name())
        }
    }

    /// The cookie of the session that everybody has.
    pub(super) fn cookie(self) -> Option<String> {
        let token = URL_SAFE_NO_PAD.encode([self.number(); 32]);
        (self != Self::Nobody).then(|| format!("__Host-session={token}"))
    }
}

/// A desk at which nothing is kept, and which remembers what it was to forget.
#[derive(Debug, Clone, Default)]
pub(super) struct RecordingDesk(pub(super) Arc<Mutex<Vec<Purge>>>);

impl CacheDesk for RecordingDesk {
    fn status(&self) -> CacheStatus {
        CacheStatus {
            has_shared: true,
            connected: true,
            attached: true,
            distrusted: false,
            epoch: u64::MAX.to_string(),
            applied: 7,
            era: 1,
            trusted_for_ms: 900,
            breaker: "closed",
            memory: Vec::new(),
        }
    }

    fn stats(&self) -> Vec<(&'static str, KindSnapshot)> {
        vec![("search", KindSnapshot::default())]
    }

    fn inspect<'a>(&'a self, _: &'a str) -> Boxed<'a, CacheEntry> {
        Box::pin(std::future::ready(CacheEntry::default()))
    }

    fn purge(&self, purge: Purge) -> Boxed<'_, Purged> {
        let mut purges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        purges.push(purge);
        Box::pin(std::future::ready(Purged::default()))
    }
}

pub(super) const PASSWORD: &str = "a long and winding road";

pub(super) struct Api {
    pub(super) store: MemStore,
    pub(super) clock: ManualClock,
    pub(super) readiness: Readiness,
    pub(super) counted: Recording,
    pub(super) passwords: PlainPasswords,
    pub(super) desk: RecordingDesk,
    router: Router,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Status, kind, and what is wrong where: a line for a snapshot.
    pub(super) fn summary(&self) -> String {
        let json = self.json();
        let kind = json["type"]
            .as_str()
            .unwrap_or("-")
            .trim_start_matches("/problems/")
            .to_owned();
        let errors = json["errors"].as_array().cloned().unwrap_or_default();
        let errors: Vec<String> = errors
            .iter()
            .map(|e| {
                format!(
                    "{} {}",
                    e["pointer"].as_str().unwrap_or("?"),
                    e["code"].as_str().unwrap_or("?")
                )
            })
            .collect();
        format!("{} {kind} {}", self.status.as_u16(), errors.join("; "))
            .trim_end()
            .to_owned()
    }

    /// The `name=value` of the session's cookie, if the answer sets one.
    pub(super) fn session_cookie(&self) -> Option<String> {
        let pair = self.header("set-cookie").split(';').next()?;
        pair.starts_with("__Host-session=").then(|| pair.to_owned())
    }
}

const UNLIMITED: LimitSettings = LimitSettings {
    read: None,
    search: None,
    write: None,
    auth: None,
    account: None,
    account_total: None,
    beacon: None,
};

impl Api {
    /// Forty-one listed pitches by Ann, and everybody signed in. Nothing is limited.
    pub(super) async fn new() -> Self {
        Self::limited(UNLIMITED, |_| ()).await
    }

    pub(super) async fn limited(
        mut limits: LimitSettings,
        change: impl FnOnce(&mut LimitSettings),
    ) -> Self {
        change(&mut limits);
        Self::made(limits, None, None).await
    }

    /// One whose public reads go through this cache.
    pub(super) async fn keeping(responses: Arc<dyn Responses>) -> Self {
        Self::made(UNLIMITED, Some(responses), None).await
    }

    /// With limits that are counted elsewhere.
    pub(super) async fn limited_with(
        limits: LimitSettings,
        together: Option<Arc<dyn SharedLimits>>,
    ) -> Self {
        Self::made(limits, None, together).await
    }

    async fn made(
        limits: LimitSettings,
        responses: Option<Arc<dyn Responses>>,
        together: Option<Arc<dyn SharedLimits>>,
    ) -> Self {
        let (store, clock, readiness) = (
            MemStore::default(),
            ManualClock::new(),
            Readiness::default(),
        );
        for who in &Who::ALL[1..] {
            let profile = who.profile();
            let email = format!("{}@example.org", who.name());
            let email = email.parse().expect("an address");
            store.add_user(profile.clone());
            store.set_credentials(profile.id, email, PlainPasswords::hash_of(PASSWORD));
            let now = clock.wall();
            let session = NewSession {
                id: SessionId(Uuid::from_u128(u128::from(who.number()) + 9000)),
                token_hash: Sha256::digest([who.number(); 32]).into(),
                user_agent: "tests".to_owned(),
                idle_expires_at: now + time::Duration::days(7),
                expires_at: now + time::Duration::days(30),
            };
            store
                .open_session(profile.id, session, None, None, &Origin::default(), now)
                .await
                .expect("the store works");
        }
        let ann = Who::Ann.profile();
        for n in 0..40_u32 {
            let mut pitch = mem::pitch(u128::from(n) + 100, &format!("Film {n}"), &ann);
            pitch.detail.card.published_at += time::Duration::minutes(i64::from(n));
            pitch.detail.card.genres = vec![if n % 2 == 0 {
                Genre::Western
            } else {
                Genre::Noir
            }];
            pitch.detail.synopsis = "A long story. ".repeat(100);
            store.add_pitch(pitch);
        }
        store.add_pitch(mem::pitch(500, "Casablanca", &ann));
        let key = CursorKey::new(&[7; 32]).expect("32 bytes are enough");
        let state = ApiState::new(store.clone(), clock.clone(), key, readiness.clone(), "test");
        let desk = RecordingDesk::default();
        let state = state.with_cache_desk(Arc::new(desk.clone()));
        let keys = TicketKeys::new(&[9; 32], None).expect("32 bytes are enough");
        let mut state = state.with_tickets(keys);
        state.responses = responses;
        state.shared_limits = together;
        let (counted, passwords) = (Recording::default(), PlainPasswords::default());
        let settings = SiteSettings {
            session_idle: Duration::from_hours(7 * 24),
            session_absolute: Duration::from_hours(30 * 24),
            allowed_origins: vec!["https://studio.example".to_owned()],
            limits,
        };
        let site = Site::new(
            state,
            SeededRandom::new(1),
            passwords.clone(),
            counted.clone(),
            settings,
        );
        Self {
            store,
            clock,
            readiness,
            counted,
            passwords,
            desk,
            router: full_router(site),
        }
    }

    pub(super) async fn send(&self, mut request: Request<Body>) -> Answer {
        let extensions = request.extensions_mut();
        if extensions.get::<ClientAddress>().is_none() {
            extensions.insert(ClientAddress([192, 0, 2, 1].into()));
        }
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("the router is infallible");
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .expect("a body in memory")
            .to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        }
    }

    pub(super) async fn get(&self, target: &str) -> Answer {
        self.get_with(target, &[]).await
    }

    pub(super) async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Who::Nobody, Method::GET, target, headers, None)
            .await
    }

    /// Asks as a page of the site would.
    pub(super) async fn ask(
        &self,
        who: Who,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .extension(RequestId("req-1".to_owned()));
        if let Some(cookie) = who.cookie() {
            request = request.header("cookie", cookie);
            if !headers
                .iter()
                .any(|(name, _)| *name == "origin" || *name == "x-csrf-token")
            {
                request = request.header("sec-fetch-site", "same-origin");
            }
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                if !headers.iter().any(|(name, _)| *name == "content-type") {
                    request = request.header("content-type", "application/json");
                }
                Body::from(body.to_string())
            }
        };
        self.send(request.body(body).expect("a request")).await
    }

    pub(super) async fn post(&self, who: Who, target: &str, body: &Value) -> Answer {
        self.ask(who, Method::POST, target, &[], Some(body)).await
    }

    /// A change that begins from whichever version there is.
    pub(super) async fn step(&self, who: Who, target: &str) -> Answer {
        self.ask(who, Method::POST, target, &[("if-match", "*")], None)
            .await
    }
}

pub(super) fn detail_of(id: u128) -> String {
    format!("/api/pitches/{}", Uuid::from_u128(id))
}

/// A documented operation.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<String>,
    /// The statuses that are documented.
    pub(super) statuses: Vec<u16>,
    pub(super) needs_if_match: bool,
}

/// Every documented operation.
pub(super) fn operations() -> Vec<Operation> {
    let document = serde_json::to_value(openapi()).expect("a document is JSON");
    let paths = document["paths"].as_object().expect("it has paths").clone();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("a path has operations") {
            let parameters = operation["parameters"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let named = |place: &str| {
                parameters
                    .iter()
                    .filter(|p| p["in"] == place)
                    .filter_map(|p| p["name"].as_str().map(str::to_owned))
                    .collect::<Vec<_>>()
            };
            let statuses = operation["responses"].as_object().expect("responses");
            all.push(Operation {
                method: method.to_uppercase().parse().expect("a method"),
                path: path.clone(),
                query: named("query"),
                statuses: statuses.keys().filter_map(|key| key.parse().ok()).collect(),
                needs_if_match: named("header").contains(&"If-Match".to_owned()),
            });
        }
    }
    all
}
