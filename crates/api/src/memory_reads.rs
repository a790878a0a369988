//! Public reads whose answers are in memory, before anything else is asked: the same answers that the whole
//! router gives, without its layers, which cost several times what such an answer does.

use crate::cached::{CachedResponse, KeptRoute, Looked, kept_route, key, tell};
use crate::edge::{FromEdge, is_far_enough, tell_edge, tell_heard};
use crate::finish::MAX_URI;
use crate::limits::{Class, Key};
use crate::protect::protect;
use crate::routes::caching_of;
use crate::site::{ClientAddress, Site};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{Method, header};
use pitchey_cache::Answer;

/// What is in memory, for who receives the requests. Cheap to clone.
#[derive(Clone)]
pub struct MemoryReads<S>(Site<S>);

impl<S> MemoryReads<S> {
    /// Those of a site.
    pub fn new(site: Site<S>) -> Self {
        Self(site)
    }

    /// The answer, and its route, if it is in memory and this client may have it now. What is a problem or to
    /// be refused is left to the router, which is told what was found.
    pub fn answer(&self, request: &mut Request) -> Option<(Response, &'static str)> {
        let (method, uri) = (request.method(), request.uri());
        let whole = uri.path_and_query().map_or(0, |all| all.as_str().len());
        if !matches!(*method, Method::GET | Method::HEAD) || whole > MAX_URI {
            return None;
        }
        let responses = self.0.api.responses.as_deref()?;
        let &KeptRoute { route, kind, .. } = kept_route(uri.path())?;
        let from = request.extensions().get::<FromEdge>().copied();
        if !is_far_enough(from, responses) {
            return None;
        }
        let found = responses.hit(kind, &key(kind, uri));
        let answered = found
            .as_ref()
            .and_then(|found| self.send(request, route, found));
        if answered.is_none() {
            request.extensions_mut().insert(Looked(found));
        }
        answered.map(|response| (response, route))
    }

    fn send(
        &self,
        request: &Request,
        route: &'static str,
        answer: &Answer<CachedResponse>,
    ) -> Option<Response> {
        // What is not there is a problem document.
        let page = answer.value().0.as_deref()?;
        let mut response = page.send(request.headers()).ok()?;
        let method = request.method();
        let clock = &*self.0.api.clock;
        let client = Key::of(request.extensions().get::<ClientAddress>());
        let counted =
            self.0
                .shared
                .limits
                .count_here(Class::of(method, Some(route)), &client, clock.now());
        if counted.is_some_and(|counted| counted.allowed().is_err()) {
            return None;
        }
        let headers = response.headers_mut();
        tell(answer, clock, headers);
        if request.extensions().get::<FromEdge>().is_some() {
            let responses = self.0.api.responses.as_deref()?;
            tell_edge(answer, responses, clock, headers);
            tell_heard(responses, headers);
        }
        headers.insert(header::CACHE_CONTROL, caching_of(method, route).header());
        protect(headers);
        if *method == Method::HEAD {
            // The length says what there would be.
            *response.body_mut() = Body::empty();
        }
        Some(response)
    }
}
