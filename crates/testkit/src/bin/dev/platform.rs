//! The processes of a development run: started in order, watched, and stopped in the opposite order.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use pitchey_testkit::guard::Guard;
use pitchey_testkit::native::{http_status, origin_environment};
use pitchey_testkit::process::Process;
use pitchey_testkit::{KvServer, OwnedPostgres, OwnedRedis, RestRedis, Worker, net, wait};
use rustix::process::Signal;

use crate::data;
use crate::signals::Interrupts;
use crate::{Edge, Options, say};

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// A seed of millions takes a while; nobody waits for longer without looking.
const LOAD_WITHIN: Duration = Duration::from_hours(2);

/// How long a Redis that has ended stays away: long enough to see that nothing breaks.
const AWAY_FOR: Duration = Duration::from_secs(5);
/// A Redis that ends so soon after it was started again will do so once more.
const SETTLED: Duration = Duration::from_secs(10);

const GATEWAY_PORT: u16 = 8787;
const ORIGIN_PORT: u16 = 8788;
const METRICS_PORT: u16 = 9788;
const HUB_PORT: u16 = 8789;
const HUB_METRICS_PORT: u16 = 9789;
const GATEWAY_METRICS_PORT: u16 = 9787;

/// Variables that are for this crate and that a program of the platform would not understand.
const OWN_VARIABLES: [&str; 7] = [
    "PITCHEY_BIN_DIR",
    "PITCHEY_POSTGRES_IMAGE",
    "PITCHEY_PROVISION",
    "PITCHEY_REDIS_IMAGE",
    "PITCHEY_WORKERD",
    "PITCHEY_WORKER_DIR",
    "PITCHEY_WORKER_REGIONS_DIR",
];

/// What the processes of a run prove to each other who they are with; new ones for each run.
struct Secrets {
    edge: String,
    tickets: String,
    publish: String,
}

/// A process of the run.
struct Member {
    name: &'static str,
    url: String,
    server: Server,
}

enum Server {
    Postgres(OwnedPostgres),
    Redis(OwnedRedis),
    Program(Process),
    /// What the worker has for Redis over HTTP, and for KV: parts of this process.
    Rest {
        _runs: RestRedis,
    },
    Kv {
        _runs: KvServer,
    },
    /// Given by the environment: somebody else's process.
    Elsewhere(&'static str),
}

impl Member {
    fn process(&mut self) -> Option<&mut Process> {
        match &mut self.server {
            Server::Postgres(server) => server.process_mut(),
            Server::Redis(server) => server.process_mut(),
            Server::Program(process) => Some(process),
            Server::Rest { .. } | Server::Kv { .. } | Server::Elsewhere(_) => None,
        }
    }

    fn process_id(&self) -> Option<u32> {
        match &self.server {
            Server::Postgres(server) => server.pid(),
            Server::Redis(server) => server.pid(),
            Server::Program(process) => Some(process.pid()),
            Server::Rest { .. } | Server::Kv { .. } | Server::Elsewhere(_) => None,
        }
    }
}

/// All processes of the run.
pub(crate) struct Platform<'a> {
    directory: PathBuf,
    interrupts: &'a Interrupts,
    guard: Guard,
    members: Vec<Member>,
    started: Instant,
}

impl<'a> Platform<'a> {
    /// Nothing runs yet.
    pub(crate) fn new(directory: &Path, interrupts: &'a Interrupts) -> Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            interrupts,
            guard: Guard::start(Duration::from_secs(10))?,
            members: Vec::new(),
            started: Instant::now(),
        })
    }

    /// Starts everything, with data.
    pub(crate) fn start(&mut self, options: &Options) -> Result<()> {
        let given = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
        let database_url = given("DATABASE_URL");
        if options.fresh {
            ensure!(
                database_url.is_none(),
                "--fresh would erase the database of DATABASE_URL, which is not this run's own"
            );
            data::forget(&self.directory)?;
        }
        let mut kept = data::Kept::open(&self.directory);

        let database_url = match database_url {
            Some(url) => {
                self.add("postgres", &url, Server::Elsewhere("DATABASE_URL"))?;
                url
            }
            None => self.start_postgres(&mut kept)?,
        };
        let redis_url = match given("REDIS_URL") {
            Some(url) => {
                self.add("redis", &url, Server::Elsewhere("REDIS_URL"))?;
                url
            }
            None => self.start_redis()?,
        };
        kept.write_environment(&database_url, &redis_url)?;

        let pitchey = |arguments: &[&str]| {
            let mut command = program("pitchey")?;
            command.args(arguments).env("DATABASE_URL", &database_url);
            anyhow::Ok(command)
        };
        self.run("migrate", pitchey(&["db", "migrate"])?)?;
        if let Some(file) = &options.data {
            let file = file
                .canonicalize()
                .with_context(|| format!("no file {}", file.display()))?;
            let mut command = pitchey(&["import", "films"])?;
            command.arg(&file);
            self.run("import", command)?;
            kept.set_loaded(&format!("films of {}", file.display()))?;
        } else if let Some(loaded) = kept.loaded(&database_url)? {
            self.note(&format!("data kept: {loaded}; --fresh begins anew"));
        } else {
            let pitches = options.pitches.to_string();
            let arguments = ["seed", "--pitches", &pitches, "--seed", "1"];
            self.run("seed", pitchey(&arguments)?)?;
            kept.set_loaded(&format!("{pitches} generated pitches"))?;
        }
        let secrets = Secrets {
            edge: net::random_hex(32)?,
            tickets: net::random_hex(32)?,
            publish: net::random_hex(32)?,
        };
        let urls = (&*database_url, &*redis_url);
        let front = loopback(GATEWAY_PORT)?;
        let rooms = (options.edge == Edge::Workerd).then_some(front);
        let listen = options.port;
        let origin = self.start_origin(listen, urls, &kept.cursor_key()?, &secrets, rooms)?;
        let hub = self.start_hub(&redis_url, &secrets, front)?;
        match options.edge {
            Edge::Gateway => self.start_gateway((&origin, &hub), &redis_url, &secrets, front),
            Edge::Workerd => self.start_worker(&origin, &redis_url, &secrets, front),
        }
    }

    fn start_postgres(&mut self, kept: &mut data::Kept) -> Result<String> {
        self.interrupts.check()?;
        let home = data::postgres_home(&self.directory)?;
        let server = OwnedPostgres::start_kept(&home, &self.log("postgres")?)?;
        kept.prepare_database(&server)?;
        let url = server.url_of(data::DATABASE);
        self.add("postgres", &url, Server::Postgres(server))?;
        Ok(url)
    }

    fn start_redis(&mut self) -> Result<String> {
        self.interrupts.check()?;
        let home = data::redis_home(&self.directory)?;
        let server = OwnedRedis::start_kept(&home, &self.log("redis")?)?;
        let url = server.url();
        self.add("redis", &url, Server::Redis(server))?;
        Ok(url)
    }

    fn start_origin(
        &mut self,
        port: Option<u16>,
        (database_url, redis_url): (&str, &str),
        cursor_key: &str,
        secrets: &Secrets,
        rooms: Option<SocketAddr>,
    ) -> Result<String> {
        self.interrupts.check()?;
        if let Some(port) = port {
            ensure!(net::is_free(port), "port {port} is taken");
        }
        let listen = loopback(port.unwrap_or(ORIGIN_PORT))?;
        let metrics = loopback(METRICS_PORT)?;
        let mut command = program("origin")?;
        command
            .env("DATABASE_URL", database_url)
            .env("REDIS_URL", redis_url)
            .env("PITCHEY_CACHE__EDGE_KEY", &secrets.edge)
            .env("PITCHEY_REALTIME__TICKET_KEY", &secrets.tickets)
            .env("PITCHEY_HTTP__TRUSTED_PROXIES", "[\"127.0.0.1\"]")
            .envs(origin_environment(listen, metrics, cursor_key));
        // The edge on Workers has rooms of its own, which are told by HTTP.
        if let Some(rooms) = rooms {
            command
                .env("PITCHEY_REALTIME__PUBLISH_URL", format!("http://{rooms}"))
                .env("PITCHEY_REALTIME__PUBLISH_KEY", &secrets.publish);
        }
        self.start_program("origin", command, (listen, "/api/health/ready"))
    }

    /// The rooms; pages of the edge may connect.
    fn start_hub(
        &mut self,
        redis_url: &str,
        secrets: &Secrets,
        front: SocketAddr,
    ) -> Result<String> {
        self.interrupts.check()?;
        let listen = loopback(HUB_PORT)?;
        let metrics = loopback(HUB_METRICS_PORT)?;
        let mut command = program("hub")?;
        command
            .env("REDIS_URL", redis_url)
            .env("HUB_HTTP__ADDRESS", listen.to_string())
            .env("HUB_HTTP__ALLOWED_ORIGINS", format!("[\"http://{front}\"]"))
            .env("HUB_METRICS__ADDRESS", metrics.to_string())
            .env("HUB_TICKETS__KEY", &secrets.tickets);
        self.start_program("hub", command, (listen, "/healthz"))
    }

    /// The edge, in front of everything.
    fn start_gateway(
        &mut self,
        (origin, hub): (&str, &str),
        redis_url: &str,
        secrets: &Secrets,
        listen: SocketAddr,
    ) -> Result<()> {
        self.interrupts.check()?;
        let metrics = loopback(GATEWAY_METRICS_PORT)?;
        let mut command = program("gateway")?;
        command
            .args(["--pitchey", "--origin", origin, "--listen"])
            .arg(listen.to_string())
            .env("GATEWAY_METRICS__ADDRESS", metrics.to_string())
            .env("GATEWAY_PITCHEY__REDIS_URL", redis_url)
            .env("GATEWAY_PITCHEY__SECRET", &secrets.edge)
            .env("GATEWAY_HUB__URL", hub);
        self.start_program("gateway", command, (listen, "/api/health/ready"))?;
        Ok(())
    }

    /// The edge on Workers, in front of the origin, with rooms of its own, and with what it has there for Redis
    /// and KV.
    fn start_worker(
        &mut self,
        origin: &str,
        redis_url: &str,
        secrets: &Secrets,
        listen: SocketAddr,
    ) -> Result<()> {
        self.interrupts.check()?;
        let rest = RestRedis::start(redis_url)?;
        let (rest_url, token) = (rest.url(), rest.token().to_owned());
        self.add("redis-rest", &rest_url, Server::Rest { _runs: rest })?;
        let kv = KvServer::start()?;
        let pages = kv.address();
        self.add("kv", &format!("http://{pages}"), Server::Kv { _runs: kv })?;
        let [workerd, arguments @ ..] = Worker::command_line()
            .context("the edge on workerd is built by `cargo xtask dev --edge workerd`")?;
        let rooms = self.directory.join("rooms");
        std::fs::create_dir_all(&rooms)?;
        let mut command = Command::new(workerd);
        command
            .args(arguments)
            .arg(format!("--socket-addr=http={listen}"))
            .arg(format!("--directory-path=rooms={}", rooms.display()))
            .env("WORKER_REALTIME__TICKET_KEY", &secrets.tickets)
            .env("WORKER_REALTIME__PUBLISH_SECRET", &secrets.publish)
            .env(
                "WORKER_REALTIME__ALLOWED_ORIGINS",
                format!("[\"http://{listen}\"]"),
            )
            .arg(format!("--external-addr=pages={pages}"))
            .env("WORKER_ORIGIN__URL", origin)
            .env("WORKER_REDIS__REST_URL", &rest_url)
            .env("WORKER_REDIS__REST_TOKEN", &token)
            .env("WORKER_KV__ENABLED", "true")
            .env("WORKER_PITCHEY__SECRET", &secrets.edge)
            .process_group(0);
        self.start_program("workerd", command, (listen, "/api/health/ready"))?;
        Ok(())
    }

    /// Starts a server of the platform, and gives its URL when it is ready.
    fn start_program(
        &mut self,
        name: &'static str,
        command: Command,
        (listen, health): (SocketAddr, &str),
    ) -> Result<String> {
        let log = self.log(name)?;
        let mut process = Process::spawn(name, command, &log, Signal::TERM, &self.guard)?;
        wait::until(&format!("the {name} to be ready"), READY_WITHIN, || {
            self.interrupts.check()?;
            if let Some(status) = process.exited()? {
                bail!("{name} ended ({status}):\n{}", process.log_tail(20));
            }
            Ok((http_status(listen, health).ok() == Some(200)).then_some(()))
        })?;
        let url = format!("http://{listen}");
        self.add(name, &url, Server::Program(process))?;
        Ok(url)
    }

    fn add(&mut self, name: &'static str, url: &str, server: Server) -> Result<()> {
        self.note(&format!("{name} runs"));
        self.members.push(Member {
            name,
            url: url.to_owned(),
            server,
        });
        self.interrupts.check()
    }

    /// Runs a program of the platform to its end, its progress on the terminal.
    fn run(&mut self, name: &str, mut command: Command) -> Result<()> {
        self.interrupts.check()?;
        self.note(&format!("{name} …"));
        command.process_group(0);
        let mut process = Process::spawn_attached(name, command, Signal::TERM, &self.guard)?;
        let status = wait::until(name, LOAD_WITHIN, || {
            self.interrupts.check()?;
            process.exited()
        })?;
        ensure!(status.success(), "{name} failed ({status})");
        Ok(())
    }

    fn note(&self, text: &str) {
        say(&format!(
            "[{:>6.1} s] {text}",
            self.started.elapsed().as_secs_f64()
        ));
    }

    /// The log of a process; that of the last run is kept beside it.
    fn log(&self, name: &str) -> Result<PathBuf> {
        let log = self.directory.join("logs").join(format!("{name}.log"));
        if log.exists() {
            std::fs::rename(&log, log.with_extension("log.1"))?;
        }
        Ok(log)
    }

    /// Prints each process, and last that all is ready.
    pub(crate) fn announce(&self) {
        say(&format!("\n{:<10} {:>12}  url", "process", "pid"));
        for member in &self.members {
            let pid = match (&member.server, member.process_id()) {
                (Server::Elsewhere(variable), _) => (*variable).to_owned(),
                (_, pid) => pid.map(|pid| pid.to_string()).unwrap_or_default(),
            };
            say(&format!("{:<10} {pid:>12}  {}", member.name, member.url));
        }
        say(&format!(
            "logs in {}; Ctrl-C stops everything",
            self.directory.join("logs").display()
        ));
        if let Some(front) = self.members.last() {
            say(&format!("ready {}", front.url));
        }
    }

    /// Returns when somebody asks to stop, and fails when a process has ended by itself without which the
    /// rest cannot go on. Redis is none: it is started again after a while.
    pub(crate) fn watch(&mut self) -> Result<()> {
        let mut away_since = None;
        let mut back_since: Option<Instant> = None;
        while self.interrupts.none() {
            for member in &mut self.members {
                let Some(process) = member.process() else {
                    continue;
                };
                let Some(status) = process.exited()? else {
                    continue;
                };
                let (name, tail) = (process.name().to_owned(), process.log_tail(20));
                let is_back_for = back_since.map(|since| since.elapsed());
                match &mut member.server {
                    Server::Redis(redis) if is_back_for.is_none_or(|time| time > SETTLED) => {
                        redis.kill()?;
                        away_since = Some(Instant::now());
                        let pause = AWAY_FOR.as_secs();
                        say(&format!(
                            "redis ended by itself ({status}); the rest goes on, and it is started again in {pause} s"
                        ));
                    }
                    _ => bail!("{name} ended by itself ({status}). The end of its log:\n{tail}"),
                }
            }
            if away_since.is_some_and(|since: Instant| since.elapsed() > AWAY_FOR) {
                away_since = None;
                for member in &mut self.members {
                    if let Server::Redis(redis) = &mut member.server {
                        redis.restart()?;
                        back_since = Some(Instant::now());
                        say("redis runs again");
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Stops everything, the last started first; at once if somebody loses patience.
    pub(crate) fn stop(&mut self) {
        while let Some(mut member) = self.members.pop() {
            let interrupts = self.interrupts;
            let Some(process) = member.process() else {
                continue;
            };
            let name = process.name().to_owned();
            match end(process, interrupts) {
                Ok(()) => self.note(&format!("{name} stopped")),
                Err(error) => self.note(&format!("{name} does not stop: {error:#}")),
            }
        }
    }
}

fn end(process: &mut Process, interrupts: &Interrupts) -> Result<()> {
    if !interrupts.urgent() {
        process.request_stop()?;
    }
    let ended = wait::until("its end", STOP_WITHIN, || {
        if interrupts.urgent() {
            bail!("interrupted twice");
        }
        process.exited()
    });
    if ended.is_err() {
        process.kill()?;
    }
    Ok(())
}

/// A program that was built beside this one.
fn program(name: &str) -> Result<Command> {
    let own = std::env::current_exe()?;
    let program = own.with_file_name(name);
    ensure!(
        program.is_file(),
        "{} is not built: use `cargo xtask dev`",
        program.display()
    );
    let mut command = Command::new(program);
    for variable in OWN_VARIABLES {
        command.env_remove(variable);
    }
    // A group of its own: Ctrl-C is for this process, which stops the others in order.
    command.process_group(0);
    Ok(command)
}

/// The address of this port, or of a free one if somebody else has it.
fn loopback(port: u16) -> Result<SocketAddr> {
    let port = if net::is_free(port) {
        port
    } else {
        net::free_port()?
    };
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
