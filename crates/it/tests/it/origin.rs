//! The origin in this process, on ports and a database of its own, and a client for it.

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pitchey_origin::Config;
use serde_json::Value;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

type Body = Empty<&'static [u8]>;

/// A running origin. Dropping it stops it; [`stop`](Self::stop) waits for the end.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    pub(crate) metrics: SocketAddr,
    client: Client<HttpConnector, Body>,
    shutdown: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<()>>,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The status, and the kind of problem if it is one.
    pub(crate) fn summary(&self) -> String {
        let json = self.json();
        let kind = json["type"]
            .as_str()
            .unwrap_or("-")
            .trim_start_matches("/problems/")
            .to_owned();
        format!("{} {kind}", self.status)
    }
}

impl Origin {
    pub(crate) async fn start(database_url: &str) -> Result<Self> {
        let variables = [
            ("DATABASE_URL", database_url),
            (
                "PITCHEY_CURSOR__KEY",
                "a key for cursors in tests, long enough",
            ),
            ("PITCHEY_DATABASE__MAX_CONNECTIONS", "8"),
        ];
        let variables =
            variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
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
        let client = Client::builder(TokioExecutor::new()).build_http();
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
        get(&self.client, self.address, target, &[]).await
    }

    pub(crate) async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        get(&self.client, self.address, target, headers).await
    }

    pub(crate) async fn metrics(&self) -> Result<String> {
        let answer = get(&self.client, self.metrics, "/metrics", &[]).await?;
        Ok(String::from_utf8(answer.body)?)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.shutdown.take());
        tokio::time::timeout(Duration::from_secs(30), self.task)
            .await
            .context("the origin does not stop")??
    }
}

async fn get(
    client: &Client<HttpConnector, Body>,
    address: SocketAddr,
    target: &str,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let mut request = http::Request::get(format!("http://{address}{target}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let exchange = async {
        let response = client.request(request.body(Body::new())?).await?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes().to_vec();
        anyhow::Ok(Answer {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        })
    };
    tokio::time::timeout(Duration::from_secs(20), exchange)
        .await
        .with_context(|| format!("{target} hangs"))?
}
