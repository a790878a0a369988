//! Through a router, with tokio's time paused.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Once;

use axum::routing::{get, post};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use pitchey_resilience::ShedConfig;
use pitchey_runtime::Timer as _;
use tower::ServiceExt as _;

use super::*;
use crate::overload::OverloadSettings;

const LIMITS: RequestLimits = RequestLimits {
    timeout: Duration::from_secs(5),
    max_body_bytes: 1024,
};

fn router(runtime: SystemRuntime) -> Router {
    router_behind(door(runtime, 100), runtime)
}

fn router_behind(door: Arc<FrontDoor<SystemRuntime>>, runtime: SystemRuntime) -> Router {
    install_log();
    let left = async move |deadline: axum::Extension<Deadline>| {
        deadline.0.remaining(runtime.now()).as_millis().to_string()
    };
    let slow = async move || {
        runtime.sleep(Duration::from_secs(4)).await;
        "in time"
    };
    let routes = Router::new()
        .route("/hello/{name}", get(async || "hello"))
        .route("/id", get(async |id: axum::Extension<RequestId>| id.0.0))
        .route("/client", get(client))
        .route("/deadline", get(left))
        .route("/api/health/live", get(async || "alive"))
        .route("/api/auth/login", post(async || "signed in"))
        .route("/api/analytics/rum", post(async || "taken in"))
        .route("/api/pitches/{id}/ndas", post(async || "signed"))
        .route("/slow", get(slow))
        .route("/stuck", get(std::future::pending::<()>))
        .route("/panic", get(panicking))
        .route("/length", post(async |body: Bytes| body.len().to_string()));
    let settings = PipelineSettings {
        edge: None,
        limits: LIMITS,
        trusted_proxies: vec!["10.0.0.0/8".parse().expect("a network")],
        database_time: false,
    };
    wrap(routes, Pipeline::new(settings, door, runtime))
}

/// A door for so many at once, and as many more who wait.
fn door(runtime: SystemRuntime, limit: usize) -> Arc<FrontDoor<SystemRuntime>> {
    let limit = NonZeroUsize::new(limit).expect("not zero");
    let settings = OverloadSettings {
        shed: ShedConfig {
            queue: limit.get(),
            ..ShedConfig::new(limit)
        },
        least: limit,
    };
    Arc::new(FrontDoor::new(settings, runtime))
}

async fn client(client: Option<axum::Extension<ClientAddress>>) -> String {
    client.map_or("nobody".to_owned(), |client| client.0.0.to_string())
}

async fn panicking() -> &'static str {
    panic!("a handler is broken")
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

async fn ask(router: &Router, request: http::request::Builder, body: impl Into<Body>) -> Answer {
    let request = request.body(body.into()).expect("a request");
    let Ok(response) = router.clone().oneshot(request).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: String::from_utf8(body.into()).expect("text"),
    }
}

/// All of a problem but the time it took.
fn shown(mut answer: Answer) -> String {
    answer.headers.remove("server-timing");
    let mut headers: Vec<String> = answer
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("text")))
        .collect();
    headers.sort();
    format!("{}\n{}\n{}", answer.status, headers.concat(), answer.body)
}

fn get_request(path: &str) -> http::request::Builder {
    Request::get(path).header("x-request-id", "test-1")
}

#[tokio::test(start_paused = true)]
async fn the_id_of_the_client_comes_back_and_reaches_the_handler() {
    let router = router(SystemRuntime::new());
    let answer = ask(&router, get_request("/id"), "").await;
    assert_eq!(answer.headers["x-request-id"], "test-1");
    assert_eq!(answer.body, "test-1");
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_plain_id_gets_a_new_one() {
    let router = router(SystemRuntime::new());
    let mut seen = std::collections::BTreeSet::new();
    for sent in ["a b", "", "{}"] {
        let answer = ask(
            &router,
            Request::get("/id").header("x-request-id", sent),
            "",
        )
        .await;
        assert_eq!(answer.headers["x-request-id"], answer.body.as_str());
        assert_eq!(answer.body.len(), 36, "{}", answer.body);
        assert!(seen.insert(answer.body), "ids differ");
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_route_matches_has_an_id_and_a_timing_too() {
    let router = router(SystemRuntime::new());
    let answer = ask(&router, get_request("/none"), "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.headers["x-request-id"], "test-1");
    assert!(answer.headers.contains_key("server-timing"));
}

#[tokio::test(start_paused = true)]
async fn server_timing_is_the_time_of_the_handler() {
    let router = router(SystemRuntime::new());
    let answer = ask(&router, get_request("/slow"), "").await;
    let timing = answer.headers["server-timing"].to_str().expect("text");
    assert!(timing.starts_with("app;dur=400"), "{timing}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_passes_is_a_503_with_retry_after() {
    let runtime = SystemRuntime::new();
    let answer = ask(&router(runtime), get_request("/stuck"), "").await;
    assert_eq!(runtime.now().since_start().as_secs(), 5);
    insta::assert_snapshot!(shown(answer), @r#"
    503 Service Unavailable
    cache-control: no-store
    content-length: 155
    content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox
    content-type: application/problem+json
    referrer-policy: no-referrer
    retry-after: 1
    x-content-type-options: nosniff
    x-request-id: test-1

    {"type":"/problems/deadline-exceeded","title":"Deadline exceeded","status":503,"detail":"the answer was not ready in time","instance":"urn:request:test-1"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_client_may_set_an_earlier_deadline_and_no_later_one() {
    let runtime = SystemRuntime::new();
    let router = router(runtime);
    let request = get_request("/slow").header("x-request-timeout-ms", "3000");
    let answer = ask(&router, request, "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(runtime.now().since_start().as_secs(), 3);

    let request = get_request("/stuck").header("x-request-timeout-ms", "60000");
    let answer = ask(&router, request, "").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(runtime.now().since_start().as_secs(), 3 + 5);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_no_number_is_a_400() {
    let request = get_request("/slow").header("x-request-timeout-ms", "soon");
    let answer = ask(&router(SystemRuntime::new()), request, "").await;
    insta::assert_snapshot!(shown(answer), @r#"
    400 Bad Request
    cache-control: no-store
    content-length: 178
    content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox
    content-type: application/problem+json
    referrer-policy: no-referrer
    x-content-type-options: nosniff
    x-request-id: test-1

    {"type":"/problems/malformed-request","title":"Malformed request","status":400,"detail":"X-Request-Timeout-Ms is not one whole number above zero","instance":"urn:request:test-1"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_500_and_the_next_request_is_answered() {
    let router = router(SystemRuntime::new());
    let answer = ask(&router, get_request("/panic"), "").await;
    insta::assert_snapshot!(shown(answer), @r#"
    500 Internal Server Error
    cache-control: no-store
    content-length: 143
    content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox
    content-type: application/problem+json
    referrer-policy: no-referrer
    x-content-type-options: nosniff
    x-request-id: test-1

    {"type":"/problems/internal","title":"Internal error","status":500,"detail":"something went wrong on our side","instance":"urn:request:test-1"}
    "#);
    let answer = ask(&router, get_request("/hello/again"), "").await;
    assert_eq!(answer.body, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_announces_too_much_is_a_413() {
    let router = router(SystemRuntime::new());
    let request = Request::post("/length")
        .header("x-request-id", "test-1")
        .header("content-length", "1025");
    let answer = ask(&router, request, vec![b'x'; 1025]).await;
    insta::assert_snapshot!(shown(answer), @r#"
    413 Payload Too Large
    cache-control: no-store
    content-length: 159
    content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox
    content-type: application/problem+json
    referrer-policy: no-referrer
    x-content-type-options: nosniff
    x-request-id: test-1

    {"type":"/problems/content-too-large","title":"Content too large","status":413,"detail":"the body may have at most 1024 bytes","instance":"urn:request:test-1"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_size_is_read_up_to_the_limit() {
    let router = router(SystemRuntime::new());
    for (size, status) in [
        (1024, StatusCode::OK),
        (1025, StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let chunk = Ok::<_, io::Error>(Bytes::from(vec![b'x'; size]));
        let body = Body::from_stream(futures::stream::iter([chunk]));
        let answer = ask(&router, Request::post("/length"), body).await;
        assert_eq!(answer.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn those_further_in_know_the_deadline() {
    let runtime = SystemRuntime::new();
    let router = router(runtime);
    let answer = ask(&router, get_request("/deadline"), "").await;
    assert_eq!(answer.body, "5000");
    let request = get_request("/deadline").header("x-request-timeout-ms", "250");
    assert_eq!(ask(&router, request, "").await.body, "250");
}

/// A router for one at a time, with one inside that stays for five seconds.
async fn busy(runtime: SystemRuntime) -> (Router, tokio::task::JoinSet<StatusCode>) {
    let door = door(runtime, 1);
    let router = router_behind(door, runtime);
    let mut inside = tokio::task::JoinSet::new();
    let stuck = router.clone();
    inside.spawn(async move { ask(&stuck, get_request("/stuck"), "").await.status });
    // Paused time moves when everybody waits.
    runtime.sleep(Duration::from_millis(1)).await;
    (router, inside)
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_vain_is_told_to_come_again_and_health_checks_do_not_wait() {
    let runtime = SystemRuntime::new();
    let (router, _inside) = busy(runtime).await;
    let answer = ask(&router, get_request("/hello/ann"), "").await;
    assert_eq!(runtime.now().since_start().as_millis(), 1 + 100);
    insta::assert_snapshot!(shown(answer), @r#"
    503 Service Unavailable
    cache-control: no-store
    content-length: 153
    content-security-policy: default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox
    content-type: application/problem+json
    referrer-policy: no-referrer
    retry-after: 1
    x-content-type-options: nosniff
    x-request-id: test-1

    {"type":"/problems/overloaded","title":"Overloaded","status":503,"detail":"there is more to do than can be done in time","instance":"urn:request:test-1"}
    "#);
    for request in [
        get_request("/api/health/live"),
        Request::post("/api/auth/login"),
    ] {
        assert_eq!(ask(&router, request, "").await.status, StatusCode::OK);
    }
    assert_eq!(runtime.now().since_start().as_millis(), 1 + 100, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_sends_beacons_away_and_keeps_writes_of_money() {
    let runtime = SystemRuntime::new();
    let (router, _inside) = busy(runtime).await;
    let (beacons, money) = (router.clone(), router);
    let started = runtime.now();
    let beacon = async {
        let answer = ask(&beacons, Request::post("/api/analytics/rum"), "").await;
        (answer.status, runtime.now() - started)
    };
    let money = async {
        let request = Request::post("/api/pitches/1/ndas").header("x-request-timeout-ms", "50");
        (
            ask(&money, request, "").await.status,
            runtime.now() - started,
        )
    };
    // One may wait: the beacon comes first and has to make room at once.
    let (beacon, money) = tokio::join!(beacon, money);
    let refused = StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(beacon, (refused, Duration::ZERO));
    assert_eq!(money, (refused, Duration::from_millis(50)), "its deadline");
}

#[tokio::test(start_paused = true)]
async fn who_sends_a_body_slowly_holds_nobody_elses_place() {
    let runtime = SystemRuntime::new();
    let router = router_behind(door(runtime, 1), runtime);
    let slow = router.clone();
    let mut sending = tokio::task::JoinSet::new();
    sending.spawn(async move {
        let body = Body::from_stream(futures::stream::pending::<io::Result<Bytes>>());
        ask(&slow, Request::post("/length"), body).await.status
    });
    runtime.sleep(Duration::from_millis(1)).await;
    let answer = ask(&router, get_request("/hello/ann"), "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let status = sending
        .join_next()
        .await
        .expect("it is there")
        .expect("no panic");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "its deadline");
}

thread_local! {
    /// What this thread has logged.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Logs to [`LINES`]. One subscriber for all tests, set before any of them logs: with one for each,
/// the cache of who is interested in an event could be filled for the wrong one.
fn install_log() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .without_time()
            .with_writer(|| ThreadLines)
            .init();
    });
}

struct ThreadLines;

impl io::Write for ThreadLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a test has logged and recorded.
struct Recorded {
    lines: String,
    figures: PrometheusHandle,
}

/// Runs `test` on this thread, with a recorder of its own.
fn recorded(test: impl AsyncFnOnce(Router, SystemRuntime)) -> Recorded {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    metrics::with_local_recorder(&recorder, || {
        tokio.block_on(async {
            let runtime = SystemRuntime::new();
            test(router(runtime), runtime).await;
        });
    });
    let lines = String::from_utf8(LINES.take()).expect("text");
    Recorded { lines, figures }
}

impl Recorded {
    /// The access log, without the durations.
    fn access_log(&self) -> String {
        let lines = self.lines.lines().filter_map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
            if line["target"] != "access" {
                return None;
            }
            let fields = line["fields"].as_object_mut().expect("fields");
            assert!(fields.remove("duration_ms").is_some_and(|ms| ms.is_f64()));
            Some(line["fields"].to_string())
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn has_figure(&self, line: &str) {
        let text = self.figures.render();
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn every_request_is_one_line_and_one_figure_with_its_route_and_without_its_query() {
    let recorded = recorded(async |router, _| {
        for path in ["/hello/ann?secret=1", "/none/1?secret=1", "/panic"] {
            ask(&router, get_request(path), "").await;
        }
        ask(
            &router,
            Request::head("/hello/bob").header("x-request-id", "h"),
            "",
        )
        .await;
        ask(
            &router,
            Request::delete("/hello/bob").header("x-request-id", "d"),
            "",
        )
        .await;
    });
    insta::assert_snapshot!(recorded.access_log(), @r#"
    {"bytes":5,"complete":true,"message":"request","method":"GET","path":"/hello/ann","request_id":"test-1","route":"/hello/{name}","status":200}
    {"bytes":0,"complete":true,"message":"request","method":"GET","path":"/none/1","request_id":"test-1","route":"unmatched","status":404}
    {"bytes":143,"complete":true,"message":"request","method":"GET","path":"/panic","request_id":"test-1","route":"/panic","status":500}
    {"bytes":0,"complete":true,"message":"request","method":"HEAD","path":"/hello/bob","request_id":"h","route":"/hello/{name}","status":200}
    {"bytes":0,"complete":true,"message":"request","method":"DELETE","path":"/hello/bob","request_id":"d","route":"/hello/{name}","status":405}
    "#);
    recorded.has_figure(r#"http_server_request_duration_seconds_count{method="GET",route="/hello/{name}",status="200"} 1"#);
    recorded.has_figure(r#"http_server_request_duration_seconds_count{method="HEAD",route="/hello/{name}",status="200"} 1"#);
    recorded.has_figure(r#"http_server_request_duration_seconds_count{method="DELETE",route="/hello/{name}",status="405"} 1"#);
    recorded.has_figure(r#"http_server_request_duration_seconds_count{method="GET",route="unmatched",status="404"} 1"#);
    recorded.has_figure("http_server_active_requests 0");
}

#[test]
fn a_client_that_leaves_before_the_answer_is_a_499() {
    let recorded = recorded(async |router, runtime| {
        let leaving = ask(&router, get_request("/stuck"), "");
        let left = pitchey_runtime::timeout(&runtime, Duration::from_secs(1), leaving).await;
        assert!(left.is_err());
    });
    insta::assert_snapshot!(recorded.access_log(), @r#"
    {"bytes":0,"complete":false,"message":"request","method":"GET","path":"/stuck","request_id":"test-1","route":"/stuck","status":499}
    "#);
    recorded.has_figure("http_server_active_requests 0");
}

#[test]
fn an_answer_whose_body_is_not_taken_is_not_complete() {
    let recorded = recorded(async |router, _| {
        let request = get_request("/hello/ann").body(Body::empty());
        let Ok(response) = router.oneshot(request.expect("a request")).await;
        drop(response);
    });
    insta::assert_snapshot!(recorded.access_log(), @r#"
    {"bytes":0,"complete":false,"message":"request","method":"GET","path":"/hello/ann","request_id":"test-1","route":"/hello/{name}","status":200}
    "#);
}

#[test]
fn an_answer_is_complete_with_its_last_frame() {
    let recorded = recorded(async |router, _| {
        let request = get_request("/hello/ann").body(Body::empty());
        let Ok(mut response) = router.oneshot(request.expect("a request")).await;
        // A connection that was told the length does not ask for more.
        let frame = response.body_mut().frame().await.expect("a frame");
        assert!(frame.expect("no error").is_data());
    });
    let log = recorded.access_log();
    assert!(log.contains(r#""bytes":5,"complete":true"#), "{log}");
}

#[test]
fn a_path_is_logged_up_to_a_bound() {
    let recorded = recorded(async |router, _| {
        ask(
            &router,
            get_request(&format!("/{}", "x".repeat(10_000))),
            "",
        )
        .await;
    });
    let log = recorded.access_log();
    let line: serde_json::Value = serde_json::from_str(&log).expect("one line");
    assert_eq!(line["path"].as_str().map(str::len), Some(256));
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_the_address_of_its_client() {
    let router = router(SystemRuntime::new());
    for (peer, expected) in [
        (Some([192, 0, 2, 1]), "192.0.2.1"),
        (Some([10, 0, 0, 1]), "198.51.100.7"),
        (None, "nobody"),
    ] {
        let mut request = Request::get("/client").header("x-forwarded-for", "198.51.100.7");
        if let Some(peer) = peer {
            request = request.extension(PeerAddress(peer.into()));
        }
        assert_eq!(ask(&router, request, Body::empty()).await.body, expected);
    }
}
