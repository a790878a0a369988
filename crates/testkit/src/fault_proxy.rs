//! A TCP proxy whose connections a test can spoil, and heal, while they are in use.
//!
//! It listens on a free port of the loopback interface and hands on what it gets to one address.
//! It runs on a thread of its own, so it works beside any runtime or none, and a call that switches
//! faults returns when they are in force: what happens after it, happens under them.
//!
//! Nothing in it grows: connections and the bytes in each have a limit. Dropping it ends every
//! connection and frees the port.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::mpsc;

use acceptor::Acceptor;

mod acceptor;
mod connection;

/// What becomes of the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// They go on.
    #[default]
    Open,
    /// They are held, and go on once it is open again: a network that is away for a while, or a
    /// peer that does not read.
    Stalled,
    /// They are taken and go nowhere, and nobody learns of an end of the connection: half-open, as
    /// when the peer's machine is gone. A connection that has lost something so is reset when the
    /// passage is opened again, for it cannot be made whole.
    Swallowed,
}

/// The faults of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Whether bytes go on at all.
    pub passage: Passage,
    /// How much later bytes, and the end of the connection, arrive.
    pub latency: Duration,
    /// Up to so much is added to the latency of each piece, at random. The order stays.
    pub jitter: Duration,
    /// At most so many bytes go on in a second.
    pub bytes_per_second: Option<NonZeroU32>,
    /// The connection is closed, both ways, once so many more bytes have gone on, counted from when
    /// the fault was switched on or the connection was made: in the middle of a message, if the
    /// test likes.
    pub cut_after: Option<u64>,
    /// How much later than the last bytes the end of the connection arrives.
    pub close_delay: Duration,
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Connects {
    /// It is handed on.
    #[default]
    Forwarded,
    /// Nobody listens. The kernel refuses it, so it is not counted.
    Refused,
    /// It is accepted and reset at once. Unlike one that is refused it is counted.
    Reset,
    /// It is accepted and then nothing happens until the fault is healed: then it is handed on.
    Hung,
}

/// All faults of a connection. The default is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// What becomes of new connections.
    pub connects: Connects,
    /// From the client to the server.
    pub to_server: Flow,
    /// From the server to the client.
    pub to_client: Flow,
}

impl Faults {
    /// The same faults in both directions.
    pub fn both(flow: Flow) -> Self {
        Self {
            to_server: flow,
            to_client: flow,
            ..Self::default()
        }
    }

    /// A round trip takes so much longer, half of it each way.
    pub fn round_trip(latency: Duration) -> Self {
        Self::both(Flow {
            latency: latency / 2,
            ..Flow::default()
        })
    }

    /// The same, and this for new connections.
    #[must_use]
    pub fn with_connects(self, connects: Connects) -> Self {
        Self { connects, ..self }
    }

    /// The server hangs: new connections are accepted and never served, and what is sent on those
    /// that are there waits. Healed, all of it goes on.
    pub fn hung() -> Self {
        Self::both(Flow {
            passage: Passage::Stalled,
            ..Flow::default()
        })
        .with_connects(Connects::Hung)
    }

    /// The server's machine is gone without a word: whatever is sent goes nowhere, and nothing is
    /// ever closed.
    pub fn half_open() -> Self {
        Self::both(Flow {
            passage: Passage::Swallowed,
            ..Flow::default()
        })
        .with_connects(Connects::Hung)
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order, by FIN: the peer reads an end.
    Close,
    /// By RST: the peer gets an error.
    Reset,
}

/// What the proxy has seen since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that clients have made, whatever became of them.
    pub connections: u64,
    /// Those of them that were handed on to the server.
    pub forwarded: u64,
    /// Connections that are there now, hung ones included.
    pub open: usize,
    /// Bytes from clients that were written to the server.
    pub to_server: u64,
    /// Bytes from the server that were written to clients.
    pub to_client: u64,
    /// Bytes of both directions that went nowhere.
    pub swallowed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    forwarded: AtomicU64,
    open: AtomicUsize,
    to_server: AtomicU64,
    to_client: AtomicU64,
    swallowed: AtomicU64,
}

/// A new state of affairs, for the thread that owns the connections.
struct Command {
    /// For connections to come.
    faults: Faults,
    /// Whether those that are there have them, too.
    present_too: bool,
    /// How those that are there end, if they are to.
    end: Option<Ending>,
    /// Told when all of it is in force.
    done: std_mpsc::SyncSender<()>,
}

/// The faults that hold for connections to come, and the way to change them.
#[derive(Debug)]
struct Control {
    faults: Faults,
    /// Gone once the proxy is dropped.
    commands: Option<mpsc::Sender<Command>>,
}

/// Longer than any switch takes: the thread does nothing that waits.
const SWITCH_WITHIN: Duration = Duration::from_secs(30);

/// A proxy in front of a server, without faults at first.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    counters: Arc<Counters>,
    control: Mutex<Control>,
    thread: Option<JoinHandle<()>>,
}

impl FaultProxy {
    /// Starts a proxy in front of `upstream`, which need not be there yet.
    pub fn start(upstream: SocketAddr) -> Result<Self> {
        let counters = Arc::<Counters>::default();
        let (commands, orders) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let acceptor = {
            let _inside = runtime.enter();
            Acceptor::bind(upstream, counters.clone())?
        };
        let address = acceptor.address();
        let thread = std::thread::Builder::new()
            .name("fault-proxy".to_owned())
            .spawn(move || runtime.block_on(acceptor.run(orders)))?;
        Ok(Self {
            address,
            counters,
            control: Mutex::new(Control {
                faults: Faults::default(),
                commands: Some(commands),
            }),
            thread: Some(thread),
        })
    }

    /// Starts a proxy in front of the server of a URL, and gives the URL that leads through it.
    pub fn in_front_of(url: &str) -> Result<(Self, String)> {
        let (start, end) = authority(url)?;
        let upstream = url[start..end]
            .to_socket_addrs()
            .with_context(|| format!("{} is no address", &url[start..end]))?
            .next()
            .context("the name has no address")?;
        let proxy = Self::start(upstream)?;
        let through = format!("{}{}{}", &url[..start], proxy.address, &url[end..]);
        Ok((proxy, through))
    }

    /// The address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Switches to these faults, for the connections that are there and for those to come. Faults
    /// that were there before are healed.
    pub fn set(&self, faults: Faults) {
        self.switch(faults, true, None);
    }

    /// Switches to these faults for connections to come. Those that are there keep what they have.
    pub fn set_for_new(&self, faults: Faults) {
        self.switch(faults, false, None);
    }

    /// Ends all faults. Connections that have lost nothing go on.
    pub fn heal(&self) {
        self.set(Faults::default());
    }

    /// Ends the connections that are there. What becomes of those to come stays as it is.
    pub fn end_connections(&self, ending: Ending) {
        let faults = self.lock().faults;
        self.switch(faults, false, Some(ending));
    }

    /// Closes the connections that are there and refuses those to come, until it is healed.
    pub fn cut(&self) {
        let faults = Faults::default().with_connects(Connects::Refused);
        self.switch(faults, false, Some(Ending::Close));
    }

    /// Resets the connections that are there and those to come, until it is healed.
    pub fn reset(&self) {
        let faults = Faults::default().with_connects(Connects::Reset);
        self.switch(faults, false, Some(Ending::Reset));
    }

    /// What it has seen since its start.
    pub fn counts(&self) -> Counts {
        let counters = &*self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            connections: read(&counters.connections),
            forwarded: read(&counters.forwarded),
            open: counters.open.load(Ordering::Relaxed),
            to_server: read(&counters.to_server),
            to_client: read(&counters.to_client),
            swallowed: read(&counters.swallowed),
        }
    }

    fn switch(&self, faults: Faults, present_too: bool, end: Option<Ending>) {
        // Held until the switch is done: two at a time would leave open which came last.
        let mut control = self.lock();
        control.faults = faults;
        let (done, is_done) = std_mpsc::sync_channel(1);
        let command = Command {
            faults,
            present_too,
            end,
            done,
        };
        let commands = control.commands.as_ref();
        let told = commands.is_some_and(|to| to.try_send(command).is_ok());
        assert!(told, "the fault proxy has died");
        is_done
            .recv_timeout(SWITCH_WITHIN)
            .expect("the fault proxy switches at once");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.lock().commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where host and port begin and end in a URL.
fn authority(url: &str) -> Result<(usize, usize)> {
    let start = url.find("://").context("the URL has no scheme")? + 3;
    let end = url[start..]
        .find(['/', '?'])
        .map_or(url.len(), |at| start + at);
    let host = url[start..end]
        .rfind('@')
        .map_or(start, |at| start + at + 1);
    Ok((host, end))
}

#[cfg(test)]
mod tests;
