//! What a request must show to be let in, looked at before anything is upgraded; and what it is told if it
//! is not.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use pitchey_realtime::protocol::SUBPROTOCOL;

/// What a ticket opens with in the list of subprotocols.
const TICKET: &str = "ticket.";

/// Why somebody is not let in, before there is a connection that could be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLetIn {
    /// A page of an origin that is not allowed.
    ForeignOrigin,
    /// A WebSocket is asked for without an upgrade.
    NotAnUpgrade,
    /// The protocol is not offered.
    NoSubprotocol,
    /// Who only listens has no good ticket.
    Ticket,
    /// There are as many connections as may be.
    Full,
    /// The server is going away.
    Draining,
}

impl NotLetIn {
    /// A word for metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ForeignOrigin => "origin",
            Self::NotAnUpgrade => "no_upgrade",
            Self::NoSubprotocol => "subprotocol",
            Self::Ticket => "ticket",
            Self::Full => "full",
            Self::Draining => "draining",
        }
    }

    /// The answer.
    pub fn response(self) -> Response<&'static str> {
        let (status, text) = match self {
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "pages of this origin may not connect\n",
            ),
            Self::NotAnUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "this is a WebSocket (version 13)\n",
            ),
            Self::NoSubprotocol => (
                StatusCode::BAD_REQUEST,
                "offer the subprotocol pitchey.v1\n",
            ),
            Self::Ticket => (StatusCode::UNAUTHORIZED, "the ticket is not good\n"),
            Self::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "there are as many connections as may be\n",
            ),
            Self::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "this server is going away\n",
            ),
        };
        let fields: &[(HeaderName, &'static str)] = match self {
            Self::NotAnUpgrade => &[
                (header::UPGRADE, "websocket"),
                (header::SEC_WEBSOCKET_VERSION, "13"),
            ],
            Self::Full | Self::Draining => &[(header::RETRY_AFTER, "1")],
            _ => &[],
        };
        let mut response = Response::new(text);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, plain);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Looks at a request for a WebSocket. Gives the ticket that it shows, if it shows one: who has none is told
/// so by the code of a close, for a page learns no more than that.
pub fn ask_for_socket<'a>(
    headers: &'a HeaderMap,
    is_upgrade: bool,
    allowed_origins: &[String],
) -> Result<Option<&'a str>, NotLetIn> {
    check_origin(headers, allowed_origins)?;
    if !is_upgrade {
        return Err(NotLetIn::NotAnUpgrade);
    }
    let offered = offered(headers);
    if !offered.contains(&SUBPROTOCOL) {
        return Err(NotLetIn::NoSubprotocol);
    }
    let mut tickets = offered
        .iter()
        .filter_map(|offer| offer.strip_prefix(TICKET));
    Ok(match (tickets.next(), tickets.next()) {
        (Some(ticket), None) => Some(ticket),
        _ => None,
    })
}

/// Looks at a request of one who only listens. Gives the ticket that it shows.
pub fn ask_for_events<'a>(
    headers: &'a HeaderMap,
    allowed_origins: &[String],
) -> Result<&'a str, NotLetIn> {
    check_origin(headers, allowed_origins)?;
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    token
        .and_then(|value| value.strip_prefix("Bearer "))
        .ok_or(NotLetIn::Ticket)
}

/// Pages of foreign origins may not use the cookie-less ticket of ours. Programs send no origin.
fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), NotLetIn> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let is_allowed = |origin: &HeaderValue| {
        let mut allowed = allowed.iter();
        allowed.any(|known| origin.as_bytes() == known.as_bytes())
    };
    if origins.all(is_allowed) {
        Ok(())
    } else {
        Err(NotLetIn::ForeignOrigin)
    }
}

/// The subprotocols that the client offers; the ticket is one of them.
fn offered(headers: &HeaderMap) -> Vec<&str> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(HeaderName, &'static str)]) -> HeaderMap {
        let fields = fields.iter();
        fields
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn one_ticket_beside_the_protocol_is_taken() {
        let ask = |offer| {
            let headers = headers(&[(header::SEC_WEBSOCKET_PROTOCOL, offer)]);
            ask_for_socket(&headers, true, &[]).map(|ticket| ticket.map(str::to_owned))
        };
        assert_eq!(ask("pitchey.v1, ticket.a.b"), Ok(Some("a.b".to_owned())));
        assert_eq!(ask("pitchey.v1"), Ok(None));
        assert_eq!(ask("pitchey.v1, ticket.a, ticket.b"), Ok(None));
        assert_eq!(ask("pitchey.v2, ticket.a"), Err(NotLetIn::NoSubprotocol));
    }

    #[test]
    fn foreign_pages_are_refused_before_anything_else() {
        let allowed = ["https://pitchey.example".to_owned()];
        let ask = |origin| {
            let headers = headers(&[(header::ORIGIN, origin)]);
            ask_for_socket(&headers, false, &allowed).map(|_| ())
        };
        assert_eq!(ask("https://evil.example"), Err(NotLetIn::ForeignOrigin));
        assert_eq!(ask("null"), Err(NotLetIn::ForeignOrigin));
        assert_eq!(ask("https://pitchey.example"), Err(NotLetIn::NotAnUpgrade));
        let bearer = headers(&[(header::AUTHORIZATION, "Bearer a.b")]);
        assert_eq!(ask_for_events(&bearer, &allowed), Ok("a.b"));
        assert_eq!(
            ask_for_events(&headers(&[]), &allowed),
            Err(NotLetIn::Ticket)
        );
    }
}
