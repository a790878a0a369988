//! What an error of Redis means to those who asked.

use pitchey_cache::SharedError;
use redis::{ErrorKind, RedisError, Value};

/// Replies after which asking the same server again may help without anybody's hand.
const PASSING: [&str; 5] = ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN"];

/// Whether the connection is to be given up: it is broken, or leads to a server that takes no writes,
/// which another may have replaced.
pub(crate) fn ends_connection(error: &RedisError) -> bool {
    match error.code() {
        Some(code) => code == "READONLY",
        None => true,
    }
}

/// The error as the ports have it.
pub(crate) fn shared_error(error: &RedisError) -> SharedError {
    match error.code() {
        Some(code) if !PASSING.contains(&code) => {
            let detail = error.detail().unwrap_or_default();
            SharedError::Refused(format!("{code} {detail}"))
        }
        _ if error.kind() == ErrorKind::AuthenticationFailed => {
            SharedError::Refused("it does not accept the credentials".to_owned())
        }
        _ => SharedError::Unavailable(error.to_string()),
    }
}

/// Whether a script is not known to the server.
pub(crate) fn is_unknown_script(error: &RedisError) -> bool {
    error.code() == Some("NOSCRIPT")
}

/// An answer that no script of ours gives.
pub(crate) fn not_understood(what: &Value) -> SharedError {
    let shape = match what {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) => "text",
        Value::Array(_) => "a list of another shape",
        _ => "something else",
    };
    SharedError::Unavailable(format!("an answer is not understood: {shape}"))
}
