//! What happens to every request on its way to its handler and back, in this order:
//!
//! 1. it gets an id, and a span that carries it;
//! 2. it is observed: figures and one line in the access log, even if the client leaves;
//! 3. it is told whose it is;
//! 4. a panic from here on becomes a problem document;
//! 5. it gets a deadline, which those further in find in its extensions;
//! 6. its body gets a limit, and is read: who sends a byte a second holds nobody else's place;
//! 7. it waits for its turn, or is sent away if there is too much to do.
//!
//! One middleware runs all of it. As one per concern it would cost an allocation or two each, and
//! the order would be spread over the file that builds the router.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::Request;
use ipnet::IpNet;
use pitchey_api::{ClientAddress, Problem, RequestId, priority_of};
use pitchey_resilience::Deadline;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store_pg::RequestScope;
use pitchey_telemetry::HttpMetrics;
use tracing::Instrument as _;

mod access_log;
mod body_limit;
mod deadline;
mod observe;
mod panic;
mod request_id;
mod server_timing;

use observe::Observation;

use crate::client_address::client_address;
use crate::overload::FrontDoor;
use crate::server::PeerAddress;

/// The bounds of a request.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The longest time an answer may take.
    pub timeout: Duration,
    /// The size of a body.
    pub max_body_bytes: usize,
}

/// What the pipeline is told.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// The bounds of a request.
    pub limits: RequestLimits,
    /// The networks whose word on the address of a client is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether answers say what they cost the database.
    pub database_time: bool,
}

struct Pipeline {
    database_time: bool,
    trusted_proxies: Vec<IpNet>,
    limits: RequestLimits,
    runtime: SystemRuntime,
    metrics: Arc<HttpMetrics>,
    door: Arc<FrontDoor<SystemRuntime>>,
}

/// Puts the pipeline in front of every route of `router`, and of what no route matches.
pub fn layer(
    router: Router,
    settings: PipelineSettings,
    door: Arc<FrontDoor<SystemRuntime>>,
    runtime: SystemRuntime,
) -> Router {
    let pipeline = Pipeline {
        limits: settings.limits,
        trusted_proxies: settings.trusted_proxies,
        database_time: settings.database_time,
        runtime,
        metrics: Arc::new(HttpMetrics::new()),
        door,
    };
    // A layer of the router, not a service around it, so that the matched route is known.
    router.layer(from_fn_with_state(Arc::new(pipeline), handle))
}

async fn handle(
    State(pipeline): State<Arc<Pipeline>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let runtime = &pipeline.runtime;
    let id = request_id::sent(request.headers())
        .unwrap_or_else(|| request_id::generate(runtime, runtime));
    let span = tracing::info_span!("request", request_id = id.0);
    let observation = Observation::start(
        *runtime,
        pipeline.metrics.clone(),
        request.method().clone(),
        request.uri().path().to_owned(),
        request.extensions().get::<MatchedPath>().cloned(),
        id.clone(),
    );
    request.extensions_mut().insert(id.clone());
    if let Some(PeerAddress(peer)) = request.extensions().get().copied() {
        let client = client_address(peer, request.headers(), &pipeline.trusted_proxies);
        request.extensions_mut().insert(ClientAddress(client));
    }

    let mut response = panic::catch(answer(&pipeline, request, &id, next))
        .instrument(span)
        .await
        .unwrap_or_else(|panic::Panicked| Problem::internal().into_response_for(Some(&id)));

    request_id::insert(response.headers_mut(), &id);
    server_timing::insert(response.headers_mut(), observation.elapsed());
    observation.answered(response)
}

/// The answer of the handler, or of what keeps the request from it.
async fn answer(
    pipeline: &Pipeline,
    request: Request<Body>,
    id: &RequestId,
    next: Next,
) -> Response {
    let runtime = &pipeline.runtime;
    let bounded = deadline::of(request.headers(), pipeline.limits.timeout).and_then(|timeout| {
        let request = body_limit::apply(request, pipeline.limits.max_body_bytes)?;
        Ok((timeout, request))
    });
    let (timeout, mut request) = match bounded {
        Ok(bounded) => bounded,
        Err(problem) => return problem.into_response_for(Some(id)),
    };
    let deadline = Deadline::after(runtime.now(), timeout);
    request.extensions_mut().insert(deadline);
    let scope = RequestScope::new(id.0.clone(), deadline);
    let turn = scope.run(turn(pipeline, request, id, deadline, next));
    let handled = match deadline.run(runtime, turn).await {
        Ok(handled) => handled,
        Err(pitchey_runtime::Elapsed) => Err(deadline::passed(timeout)),
    };
    let mut response = handled.unwrap_or_else(|problem| problem.into_response_for(Some(id)));
    if pipeline.database_time {
        server_timing::insert_database(response.headers_mut(), scope.usage());
    }
    response
}

/// The answer of the handler once it is the request's turn, or the refusal if there is too much to do.
async fn turn(
    pipeline: &Pipeline,
    request: Request<Body>,
    id: &RequestId,
    deadline: Deadline,
    next: Next,
) -> Result<Response, Problem> {
    let route = request.extensions().get::<MatchedPath>();
    let Some(priority) = priority_of(request.method(), route.map(MatchedPath::as_str)) else {
        return Ok(next.run(request).await);
    };
    let request = body_limit::read(request, pipeline.limits.max_body_bytes).await?;
    match pipeline.door.enter(priority, deadline).await {
        Ok(_inside) => Ok(next.run(request).await),
        Err(_shed) => Ok(pipeline.door.refuse(id)),
    }
}

#[cfg(test)]
mod tests;
