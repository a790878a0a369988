//! What a node hears of Redis: announcements from the stream, and beats that prove that none was missed.

use std::sync::Arc;
use std::time::Duration;

use pitchey_cache::shared::{Announced, Announcement, Strength};
use pitchey_cache::{AsOf, CatchUp, Epoch, Feed, Lost, Node, Position, Seq, SharedError, follow};
use pitchey_runtime::{Monotonic, Runtime};
use pitchey_tier_scripts::{read_names, within};
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamId, StreamReadReply};
use tokio_util::sync::CancellationToken;

use crate::link::{ClockReading, RedisLink};
use crate::refusal::shared_error;

/// 1 while the node is attached.
const ATTACHED: &str = "cache_follower_attached";
/// How often the node was cut off and had to begin anew. Label: `reason`.
const REATTACHED: &str = "cache_follower_reattach_total";
/// How many announcements the node was behind at the last beat.
const LAG: &str = "cache_stream_lag";
/// The time between the last two beats, in seconds.
const PROOF_AGE: &str = "cache_proof_age_seconds";

/// How many announcements are read at once.
const READ: usize = 1000;

/// [`Feed`] over the Redis of a link, on a connection of its own.
#[derive(Debug)]
pub struct RedisFeed<R> {
    link: RedisLink<R>,
    timeout: Duration,
    connection: Option<MultiplexedConnection>,
    /// The id of the last announcement that was given out, and its number.
    last: String,
    heard: Seq,
    beat_at: Option<Monotonic>,
}

impl<R: Runtime> RedisFeed<R> {
    /// A feed that is not connected. An answer may take `timeout`, beside what it is to wait for.
    pub fn new(link: RedisLink<R>, timeout: Duration) -> Self {
        Self {
            link,
            timeout,
            connection: None,
            last: String::new(),
            heard: Seq::default(),
            beat_at: None,
        }
    }

    async fn read_clock(&mut self) -> Result<ClockReading, SharedError> {
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        let beat = self.link.beat(connection, Position::default());
        within(self.link.runtime(), self.timeout, beat).await
    }
}

impl<R: Runtime> Feed for RedisFeed<R> {
    async fn connect(&mut self) -> Result<(), SharedError> {
        self.connection = None;
        let (connection, _) = self.link.connect().await?;
        self.connection = Some(connection);
        self.beat_at = None;
        Ok(())
    }

    /// The number and the end of the stream are read in one step: what comes later is behind it.
    async fn mark(&mut self) -> Result<(AsOf, Position), SharedError> {
        let clock = self.read_clock().await?;
        self.last = clock.newest;
        self.heard = clock.as_of.seq;
        Ok((clock.as_of, clock.position))
    }

    async fn beat(&mut self) -> Result<AsOf, SharedError> {
        let at = self.link.runtime().now();
        let newest = self.read_clock().await?.as_of;
        let behind = newest.seq.0.saturating_sub(self.heard.0);
        metrics::gauge!(ATTACHED).set(1.0);
        metrics::gauge!(LAG).set(behind as f64);
        if let Some(before) = self.beat_at.replace(at) {
            metrics::gauge!(PROOF_AGE).set((at - before).as_secs_f64());
        }
        Ok(newest)
    }

    async fn next(&mut self, wait: Duration) -> Result<Vec<Announcement>, SharedError> {
        let connection = self.connection.as_mut().ok_or_else(not_connected)?;
        let mut call = redis::cmd("XREAD");
        // A wait of zero would be for ever.
        let block = wait.as_millis().max(1).to_string();
        call.arg("COUNT").arg(READ).arg("BLOCK").arg(block);
        let stream = format!("{}stream", self.link.config().prefix);
        call.arg("STREAMS").arg(stream).arg(&self.last);
        let reading = async {
            let reply: Option<StreamReadReply> = call
                .query_async(connection)
                .await
                .map_err(|error| shared_error(&error))?;
            Ok(reply)
        };
        let reply = within(self.link.runtime(), wait + self.timeout, reading).await?;
        let mut announcements = Vec::new();
        for entry in reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids)
        {
            let announcement = read_announcement(&entry).ok_or_else(|| {
                SharedError::Unavailable("an announcement is not understood".to_owned())
            })?;
            self.heard = announcement.seq;
            self.last = entry.id;
            announcements.push(announcement);
        }
        Ok(announcements)
    }
}

fn not_connected() -> SharedError {
    SharedError::Unavailable("not connected".to_owned())
}

/// Keeps a node attached to the Redis of a link.
#[derive(Debug)]
pub struct Follower<R, C> {
    link: RedisLink<R>,
    node: Arc<Node>,
    catch_up: C,
    timeout: Duration,
}

impl<R: Runtime, C: CatchUp> Follower<R, C> {
    /// A follower that has not begun. An answer may take `timeout`: a fraction of the node's silence.
    pub fn new(link: RedisLink<R>, node: Arc<Node>, catch_up: C, timeout: Duration) -> Self {
        Self {
            link,
            node,
            catch_up,
            timeout,
        }
    }

    /// Follows until it is told to stop; the node is detached then.
    pub async fn run(&self, stop: &CancellationToken) {
        let runtime = self.link.runtime();
        let mut feed = RedisFeed::new(self.link.clone(), self.timeout);
        let lost = |why: &Lost| {
            metrics::gauge!(ATTACHED).set(0.0);
            metrics::counter!(REATTACHED, "reason" => reason(why)).increment(1);
            tracing::warn!(%why, "the shared tier is not followed");
        };
        let following = follow(&self.node, &mut feed, &self.catch_up, runtime, lost);
        let _: Option<()> = stop.run_until_cancelled(following).await;
        self.node.detach();
        metrics::gauge!(ATTACHED).set(0.0);
    }
}

fn reason(why: &Lost) -> &'static str {
    match why {
        Lost::Shared(SharedError::Refused(_)) => "refused",
        Lost::Shared(_) => "lost",
        Lost::Gap(_) => "gap",
        Lost::Distrusted => "distrust",
        Lost::Undelivered => "undelivered",
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
