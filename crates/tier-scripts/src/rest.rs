//! Redis over HTTP: the REST protocol of Upstash, as which Workers reach it.
//!
//! A call is `POST <url>` with a bearer token and the command as an array of text in JSON; what it answers is
//! `{"result": …}` with its text in base64, or `{"error": …}`.
//!
//! Text in JSON cannot be arbitrary bytes. Keys, tags and numbers are text anyway; a payload is not, so it is
//! stored as base64 behind [`MARK`]. A connection that carries bytes finds an entry there that decodes to
//! nothing, which is a miss; and whoever reads it here is given what another has stored without the mark as
//! it is, since answers can be any bytes.

use std::future::Future;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pitchey_cache::{SharedError, World};
use pitchey_runtime::timeout;

use crate::script::{Script, Steps, UNCONNECTED};
use crate::transport::{Arguments, Transport, Value, not_understood};

/// What a payload begins with that is stored as base64. As the schema of an entry, which it stands in the place
/// of, it is out of reach of any real one.
pub const MARK: &str = "b64:";

/// Replies after which asking again may help without anybody's hand.
const PASSING: [&str; 5] = ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"];

/// Sends requests of HTTP.
pub trait Post: Send + Sync + 'static {
    /// Posts JSON with the token, and gives status and body, within a deadline. An error says what it was.
    fn post(
        &self,
        body: String,
        patience: Duration,
    ) -> impl Future<Output = Result<(u16, Bytes), PostError>> + Send;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostError {
    /// It took too long.
    Timeout,
    /// It could not be reached, or broke off.
    Failed(String),
}

/// What calls may cost.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// What every key begins with.
    pub prefix: String,
    /// How long a call may take.
    pub call_timeout: Duration,
    /// How long walking over all keys may take.
    pub sweep_timeout: Duration,
    /// The largest payload of an entry, in bytes.
    pub max_payload: usize,
}

/// [`Transport`] over HTTP. Clones share what posts.
#[derive(Debug)]
pub struct Rest<H, R> {
    parts: std::sync::Arc<Parts<H, R>>,
}

#[derive(Debug)]
struct Parts<H, R> {
    post: H,
    config: RestConfig,
    runtime: R,
}

impl<H, R> Clone for Rest<H, R> {
    fn clone(&self) -> Self {
        Self {
            parts: self.parts.clone(),
        }
    }
}

impl<H: Post, R: World> Rest<H, R> {
    /// By what posts to the address of one Redis.
    pub fn new(post: H, config: RestConfig, runtime: R) -> Self {
        let parts = Parts {
            post,
            config,
            runtime,
        };
        Self {
            parts: std::sync::Arc::new(parts),
        }
    }

    async fn ask(&self, script: &Script, call: Call) -> Result<Value, SharedError> {
        match self.send(&call, ["EVALSHA", script.hash()]).await {
            Err(Refusal::UnknownScript) => self.send(&call, ["EVAL", script.text()]).await,
            outcome => outcome,
        }
        .map_err(|refusal| match refusal {
            Refusal::Error(error) => error,
            Refusal::UnknownScript => {
                SharedError::Unavailable("it does not know what it was given".to_owned())
            }
        })
    }

    async fn send(&self, call: &Call, opening: [&str; 2]) -> Result<Value, Refusal> {
        let Parts { post, config, .. } = &*self.parts;
        let posted = post.post(call.command(opening), config.call_timeout).await;
        let (status, body) = posted.map_err(|error| {
            Refusal::Error(match error {
                PostError::Timeout => SharedError::Timeout,
                PostError::Failed(why) => SharedError::Unavailable(why),
            })
        })?;
        read(status, &body)
    }
}

impl<H: Post, R: World> Transport for Rest<H, R> {
    type Call = Call;
    type Runtime = R;

    const STEPS: Steps = UNCONNECTED;

    fn call(&self, _: &Script) -> Call {
        let mut call = Call::default();
        call.text(&self.parts.config.prefix);
        call.number(self.parts.runtime.next_u64().max(1));
        call
    }

    async fn run(&self, script: &Script, call: Call) -> Result<Value, SharedError> {
        let patience = self.parts.config.call_timeout;
        // The script's text may have to be sent: both together have the time of one.
        timeout(&self.parts.runtime, patience, self.ask(script, call))
            .await
            .unwrap_or(Err(SharedError::Timeout))
    }

    fn run_behind(&self, script: &'static Script, call: Call) {
        let this = self.clone();
        self.parts.runtime.spawn(async move {
            let _ = this.run(script, call).await;
        });
    }

    fn runtime(&self) -> &R {
        &self.parts.runtime
    }

    fn prefix(&self) -> &str {
        &self.parts.config.prefix
    }

    fn max_payload(&self) -> usize {
        self.parts.config.max_payload
    }

    fn sweep_timeout(&self) -> Duration {
        self.parts.config.sweep_timeout
    }

    fn read_payload(stored: Bytes) -> Option<Bytes> {
        match stored.strip_prefix(MARK.as_bytes()) {
            Some(coded) => STANDARD.decode(coded).ok().map(Bytes::from),
            None => Some(stored),
        }
    }
}

/// The arguments of a script, each with a comma before it.
#[derive(Clone, Debug, Default)]
pub struct Call(String);

impl Call {
    fn command(&self, opening: [&str; 2]) -> String {
        let mut command = String::with_capacity(self.0.len() + 64);
        command.push('[');
        command.push_str(&quoted(opening[0]));
        command.push(',');
        command.push_str(&quoted(opening[1]));
        // No keys are named: what an entry's tags are is known only to the entry.
        command.push_str(",\"0\"");
        command.push_str(&self.0);
        command.push(']');
        command
    }
}

/// Text as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl Arguments for Call {
    fn text(&mut self, text: &str) {
        self.0.push(',');
        self.0.push_str(&quoted(text));
    }

    fn number(&mut self, number: u64) {
        self.text(&number.to_string());
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.0.push_str(",\"");
        self.0.push_str(MARK);
        STANDARD.encode_string(bytes, &mut self.0);
        self.0.push('"');
    }
}

/// Why a command was not done.
#[derive(Debug)]
enum Refusal {
    UnknownScript,
    Error(SharedError),
}

/// Reads an answer: whatever the status, its body tells.
fn read(status: u16, body: &[u8]) -> Result<Value, Refusal> {
    let unavailable = |why: String| Refusal::Error(SharedError::Unavailable(why));
    let Ok(serde_json::Value::Object(mut answer)) = serde_json::from_slice(body) else {
        return Err(unavailable(format!(
            "it answered {status}, and not in JSON"
        )));
    };
    if let Some(result) = answer.remove("result") {
        return decoded(result).ok_or_else(|| Refusal::Error(not_understood()));
    }
    let error = answer.get("error").and_then(serde_json::Value::as_str);
    let error = error.unwrap_or_default();
    let code = error.split(' ').next().unwrap_or_default();
    Err(match code {
        "NOSCRIPT" => Refusal::UnknownScript,
        code if PASSING.contains(&code) || status >= 500 => unavailable(error.to_owned()),
        _ if status == 401 || status == 403 => Refusal::Error(SharedError::Refused(
            "it does not accept the token".to_owned(),
        )),
        _ => Refusal::Error(SharedError::Refused(error.to_owned())),
    })
}

fn decoded(value: serde_json::Value) -> Option<Value> {
    Some(match value {
        serde_json::Value::Null => Value::Nothing,
        serde_json::Value::Number(number) => Value::Number(number.as_i64()?),
        serde_json::Value::String(text) => Value::Bytes(STANDARD.decode(text).ok()?.into()),
        serde_json::Value::Array(list) => {
            Value::List(list.into_iter().map(decoded).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_text_in_json_whatever_its_arguments_are() {
        let mut call = Call::default();
        call.text("a \"key\"\n\u{1f642}");
        call.number(u64::MAX);
        call.payload(b"\xff\x00");
        let command = call.command(["EVALSHA", "hash"]);
        let words: Vec<String> = serde_json::from_str(&command).expect("an array of text");
        assert_eq!(
            words,
            [
                "EVALSHA",
                "hash",
                "0",
                "a \"key\"\n\u{1f642}",
                "18446744073709551615",
                "b64:/wA="
            ]
        );
    }

    #[test]
    fn answers_are_read_in_base64_and_errors_by_their_code() {
        let told = |status, body: &str| read(status, body.as_bytes());
        let list = told(200, r#"{"result":[1,"/wA=",null,[]]}"#).expect("a result");
        assert_eq!(
            list,
            Value::List(vec![
                Value::Number(1),
                Value::Bytes(Bytes::from_static(b"\xff\x00")),
                Value::Nothing,
                Value::List(Vec::new())
            ])
        );
        for (status, body, is) in [
            (
                400,
                r#"{"error":"NOSCRIPT No matching script."}"#,
                "UnknownScript",
            ),
            (
                400,
                r#"{"error":"OOM command not allowed"}"#,
                "Refused(\"OOM",
            ),
            (
                400,
                r#"{"error":"LOADING Redis is loading"}"#,
                "Unavailable",
            ),
            (401, r#"{"error":"Unauthorized"}"#, "Refused(\"it does not"),
            (502, r#"{"error":"nobody is there"}"#, "Unavailable"),
            (200, r#"{"result":"not base64!"}"#, "not understood"),
            (200, r#"{"result":{"a":1}}"#, "not understood"),
            (502, "<html>", "answered 502"),
        ] {
            let told = format!("{:?}", told(status, body).expect_err(body));
            assert!(told.contains(is), "{told}");
        }
    }

    #[test]
    fn payloads_come_back_and_those_of_others_as_they_are() {
        type Here = Rest<Nobody, pitchey_runtime::Background>;
        let mut call = Call::default();
        call.payload(b"\xff\x00text");
        let stored: Vec<String> =
            serde_json::from_str(&call.command(["", ""])).expect("an array of text");
        let stored = Bytes::from(stored[3].clone());
        let read = Here::read_payload(stored);
        assert_eq!(read.as_deref(), Some(&b"\xff\x00text"[..]));
        let other = Bytes::from_static(b"\x01\x00text");
        assert_eq!(Here::read_payload(other.clone()), Some(other));
        assert_eq!(Here::read_payload(Bytes::from_static(b"b64:!")), None);
    }

    struct Nobody;

    impl Post for Nobody {
        async fn post(&self, _: String, _: Duration) -> Result<(u16, Bytes), PostError> {
            Err(PostError::Timeout)
        }
    }
}
