//! Servers of the platform, asked over HTTP from inside of the network.

use super::address::Address;
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pitchey_runtime::{SystemRuntime, timeout};
use secrecy::{ExposeSecret as _, SecretString};
use std::time::Duration;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, connecting included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// Asks. Cheap to clone, and connections are kept.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    http: Client<HttpConnector, Full<Bytes>>,
    /// What opens the doors that are not for everyone. Its `Debug` shows nothing.
    authorization: Option<HeaderValue>,
    runtime: SystemRuntime,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Asker {
    pub(crate) fn new(
        secret: Option<&SecretString>,
        runtime: SystemRuntime,
    ) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let authorization = secret.map(|secret| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose_secret()))
                .context("the secret does not fit into a header field")?;
            value.set_sensitive(true);
            anyhow::Ok(value)
        });
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            authorization: authorization.transpose()?,
            runtime,
        })
    }

    /// The answer, whatever its status is.
    pub(crate) async fn ask(
        &self,
        method: &Method,
        address: &Address,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<Answered> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{address}{path}"))
            .header(USER_AGENT, concat!("pitchey/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::from(body.unwrap_or_default()))?;
        let exchange = async {
            let (parts, body) = self.http.request(request).await?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            anyhow::Ok(Answered {
                status: parts.status,
                body: body.map_err(anyhow::Error::from_boxed)?.to_bytes(),
            })
        };
        match timeout(&self.runtime, ANSWER_TIMEOUT, exchange).await {
            Ok(answered) => answered.with_context(|| format!("{address} cannot be asked")),
            Err(_) => bail!("{address} does not answer within {ANSWER_TIMEOUT:?}"),
        }
    }
}
