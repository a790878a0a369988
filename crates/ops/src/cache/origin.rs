//! An origin, asked over HTTP as any client would: sign in, ask, sign out.

use super::answer::{Answer, Refused, is_forbidden};
use crate::interrupt::EXIT_INTERRUPTED;
use crate::{Interrupt, password};
use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, COOKIE, SET_COOKIE, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use pitchey_model::Email;
use pitchey_runtime::{SystemRuntime, Timer as _, timeout};
use rustls::crypto::{CryptoProvider, ring};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::net::IpAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, connecting and its body included.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// How often a request is sent again because the origin said that it came too soon.
const MAX_WAITS: usize = 3;

/// How long one waits then at most; who is told to wait longer is told so.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

const CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Where an origin is: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OriginUrl {
    scheme: Scheme,
    authority: Authority,
}

impl FromStr for OriginUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "must be http:// or https://, a host and perhaps a port, and nothing else";
        let parts = text.parse::<Uri>().map_err(|_| SHAPE)?.into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(SHAPE);
        };
        let is_bare = parts.path_and_query.is_none_or(|path| path == "/");
        let is_http = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        let has_port = authority.as_str() != authority.host();
        let is_port = authority.port_u16().is_some() == has_port;
        // A password in an address would end up in lists of processes and in logs.
        let has_password = authority.as_str().contains('@');
        if !is_http || !is_bare || !is_port || has_password || authority.host().is_empty() {
            return Err(SHAPE);
        }
        Ok(Self { scheme, authority })
    }
}

impl fmt::Display for OriginUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

impl OriginUrl {
    /// Whether what is sent there can be read on the way.
    fn is_in_the_clear(&self) -> bool {
        let host = self.authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        let is_here = address
            .parse()
            .map_or(host == "localhost", |address: IpAddr| address.is_loopback());
        self.scheme == Scheme::HTTP && !is_here
    }
}

/// Which origin is asked, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Door {
    /// The origin, as `https://pitchey.example` or `http://127.0.0.1:8788`.
    #[arg(
        long,
        env = "PITCHEY_ORIGIN",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) origin: OriginUrl,
    /// The administrator who asks. The password is asked for, or read as a line from standard input.
    #[arg(
        long,
        env = "PITCHEY_EMAIL",
        hide_env_values = true,
        value_name = "ADDRESS"
    )]
    pub(crate) email: Email,
}

/// A client of one origin.
#[derive(Debug)]
pub(crate) struct Client {
    url: OriginUrl,
    http: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// How long an answer may take.
    within: Duration,
    runtime: SystemRuntime,
}

/// What is sent.
#[derive(Debug, Clone, Copy)]
struct Question<'a> {
    method: &'a Method,
    path: &'static str,
    body: Option<&'a Value>,
}

impl<'a> Question<'a> {
    const fn get(path: &'static str) -> Self {
        Self {
            method: &Method::GET,
            path,
            body: None,
        }
    }

    const fn post(path: &'static str, body: Option<&'a Value>) -> Self {
        Self {
            method: &Method::POST,
            path,
            body,
        }
    }
}

impl fmt::Display for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Client {
    fn new(url: &OriginUrl, within: Duration) -> anyhow::Result<Self> {
        Ok(Self {
            url: url.clone(),
            http: HyperClient::builder(TokioExecutor::new()).build(connector(url)?),
            within,
            runtime: SystemRuntime::new(),
        })
    }

    /// A client of what answers as an origin does: nobody else is sent a password.
    pub(crate) async fn reach(url: &OriginUrl) -> anyhow::Result<Self> {
        let client = Self::new(url, ANSWER_TIMEOUT)?;
        client.greet().await?;
        if url.is_in_the_clear() {
            eprintln!(
                "pitchey: {url} is asked without TLS: others on the way can read the password"
            );
        }
        Ok(client)
    }

    async fn greet(&self) -> anyhow::Result<()> {
        /// Null, as nobody is signed in; but it must be there.
        #[derive(Deserialize)]
        struct Current {
            #[serde(rename = "session")]
            _session: Value,
        }
        let question = Question::get("/api/auth/session");
        let _: Current = self.ask(question, &HeaderMap::new()).await?;
        Ok(())
    }

    /// Signs in, does some work, and signs out, whatever came of the work. Ctrl-C ends the work.
    pub(crate) async fn as_admin(
        &self,
        email: &Email,
        password: SecretString,
        work: impl AsyncFnOnce(&Admin<'_>) -> anyhow::Result<ExitCode>,
    ) -> anyhow::Result<ExitCode> {
        let mut tasks = JoinSet::new();
        let mut interrupt = Interrupt::listen(&mut tasks, "signing out")?;
        let admin = self.sign_in(email, password).await?;
        let done = tokio::select! {
            biased;
            () = interrupt.asked() => Ok(ExitCode::from(EXIT_INTERRUPTED)),
            done = work(&admin) => done,
        };
        if let Err(error) = admin.sign_out().await {
            let error = format!("{error:#}");
            let error = crate::visible_lines(&error);
            eprintln!("pitchey: the session could not be ended, and ends by itself: {error}");
        }
        done.map_err(|error| {
            if is_forbidden(&error) {
                error.context(format!("{email} is no administrator of {}", self.url))
            } else {
                error
            }
        })
    }

    async fn sign_in(&self, email: &Email, password: SecretString) -> anyhow::Result<Admin<'_>> {
        #[derive(Deserialize)]
        struct Session {
            csrf_token: String,
        }
        let question = "/api/auth/login";
        let body = json!({ "email": email.as_str(), "password": password.expose_secret() });
        let question = Question::post(question, Some(&body));
        let answer = self.answer(question, &HeaderMap::new()).await;
        let answer = answer.with_context(|| format!("cannot sign in as {email}"))?;
        let session: Session = self.content(question, &answer)?;
        let cookies = answer.headers.get_all(SET_COOKIE).iter();
        let cookies: Vec<&str> = cookies
            .filter_map(|line| line.to_str().ok()?.split(';').next())
            .collect();
        let headers = [
            (COOKIE, secret(&cookies.join("; "))?),
            (CSRF_TOKEN, secret(&session.csrf_token)?),
        ];
        Ok(Admin {
            client: self,
            headers: headers.into_iter().collect(),
        })
    }

    /// What the answer to a question says, if it is one.
    async fn ask<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        headers: &HeaderMap,
    ) -> anyhow::Result<T> {
        let answer = self.answer(question, headers).await?;
        self.content(question, &answer)
    }

    fn content<T: DeserializeOwned>(
        &self,
        question: Question<'_>,
        answer: &Answer,
    ) -> anyhow::Result<T> {
        let content = answer.content();
        content.with_context(|| {
            let url = &self.url;
            format!("{url} does not answer as an origin of Pitchey to {question}")
        })
    }

    /// The answer to a question: a refusal is an error, [`Refused`] if it is told as an origin does.
    async fn answer(&self, question: Question<'_>, headers: &HeaderMap) -> anyhow::Result<Answer> {
        let mut waits = 0..MAX_WAITS;
        loop {
            let answer = self.exchange(question, headers).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let too_soon = answer.status == StatusCode::TOO_MANY_REQUESTS;
            match answer.retry_after() {
                Some(wait) if too_soon && wait <= LONGEST_WAIT && waits.next().is_some() => {
                    eprintln!(
                        "pitchey: {} wants {} s of patience",
                        self.url,
                        wait.as_secs()
                    );
                    self.runtime.sleep(wait).await;
                }
                _ => return Err(self.refusal(question, &answer)),
            }
        }
    }

    fn refusal(&self, question: Question<'_>, answer: &Answer) -> anyhow::Error {
        match Refused::of(answer) {
            Some(refused) => refused.into(),
            None => anyhow!("{}", answer.shown()).context(format!(
                "{} does not answer as an origin of Pitchey to {question}",
                self.url
            )),
        }
    }

    async fn exchange(
        &self,
        question: Question<'_>,
        headers: &HeaderMap,
    ) -> anyhow::Result<Answer> {
        let url = &self.url;
        let Question { method, path, body } = question;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{url}{path}"))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("pitchey/", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request.body(Full::new(body))?;
        let exchange = async {
            let response = self.http.request(request).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            anyhow::Ok(Answer {
                status: parts.status,
                headers: parts.headers,
                body: body.map_err(anyhow::Error::from_boxed)?.to_bytes(),
            })
        };
        match timeout(&self.runtime, self.within, exchange).await {
            Ok(answer) => answer.with_context(|| format!("{url} cannot be asked")),
            Err(_) => bail!("{url} does not answer within {:?}", self.within),
        }
    }
}

/// The machine's certificates are read only for those who need them: a container may have none.
pub(crate) fn connector(url: &OriginUrl) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.enforce_http(false);
    let provider: Arc<CryptoProvider> = ring::default_provider().into();
    let builder = HttpsConnectorBuilder::new();
    let builder = if url.scheme == Scheme::HTTPS {
        let builder = builder.with_provider_and_native_roots(provider);
        let builder =
            builder.context("no certificates of authorities are found on this machine")?;
        builder.https_only()
    } else {
        let none = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        builder.with_tls_config(none).https_or_http()
    };
    Ok(builder.enable_http1().wrap_connector(tcp))
}

/// A header that `Debug` does not show.
fn secret(text: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::try_from(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Somebody who is signed in.
#[derive(Debug)]
pub(crate) struct Admin<'a> {
    client: &'a Client,
    /// Secrets, which their `Debug` does not show.
    headers: HeaderMap,
}

impl Admin<'_> {
    /// What is at an address.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &'static str) -> anyhow::Result<T> {
        self.client.ask(Question::get(path), &self.headers).await
    }

    /// What comes of a request.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &Value,
    ) -> anyhow::Result<T> {
        let question = Question::post(path, Some(body));
        self.client.ask(question, &self.headers).await
    }

    async fn sign_out(&self) -> anyhow::Result<()> {
        let question = Question::post("/api/auth/logout", None);
        self.client.answer(question, &self.headers).await?;
        Ok(())
    }
}

/// Asks an origin one thing, as an administrator whose password is read from the terminal or standard input.
pub(crate) async fn ask_as_admin(
    url: &OriginUrl,
    email: &Email,
    work: impl AsyncFnOnce(&Admin<'_>) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let client = Client::reach(url).await?;
    let password = password::read()?;
    client.as_admin(email, password, work).await
}

#[cfg(test)]
mod tests;
