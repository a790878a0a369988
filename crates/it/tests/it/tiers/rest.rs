//! The shared tier over HTTP keeps the contract, too, and shares a Redis with those who have connections.

use super::{OverRedis, PATIENCE, fill, lookup};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pitchey_cache::shared::contract::{self, Harness};
use pitchey_cache::shared::{Filled, Shared, Strength};
use pitchey_cache::{Position, SharedError};
use pitchey_runtime::{Background, SystemRuntime};
use pitchey_testkit::{FaultProxy, RestRedis};
use pitchey_tier_scripts::Scripted;
use pitchey_tier_scripts::rest::{Post, PostError, Rest, RestConfig};
use std::time::Duration;

/// Posts as a Worker does.
struct Poster {
    client: HyperClient<HttpConnector, Full<Bytes>>,
    url: String,
    token: String,
}

impl Post for Poster {
    async fn post(&self, body: String, patience: Duration) -> Result<(u16, Bytes), PostError> {
        let request = http::Request::post(&self.url)
            .header("authorization", format!("Bearer {}", self.token))
            .header("upstash-encoding", "base64")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let exchange = async {
            let failed = |error: &dyn std::fmt::Display| PostError::Failed(error.to_string());
            let response = self.client.request(request).await;
            let (parts, body) = response.map_err(|error| failed(&error))?.into_parts();
            let body = body.collect().await.map_err(|error| failed(&error))?;
            Ok((parts.status.as_u16(), body.to_bytes()))
        };
        let waited = tokio::time::timeout(patience, exchange).await;
        waited.unwrap_or(Err(PostError::Timeout))
    }
}

type Tier = Scripted<Rest<Poster, Background>>;

fn tier(url: &str, token: &str, call_timeout: Duration) -> Tier {
    let post = Poster {
        client: HyperClient::builder(TokioExecutor::new()).build_http(),
        url: url.to_owned(),
        token: token.to_owned(),
    };
    let config = RestConfig {
        prefix: "it[*]:".to_owned(),
        call_timeout,
        sweep_timeout: PATIENCE,
        max_payload: 4 << 20,
    };
    let runtime = Background::new(SystemRuntime::new());
    Scripted::new(Rest::new(post, config, runtime))
}

struct OverHttp {
    tier: Tier,
    rest: RestRedis,
    over: OverRedis,
}

impl OverHttp {
    async fn new() -> Self {
        let over = OverRedis::new().await;
        let rest = RestRedis::start(&over.redis.url()).expect("it starts");
        Self {
            tier: tier(&rest.url(), rest.token(), PATIENCE),
            rest,
            over,
        }
    }
}

impl Harness for OverHttp {
    type Shared = Tier;

    fn shared(&self) -> &Tier {
        &self.tier
    }

    async fn pass(&self, time: Duration) {
        self.over.pass(time).await;
    }

    async fn forget_tag(&self, tag: &str) {
        self.over.forget_tag(tag).await;
    }

    async fn lose_all(&mut self) {
        self.over.lose_all().await;
    }

    /// Nobody connects anew: it must be noticed all the same.
    async fn set_back(&mut self) {
        let set = ["HSET", "it[*]:clock", "run_id", "another"];
        let _: u64 = self.over.ask(&set).await;
    }
}

contract::suite!(over_http, OverHttp::new());

#[tokio::test]
async fn those_with_connections_and_those_without_share_numbers_and_not_payloads() {
    let http = OverHttp::new().await;
    let tags = ["t".into()];
    // What a connection has stored is read here, and what was stored here is no value there.
    http.over.tier.given("k").await;
    let found = http.tier.lookup(&lookup("k")).await.expect("it answers");
    let payload = found.entry.map(|entry| entry.payload);
    assert_eq!(payload.as_deref(), Some(&b"text"[..]));
    let other = http
        .tier
        .lookup(&lookup("other"))
        .await
        .expect("it answers");
    let pitchey_cache::shared::Granted::Ours(lease) = other.lease else {
        panic!("the lease is free");
    };
    let filled = http.tier.fill(fill("other", lease)).await;
    assert_eq!(filled.ok(), Some(Filled::Stored));
    let there = http.over.tier.lookup("other").await.expect("Redis answers");
    let payload = there.entry.expect("it is valid there, too").payload;
    assert!(payload.starts_with(b"b64:"), "{payload:?}");
    // An invalidation of either holds for both.
    let raised = http
        .over
        .tier
        .shared
        .invalidate(&tags, Strength::Hard, Position::default());
    raised.await.expect("Redis answers");
    let gone = http
        .tier
        .lookup(&lookup("other"))
        .await
        .expect("it answers");
    assert_eq!(gone.entry, None);
}

#[tokio::test]
async fn a_token_that_is_wrong_is_refused_and_a_server_that_is_away_costs_the_deadline() {
    let http = OverHttp::new().await;
    let other = tier(&http.rest.url(), "another", PATIENCE);
    let refused = other.lookup(&lookup("k")).await;
    assert!(
        matches!(refused, Err(SharedError::Refused(_))),
        "{refused:?}"
    );
    let proxy = FaultProxy::start(http.rest.address()).expect("it starts");
    let url = format!("http://{}", proxy.address());
    let short = tier(&url, http.rest.token(), Duration::from_millis(100));
    proxy.cut();
    let away = short.lookup(&lookup("k")).await;
    assert!(matches!(away, Err(SharedError::Unavailable(_))), "{away:?}");
    proxy.heal();
    let long = tier(&url, http.rest.token(), PATIENCE);
    long.lookup(&lookup("k")).await.expect("it is back");
}
