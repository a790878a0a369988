//! Who may connect: origin, ticket and number of connections, looked at before anything is upgraded.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use http::HeaderMap;
use pitchey_lobby::{Guest, NotLetIn, PlaceLimits, Places, Secret, Used, ask_for_socket};
use pitchey_model::UserId;
use pitchey_model::ticket::{BadTicket, Ticket, TicketKeys};
use pitchey_realtime::CloseCode;
use pitchey_realtime::protocol::{MAX_FRAME, SUBPROTOCOL};
use pitchey_runtime::{Clock as _, SystemRuntime};

use tokio_util::task::TaskTracker;

use crate::config::HttpConfig;
use crate::node::{Draining, Node};
use crate::socket;
use crate::wire::{self, Limits};

/// Those who were not let in. Label: `reason`.
const REFUSED: &str = "hub_refused_total";

/// How far the clocks of hubs may be apart: as long as a ticket may be good at one of them, it is
/// remembered that it was used.
const CLOCKS: Duration = Duration::from_secs(10);

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
    pub(crate) places: Arc<Seats>,
    /// Connections that were upgraded, for who waits for their end.
    pub(crate) guests: TaskTracker,
}

/// The places that are taken, shared by all connections.
#[derive(Default)]
pub(crate) struct Seats(Mutex<Places>);

/// A place that is free again when this is dropped.
pub(crate) struct Place {
    seats: Arc<Seats>,
    user: Option<UserId>,
    address: IpAddr,
}

impl Seats {
    /// How many accounts have a connection.
    pub(crate) fn accounts(&self) -> usize {
        self.lock().accounts()
    }

    fn take(
        self: &Arc<Self>,
        limits: PlaceLimits,
        user: Option<UserId>,
        address: IpAddr,
    ) -> Option<Place> {
        self.lock().take(limits, user, address).then(|| Place {
            seats: Arc::clone(self),
            user,
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.seats.lock().free(self.user, self.address);
    }
}

/// The answer to one who is not let in.
pub(crate) fn refusal(not_let_in: NotLetIn) -> Response {
    metrics::counter!(REFUSED, "reason" => not_let_in.reason()).increment(1);
    not_let_in.response().map(Body::from)
}

impl Entrance {
    /// Reads a ticket, which is used up by it: at every hub, or at this one alone while the shared log is
    /// away.
    pub(crate) async fn ticket(&self, text: &str) -> Result<Ticket, BadTicket> {
        let now = self.runtime.wall();
        let ticket = self.keys.read(text, now)?;
        let is_first = {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            used.first_use(ticket.id, ticket.expires_at, now.unix_timestamp())
        };
        let left = u64::try_from(ticket.expires_at - now.unix_timestamp()).unwrap_or(0);
        let kept = Duration::from_secs(left) + CLOCKS;
        if is_first && self.node.first_use(ticket.id, kept).await.unwrap_or(true) {
            Ok(ticket)
        } else {
            Err(BadTicket::Expired)
        }
    }

    pub(crate) fn place(&self, ticket: &Ticket, peer: SocketAddr) -> Result<Place, NotLetIn> {
        let user = ticket.holder.map(|holder| holder.user);
        let limits = PlaceLimits {
            all: self.http.max_connections,
            per_user: self.http.max_per_user,
            per_address: self.http.max_per_address,
        };
        self.places
            .take(limits, user, peer.ip().to_canonical())
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
    let admitted = async {
        let allowed = &entrance.http.allowed_origins;
        let shown = ask_for_socket(&headers, upgrade.is_ok(), allowed)?;
        let upgrade = upgrade.map_err(|_| NotLetIn::NotAnUpgrade)?;
        if entrance.node.is_draining() {
            return Err(NotLetIn::Draining);
        }
        let ticket = match shown {
            Some(shown) => entrance.ticket(shown).await.ok(),
            None => None,
        };
        let guest = match ticket {
            None => None,
            Some(ticket) => Some((entrance.place(&ticket, peer)?, Guest::new(ticket))),
        };
        Ok((upgrade, guest))
    };
    let (upgrade, guest) = match admitted.await {
        Ok(admitted) => admitted,
        Err(not_let_in) => return refusal(not_let_in),
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
