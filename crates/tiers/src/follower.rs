//! Keeps a node attached to the shared tier: hears its announcements, and proves that none was missed.

use std::error::Error;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use pitchey_cache::shared::{Announced, Announcement, Strength};
use pitchey_cache::{Epoch, Node, Position, Seq, SharedError};
use pitchey_runtime::{Elapsed, Runtime, timeout};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use tokio_util::sync::CancellationToken;

use crate::link::{ClockReading, RedisLink, pause, within};
use crate::refusal::shared_error;
use crate::shared::read_names;

/// 1 while the node is attached.
const ATTACHED: &str = "cache_follower_attached";
/// How often the node had to begin anew. Label: `reason`.
const REATTACHED: &str = "cache_follower_reattach_total";
/// How many announcements the node was behind at the last beat.
const LAG: &str = "cache_stream_lag";
/// How old the proof that nothing was missed was when the next one came, in seconds.
const PROOF_AGE: &str = "cache_proof_age_seconds";

/// How many announcements are read at once.
const READ: usize = 1000;

/// Attached for less than this counts as one more failure to attach.
const SHORT_LIVED: Duration = Duration::from_secs(1);

/// How a follower behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerConfig {
    /// How often it proves that nothing was missed: several times within a node's silence.
    pub beat: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How long catching up may take.
    pub catch_up_timeout: Duration,
    /// The longest pauses between attempts to attach, after the first failure and of all.
    pub retry_after: (Duration, Duration),
}

impl Default for FollowerConfig {
    fn default() -> Self {
        Self {
            beat: Duration::from_millis(250),
            timeout: Duration::from_millis(250),
            catch_up_timeout: Duration::from_secs(10),
            retry_after: (Duration::from_millis(100), Duration::from_secs(2)),
        }
    }
}

/// Invalidations could not be delivered.
#[derive(Debug, thiserror::Error)]
#[error("pending invalidations cannot be delivered: {0}")]
pub struct CatchUpError(#[source] pub Box<dyn Error + Send + Sync>);

/// Delivers what was left to be delivered, before a node trusts the shared tier.
pub trait CatchUp: Send + Sync + 'static {
    /// Delivers to the shared tier every invalidation that was committed at the source before this call
    /// and is not known to have arrived there.
    ///
    /// Gives the position of the source's log at or after all that was ever invalidated (zero if the
    /// source has no copies that lag): a shared tier that was lost has forgotten which copies may be read.
    fn catch_up(&self) -> impl Future<Output = Result<Position, CatchUpError>> + Send;
}

impl<F, T> CatchUp for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Future<Output = Result<Position, CatchUpError>> + Send,
{
    fn catch_up(&self) -> impl Future<Output = Result<Position, CatchUpError>> + Send {
        self()
    }
}

/// Why a node does not hear the shared tier any more.
#[derive(Debug, thiserror::Error)]
enum Parted {
    #[error("it has not been attached yet")]
    Beginning,
    #[error("an announcement was missed")]
    Gap,
    #[error("the shared tier has begun another epoch")]
    OtherEpoch,
    #[error("an invalidation of this node's own was not acknowledged")]
    Distrust,
    #[error("the proof that nothing was missed came too late")]
    Late,
    #[error("the server takes no invalidations: {0}")]
    Refused(String),
    #[error("the connection is of no use: {0}")]
    Lost(SharedError),
    #[error("{0}")]
    NotCaughtUp(String),
}

impl Parted {
    fn reason(&self) -> &'static str {
        match self {
            Self::Beginning => "beginning",
            Self::Gap => "gap",
            Self::OtherEpoch => "epoch",
            Self::Distrust => "distrust",
            Self::Late => "late",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
            Self::NotCaughtUp(_) => "not_caught_up",
        }
    }

    fn keeps_connection(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Lost(_))
    }
}

impl From<SharedError> for Parted {
    fn from(error: SharedError) -> Self {
        match error {
            SharedError::Refused(detail) => Self::Refused(detail),
            error => Self::Lost(error),
        }
    }
}

/// How far a node has heard.
#[derive(Clone, Debug)]
struct Place {
    epoch: Epoch,
    /// The id of the last announcement in the stream that was applied.
    id: String,
}

/// Keeps a node attached to the Redis of a link, on a connection of its own.
pub struct Follower<R, C> {
    link: RedisLink<R>,
    node: Arc<Node>,
    catch_up: C,
    config: FollowerConfig,
}

impl<R: Runtime, C: CatchUp> Follower<R, C> {
    /// A follower that has not begun.
    pub fn new(link: RedisLink<R>, node: Arc<Node>, catch_up: C, config: FollowerConfig) -> Self {
        Self {
            link,
            node,
            catch_up,
            config,
        }
    }

    /// Follows until it is told to stop; the node is detached then.
    pub async fn run(&self, stop: &CancellationToken) {
        let _: Option<()> = stop.run_until_cancelled(self.follow_for_ever()).await;
        self.detach();
    }

    async fn follow_for_ever(&self) {
        let mut connection = None;
        let mut place = None;
        let mut failures = 0;
        let mut parted = Parted::Beginning;
        loop {
            let began = self.now();
            let outcome = self.session(&mut connection, &mut place, &parted).await;
            let Err(why) = outcome;
            if !why.keeps_connection() {
                connection = None;
            }
            // A connection that was just lost may be had again before the node is out of trust: then
            // nothing was missed that the stream does not tell. In any other case it was, or may have been.
            let first = self.now() - began >= SHORT_LIVED;
            if !(first && matches!(why, Parted::Lost(_))) {
                place = None;
                self.detach();
            }
            if failures == 0 || first {
                tracing::warn!(%why, "the shared tier is not followed");
            }
            parted = why;
            if first {
                failures = 0;
                continue;
            }
            let (after, longest) = self.config.retry_after;
            let pause = pause(after, longest, failures, self.link.runtime().next_u64());
            failures = failures.saturating_add(1);
            self.link.runtime().sleep(pause).await;
        }
    }

    /// Connects if need be, attaches if need be, and follows until something is wrong.
    async fn session(
        &self,
        connection: &mut Option<MultiplexedConnection>,
        place: &mut Option<Place>,
        parted: &Parted,
    ) -> Result<std::convert::Infallible, Parted> {
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let (fresh, clock) = self.link.connect().await?;
                let epoch = clock.as_of.epoch;
                let resumes =
                    |place: &Place| place.epoch == epoch && self.node.may_resume(epoch, self.now());
                *place = place.take().filter(resumes);
                connection.insert(fresh)
            }
        };
        let place = match place {
            Some(place) => place,
            None => {
                let attached = self.attach(connection).await?;
                metrics::counter!(REATTACHED, "reason" => parted.reason()).increment(1);
                tracing::info!(epoch = %attached.epoch, "the shared tier is followed");
                place.insert(attached)
            }
        };
        metrics::gauge!(ATTACHED).set(1.0);
        self.follow(connection, place).await
    }

    /// Delivers what is pending, then attaches the node to what the clock says after that: the number and
    /// the end of the stream are read in one step, so that what comes later is in the stream behind it.
    async fn attach(&self, connection: &mut MultiplexedConnection) -> Result<Place, Parted> {
        let era = self.era();
        let catching_up = self.catch_up.catch_up();
        let patience = self.config.catch_up_timeout;
        let position = match timeout(self.link.runtime(), patience, catching_up).await {
            Ok(Ok(position)) => position,
            Ok(Err(error)) => return Err(Parted::NotCaughtUp(error.to_string())),
            Err(Elapsed) => return Err(Parted::NotCaughtUp(Elapsed.to_string())),
        };
        let at = self.now();
        let clock = self.beat(connection, position).await?;
        // One of its own that failed since catching up began is not among what was delivered.
        if self.era() != era {
            return Err(Parted::Distrust);
        }
        self.node.attach(clock.as_of, clock.position, at);
        Ok(Place {
            epoch: clock.as_of.epoch,
            id: clock.newest,
        })
    }

    async fn follow(
        &self,
        connection: &mut MultiplexedConnection,
        place: &mut Place,
    ) -> Result<std::convert::Infallible, Parted> {
        let mut proven = None;
        loop {
            // Before it is sent: what is proven holds for then, however long the answer takes.
            let at = self.now();
            let clock = self.beat(connection, Position::default()).await?;
            if clock.as_of.epoch != place.epoch {
                return Err(Parted::OtherEpoch);
            }
            let behind = clock.as_of.seq.0.saturating_sub(self.node.applied().0);
            metrics::gauge!(LAG).set(behind as f64);
            while self.node.applied() < clock.as_of.seq {
                // What has a number is in the stream; what is not there any more was missed.
                if self.hear(connection, place, None).await? == 0 {
                    return Err(self.gap());
                }
            }
            if self.node.prove(clock.as_of, at) != Ok(true) {
                return Err(self.gap());
            }
            if let Some(before) = proven.replace(at) {
                metrics::gauge!(PROOF_AGE).set((at - before).as_secs_f64());
            }
            let next = at + self.config.beat;
            loop {
                let left = next - self.now();
                if left.is_zero() {
                    break;
                }
                self.hear(connection, place, Some(left)).await?;
            }
        }
    }

    async fn beat(
        &self,
        connection: &mut MultiplexedConnection,
        position: Position,
    ) -> Result<ClockReading, Parted> {
        let beat = self.link.beat(connection, position);
        Ok(within(self.link.runtime(), self.config.timeout, beat).await?)
    }

    /// Applies what has been announced since; waits for something if it is given time. How many
    /// announcements there were.
    async fn hear(
        &self,
        connection: &mut MultiplexedConnection,
        place: &mut Place,
        wait: Option<Duration>,
    ) -> Result<usize, Parted> {
        let mut call = redis::cmd("XREAD");
        call.arg("COUNT").arg(READ);
        if let Some(wait) = wait {
            // Zero is for ever.
            call.arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        }
        let stream = format!("{}stream", self.link.config().prefix);
        call.arg("STREAMS").arg(stream).arg(&place.id);
        let patience = wait.unwrap_or_default() + self.config.timeout;
        let reading = async {
            let reply: Option<StreamReadReply> = call
                .query_async(connection)
                .await
                .map_err(|error| shared_error(&error))?;
            Ok(reply)
        };
        let reply = within(self.link.runtime(), patience, reading).await?;
        let mut heard = 0;
        for entry in reply
            .iter()
            .flat_map(|reply| &reply.keys)
            .flat_map(|key| &key.ids)
        {
            // What cannot be read was missed.
            let announcement = read_announcement(entry).ok_or(Parted::Gap)?;
            self.node.apply(&announcement).map_err(|_| self.gap())?;
            place.id.clone_from(&entry.id);
            heard += 1;
        }
        Ok(heard)
    }

    /// What a gap is about.
    fn gap(&self) -> Parted {
        let status = self.node.status(self.now());
        if self.node.is_distrusted() {
            Parted::Distrust
        } else if status.trusted_for.is_zero() {
            Parted::Late
        } else {
            Parted::Gap
        }
    }

    fn detach(&self) {
        self.node.detach();
        metrics::gauge!(ATTACHED).set(0.0);
    }

    fn era(&self) -> u64 {
        self.node.status(self.now()).era
    }

    fn now(&self) -> pitchey_runtime::Monotonic {
        self.link.runtime().now()
    }
}

/// What a script has announced.
fn read_announcement(entry: &StreamId) -> Option<Announcement> {
    let text = |field: &str| entry.get::<String>(field);
    let number = |field: &str| text(field)?.parse::<u64>().ok();
    let names = read_names(&entry.get::<Vec<u8>>("names")?)?;
    let event = match (text("kind")?.as_str(), text("strength")?.as_str()) {
        ("tags", "hard") => Announced::Tags(names, Strength::Hard),
        ("tags", "soft") => Announced::Tags(names, Strength::Soft),
        ("keys", _) => Announced::Keys(names),
        ("prefix", _) => Announced::Prefix(names.into_iter().next()?),
        _ => return None,
    };
    Some(Announcement {
        epoch: Epoch(number("epoch")?),
        seq: Seq(number("seq")?),
        position: Position(number("position")?),
        event,
    })
}

#[cfg(test)]
mod tests {
    use redis::Value;

    use super::*;

    fn entry(kind: &str, strength: &str, names: &[u8]) -> StreamId {
        let bulk = |text: &[u8]| Value::BulkString(text.to_vec());
        let fields = [
            ("epoch", bulk(b"18446744073709551615")),
            ("seq", bulk(b"7")),
            ("kind", bulk(kind.as_bytes())),
            ("strength", bulk(strength.as_bytes())),
            ("position", bulk(b"00000000000000000042")),
            ("names", bulk(names)),
        ];
        let fields = fields.map(|(field, value)| (field.to_owned(), value));
        StreamId {
            map: fields.into_iter().collect(),
            ..StreamId::default()
        }
    }

    #[test]
    fn announcements_are_read() {
        let read = read_announcement(&entry("tags", "soft", b"a\xffb\xff")).expect("well formed");
        assert_eq!((read.epoch, read.seq), (Epoch(u64::MAX), Seq(7)));
        assert_eq!(read.position, Position(42));
        let tags = vec!["a".into(), "b".into()];
        assert_eq!(read.event, Announced::Tags(tags, Strength::Soft));
        let read = read_announcement(&entry("prefix", "hard", b"p:\xff")).expect("well formed");
        assert_eq!(read.event, Announced::Prefix("p:".into()));
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        assert_eq!(read_announcement(&entry("other", "hard", b"")), None);
        assert_eq!(read_announcement(&entry("tags", "other", b"")), None);
        assert_eq!(read_announcement(&entry("prefix", "hard", b"")), None);
        assert_eq!(read_announcement(&entry("tags", "hard", b"cut")), None);
        assert_eq!(read_announcement(&StreamId::default()), None);
    }
}
