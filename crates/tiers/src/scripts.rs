//! Scripts as calls of the redis crate.

use pitchey_tier_scripts::{Script, Value};
use redis::{Arg, Cmd};

/// The oldest server whose scripts may have flags.
pub(crate) const REDIS_MAJOR: u32 = 7;

/// A call by hash; its arguments are added to it.
///
/// No keys are named: what an entry's tags are is known only to the entry. So this is not for a
/// Redis Cluster.
pub(crate) fn call(script: &Script) -> Cmd {
    let mut call = redis::cmd("EVALSHA");
    call.arg(script.hash()).arg(0);
    call
}

/// The same call by text, which the server knows from then on.
pub(crate) fn by_text(script: &Script, call: &Cmd) -> Cmd {
    let mut by_text = redis::cmd("EVAL");
    by_text.arg(script.text());
    for argument in call.args_iter().skip(2) {
        if let Arg::Simple(argument) = argument {
            by_text.arg(argument);
        }
    }
    by_text
}

/// What a script has answered.
pub(crate) fn value(answer: redis::Value) -> Value {
    match answer {
        redis::Value::Nil => Value::Nothing,
        redis::Value::Int(number) => Value::Number(number),
        redis::Value::BulkString(bytes) => Value::Bytes(bytes.into()),
        redis::Value::Array(list) => Value::List(list.into_iter().map(value).collect()),
        _ => Value::Other,
    }
}
