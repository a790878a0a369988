//! Who may connect: origin, ticket and number of connections, looked at before anything is upgraded.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use pitchey_model::UserId;
use pitchey_model::ticket::{BadTicket, Ticket, TicketKeys};
use pitchey_realtime::CloseCode;
use pitchey_realtime::protocol::{MAX_FRAME, SUBPROTOCOL};
use pitchey_runtime::{Clock as _, SystemRuntime};

use tokio_util::task::TaskTracker;

use crate::authority::Guest;
use crate::config::HttpConfig;
use crate::internal::Secret;
use crate::node::{Draining, Node};
use crate::socket;
use crate::used::Used;
use crate::wire::{self, Limits};

/// Those who were not let in. Label: `reason`.
const REFUSED: &str = "hub_refused_total";

/// What a ticket opens with in the list of subprotocols.
const TICKET: &str = "ticket.";

/// Of one connection. What may wait is the largest answer, and a little.
const LIMITS: Limits = Limits {
    message: MAX_FRAME,
    waiting: 2 << 20,
};

/// The way in, shared by all requests.
pub(crate) struct Entrance {
    pub(crate) node: Arc<Node>,
    pub(crate) runtime: SystemRuntime,
    pub(crate) http: HttpConfig,
    pub(crate) keys: TicketKeys,
    pub(crate) secret: Secret,
    pub(crate) used: Mutex<Used>,
    pub(crate) places: Arc<Places>,
    /// Connections that were upgraded, for who waits for their end.
    pub(crate) guests: TaskTracker,
}

/// How many connections there are, of whom and from where.
#[derive(Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    users: HashMap<UserId, usize>,
    addresses: HashMap<IpAddr, usize>,
}

/// A place that is free again when this is dropped.
pub(crate) struct Place {
    places: Arc<Places>,
    user: Option<UserId>,
    address: IpAddr,
}

impl Places {
    /// How many accounts have a connection.
    pub(crate) fn accounts(&self) -> usize {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.users.len()
    }

    fn take(
        self: &Arc<Self>,
        http: &HttpConfig,
        user: Option<UserId>,
        address: IpAddr,
    ) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = user
            .and_then(|user| taken.users.get(&user))
            .copied()
            .unwrap_or_default();
        let from = taken.addresses.get(&address).copied().unwrap_or_default();
        if taken.all >= http.max_connections
            || of >= http.max_per_user
            || from >= http.max_per_address
        {
            return None;
        }
        taken.all += 1;
        *taken.addresses.entry(address).or_default() += 1;
        if let Some(user) = user {
            *taken.users.entry(user).or_default() += 1;
        }
        Some(Place {
            places: Arc::clone(self),
            user,
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.addresses.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.addresses.remove(&self.address);
            }
        }
        if let Some(user) = self.user
            && let Some(count) = taken.users.get_mut(&user)
        {
            *count -= 1;
            if *count == 0 {
                taken.users.remove(&user);
            }
        }
    }
}

/// Why somebody is not let in, before there is a connection that could be closed.
pub(crate) enum NotLetIn {
    ForeignOrigin,
    NotAnUpgrade,
    NoSubprotocol,
    Ticket,
    Full,
    Draining,
}

impl NotLetIn {
    pub(crate) fn response(&self) -> Response {
        let (status, reason, text) = match self {
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "origin",
                "pages of this origin may not connect\n",
            ),
            Self::NotAnUpgrade => (
                StatusCode::UPGRADE_REQUIRED,
                "no_upgrade",
                "this is a WebSocket (version 13)\n",
            ),
            Self::NoSubprotocol => (
                StatusCode::BAD_REQUEST,
                "subprotocol",
                "offer the subprotocol pitchey.v1\n",
            ),
            Self::Ticket => (
                StatusCode::UNAUTHORIZED,
                "ticket",
                "the ticket is not good\n",
            ),
            Self::Full => (
                StatusCode::TOO_MANY_REQUESTS,
                "full",
                "there are as many connections as may be\n",
            ),
            Self::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                "draining",
                "this server is going away\n",
            ),
        };
        metrics::counter!(REFUSED, "reason" => reason).increment(1);
        let mut response = (status, text).into_response();
        let headers = response.headers_mut();
        match self {
            Self::NotAnUpgrade => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(
                    header::SEC_WEBSOCKET_VERSION,
                    HeaderValue::from_static("13"),
                );
            }
            Self::Full | Self::Draining => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl Entrance {
    /// Pages of foreign origins may not use the cookie-less ticket of ours. Programs send no origin.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), NotLetIn> {
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let allowed = |origin: &HeaderValue| {
            self.http
                .allowed_origins
                .iter()
                .any(|known| origin.as_bytes() == known.as_bytes())
        };
        if origins.all(allowed) {
            Ok(())
        } else {
            Err(NotLetIn::ForeignOrigin)
        }
    }

    /// Reads a ticket, which is used up by it.
    pub(crate) fn ticket(&self, text: &str) -> Result<Ticket, BadTicket> {
        let now = self.runtime.wall();
        let ticket = self.keys.read(text, now)?;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.first_use(ticket.id, ticket.expires_at, now.unix_timestamp()) {
            Ok(ticket)
        } else {
            Err(BadTicket::Expired)
        }
    }

    pub(crate) fn place(&self, ticket: &Ticket, peer: SocketAddr) -> Result<Place, NotLetIn> {
        let user = ticket.holder.map(|holder| holder.user);
        self.places
            .take(&self.http, user, peer.ip().to_canonical())
            .ok_or(NotLetIn::Full)
    }

    pub(crate) fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.http.write_timeout_ms)
    }
}

/// `GET /ws`.
pub(crate) async fn websocket(
    State(entrance): State<Arc<Entrance>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let admitted = entrance.check_origin(&headers).and_then(|()| {
        let upgrade = upgrade.map_err(|_| NotLetIn::NotAnUpgrade)?;
        let offered = offered(&headers);
        if !offered.contains(&SUBPROTOCOL) {
            return Err(NotLetIn::NoSubprotocol);
        }
        if entrance.node.is_draining() {
            return Err(NotLetIn::Draining);
        }
        let mut tickets = offered
            .iter()
            .filter_map(|offer| offer.strip_prefix(TICKET));
        let ticket = match (tickets.next(), tickets.next()) {
            (Some(ticket), None) => entrance.ticket(ticket).ok(),
            _ => None,
        };
        let guest = match ticket {
            None => None,
            Some(ticket) => Some((entrance.place(&ticket, peer)?, Guest::new(ticket))),
        };
        Ok((upgrade, guest))
    });
    let (upgrade, guest) = match admitted {
        Ok(admitted) => admitted,
        Err(refusal) => return refusal.response(),
    };
    let upgrade = wire::configured(upgrade.protocols([SUBPROTOCOL]), LIMITS);
    let runtime = entrance.runtime;
    let write_timeout = entrance.write_timeout();
    let node = Arc::clone(&entrance.node);
    let counted = entrance.guests.token();
    upgrade.on_upgrade(async move |socket| {
        // A page learns why by the code of a close alone.
        let Some((place, guest)) = guest else {
            metrics::counter!(REFUSED, "reason" => "ticket").increment(1);
            return socket::refuse(socket, CloseCode::BadTicket, &runtime).await;
        };
        match node.connect(guest) {
            Ok(connected) => {
                socket::run(socket, node, connected, (runtime, write_timeout)).await;
            }
            Err(Draining) => socket::refuse(socket, CloseCode::Drain, &runtime).await,
        }
        drop((place, counted));
    })
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
