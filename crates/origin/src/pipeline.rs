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
//!
//! In front of all that stands [`Front`]: public reads whose answers are in memory get their id, are observed
//! and told like the others, and need nothing of the rest.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::Either;
use http::Request;
use ipnet::IpNet;
use pitchey_api::edge::EdgeSecret;
use pitchey_api::{ClientAddress, MemoryReads, Problem, RequestId, priority_of};
use pitchey_resilience::Deadline;
use pitchey_runtime::{Clock as _, SystemRuntime};
use pitchey_store_pg::{DatabaseUsage, RequestScope};
use pitchey_telemetry::HttpMetrics;
use tower::Service;
use tracing::Instrument as _;

mod access_log;
mod body_limit;
mod deadline;
mod observe;
mod panic;
mod request_id;
mod server_timing;

use observe::Observation;

use crate::overload::FrontDoor;
use crate::server::PeerAddress;
use pitchey_process::client_address::client_address;

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
    /// What edges show, if there are any.
    pub edge: Option<EdgeSecret>,
}

/// The router behind the pipeline, and in front of it what is in memory.
pub struct Front<S> {
    pipeline: Arc<Pipeline>,
    reads: MemoryReads<S>,
    router: Router,
}

impl<S: Clone> Clone for Front<S> {
    fn clone(&self) -> Self {
        Self {
            pipeline: self.pipeline.clone(),
            reads: self.reads.clone(),
            router: self.router.clone(),
        }
    }
}

struct Pipeline {
    database_time: bool,
    edge: Option<EdgeSecret>,
    trusted_proxies: Vec<IpNet>,
    limits: RequestLimits,
    runtime: SystemRuntime,
    metrics: Arc<HttpMetrics>,
    door: Arc<FrontDoor<SystemRuntime>>,
}

/// Puts the pipeline in front of every route of `router`, and of what no route matches; and what is in
/// memory in front of all that.
pub fn front<S>(
    router: Router,
    reads: MemoryReads<S>,
    settings: PipelineSettings,
    door: Arc<FrontDoor<SystemRuntime>>,
    runtime: SystemRuntime,
) -> Front<S> {
    let pipeline = Pipeline::new(settings, door, runtime);
    Front {
        router: wrap(router, pipeline.clone()),
        pipeline,
        reads,
    }
}

/// A layer of the router, not a service around it, so that the matched route is known.
fn wrap(router: Router, pipeline: Arc<Pipeline>) -> Router {
    router.layer(from_fn_with_state(pipeline, handle))
}

impl Pipeline {
    fn new(
        settings: PipelineSettings,
        door: Arc<FrontDoor<SystemRuntime>>,
        runtime: SystemRuntime,
    ) -> Arc<Self> {
        Arc::new(Self {
            limits: settings.limits,
            trusted_proxies: settings.trusted_proxies,
            database_time: settings.database_time,
            edge: settings.edge,
            runtime,
            metrics: Arc::new(HttpMetrics::new()),
            door,
        })
    }

    /// Whether a request brings nothing that the pipeline might refuse.
    fn is_plain(&self, request: &Request<Body>) -> bool {
        http_body::Body::is_end_stream(request.body())
            && deadline::of(request.headers(), self.limits.timeout).is_ok()
    }

    /// Tells a request whose it is, once.
    fn introduce(&self, request: &mut Request<Body>) {
        if request.extensions().get::<ClientAddress>().is_some() {
            return;
        }
        if let Some(PeerAddress(peer)) = request.extensions().get().copied() {
            let client = client_address(peer, request.headers(), &self.trusted_proxies);
            request.extensions_mut().insert(ClientAddress(client));
        }
        let edge = self.edge.as_ref();
        if let Some(from) = edge.and_then(|edge| edge.recognise(request.headers())) {
            request.extensions_mut().insert(from);
        }
    }

    fn id_of(&self, request: &Request<Body>) -> RequestId {
        request_id::sent(request.headers())
            .unwrap_or_else(|| request_id::generate(&self.runtime, &self.runtime))
    }

    fn observe(&self, request: &Request<Body>, id: &RequestId) -> Observation {
        Observation::start(
            self.runtime,
            self.metrics.clone(),
            request.method().clone(),
            request.uri().path().to_owned(),
            request.extensions().get::<MatchedPath>().cloned(),
            id.clone(),
        )
    }
}

/// What every answer says of its request.
fn told(mut response: Response, id: &RequestId, observation: Observation) -> Response {
    request_id::insert(response.headers_mut(), id);
    server_timing::insert(response.headers_mut(), observation.elapsed());
    observation.answered(response)
}

impl<S> Service<Request<Body>> for Front<S> {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, RouteFuture<Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.router, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let pipeline = &self.pipeline;
        pipeline.introduce(&mut request);
        let started = pipeline.runtime.now();
        let is_plain = pipeline.is_plain(&request);
        let look = || is_plain.then(|| self.reads.answer(&mut request)).flatten();
        // After a panic the router is asked, which answers the next one.
        let found = std::panic::catch_unwind(AssertUnwindSafe(look));
        let Ok(Some((mut response, route))) = found else {
            return Either::Right(self.router.call(request));
        };
        let id = pipeline.id_of(&request);
        let observation = pipeline.observe(&request, &id).on(route, started);
        if pipeline.database_time {
            server_timing::insert_database(response.headers_mut(), DatabaseUsage::default());
        }
        Either::Left(ready(Ok(told(response, &id, observation))))
    }
}

async fn handle(
    State(pipeline): State<Arc<Pipeline>>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let id = pipeline.id_of(&request);
    let span = tracing::info_span!("request", request_id = id.0);
    let observation = pipeline.observe(&request, &id);
    request.extensions_mut().insert(id.clone());
    pipeline.introduce(&mut request);

    let response = panic::catch(answer(&pipeline, request, &id, next))
        .instrument(span)
        .await
        .unwrap_or_else(|panic::Panicked| Problem::internal().into_response_for(Some(&id)));
    told(response, &id, observation)
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
