//! One connection: two directions, each a reader that takes what comes and a writer that decides, by
//! the faults of the moment, when and whether it goes on.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::acceptor::end;
use super::{Connects, Counters, Ending, Faults, Flow, Passage};

/// The most that is read at once, and how many such pieces one direction holds: what is on its way
/// through a slow network, and then the sender has to wait.
const PIECE_BYTES: usize = 16 * 1024;
const PIECES: usize = 64;

/// How long the server may take to accept.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// What holds for a connection now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Orders {
    pub(super) faults: Faults,
    /// It ends at once, so.
    pub(super) end: Option<Ending>,
}

/// Serves one client to its end.
pub(super) async fn run(
    mut client: TcpStream,
    upstream: SocketAddr,
    orders: watch::Receiver<Orders>,
    counters: Arc<Counters>,
) {
    let mut server = None;
    let ending = tokio::select! {
        biased;
        ending = told_to_end(orders.clone()) => ending,
        ending = relay(&mut client, &mut server, upstream, orders, &counters) => ending,
    };
    end(client, ending).await;
    if let Some(server) = server {
        end(server, ending).await;
    }
}

async fn told_to_end(mut orders: watch::Receiver<Orders>) -> Ending {
    match orders.wait_for(|orders| orders.end.is_some()).await {
        Ok(orders) => orders.end.unwrap_or(Ending::Close),
        Err(_) => Ending::Close,
    }
}

async fn relay(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    upstream: SocketAddr,
    mut orders: watch::Receiver<Orders>,
    counters: &Counters,
) -> Ending {
    let served = orders.wait_for(|orders| orders.faults.connects != Connects::Hung);
    match served.await.map(|orders| orders.faults.connects) {
        Ok(Connects::Forwarded | Connects::Hung) => {}
        Ok(Connects::Reset) => return Ending::Reset,
        Ok(Connects::Refused) | Err(_) => return Ending::Close,
    }
    let connecting = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(upstream));
    let Ok(Ok(connected)) = connecting.await else {
        return Ending::Reset;
    };
    counters.forwarded.fetch_add(1, Ordering::Relaxed);
    let server = server.insert(connected);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_reads, client_writes) = client.split();
    let (server_reads, server_writes) = server.split();
    let direction = |flow, passed| Direction {
        orders: orders.clone(),
        flow,
        since_switch: 0,
        has_lost: false,
        passed,
        swallowed: &counters.swallowed,
    };
    let to_server = direction(|faults| faults.to_server, &counters.to_server);
    let to_client = direction(|faults| faults.to_client, &counters.to_client);
    let ended = tokio::try_join!(
        to_server.pump(client_reads, server_writes),
        to_client.pump(server_reads, client_writes),
    );
    match ended {
        Ok(((), ())) => Ending::Close,
        Err(ending) => ending,
    }
}

/// What a reader has for its writer.
enum Item {
    Bytes(Vec<u8>),
    End(Ending),
}

struct Arrival {
    at: Instant,
    /// Of the jitter, from 0 to 1.
    share: f64,
    item: Item,
}

impl Arrival {
    fn now(item: Item) -> Self {
        let random = getrandom::u32().unwrap_or_default();
        Self {
            at: Instant::now(),
            share: f64::from(random) / f64::from(u32::MAX),
            item,
        }
    }
}

/// Takes what comes until the end, and tells how that was.
async fn take(mut from: ReadHalf<'_>, arrivals: mpsc::Sender<Arrival>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let item = match from.read(&mut buffer).await {
            Ok(0) => Item::End(Ending::Close),
            Ok(length) => Item::Bytes(buffer[..length].to_vec()),
            Err(_) => Item::End(Ending::Reset),
        };
        let is_end = matches!(item, Item::End(_));
        if arrivals.send(Arrival::now(item)).await.is_err() || is_end {
            return;
        }
    }
}

/// One direction and its faults.
struct Direction<'a> {
    orders: watch::Receiver<Orders>,
    flow: fn(&Faults) -> Flow,
    /// Bytes that have gone on since the faults were switched.
    since_switch: u64,
    has_lost: bool,
    passed: &'a AtomicU64,
    swallowed: &'a AtomicU64,
}

impl Direction<'_> {
    /// Hands on what comes. Ends well when the end has been handed on; an error ends the connection.
    async fn pump(self, from: ReadHalf<'_>, to: WriteHalf<'_>) -> Result<(), Ending> {
        let (arrivals, arrived) = mpsc::channel(PIECES);
        let taking = async {
            take(from, arrivals).await;
            pending::<Infallible>().await
        };
        tokio::select! {
            given = self.give(arrived, to) => given,
            never = taking => match never {},
        }
    }

    async fn give(
        mut self,
        mut arrived: mpsc::Receiver<Arrival>,
        mut to: WriteHalf<'_>,
    ) -> Result<(), Ending> {
        loop {
            let arrival = tokio::select! {
                biased;
                switched = self.switched() => {
                    switched?;
                    continue;
                }
                Some(arrival) = arrived.recv() => arrival,
            };
            match &arrival.item {
                Item::Bytes(bytes) => self.hand_on(&arrival, bytes, &mut to).await?,
                Item::End(ending) => {
                    if !self.may_go_on(&arrival).await? {
                        continue;
                    }
                    if *ending == Ending::Reset {
                        return Err(Ending::Reset);
                    }
                    let _ = to.shutdown().await;
                    return Ok(());
                }
            }
        }
    }

    async fn hand_on(
        &mut self,
        arrival: &Arrival,
        mut bytes: &[u8],
        to: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ending> {
        while !bytes.is_empty() {
            if !self.may_go_on(arrival).await? {
                self.swallowed
                    .fetch_add(bytes.len() as u64, Ordering::Relaxed);
                return Ok(());
            }
            let flow = self.now()?;
            let mut length = bytes.len();
            if let Some(rate) = flow.bytes_per_second {
                // A fiftieth of a second's worth: a limit, not a series of bursts.
                length = length.min((rate.get() as usize / 50).max(1));
            }
            let left = flow.cut_after.map(|limit| limit - self.since_switch);
            if let Some(left) = left {
                length = length.min(usize::try_from(left).unwrap_or(usize::MAX));
            }
            let (piece, rest) = bytes.split_at(length);
            to.write_all(piece).await.map_err(|_| Ending::Reset)?;
            self.since_switch += length as u64;
            self.passed.fetch_add(length as u64, Ordering::Relaxed);
            if left == Some(length as u64) {
                return Err(Ending::Close);
            }
            bytes = rest;
            if let Some(rate) = flow.bytes_per_second {
                let pause = Duration::from_secs_f64(length as f64 / f64::from(rate.get()));
                self.pause_until(Instant::now() + pause).await?;
            }
        }
        Ok(())
    }

    /// Waits until what arrived may go on; `false` if it goes nowhere.
    async fn may_go_on(&mut self, arrival: &Arrival) -> Result<bool, Ending> {
        loop {
            let flow = self.now()?;
            match flow.passage {
                Passage::Swallowed => {
                    self.has_lost = true;
                    return Ok(false);
                }
                Passage::Stalled => self.switched().await?,
                Passage::Open => {
                    let mut late = flow.latency + flow.jitter.mul_f64(arrival.share);
                    if let Item::End(_) = arrival.item {
                        late += flow.close_delay;
                    }
                    if self.pause_until(arrival.at + late).await? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Waits until then; `false` if the faults were switched meanwhile.
    async fn pause_until(&mut self, then: Instant) -> Result<bool, Ending> {
        if then <= Instant::now() {
            return Ok(true);
        }
        tokio::select! {
            biased;
            switched = self.switched() => switched.map(|()| false),
            () = tokio::time::sleep_until(then) => Ok(true),
        }
    }

    /// Waits until the faults are switched.
    async fn switched(&mut self) -> Result<(), Ending> {
        self.orders.changed().await.map_err(|_| Ending::Close)?;
        self.since_switch = 0;
        self.check()
    }

    /// The faults of this moment.
    fn now(&mut self) -> Result<Flow, Ending> {
        if self.orders.has_changed().map_err(|_| Ending::Close)? {
            self.orders.mark_unchanged();
            self.since_switch = 0;
            self.check()?;
        }
        Ok(self.present())
    }

    fn present(&self) -> Flow {
        (self.flow)(&self.orders.borrow().faults)
    }

    /// A connection that has lost something ends when it could notice.
    fn check(&self) -> Result<(), Ending> {
        if self.has_lost && self.present().passage != Passage::Swallowed {
            return Err(Ending::Reset);
        }
        Ok(())
    }
}
