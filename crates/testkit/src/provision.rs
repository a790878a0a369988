//! Gets the servers that tests need, by whichever way the machine offers.

use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::apt;
use crate::container::{self, Container, ContainerSpec};
use crate::net;
use crate::plan::{Facts, Service, Way, choose};
use crate::postgres_server::{self, FORGETFUL, OwnedPostgres, SETTINGS, SUPERUSER};
use crate::programs::{PostgresPrograms, find_redis};
use crate::redis_server::{self, OwnedRedis};
use crate::wait;

/// A server in a container makes its data directory first.
const READY_WITHIN: Duration = Duration::from_mins(2);

/// A server for tests. Dropping it stops and removes what was started for it.
#[derive(Debug)]
pub struct Server {
    service: Service,
    way: Way,
    url: String,
    held: Held,
}

#[derive(Debug)]
enum Held {
    Nothing,
    Postgres(Box<OwnedPostgres>),
    Redis(Box<OwnedRedis>),
    Container(Box<Container>),
}

impl Server {
    /// Which service this is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// How it was had.
    pub fn way(&self) -> Way {
        self.way
    }

    /// Its URL: for Postgres that of the maintenance database, for Redis that of database 0.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What was started for it, in a few words.
    pub fn description(&self) -> String {
        match &self.held {
            Held::Nothing => format!("as {} says", self.service.url_variable()),
            Held::Postgres(server) => format!("process {}", server.pid().unwrap_or_default()),
            Held::Redis(server) => format!("process {}", server.pid().unwrap_or_default()),
            Held::Container(container) => {
                format!("container {}", container.id().get(..12).unwrap_or_default())
            }
        }
    }
}

/// What is asked for, beside what the machine offers.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// The URL of a server to use.
    pub url: Option<String>,
    /// The image to use instead of the public one.
    pub image: Option<String>,
    /// The only way to take.
    pub only: Option<Way>,
}

impl Wishes {
    /// Reads the environment: [`Service::url_variable`], [`Service::image_variable`] and
    /// `PITCHEY_PROVISION`, which is the name of a [`Way`].
    pub fn from_env(service: Service) -> Result<Self> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let only = match variable("PITCHEY_PROVISION") {
            Some(name) => Some(Way::from_name(&name).with_context(|| {
                let names = Way::ALL.map(|way| way.to_string()).join(", ");
                format!("PITCHEY_PROVISION={name} is none of {names}")
            })?),
            None => None,
        };
        Ok(Self {
            url: variable(service.url_variable()),
            image: variable(service.image_variable()),
            only,
        })
    }
}

/// The facts of this machine.
struct Machine<'a> {
    service: Service,
    wishes: &'a Wishes,
    container: ContainerSpec,
}

impl Facts for Machine<'_> {
    fn given(&self) -> Result<(), String> {
        let variable = self.service.url_variable();
        self.wishes
            .url
            .as_ref()
            .map(|_| ())
            .ok_or_else(|| format!("{variable} is not set"))
    }

    fn container(&self) -> Result<(), String> {
        container::probe(&self.container)
    }

    fn programs(&self) -> Result<(), String> {
        let found = match self.service {
            Service::Postgres => PostgresPrograms::find().map(drop),
            Service::Redis => find_redis().map(drop),
        };
        found.map_err(|error| error.to_string())
    }

    fn apt(&self) -> Result<(), String> {
        apt::possible()
    }
}

/// Gets a server, or says what to do so that one can be had.
pub fn provision(service: Service, wishes: &Wishes) -> Result<Server> {
    let password = net::random_hex(16)?;
    let machine = Machine {
        service,
        wishes,
        container: container_spec(service, wishes, &password),
    };
    let mut closed = Vec::new();
    loop {
        let way = choose(service, &machine, wishes.only, &closed)?;
        let started = match way {
            Way::Given => given(service, wishes.url.as_deref().unwrap_or_default()),
            Way::Container => in_container(service, &machine.container, &password),
            Way::Programs => own(service, way),
            Way::Apt => apt::install(&[service.debian_package()]).and_then(|()| own(service, way)),
        };
        match started {
            // A daemon may well answer and yet be unable to run anything.
            Err(error) if way == Way::Container => {
                eprintln!("testkit: {service} does not run in a container: {error:#}");
                closed.push((way, format!("{error:#}")));
            }
            other => return other.with_context(|| format!("{service} by way of {way}")),
        }
    }
}

/// Makes sure that the machine has the programs, for a server with data that stays: installs them
/// where that is possible. Gives back which way was taken.
pub fn require_programs(service: Service) -> Result<Way> {
    let wishes = Wishes::default();
    let machine = Machine {
        service,
        wishes: &wishes,
        container: container_spec(service, &wishes, ""),
    };
    let kept = "the data is kept in files of this machine";
    let way = choose(
        service,
        &machine,
        None,
        &[(Way::Container, kept.to_owned())],
    )?;
    if way == Way::Apt {
        apt::install(&[service.debian_package()])?;
    }
    Ok(way)
}

fn given(service: Service, url: &str) -> Result<Server> {
    answers(service, url)
        .with_context(|| format!("the server that {} names", service.url_variable()))?;
    Ok(Server {
        service,
        way: Way::Given,
        url: url.to_owned(),
        held: Held::Nothing,
    })
}

fn own(service: Service, way: Way) -> Result<Server> {
    let (url, held) = match service {
        Service::Postgres => {
            let server = OwnedPostgres::start()?;
            (server.url(), Held::Postgres(Box::new(server)))
        }
        Service::Redis => {
            let server = OwnedRedis::start()?;
            (server.url(), Held::Redis(Box::new(server)))
        }
    };
    Ok(Server {
        service,
        way,
        url,
        held,
    })
}

fn container_spec(service: Service, wishes: &Wishes, password: &str) -> ContainerSpec {
    let image = wishes
        .image
        .clone()
        .unwrap_or_else(|| service.default_image().to_owned());
    match service {
        Service::Postgres => {
            let settings = SETTINGS
                .iter()
                .filter(|setting| !setting.starts_with("listen_addresses"))
                .filter(|setting| !setting.starts_with("unix_socket_directories"))
                .chain(&FORGETFUL)
                .flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]);
            ContainerSpec {
                image,
                port: 5432,
                env: vec![
                    ("POSTGRES_USER".to_owned(), SUPERUSER.to_owned()),
                    ("POSTGRES_PASSWORD".to_owned(), password.to_owned()),
                    ("POSTGRES_DB".to_owned(), "postgres".to_owned()),
                    (
                        "POSTGRES_HOST_AUTH_METHOD".to_owned(),
                        "password".to_owned(),
                    ),
                    (
                        "POSTGRES_INITDB_ARGS".to_owned(),
                        "--no-sync --encoding=UTF8 --locale=C.UTF-8".to_owned(),
                    ),
                ],
                args: std::iter::once("postgres".to_owned())
                    .chain(settings)
                    .collect(),
            }
        }
        Service::Redis => ContainerSpec {
            image,
            port: 6379,
            env: Vec::new(),
            args: [
                &["redis-server", "--save", "", "--appendonly", "no"][..],
                &[
                    "--databases",
                    redis_server::DATABASES,
                    "--requirepass",
                    password,
                ],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        },
    }
}

fn in_container(service: Service, spec: &ContainerSpec, password: &str) -> Result<Server> {
    let container = Container::start(spec)?;
    let urls: Vec<String> = container
        .addresses
        .iter()
        .map(|address| match service {
            Service::Postgres => format!("postgres://{SUPERUSER}:{password}@{address}/postgres"),
            Service::Redis => format!("redis://:{password}@{address}/0"),
        })
        .collect();
    let what = format!("{service} in its container to answer");
    let url = wait::until(&what, READY_WITHIN, || {
        ensure!(container.is_running()?, "the container ended");
        Ok(urls
            .iter()
            .find(|url| answers(service, url).is_ok())
            .cloned())
    })
    .with_context(|| container.log())?;
    Ok(Server {
        service,
        way: Way::Container,
        url,
        held: Held::Container(Box::new(container)),
    })
}

fn answers(service: Service, url: &str) -> Result<()> {
    match service {
        Service::Postgres => postgres_server::answers(url),
        Service::Redis => redis_server::answers(url),
    }
}

/// The Postgres of this process, started by whoever asks first.
pub fn shared_postgres() -> Result<&'static Server> {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    shared(&SHARED, Service::Postgres)
}

/// The Redis of this process, started by whoever asks first.
pub fn shared_redis() -> Result<&'static Server> {
    static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
    shared(&SHARED, Service::Redis)
}

fn shared(
    slot: &'static OnceLock<Result<Server, String>>,
    service: Service,
) -> Result<&'static Server> {
    // The error is kept as text, so that every test says the same and none tries again.
    slot.get_or_init(|| {
        Wishes::from_env(service)
            .and_then(|wishes| provision(service, &wishes))
            .map_err(|error| format!("{error:#}"))
    })
    .as_ref()
    .map_err(|error| anyhow::anyhow!("{error}"))
}
