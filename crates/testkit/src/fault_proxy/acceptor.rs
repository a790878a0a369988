//! The thread's one loop: it accepts connections, owns them, and does what it is told.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{Id, JoinError, JoinSet};

use super::connection::{self, Orders};
use super::{Command, Connects, Counters, Ending, Faults};

/// Connections at once; one more is reset.
const MAX_CONNECTIONS: usize = 4096;

/// The pause after an accept that failed, as for want of file descriptors: trying again at once
/// would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Acceptor {
    upstream: SocketAddr,
    address: SocketAddr,
    /// Bound and never listening: the port stays ours while nobody listens on it.
    _reservation: TcpSocket,
    /// Not there while connections are refused.
    listener: Option<TcpListener>,
    faults: Faults,
    connections: HashMap<Id, watch::Sender<Orders>>,
    tasks: JoinSet<()>,
    counters: Arc<Counters>,
}

impl Acceptor {
    /// Takes a free port. Needs to be inside a runtime.
    pub(super) fn bind(upstream: SocketAddr, counters: Arc<Counters>) -> Result<Self> {
        let reservation = socket_on(SocketAddr::from(([127, 0, 0, 1], 0))).context("no port")?;
        let address = reservation.local_addr()?;
        Ok(Self {
            upstream,
            address,
            listener: Some(listen(address)?),
            _reservation: reservation,
            faults: Faults::default(),
            connections: HashMap::new(),
            tasks: JoinSet::new(),
            counters,
        })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until there is nobody left to give commands. Its connections end with it.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                Some(ended) = self.tasks.join_next_with_id() => self.forget(ended),
                accepted = accept(self.listener.as_ref()) => match accepted {
                    Ok(client) => self.admit(client),
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }

    fn admit(&mut self, client: TcpStream) {
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
        let reset = self.faults.connects == Connects::Reset;
        if reset || self.tasks.len() >= MAX_CONNECTIONS {
            let _ = client.set_zero_linger();
            return;
        }
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        let (orders, receiver) = watch::channel(Orders {
            faults: self.faults,
            end: None,
        });
        let (upstream, counters) = (self.upstream, self.counters.clone());
        let task = self
            .tasks
            .spawn(connection::run(client, upstream, receiver, counters));
        self.connections.insert(task.id(), orders);
    }

    fn forget(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => error.id(),
        };
        if self.connections.remove(&id).is_some() {
            self.counters.open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn obey(&mut self, command: Command) {
        // Who connected before the command was there before it, seen or not: once the kernel was asked.
        tokio::task::yield_now().await;
        while let Some(Ok(client)) = ready(accept(self.listener.as_ref())).await {
            self.admit(client);
        }
        self.faults = command.faults;
        if self.faults.connects == Connects::Refused {
            self.listener = None;
        } else if self.listener.is_none() {
            self.listener = listen(self.address).ok();
        }
        for orders in self.connections.values() {
            orders.send_if_modified(|orders| {
                if command.present_too {
                    orders.faults = command.faults;
                }
                orders.end = command.end;
                command.present_too || command.end.is_some()
            });
        }
        if command.end.is_some() {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.forget(ended);
            }
        }
        // Without a listener where there should be one, the silence tells.
        if self.listener.is_some() || self.faults.connects == Connects::Refused {
            let _ = command.done.send(());
        }
    }
}

/// The output of a future if it is there at once.
async fn ready<F: Future>(future: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = std::future::ready(()) => None,
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => Ok(listener.accept().await?.0),
        None => std::future::pending().await,
    }
}

/// Two sockets may be bound to one address as long as at most one of them listens and both say so.
fn socket_on(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = socket_on(address).and_then(|socket| socket.listen(1024));
    listener.with_context(|| format!("cannot listen on {address}"))
}

/// Ends a stream so that its peer sees this ending and no other.
pub(super) async fn end(mut stream: TcpStream, ending: Ending) {
    use tokio::io::AsyncWriteExt as _;
    match ending {
        Ending::Reset => {
            let _ = stream.set_zero_linger();
        }
        Ending::Close => {
            let _ = stream.shutdown().await;
            // The kernel resets what is closed with unread bytes.
            let mut unread = [0; 4096];
            for _ in 0..256 {
                match stream.try_read(&mut unread) {
                    Ok(1..) => {}
                    _ => break,
                }
            }
        }
    }
}
