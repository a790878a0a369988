//! The reads of regions.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use js_sys::Array;
use pitchey_api::{RegionalAnswer, RegionalReads};
use pitchey_edge::regions::{Reads, Region, Regions, Told};
use pitchey_model::WalPosition;
use pitchey_regional::{Connections, RegionalStore, options, store_error};
use pitchey_runtime::timeout;
use pitchey_store::StoreError;
use send_wrapper::SendWrapper;
use tokio_postgres::{Client, NoTls};
use tokio_util::compat::FuturesAsyncReadCompatExt as _;
use wasm_bindgen::JsCast as _;

use super::config::{RegionConfig, Regional, Way};
use super::lane::{Lane, Reading};
use super::socket::{Stream, hyperdrive};
use crate::glue;
use crate::platform::Workers;

/// The bindings that are named and not there.
pub(crate) fn missing(regional: &Regional) -> Vec<&str> {
    let named = regional.all.iter().filter_map(|one| match &one.way {
        Way::Hyperdrive(name) => Some(&**name),
        Way::Direct { .. } => None,
    });
    named
        .filter(|name| hyperdrive(name).is_undefined())
        .collect()
}

/// The regions that are configured.
pub(crate) fn regions(regional: &Regional, platform: &Workers) -> Regions {
    let all = regional.all.iter();
    let all = all.map(|one| Arc::new(region(one, regional, platform)));
    // Where this isolate is, each request tells.
    let patience = Duration::from_millis(regional.read_timeout_ms.into());
    Regions::new(all.collect(), None, patience)
}

fn region(config: &RegionConfig, regional: &Regional, platform: &Workers) -> Region {
    let server = Server(Arc::new(Parts {
        name: config.name.clone(),
        way: config.way.clone(),
        platform: platform.clone(),
        patience: Duration::from_millis(regional.connect_timeout_ms.into()),
        statement_timeout_ms: regional.statement_timeout_ms.into(),
    }));
    let store = RegionalStore::new(server);
    let progress = store.progress().clone();
    let told = move || Told {
        replayed: progress.replayed().unwrap_or(WalPosition(u64::MAX)),
        times: progress.times(),
    };
    let reads = RegionalReads::new(store, platform.clone(), regional.cursor_key.clone());
    Region::new(&config.name, config.place, Laned(reads), told)
}

/// Reads each of which has connections of its own.
struct Laned(RegionalReads);

impl Reads for Laned {
    fn answer<'a>(
        &'a self,
        target: &'a Uri,
        coding: &'static str,
        id: &'a str,
        after: WalPosition,
    ) -> BoxFuture<'a, Option<RegionalAnswer>> {
        let reading = Reading::new(self.0.answer(target, coding, id, after));
        Box::pin(SendWrapper::new(reading))
    }
}

/// The server of a region.
#[derive(Clone)]
struct Server(Arc<Parts>);

struct Parts {
    name: String,
    way: Way,
    platform: Workers,
    patience: Duration,
    statement_timeout_ms: u64,
}

/// A connection of a read.
struct Lent(Client);

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Connections for Server {
    type Connection = Lent;

    async fn connection(&self) -> Result<Lent, StoreError> {
        let lane = Lane::current().map(SendWrapper::new);
        let lane = lane.ok_or_else(|| StoreError::Internal("no read is going on".into()))?;
        if let Some(client) = lane.idle() {
            return Ok(Lent(client));
        }
        let opening = SendWrapper::new(self.open());
        let opened = timeout(&self.0.platform, self.0.patience, opening).await;
        let opened = opened.unwrap_or_else(|elapsed| Err(StoreError::Timeout(elapsed.into())));
        match opened {
            Ok((client, mover)) => {
                lane.moves(mover.take());
                Ok(Lent(client))
            }
            Err(error) => {
                glue::log(&format!("region {}: {}", self.0.name, chain(&error)));
                Err(error)
            }
        }
    }

    fn release(&self, Lent(client): Lent) {
        if let Some(lane) = Lane::current() {
            lane.put(client);
        }
    }
}

impl Server {
    async fn open(&self) -> Result<(Client, SendWrapper<super::lane::Mover>), StoreError> {
        let away = |error: std::io::Error| StoreError::Unavailable(error.into());
        let (stream, config) = match &self.0.way {
            Way::Hyperdrive(name) => {
                let stream = Stream::open(name, "", 0).map_err(away)?;
                // What a connection is told as it begins, Hyperdrive need not pass on: the role must be one that
                // only reads, with limits of its own.
                (stream, Self::of_hyperdrive(name)?)
            }
            Way::Direct {
                database,
                host,
                port,
            } => {
                let stream = Stream::open("", host, *port).map_err(away)?;
                let mut config = tokio_postgres::Config::clone(database);
                config.options(options(self.0.statement_timeout_ms));
                (stream, config)
            }
        };
        let mut config = config;
        config.application_name("pitchey-edge");
        let connecting = config.connect_raw(stream.compat(), NoTls).await;
        let (client, mover) = connecting.map_err(store_error)?;
        Ok((client, SendWrapper::new(mover)))
    }

    fn of_hyperdrive(name: &str) -> Result<tokio_postgres::Config, StoreError> {
        let told = hyperdrive(name);
        let gone = || StoreError::Unavailable("the binding is gone".into());
        let told: Array = told.dyn_into().map_err(|_| gone())?;
        let [user, password, database] =
            [0, 1, 2].map(|at| told.get(at).as_string().unwrap_or_default());
        let mut config = tokio_postgres::Config::new();
        config.user(user).password(password).dbname(database);
        Ok(config)
    }
}

/// An error and what it comes from.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
