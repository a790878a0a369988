//! Who may ask at all: changes that a page of another site sends are refused, and so is who asks too often.
//!
//! Browsers say where a request comes from (Fetch Metadata, or `Origin` in older ones), and a page cannot
//! make them say otherwise. What says neither and carries a session needs the token that only a page of
//! ours can read; what carries none is no browser's.

use crate::extract::MaybeSigned;
use crate::limits::{Class, Key};
use crate::problem::{Kind, Problem};
use crate::routes::{Caching, caching_of};
use crate::session::SessionToken;
use crate::site::{ClientAddress, Site};
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, Method, Uri, header};
use pitchey_store::FullStore;

pub(crate) async fn admit<S: FullStore>(
    State(site): State<Site<S>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let class = Class::of(&parts.method, route);
    // Answers that anyone may store would tell one client's state to another.
    let private = route.is_none_or(|route| caching_of(&parts.method, route) == Caching::Private);

    let key = match key(&site, &mut parts, class).await {
        Ok(key) => key,
        Err(problem) => return problem.into_response(),
    };
    let counting = site.shared.limits.count(class, &key, site.api.clock.now());
    let counted = counting.await;
    let checked = counted.map_or(Ok(()), |counted| counted.allowed());
    let limited = checked.is_err();
    let mut response = match checked {
        Err(problem) => problem.into_response(),
        Ok(()) => match same_origin(&site, &mut parts).await {
            Err(problem) => problem.into_response(),
            Ok(()) => next.run(Request::from_parts(parts, body)).await,
        },
    };
    if let Some(counted) = counted
        && (private || limited)
    {
        counted.tell(response.headers_mut());
    }
    response
}

/// Whose request it is: changes are counted by account, everything else by address.
async fn key<S: FullStore>(
    site: &Site<S>,
    parts: &mut Parts,
    class: Class,
) -> Result<Key, Problem> {
    if class == Class::Write
        && let MaybeSigned(Some(session)) = MaybeSigned::from_request_parts(parts, site).await?
    {
        return Ok(Key::User(session.actor.id));
    }
    Ok(Key::of(parts.extensions.get::<ClientAddress>()))
}

async fn same_origin<S: FullStore>(site: &Site<S>, parts: &mut Parts) -> Result<(), Problem> {
    if matches!(
        parts.method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    ) {
        return Ok(());
    }
    let refused = |detail: &str| Err(Problem::new(Kind::CrossOrigin, detail));
    let allowed = &site.shared.settings.allowed_origins;
    match provenance(&parts.headers, &parts.uri, allowed) {
        Provenance::Ours => Ok(()),
        Provenance::Foreign => refused("a page of another site has sent this"),
        Provenance::Unsaid if SessionToken::of(&parts.headers).is_none() => Ok(()),
        Provenance::Unsaid => {
            let token = parts.headers.get("x-csrf-token").cloned();
            let MaybeSigned(session) = MaybeSigned::from_request_parts(parts, site).await?;
            // A session that is over has nothing to protect; the handler says so.
            let proven = session.is_none_or(|session| {
                token.is_some_and(|token| site.is_csrf_token(session.actor.session, &token))
            });
            if proven {
                Ok(())
            } else {
                refused("the request says neither where it comes from nor X-CSRF-Token")
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provenance {
    Ours,
    Foreign,
    Unsaid,
}

fn provenance(headers: &HeaderMap, uri: &Uri, allowed: &[String]) -> Provenance {
    let one = |name: &str| {
        let mut lines = headers.get_all(name).iter();
        let first = lines.next()?;
        // What cannot be read, or comes twice, is nothing that a browser sends.
        Some(match lines.next() {
            None => first.to_str().unwrap_or_default(),
            Some(_) => "",
        })
    };
    if let Some(site) = one("sec-fetch-site") {
        return match site {
            "same-origin" | "none" => Provenance::Ours,
            // A page elsewhere that an operator trusts.
            "same-site" | "cross-site"
                if one("origin").is_some_and(|origin| listed(origin, allowed)) =>
            {
                Provenance::Ours
            }
            _ => Provenance::Foreign,
        };
    }
    let Some(origin) = one("origin") else {
        return Provenance::Unsaid;
    };
    let host = one(header::HOST.as_str()).or(uri.authority().map(http::uri::Authority::as_str));
    // The scheme is not known behind a proxy; another one on the same host is not another site.
    let same = origin
        .split_once("://")
        .zip(host)
        .is_some_and(|((_, from), host)| !from.is_empty() && from.eq_ignore_ascii_case(host));
    if same || listed(origin, allowed) {
        Provenance::Ours
    } else {
        Provenance::Foreign
    }
}

fn listed(origin: &str, allowed: &[String]) -> bool {
    allowed
        .iter()
        .any(|known| known.eq_ignore_ascii_case(origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&str, &str)]) -> Provenance {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::HOST,
            http::HeaderValue::from_static("pitchey.example"),
        );
        for (name, value) in lines {
            let name = http::HeaderName::from_bytes(name.as_bytes()).expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        let allowed = ["https://studio.example".to_owned()];
        provenance(&headers, &Uri::from_static("/api/me"), &allowed)
    }

    #[test]
    fn browsers_say_where_a_request_comes_from() {
        let cases: &[(&[(&str, &str)], Provenance)] = &[
            (&[("sec-fetch-site", "same-origin")], Provenance::Ours),
            (&[("sec-fetch-site", "none")], Provenance::Ours),
            (&[("sec-fetch-site", "same-site")], Provenance::Foreign),
            (&[("sec-fetch-site", "cross-site")], Provenance::Foreign),
            (&[("sec-fetch-site", "Same-Origin")], Provenance::Foreign),
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "same-origin"),
                ],
                Provenance::Foreign,
            ),
            // Fetch Metadata is believed before `Origin`.
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://pitchey.example"),
                ],
                Provenance::Foreign,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://studio.example"),
                ],
                Provenance::Ours,
            ),
            (&[("origin", "https://pitchey.example")], Provenance::Ours),
            (&[("origin", "https://PITCHEY.example")], Provenance::Ours),
            (&[("origin", "https://studio.example")], Provenance::Ours),
            (
                &[("origin", "https://pitchey.example.evil.example")],
                Provenance::Foreign,
            ),
            (&[("origin", "https://evil.example")], Provenance::Foreign),
            (
                &[("origin", "https://pitchey.example:8443")],
                Provenance::Foreign,
            ),
            (&[("origin", "null")], Provenance::Foreign),
            (&[("origin", "")], Provenance::Foreign),
            (&[], Provenance::Unsaid),
        ];
        for (lines, expected) in cases {
            assert_eq!(of(lines), *expected, "{lines:?}");
        }
    }
}
