//! `pitchey hub load`: many clients, publications, a storm of reconnects, and the check of what was promised.

mod client;
mod place;
mod publisher;
mod report;
mod tally;
mod tickets;

use super::address::Address;
use super::ask::Asker;
use crate::Interrupt;
use crate::output::Output;
use crate::span::span;
use anyhow::{Context as _, bail, ensure};
use client::Client;
use pitchey_model::PitchId;
use pitchey_model::room::Room;
use pitchey_model::ticket::TicketKeys;
use pitchey_runtime::{Clock as _, Monotonic, Random as _, SystemRuntime, Timer as _, timeout};
use place::{Broken, Position};
use publisher::{Published, Publisher};
use report::Report;
use secrecy::{ExposeSecret as _, SecretString};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tally::Tally;
use tickets::Tickets;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

/// How long it may take until everyone is in.
const CONNECT_WITHIN: Duration = Duration::from_mins(2);

/// How long after the last publication everyone must have everything.
const SETTLE: Duration = Duration::from_secs(15);

/// Files that are open beside the connections of the clients.
const OTHER_FILES: u64 = 128;

/// What load, and on which hubs.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// A hub, as `http://127.0.0.1:8789`; of several, clients take turns, and go to the next after a failure.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:8789"
    )]
    hub: Vec<Address>,
    /// Have all go to the first hub, and to the next only after a failure.
    #[arg(long)]
    failover: bool,
    /// How many clients connect.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    sockets: u32,
    /// Over how many rooms they are spread.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rooms: u32,
    /// How many updates are published in a second, in all rooms together; 0 publishes nothing.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rate: u32,
    /// How large the data of an update is, in bytes.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u32).range(64..=16_384))]
    size: u32,
    /// For how long is published, as 10s or 5m.
    #[arg(long, default_value = "10s", value_parser = up_to_an_hour)]
    duration: Duration,
    /// How many connections are cut at once after half of that time; their clients connect again and recover.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    storm: u32,
    /// How many of a hundred clients read nothing until the end.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=100))]
    slow: u32,
    /// How many connect at the same time.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connecting: u32,
    /// The key that tickets are signed with, the same as the hub's.
    #[arg(
        long,
        env = "HUB_TICKETS__KEY",
        hide_env_values = true,
        value_name = "KEY"
    )]
    ticket_key: Option<SecretString>,
    /// Ask this origin for tickets instead of signing them; all clients are in the room `lists` then.
    #[arg(long, value_name = "URL", conflicts_with = "rooms")]
    origin: Option<Address>,
    /// What the hub takes publications with.
    #[arg(
        long,
        env = "HUB_PUBLISH__SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    publish_secret: Option<SecretString>,
    /// Allow hubs and origins that are not on this machine. Load on what others use is an attack.
    #[arg(long)]
    remote: bool,
}

fn up_to_an_hour(text: &str) -> Result<Duration, String> {
    let span = span(text)?;
    if span > Duration::from_hours(1) {
        return Err("an hour at most".to_owned());
    }
    Ok(span)
}

impl Options {
    fn check_addresses(&self) -> anyhow::Result<()> {
        let elsewhere = self.hub.iter().chain(&self.origin);
        for address in elsewhere.filter(|address| !address.is_loopback()) {
            ensure!(
                self.remote,
                "{address} is not on this machine; --remote allows that"
            );
        }
        Ok(())
    }

    fn tickets(&self, runtime: SystemRuntime) -> anyhow::Result<Tickets> {
        if let Some(origin) = &self.origin {
            return Ok(Tickets::Asked(Asker::new(None, runtime)?, origin.clone()));
        }
        let Some(key) = &self.ticket_key else {
            bail!("no tickets: set HUB_TICKETS__KEY, or give --ticket-key or --origin");
        };
        let keys = TicketKeys::new(key.expose_secret().as_bytes(), None);
        Ok(Tickets::Signed(keys.context("--ticket-key")?))
    }

    fn publisher(&self, rooms: &[Room], clock: SystemRuntime) -> anyhow::Result<Option<Publisher>> {
        if self.rate == 0 {
            return Ok(None);
        }
        let Some(secret) = &self.publish_secret else {
            bail!(
                "nothing can be published: set HUB_PUBLISH__SECRET or give --publish-secret; \
                 --rate 0 publishes nothing"
            );
        };
        let asker = Asker::new(Some(secret), clock)?;
        let hubs = self.hub.clone();
        let pace = (self.rate, self.size as usize);
        Ok(Some(Publisher::new(asker, hubs, rooms, pace, clock)))
    }

    /// Rooms that nobody else is in: the ids are made up.
    fn rooms(&self, runtime: &SystemRuntime) -> Vec<Room> {
        if self.origin.is_some() {
            return vec![Room::Lists];
        }
        let mut id = [0; 16];
        runtime.fill(&mut id);
        let first = u128::from_be_bytes(id);
        let ids = (0..self.rooms).map(|n| first.wrapping_add(n.into()));
        ids.map(|id| Room::Pitch(PitchId(Uuid::from_u128(id))))
            .collect()
    }
}

/// How far the load is, for all clients.
#[derive(Debug, Clone)]
enum Stage {
    Running,
    /// The connections of the first so many clients are cut.
    Storm(u32, Monotonic),
    /// Nothing is published any more: where each room stands, as far as anything was published in it, and until
    /// when everyone may take to get there.
    Over(Arc<Vec<Option<Position>>>, Monotonic),
}

/// What all clients share.
#[derive(Debug)]
struct Shared {
    hubs: Vec<Address>,
    /// Whether hubs other than the first are for failures alone.
    failover: bool,
    rooms: Vec<Room>,
    tickets: Tickets,
    connecting: Semaphore,
    tally: Tally,
    runtime: SystemRuntime,
}

pub(super) async fn run(options: Options, output: &mut Output<'_>) -> anyhow::Result<ExitCode> {
    options.check_addresses()?;
    allow_files(u64::from(options.sockets) + OTHER_FILES)?;
    let runtime = SystemRuntime::new();
    let rooms = options.rooms(&runtime);
    let publisher = options.publisher(&rooms, runtime)?;
    let shared = Arc::new(Shared {
        hubs: options.hub.clone(),
        failover: options.failover,
        rooms,
        tickets: options.tickets(runtime)?,
        connecting: Semaphore::new(options.connecting as usize),
        tally: Tally::default(),
        runtime,
    });
    let mut beside = JoinSet::new();
    let mut interrupt = Interrupt::listen(&mut beside, "checking what has come so far")?;
    let (stage, watched) = watch::channel(Stage::Running);
    let slow = u64::from(options.sockets) * u64::from(options.slow) / 100;
    let (entered, mut entering) = mpsc::channel(options.sockets as usize);
    let mut clients = JoinSet::new();
    for number in 0..options.sockets {
        let client = Client::new(number, u64::from(number) < slow, &shared);
        clients.spawn(client.run(watched.clone(), entered.clone()));
    }
    drop(entered);

    let began = runtime.now();
    let all_in = async {
        let mut count = 0;
        while count < options.sockets && entering.recv().await.is_some() {
            count += 1;
        }
    };
    tokio::select! {
        _ = timeout(&runtime, CONNECT_WITHIN, all_in) => {}
        () = interrupt.asked() => {}
    }
    let connected_in = runtime.now() - began;

    let publishing = async {
        match &publisher {
            Some(publisher) => {
                let interrupt = interrupt.clone();
                publisher
                    .run(options.duration, interrupt, &shared.tally)
                    .await
            }
            None => Published::default(),
        }
    };
    let mut interrupted = interrupt.clone();
    let passing = async {
        tokio::select! {
            () = half_times(&options, &stage, runtime) => {}
            () = interrupted.asked() => {}
        }
    };
    let (published, ()) = tokio::join!(publishing, passing);
    let heads = Arc::new(publisher.map(Publisher::into_heads).unwrap_or_default());
    stage.send_replace(Stage::Over(Arc::clone(&heads), runtime.now() + SETTLE));

    let mut broken = Broken::default();
    let mut behind = 0;
    let settling = async {
        while let Some(place) = clients.join_next().await {
            add(&mut broken, &mut behind, &place?, &heads);
        }
        anyhow::Ok(())
    };
    // A client gives up by itself before that.
    match timeout(&runtime, SETTLE * 3, settling).await {
        Ok(settled) => settled?,
        Err(_) => bail!("{} clients do not end", clients.len()),
    }
    let report = Report::new(
        &options,
        connected_in,
        &published,
        &shared.tally,
        (broken, behind),
    );
    output.show(&report, || report.text())?;
    Ok(if report.is_well() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Adds what came of a client.
fn add(broken: &mut Broken, behind: &mut u64, ended: &client::Ended, heads: &[Option<Position>]) {
    let head = heads.get(ended.room).and_then(Option::as_ref);
    // Who was never let in, or was to read nothing, has nothing to be held against.
    if ended.is_bystander {
        return;
    }
    let found = ended.place.broken(head);
    broken.twice += found.twice;
    broken.out_of_order += found.out_of_order;
    broken.missed += found.missed;
    *behind += u64::from(head.is_some_and(|head| !ended.place.has_reached(head)));
}

/// Lets half of the time pass, has the storm begin, and lets the other half pass.
async fn half_times(options: &Options, stage: &watch::Sender<Stage>, runtime: SystemRuntime) {
    let half = options.duration / 2;
    runtime.sleep(half).await;
    if options.storm > 0 {
        stage.send_replace(Stage::Storm(options.storm, runtime.now()));
    }
    runtime.sleep(half).await;
}

/// Has the kernel allow as many open files as it will.
fn allow_files(needed: u64) -> anyhow::Result<()> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let most = limit.current.unwrap_or(u64::MAX);
    ensure!(
        most >= needed,
        "{needed} files would be open, and this process may have {most} (ulimit -n)"
    );
    Ok(())
}
