//! Redis over HTTP, as Upstash speaks it: `POST /` with a command, `POST /pipeline` with several, a bearer
//! token, answers in base64 for who asks so.
//!
//! A stand-in on the loopback interface for what a Worker has, over a real Redis.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response, StatusCode};
use redis::aio::MultiplexedConnection;
use redis::{Client, RedisError, Value};
use serde_json::{Value as Json, json};
use tokio::sync::Mutex;

use crate::loopback::{Answers, Loopback, response};
use crate::net;

/// A server of the protocol before a Redis. Dropped, it stops.
#[derive(Debug)]
pub struct RestRedis {
    server: Loopback,
    token: String,
}

struct Door {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    authorization: String,
}

impl RestRedis {
    /// Starts one on a free port, before the Redis at this URL, which need not be there yet.
    pub fn start(redis_url: &str) -> Result<Self> {
        let token = net::random_hex(16)?;
        let door = Door {
            client: Client::open(redis_url).context("that is no URL of a Redis")?,
            connection: Mutex::default(),
            authorization: format!("Bearer {token}"),
        };
        let server = Loopback::start(door)?;
        Ok(Self { server, token })
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// What it wants to be shown.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Answers for Door {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let shown = request.headers().get(AUTHORIZATION);
        if shown.is_none_or(|shown| shown.as_bytes() != self.authorization.as_bytes()) {
            return told(StatusCode::UNAUTHORIZED, &json!({"error": "Unauthorized"}));
        }
        if request.method() != Method::POST {
            let error = json!({"error": "only POST is served here"});
            return told(StatusCode::METHOD_NOT_ALLOWED, &error);
        }
        let encoding = request.headers().get("upstash-encoding");
        let coded = encoding.is_some_and(|encoding| encoding == "base64");
        match request.uri().path() {
            "/" => match serde_json::from_slice(request.body()) {
                Ok(command) => {
                    let (status, answer) = self.run(command, coded).await;
                    told(status, &answer)
                }
                Err(_) => not_a_command(),
            },
            "/pipeline" => match serde_json::from_slice::<Vec<Vec<Json>>>(request.body()) {
                Ok(commands) => {
                    let mut answers = Vec::with_capacity(commands.len());
                    for command in commands {
                        answers.push(self.run(command, coded).await.1);
                    }
                    told(StatusCode::OK, &Json::Array(answers))
                }
                Err(_) => not_a_command(),
            },
            _ => told(StatusCode::NOT_FOUND, &json!({"error": "there is nothing"})),
        }
    }
}

impl Door {
    async fn run(&self, command: Vec<Json>, coded: bool) -> (StatusCode, Json) {
        let mut words = command.into_iter().map(|word| match word {
            Json::String(text) => text,
            other => other.to_string(),
        });
        let Some(name) = words.next() else {
            return (
                StatusCode::BAD_REQUEST,
                json!({"error": "ERR empty command"}),
            );
        };
        let mut call = redis::cmd(&name);
        words.for_each(|word| {
            call.arg(word);
        });
        let outcome = async {
            let mut connection = self.connection().await?;
            call.query_async::<Value>(&mut connection).await
        };
        match outcome.await {
            Ok(value) => (StatusCode::OK, json!({"result": json_of(value, coded)})),
            Err(error) => match error.code() {
                Some(code) => {
                    let text = format!("{code} {}", error.detail().unwrap_or_default());
                    (StatusCode::BAD_REQUEST, json!({"error": text}))
                }
                None => {
                    *self.connection.lock().await = None;
                    let error = json!({"error": error.to_string()});
                    (StatusCode::BAD_GATEWAY, error)
                }
            },
        }
    }

    async fn connection(&self) -> Result<MultiplexedConnection, RedisError> {
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let made = self.client.get_multiplexed_async_connection().await?;
        Ok(connection.insert(made).clone())
    }
}

fn json_of(value: Value, coded: bool) -> Json {
    let text = |bytes: &[u8]| {
        if coded {
            STANDARD.encode(bytes)
        } else {
            String::from_utf8_lossy(bytes).into_owned()
        }
    };
    match value {
        Value::Int(number) => json!(number),
        Value::BulkString(bytes) => json!(text(&bytes)),
        Value::SimpleString(line) => json!(text(line.as_bytes())),
        // The one text that is never coded.
        Value::Okay => json!("OK"),
        Value::Array(list) => list.into_iter().map(|one| json_of(one, coded)).collect(),
        _ => Json::Null,
    }
}

fn not_a_command() -> Response<Full<Bytes>> {
    let error = json!({"error": "ERR failed to parse command"});
    told(StatusCode::BAD_REQUEST, &error)
}

fn told(status: StatusCode, answer: &Json) -> Response<Full<Bytes>> {
    response(status, answer.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_json_and_text_is_coded_for_who_asks_so() {
        let value = || {
            Value::Array(vec![
                Value::Int(-1),
                Value::BulkString(b"a\xff".to_vec()),
                Value::Nil,
                Value::Okay,
            ])
        };
        assert_eq!(json_of(value(), true), json!([-1, "Yf8=", null, "OK"]));
        assert_eq!(
            json_of(value(), false),
            json!([-1, "a\u{fffd}", null, "OK"])
        );
    }
}
