//! Keeping a node attached: hear everything, prove again and again that nothing was missed, and begin
//! anew when something may have been.

use std::future::Future;
use std::time::Duration;

use pitchey_runtime::{Clock, Random, Timer};

use crate::guard::Guard;
use crate::node::{Gap, Node};
use crate::shared::{Announcement, SharedError};
use crate::stamp::{AsOf, Position};

/// How long one wait for announcements is: a proof follows each.
const LISTEN: Duration = Duration::from_millis(250);

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a node listens to. Every call ends within a deadline of the implementation's own.
pub trait Feed: Send {
    /// Connects, after which nothing from before is of use.
    fn connect(&mut self) -> impl Future<Output = Result<(), SharedError>> + Send;

    /// Takes note of the newest announcement: [`Feed::next`] goes on behind it.
    fn mark(&mut self) -> impl Future<Output = Result<(AsOf, Position), SharedError>> + Send;

    /// Shows that the shared tier would take an invalidation, by writing to it, and gives its newest number.
    fn beat(&mut self) -> impl Future<Output = Result<AsOf, SharedError>> + Send;

    /// The announcements behind the last, waiting for at most `wait` if there is none.
    fn next(
        &mut self,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<Announcement>, SharedError>> + Send;
}

/// Delivers what could not be delivered while the shared tier was away.
pub trait CatchUp: Send + Sync {
    /// Whether every invalidation that was left before this call is delivered, and the shared tier knows a
    /// position of the source's log that includes them: one that was lost has forgotten it. Ends within a
    /// deadline of the implementation's own.
    fn catch_up(&self) -> impl Future<Output = bool> + Send;
}

/// Why a node was cut off.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Lost {
    /// The shared tier does not answer.
    #[error(transparent)]
    Shared(#[from] SharedError),
    /// Something was missed, or came too late, or the numbers are others.
    #[error(transparent)]
    Gap(#[from] Gap),
    /// An invalidation of this node is not known to have arrived.
    #[error("an invalidation was not acknowledged")]
    Distrusted,
    /// What was left before could not be delivered.
    #[error("invalidations are left to be delivered")]
    Undelivered,
}

/// Keeps `node` attached to `feed` for as long as it is polled. `lost` is told each time that it was cut
/// off, and why.
pub async fn follow(
    node: &Node,
    feed: &mut impl Feed,
    catch_up: &impl CatchUp,
    runtime: &(impl Clock + Timer + Random + Sync),
    mut lost: impl FnMut(&Lost),
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let attached_before = node.status(runtime.now()).era;
        let why = session(node, feed, catch_up, runtime).await;
        node.detach();
        lost(&why);
        if node.status(runtime.now()).era > attached_before {
            pause = FIRST_PAUSE;
        }
        // Half of it at random, so that nodes do not come back all at once.
        let share = (runtime.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        runtime.sleep(pause.mul_f64(0.5 + share / 2.0)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn session(
    node: &Node,
    feed: &mut impl Feed,
    catch_up: &impl CatchUp,
    clock: &(impl Clock + Sync),
) -> Lost {
    let Err(why) = attached(node, feed, catch_up, clock).await;
    why
}

async fn attached(
    node: &Node,
    feed: &mut impl Feed,
    catch_up: &impl CatchUp,
    clock: &(impl Clock + Sync),
) -> Result<std::convert::Infallible, Lost> {
    feed.connect().await?;
    // An invalidation that fails from here on is not among those that are about to be delivered.
    node.begin_catching_up();
    let (told, _) = feed.mark().await?;
    if !catch_up.catch_up().await {
        return Err(Lost::Undelivered);
    }
    let at = clock.now();
    let (as_of, position) = feed.mark().await?;
    if as_of.epoch != told.epoch && node.guards().has(Guard::AttachedEpoch) {
        // What was delivered may be lost with the epoch in which it was, the position first of all.
        return Err(Gap.into());
    }
    if !node.attach(as_of, position, at) {
        return Err(Lost::Distrusted);
    }
    loop {
        for announcement in feed.next(LISTEN).await? {
            node.apply(&announcement)?;
        }
        if node.is_distrusted() {
            return Err(Lost::Distrusted);
        }
        let at = clock.now();
        let newest = feed.beat().await?;
        while !node.prove(newest, at)? {
            let missing = feed.next(LISTEN).await?;
            if missing.is_empty() {
                // It was announced, and it is not there: cut off the stream's end before we read it.
                return Err(Gap.into());
            }
            for announcement in missing {
                node.apply(&announcement)?;
            }
        }
    }
}
