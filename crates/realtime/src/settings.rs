//! The limits and times of rooms and connections.

use std::num::NonZeroU32;
use std::time::Duration;

use pitchey_resilience::Quota;

use crate::log::Keep;

/// What an operator could want otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// For so long at most an update waits for others to go with it. Zero: each goes alone, at once.
    pub window: Duration,
    /// A batch that has so many updates waits no longer.
    pub batch_updates: usize,
    /// Nor one of so many bytes.
    pub batch_bytes: usize,
    /// What is remembered of each room.
    pub keep: Keep,
    /// How many rooms a connection may be in.
    pub rooms: usize,
    /// How large what is published may be, in bytes.
    pub publish_bytes: usize,
    /// How often a connection may say something.
    pub frames: Quota,
    /// How much beyond that it may say before it is closed.
    pub excess: Quota,
    /// How often a connection is pinged.
    pub ping: Duration,
    /// A connection that nothing was heard of for so long is closed.
    pub stale: Duration,
    /// How often such are looked for.
    pub sweep: Duration,
    /// Who joins and leaves is told together for so long.
    pub presence_window: Duration,
    /// How often it is checked that no update was missed.
    pub check: Duration,
    /// How long until a room that could not be loaded is loaded again.
    pub reload: Duration,
    /// So many connections are told at once to go elsewhere, then the next a second later.
    pub wave: usize,
    /// All are told within this time.
    pub drain: Duration,
}

const fn quota(burst: u32, interval: Duration) -> Quota {
    Quota::new(NonZeroU32::new(burst).expect("more than none"), interval)
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            window: Duration::from_millis(50),
            batch_updates: 64,
            batch_bytes: 16 * 1024,
            keep: Keep::default(),
            rooms: 128,
            publish_bytes: 16 * 1024,
            frames: quota(150, Duration::from_millis(50)),
            excess: quota(50, Duration::from_millis(200)),
            ping: Duration::from_secs(25),
            stale: Duration::from_mins(1),
            sweep: Duration::from_secs(30),
            presence_window: Duration::from_secs(1),
            check: Duration::from_secs(2),
            reload: Duration::from_millis(250),
            wave: 500,
            drain: Duration::from_secs(20),
        }
    }
}
