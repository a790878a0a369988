//! The origin in this process, on ports and a database of its own, and a client for it.

pub(crate) use crate::client::Answer;
use crate::client::Client;
use anyhow::{Context as _, Result};
use pitchey_origin::Config;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running origin. Dropping it stops it; [`stop`](Self::stop) waits for the end.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) client: Client,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

impl Origin {
    pub(crate) async fn start(database_url: &str) -> Result<Self> {
        Self::start_with(database_url, &[]).await
    }

    /// With more of a configuration.
    pub(crate) async fn start_with(database_url: &str, more: &[(&str, &str)]) -> Result<Self> {
        let variables = [
            ("DATABASE_URL", database_url),
            (
                "PITCHEY_CURSOR__KEY",
                "a key for cursors in tests, long enough",
            ),
            ("PITCHEY_DATABASE__MAX_CONNECTIONS", "8"),
            // A memory is prepared for as many entries as fit, which takes seconds without optimisation.
            ("PITCHEY_CACHE__MEMORY_MIB", "8"),
        ];
        let variables = variables
            .iter()
            .chain(more)
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let config = Config::load(None, variables)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let metrics_listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (address, metrics) = (listener.local_addr()?, metrics_listener.local_addr()?);
        let (shutdown, asked) = oneshot::channel::<()>();
        let stop = async move {
            let _ = asked.await;
        };
        let task = tokio::spawn(pitchey_origin::serve(
            listener,
            metrics_listener,
            config,
            stop,
        ));
        let client = Client::new(address);
        let origin = Self {
            address,
            metrics,
            client,
            shutdown: Some(shutdown),
            task,
        };
        // The listener takes connections from the start; the answer comes when the origin is up.
        let ready = origin.get("/api/health/ready").await?;
        anyhow::ensure!(
            ready.status == 200,
            "the origin is not ready: {}",
            ready.summary()
        );
        Ok(origin)
    }

    pub(crate) async fn get(&self, target: &str) -> Result<Answer> {
        self.client.get(target, &[]).await
    }

    pub(crate) async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.client.get(target, headers).await
    }

    pub(crate) async fn metrics(&self) -> Result<String> {
        let answer = Client::new(self.metrics).get("/metrics", &[]).await?;
        Ok(String::from_utf8(answer.body)?)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.shutdown.take());
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .context("the origin does not stop")??
    }
}
