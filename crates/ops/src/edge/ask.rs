//! An edge, asked over HTTP with requests that are signed.

use crate::cache::origin::{OriginUrl, connector};
use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use pitchey_edge::desk::{DeskSecret, MIN_SECRET, Signing};
use pitchey_runtime::{Clock as _, SystemRuntime, timeout, uuid_v7};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// How long an answer may take, connecting and its body included: an edge warms for a minute at most.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// The longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// Which edge is asked.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Door {
    /// The edge, as `https://pitchey.example` or `http://127.0.0.1:8787`.
    #[arg(
        long,
        env = "PITCHEY_EDGE",
        hide_env_values = true,
        value_name = "URL",
        default_value = "http://127.0.0.1:8787"
    )]
    edge: OriginUrl,
    /// The secret that the edge knows operators by.
    #[arg(
        long,
        env = "GATEWAY_DESK__SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    desk_secret: Option<SecretString>,
}

/// One edge, and the right to ask it.
pub(super) struct Edge {
    url: OriginUrl,
    secret: DeskSecret,
    runtime: SystemRuntime,
}

/// What is said with a refusal.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    detail: String,
    errors: Vec<String>,
}

impl Edge {
    pub(super) fn new(door: Door) -> anyhow::Result<Self> {
        let Some(secret) = &door.desk_secret else {
            bail!("no secret: set GATEWAY_DESK__SECRET or give --desk-secret");
        };
        let secret = DeskSecret::new(secret.expose_secret().as_bytes());
        Ok(Self {
            url: door.edge,
            secret: secret
                .with_context(|| format!("the secret has fewer than {MIN_SECRET} bytes"))?,
            runtime: SystemRuntime::new(),
        })
    }

    /// What the edge answers, if it does what it is asked.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<T> {
        let url = &self.url;
        let (status, answer) =
            match timeout(&self.runtime, ANSWER_TIMEOUT, self.exchange(path, body)).await {
                Ok(answered) => answered.with_context(|| format!("{url} cannot be asked"))?,
                Err(_) => bail!("{url} does not answer within {ANSWER_TIMEOUT:?}"),
            };
        if status.is_success() {
            return serde_json::from_slice(&answer)
                .with_context(|| format!("{url} does not answer as an edge does"));
        }
        if status == StatusCode::NOT_FOUND {
            bail!("{url} has no such door: it is no edge, or it was given no secret");
        }
        let Problem { detail, errors } = serde_json::from_slice(&answer).unwrap_or_default();
        let said = std::iter::once(detail).chain(errors);
        let said: Vec<String> = said.filter(|line| !line.is_empty()).collect();
        bail!("{url} refuses ({}): {}", status.as_u16(), said.join("\n  "))
    }

    async fn exchange(
        &self,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let method = if body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let milliseconds = self.runtime.wall().unix_timestamp_nanos() / 1_000_000;
        let nonce = uuid_v7(&self.runtime, &self.runtime).simple().to_string();
        let authorization = self.secret.sign(&Signing {
            method: &method,
            target: path,
            timestamp: i64::try_from(milliseconds)?,
            nonce: &nonce,
            body: body.as_bytes(),
        });
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(USER_AGENT, concat!("pitchey/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).build(connector(&self.url)?);
        let (parts, body) = client.request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok((parts.status, body))
    }
}
