//! An HTTP client for the tests, and people who are signed in with it.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// No answer takes as long: what does hangs.
const HANGS: Duration = Duration::from_secs(20);

/// Connections are not used again after so long: servers close idle ones, workerd after 5 s, and a request that is
/// sent at that moment is lost.
const IDLE: Duration = Duration::from_secs(2);

/// A client of one server. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    client: HyperClient<HttpConnector, Full<bytes::Bytes>>,
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

    /// The answer, if it has the status that it should have.
    pub(crate) fn expect(self, status: u16) -> Result<Self> {
        let text = || String::from_utf8_lossy(&self.body).into_owned();
        ensure!(
            self.status == status,
            "{} instead of {status}: {}",
            self.status,
            text()
        );
        Ok(self)
    }
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) cookie: String,
}

pub(crate) const PASSWORD: &str = "seven crows on a wire";

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            client: HyperClient::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .build_http(),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.send(Method::GET, target, headers, None).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}{target}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            None => bytes::Bytes::new(),
            Some(body) => {
                request = request.header("content-type", "application/json");
                body.to_string().into()
            }
        };
        let exchange = async {
            let response = self.client.request(request.body(Full::new(body))?).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await?.to_bytes().to_vec();
            anyhow::Ok(Answer {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body,
            })
        };
        tokio::time::timeout(HANGS, exchange)
            .await
            .with_context(|| format!("{target} hangs"))?
    }

    /// Asks as a page of the site would, for somebody who is signed in.
    pub(crate) async fn ask(
        &self,
        person: &Person,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer> {
        let mut all = vec![
            ("cookie", person.cookie.as_str()),
            ("sec-fetch-site", "same-origin"),
        ];
        all.extend_from_slice(headers);
        self.send(method, target, &all, body).await
    }

    pub(crate) async fn read(&self, person: &Person, target: &str) -> Result<Answer> {
        self.ask(person, Method::GET, target, &[], None).await
    }

    pub(crate) async fn post(&self, person: &Person, target: &str, body: &Value) -> Result<Answer> {
        self.ask(person, Method::POST, target, &[], Some(body))
            .await
    }

    /// Makes an account, which is signed in then.
    pub(crate) async fn register(&self, name: &str, role: &str) -> Result<Person> {
        let body = json!({
            "email": format!("{name}@example.org"), "username": name, "password": PASSWORD, "role": role,
        });
        let made = self
            .send(Method::POST, "/api/auth/register", &[], Some(&body))
            .await?
            .expect(201)?;
        let cookie = made.header("set-cookie").split(';').next();
        Ok(Person {
            cookie: cookie.context("no cookie")?.to_owned(),
        })
    }
}
