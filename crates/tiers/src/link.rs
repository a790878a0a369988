//! The connection to Redis: one that all calls share, made anew in the background when it is lost.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use pitchey_cache::{AsOf, Epoch, Position, Seq, SharedError};
use pitchey_resilience::{Bulkhead, Rejected};
use pitchey_runtime::{Runtime, timeout};
use pitchey_tier_scripts::{BEAT, Script, digits, within};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Value};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::refusal::{ends_connection, is_unknown_script, not_understood, shared_error};
use crate::scripts::{REDIS_MAJOR, by_text, call};

/// So many calls in a row without an answer in time, and the connection is given up: what is in it may
/// never be answered, and must not pile up.
const HUNG_AFTER: u32 = 8;

/// How many calls have waited for as long as they may, for nothing.
const TIMEOUTS: &str = "redis_timeouts_total";

/// How often a connection that nobody uses is tried.
const IDLE_PROBE: Duration = Duration::from_secs(1);

/// A connection that lasts for less counts as one more failure to connect.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// How to reach Redis, and what calls may cost.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// `redis://` or, over TLS, `rediss://`, with the password if there is one.
    pub url: SecretString,
    /// What every key begins with. Two deployments on one Redis have two.
    pub prefix: String,
    /// How long a call may take, waiting included.
    pub call_timeout: Duration,
    /// How long connecting may take, its first exchange included.
    pub connect_timeout: Duration,
    /// The longest pauses between attempts to connect, after the first failure and of all. They double,
    /// and are drawn at random between half and the whole.
    pub reconnect_after: (Duration, Duration),
    /// How many calls may be under way at once; as many again may wait.
    pub calls: NonZeroUsize,
    /// How long walking over all keys may take.
    pub sweep_timeout: Duration,
    /// The largest payload of an entry, in bytes.
    pub max_payload: usize,
}

impl RedisConfig {
    /// The defaults, for a server.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            prefix: "pitchey:".to_owned(),
            call_timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            reconnect_after: (Duration::from_millis(100), Duration::from_secs(5)),
            calls: const { NonZeroUsize::new(256).expect("more than none") },
            sweep_timeout: Duration::from_secs(30),
            max_payload: 4 << 20,
        }
    }
}

/// The URL of Redis is none.
#[derive(Debug, thiserror::Error)]
#[error("the URL of Redis cannot be used: {0}")]
pub struct InvalidUrl(String);

/// A connection that calls share. Clones share it.
pub struct RedisLink<R> {
    inner: Arc<Inner<R>>,
}

struct Inner<R> {
    client: Client,
    config: RedisConfig,
    runtime: R,
    calls: Bulkhead,
    state: RwLock<State>,
    lost: Notify,
    changed: Notify,
}

enum State {
    Connected(Arc<Connected>),
    /// Calls fail at once, for this reason.
    Away(SharedError),
}

struct Connected {
    connection: MultiplexedConnection,
    unanswered: AtomicU32,
}

/// What the server says of its clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClockReading {
    pub(crate) as_of: AsOf,
    pub(crate) position: Position,
    /// The id of the newest announcement in the stream.
    pub(crate) newest: String,
}

impl<R> Clone for RedisLink<R> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<R> fmt::Debug for RedisLink<R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisLink")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl<R: Runtime> RedisLink<R> {
    /// A link that is not connected: [`keep_connected`](Self::keep_connected) does that.
    pub fn new(config: RedisConfig, runtime: R) -> Result<Self, InvalidUrl> {
        // Which cryptography TLS uses is not left to what others switch on. In vain if it is set already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::open(config.url.expose_secret())
            .map_err(|error| InvalidUrl(error.to_string()))?;
        let away = SharedError::Unavailable("not connected yet".to_owned());
        Ok(Self {
            inner: Arc::new(Inner {
                client,
                calls: Bulkhead::new(config.calls, config.calls.get()),
                config,
                runtime,
                state: RwLock::new(State::Away(away)),
                lost: Notify::new(),
                changed: Notify::new(),
            }),
        })
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.inner.config
    }

    pub(crate) fn runtime(&self) -> &R {
        &self.inner.runtime
    }

    /// Whether there is a connection. Calls fail at once while there is none.
    pub fn is_connected(&self) -> bool {
        matches!(*self.state(), State::Connected(_))
    }

    /// Waits until there is a connection.
    pub async fn connected(&self) {
        loop {
            let changed = self.inner.changed.notified();
            if self.is_connected() {
                return;
            }
            changed.await;
        }
    }

    /// Connects, and connects again whenever the connection is lost, until it is told to stop.
    pub async fn keep_connected(&self, stop: &CancellationToken) {
        let work = async {
            let mut failures = 0;
            loop {
                let began = self.inner.runtime.now();
                match self.connect().await {
                    Ok((connection, _)) => {
                        self.stay_connected(connection).await;
                        if self.inner.runtime.now() - began >= SHORT_LIVED {
                            failures = 0;
                            continue;
                        }
                    }
                    Err(error) => {
                        if failures == 0 {
                            tracing::warn!(%error, "Redis cannot be reached");
                        }
                        self.set_state(State::Away(error));
                    }
                }
                let (first, longest) = self.inner.config.reconnect_after;
                let pause = pause(first, longest, failures, self.inner.runtime.next_u64());
                failures = failures.saturating_add(1);
                self.inner.runtime.sleep(pause).await;
            }
        };
        let _: Option<()> = stop.run_until_cancelled(work).await;
        let away = SharedError::Unavailable("stopped".to_owned());
        self.set_state(State::Away(away));
    }

    /// Lets calls use a connection until it is lost.
    async fn stay_connected(&self, connection: MultiplexedConnection) {
        let connected = Arc::new(Connected {
            connection,
            unanswered: AtomicU32::new(0),
        });
        tracing::info!("connected to Redis");
        self.set_state(State::Connected(connected));
        while self.is_connected() {
            let lost = self.inner.lost.notified();
            if timeout(&self.inner.runtime, IDLE_PROBE, lost)
                .await
                .is_err()
            {
                // A failure is noted by the call itself.
                let _: Result<Value, _> = self.send(None, &redis::cmd("PING")).await;
            }
        }
    }

    /// A connection of its own, on which the server was asked about its epoch before anything else.
    pub(crate) async fn connect(
        &self,
    ) -> Result<(MultiplexedConnection, ClockReading), SharedError> {
        let Inner {
            config,
            runtime,
            client,
            ..
        } = &*self.inner;
        let connect = async {
            // The deadlines of answers are ours.
            let settings = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&settings)
                .await
                .map_err(|error| shared_error(&error))?;
            let version = redis::cmd("INFO").arg("server").take();
            let info: String = version
                .query_async(&mut connection)
                .await
                .map_err(|error| shared_error(&error))?;
            check_version(&info)?;
            let clock = self.beat(&mut connection, Position::default()).await?;
            Ok((connection, clock))
        };
        within(runtime, config.connect_timeout, connect).await
    }

    /// Proves that the server takes invalidations, and reads its clock, which has come to `position` then.
    pub(crate) async fn beat(
        &self,
        connection: &mut MultiplexedConnection,
        position: Position,
    ) -> Result<ClockReading, SharedError> {
        let mut call = self.script(&BEAT);
        call.arg(digits(position));
        let reading = query::<(u64, u64, String, String)>(Some(&BEAT), &call, connection).await;
        let (epoch, seq, position, newest) = reading.map_err(|error| shared_error(&error))?;
        Ok(ClockReading {
            as_of: AsOf {
                epoch: Epoch(epoch),
                seq: Seq(seq),
            },
            position: Position(position.parse().map_err(|_| not_understood(&Value::Nil))?),
            newest,
        })
    }

    /// The call of a script with what all scripts are given.
    pub(crate) fn script(&self, script: &Script) -> Cmd {
        let mut call = call(script);
        call.arg(self.inner.config.prefix.as_bytes());
        // Text in the scripts, where a number of this size would not be exact; and never zero, which is
        // the epoch of those who are not attached.
        call.arg(self.inner.runtime.next_u64().max(1));
        call
    }

    /// Runs a call of a script within the time that calls have.
    pub(crate) async fn run_script<T: FromRedisValue>(
        &self,
        script: &Script,
        call: &Cmd,
    ) -> Result<T, SharedError> {
        self.send(Some(script), call).await
    }

    /// The same for a command.
    pub(crate) async fn call<T: FromRedisValue>(&self, call: &Cmd) -> Result<T, SharedError> {
        self.send(None, call).await
    }

    /// Sends a call whose answer nobody waits for, if there is a connection: behind what was sent on it
    /// before, so that a server that hangs does both when it goes on.
    pub(crate) fn send_behind(&self, script: &'static Script, call: Cmd) {
        let mut connection = match &*self.state() {
            State::Connected(connected) => connected.connection.clone(),
            State::Away(_) => return,
        };
        let Ok(tasks) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let runtime = self.inner.runtime.clone();
        let patience = self.inner.config.connect_timeout;
        tasks.spawn(async move {
            let asking = query::<Value>(Some(script), &call, &mut connection);
            let _ = timeout(&runtime, patience, asking).await;
        });
    }

    async fn send<T: FromRedisValue>(
        &self,
        script: Option<&Script>,
        call: &Cmd,
    ) -> Result<T, SharedError> {
        let Inner {
            config,
            runtime,
            calls,
            ..
        } = &*self.inner;
        let connected = match &*self.state() {
            State::Connected(connected) => Arc::clone(connected),
            State::Away(reason) => return Err(reason.clone()),
        };
        let exchange = async {
            let _permit = match calls.acquire(runtime, config.call_timeout).await {
                Ok(permit) => permit,
                Err(Rejected::TimedOut) => return Err(SharedError::Timeout),
                Err(rejected @ Rejected::Full) => {
                    return Err(SharedError::Unavailable(rejected.to_string()));
                }
            };
            let mut connection = connected.connection.clone();
            match query(script, call, &mut connection).await {
                Ok(answer) => Ok(answer),
                Err(error) => {
                    if ends_connection(&error) {
                        self.lose(&connected, shared_error(&error));
                    }
                    Err(shared_error(&error))
                }
            }
        };
        let outcome = within(runtime, config.call_timeout, exchange).await;
        match outcome {
            Err(SharedError::Timeout) => {
                metrics::counter!(TIMEOUTS).increment(1);
                if connected.unanswered.fetch_add(1, Ordering::Relaxed) + 1 >= HUNG_AFTER {
                    self.lose(&connected, SharedError::Timeout);
                }
            }
            // What was turned away here says nothing of the server.
            Err(SharedError::Unavailable(_)) => {}
            Ok(_) | Err(SharedError::Refused(_)) => {
                connected.unanswered.store(0, Ordering::Relaxed);
            }
        }
        outcome
    }

    /// Gives a connection up, unless another has taken its place.
    fn lose(&self, lost: &Arc<Connected>, reason: SharedError) {
        let mut state = self
            .inner
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let State::Connected(present) = &*state
            && Arc::ptr_eq(present, lost)
        {
            tracing::warn!(%reason, "the connection to Redis is lost");
            // Whatever it was, it did not cost those who ask from now on any time.
            *state = State::Away(match reason {
                SharedError::Timeout => SharedError::Unavailable("it has hung".to_owned()),
                reason => reason,
            });
            drop(state);
            self.inner.lost.notify_one();
            self.inner.changed.notify_waiters();
        }
    }

    fn set_state(&self, state: State) {
        *self
            .inner
            .state
            .write()
            .unwrap_or_else(PoisonError::into_inner) = state;
        self.inner.changed.notify_waiters();
    }

    fn state(&self) -> std::sync::RwLockReadGuard<'_, State> {
        // Nothing that can panic happens while it is held.
        self.inner
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks; gives the text of a script to a server that does not know it.
async fn query<T: FromRedisValue>(
    script: Option<&Script>,
    call: &Cmd,
    connection: &mut MultiplexedConnection,
) -> redis::RedisResult<T> {
    match (call.query_async(connection).await, script) {
        (Err(error), Some(script)) if is_unknown_script(&error) => {
            by_text(script, call).query_async(connection).await
        }
        (answer, _) => answer,
    }
}

/// A random time between half and the whole of what is due after so many failures before.
pub(crate) fn pause(first: Duration, longest: Duration, failures: u32, bits: u64) -> Duration {
    let doubled = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    let whole = first.saturating_mul(doubled).min(longest);
    let share = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    whole.mul_f64(0.5 + share / 2.0)
}

fn check_version(info: &str) -> Result<(), SharedError> {
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"))
        .unwrap_or_default();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= REDIS_MAJOR) {
        return Ok(());
    }
    Err(SharedError::Refused(format!(
        "it is version {version:?}, and scripts with flags need {REDIS_MAJOR} or newer"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_told_so() {
        check_version("# Server\r\nredis_version:7.0.15\r\n").expect("new enough");
        check_version("redis_version:10.2.0\r\n").expect("new enough");
        let error = check_version("redis_version:6.2.14\r\n").expect_err("too old");
        assert!(error.to_string().contains("\"6.2.14\""), "{error}");
        check_version("").expect_err("no version at all");
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(5));
        for (failures, whole) in [(0, 100), (1, 200), (5, 3200), (6, 5000), (40, 5000)] {
            let whole = Duration::from_millis(whole);
            assert_eq!(pause(first, longest, failures, 0), whole / 2);
            let most = pause(first, longest, failures, u64::MAX);
            assert!(most <= whole && most > whole.mul_f64(0.99), "{most:?}");
        }
    }
}
