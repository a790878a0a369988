//! What carries calls of scripts to Redis, and their answers back.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use pitchey_cache::{Position, SharedError};
use pitchey_runtime::{Elapsed, Runtime, timeout};

use crate::script::{Script, Steps};

/// A way to one Redis, version 7 or newer; not to a Redis Cluster, as an entry and the numbers of its tags are
/// read in one step.
///
/// Every call ends within a deadline of the transport's own.
pub trait Transport: Send + Sync + 'static {
    /// A call that is being made.
    type Call: Arguments + Send + Sync;
    /// Time and randomness.
    type Runtime: Runtime;

    /// The scripts for it: [`CONNECTED`](crate::CONNECTED) only if a call never reaches another process of the
    /// server than the one that has run [`BEAT`](crate::BEAT) for it.
    const STEPS: Steps;

    /// A call of a script with what all scripts are given: the prefix of keys, and a random number that is
    /// never zero, which is the epoch of those who are not attached.
    fn call(&self, script: &Script) -> Self::Call;

    /// Runs it.
    fn run(
        &self,
        script: &Script,
        call: Self::Call,
    ) -> impl Future<Output = Result<Value, SharedError>> + Send;

    /// Runs it though nobody waits for its answer, behind what was asked before.
    fn run_behind(&self, script: &'static Script, call: Self::Call);

    /// Time and randomness.
    fn runtime(&self) -> &Self::Runtime;

    /// What every key begins with.
    fn prefix(&self) -> &str;

    /// The largest payload of an entry, in bytes.
    fn max_payload(&self) -> usize;

    /// How long walking over all keys may take.
    fn sweep_timeout(&self) -> Duration;

    /// A payload as it was before [`Arguments::payload`]; `None` if it is none of this transport's.
    fn read_payload(stored: Bytes) -> Option<Bytes>;
}

/// What a script is given.
pub trait Arguments {
    /// Adds text.
    fn text(&mut self, text: &str);
    /// Adds a number, in decimal digits.
    fn number(&mut self, number: u64);
    /// Adds bytes, in whatever way the transport can carry them.
    fn payload(&mut self, bytes: &[u8]);
}

/// What a script answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Nothing,
    /// A number.
    Number(i64),
    /// Bytes, text mostly.
    Bytes(Bytes),
    /// Several.
    List(Vec<Self>),
    /// What no script of ours answers.
    Other,
}

impl Value {
    /// A number, written as one or as text.
    pub(crate) fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => u64::try_from(*number).ok(),
            Self::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn bytes(self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn list(self) -> Option<Vec<Self>> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// Small numbers, of which there must be so many.
    pub(crate) fn numbers(self, how_many: usize) -> Option<Vec<u64>> {
        let list = self.list()?;
        let numbers: Option<Vec<u64>> = list.iter().map(Self::number).collect();
        numbers.filter(|numbers| numbers.len() == how_many)
    }
}

/// An answer that no script of ours gives.
pub(crate) fn not_understood() -> SharedError {
    SharedError::Unavailable("an answer is not understood".to_owned())
}

/// Whether it was refused since there is no room.
pub fn is_full(error: &SharedError) -> bool {
    matches!(error, SharedError::Refused(detail) if detail.starts_with("OOM"))
}

/// Runs it for so long at most.
pub async fn within<T>(
    runtime: &impl Runtime,
    patience: Duration,
    work: impl Future<Output = Result<T, SharedError>>,
) -> Result<T, SharedError> {
    match timeout(runtime, patience, work).await {
        Ok(outcome) => outcome,
        Err(Elapsed) => Err(SharedError::Timeout),
    }
}

/// Positions are compared as text in the scripts: numbers there hold 53 bits.
pub fn digits(position: Position) -> String {
    format!("{:020}", position.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_compare_as_text() {
        assert!(digits(Position(9)) < digits(Position(10)));
        assert_eq!(digits(Position(u64::MAX)).len(), digits(Position(0)).len());
    }
}
