//! The shared tier over a connection of the redis crate.

use std::time::Duration;

use bytes::Bytes;
use pitchey_cache::SharedError;
use pitchey_runtime::Runtime;
use pitchey_tier_scripts::{Arguments, CONNECTED, Script, Scripted, Steps, Transport, Value};
use redis::Cmd;

use crate::link::RedisLink;
use crate::scripts;

/// [`Shared`](pitchey_cache::Shared) over one Redis, version 7 or newer.
pub type RedisShared<R> = Scripted<RedisLink<R>>;

/// A call of a script over a connection.
#[derive(Debug)]
pub struct Call(pub(crate) Cmd);

impl Arguments for Call {
    fn text(&mut self, text: &str) {
        self.0.arg(text);
    }

    fn number(&mut self, number: u64) {
        self.0.arg(number);
    }

    fn payload(&mut self, bytes: &[u8]) {
        self.0.arg(bytes);
    }
}

impl<R: Runtime> Transport for RedisLink<R> {
    type Call = Call;
    type Runtime = R;

    const STEPS: Steps = CONNECTED;

    fn call(&self, script: &Script) -> Call {
        Call(self.script(script))
    }

    async fn run(&self, script: &Script, call: Call) -> Result<Value, SharedError> {
        let answer: redis::Value = self.run_script(script, &call.0).await?;
        Ok(scripts::value(answer))
    }

    fn run_behind(&self, script: &'static Script, call: Call) {
        self.send_behind(script, call.0);
    }

    fn runtime(&self) -> &R {
        self.runtime()
    }

    fn prefix(&self) -> &str {
        &self.config().prefix
    }

    fn max_payload(&self) -> usize {
        self.config().max_payload
    }

    fn sweep_timeout(&self) -> Duration {
        self.config().sweep_timeout
    }

    /// Bytes travel as they are.
    fn read_payload(stored: Bytes) -> Option<Bytes> {
        Some(stored)
    }
}
