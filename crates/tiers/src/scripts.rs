//! The scripts that Redis runs: each is one atomic step of the shared tier.
//!
//! They run by the hash of their text (EVALSHA); a server that does not know it, as it was restarted or
//! its scripts were flushed, is given the text once.
//!
//! `allow-oom` lets a script run on a server that has reached its `maxmemory` and may not evict: an
//! invalidation must work then, and so must a lookup; a fill must not. The flags need Redis 7.

use std::sync::LazyLock;

use redis::{Arg, Cmd};

/// The oldest server whose scripts may have flags.
pub(crate) const REDIS_MAJOR: u32 = 7;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($part:expr),+;)+) => {
        $(
            $(#[$doc])*
            pub(crate) static $name: LazyLock<Script> =
                LazyLock::new(|| Script::new(concat!($($part),+)));
        )+
    };
}

scripts! {
    /// Looks keys up, and grants leases.
    LOOKUP = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/lookup.lua");
    /// Stores what was loaded under leases.
    FILL = "#!lua\n", include_str!("scripts/common.lua"), include_str!("scripts/fill.lua");
    /// Has leases last.
    RENEW = "#!lua flags=allow-oom\n", include_str!("scripts/renew.lua");
    /// Ends leases.
    RELEASE = "#!lua flags=allow-oom\n", include_str!("scripts/release.lua");
    /// Numbers, does and announces an invalidation.
    INVALIDATE = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/invalidate.lua");
    /// Removes what matches a pattern, one step at a time.
    SWEEP = "#!lua flags=allow-oom\n", include_str!("scripts/sweep.lua");
    /// Opens a connection, and proves that invalidations are taken.
    BEAT = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/beat.lua");
    /// Publishes in a room.
    ROOM_APPEND = "#!lua\n", include_str!("scripts/common.lua"), include_str!("scripts/room.lua"), include_str!("scripts/room_append.lua");
    /// Reads what there is of a room.
    ROOM_LOAD = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/room.lua"), include_str!("scripts/room_load.lua");
    /// Tells where rooms stand.
    ROOM_HEADS = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/room.lua"), include_str!("scripts/room_heads.lua");
    /// Exchanges who is in rooms.
    ROOM_PRESENCE = "#!lua\n", include_str!("scripts/common.lua"), include_str!("scripts/room.lua"), include_str!("scripts/room_presence.lua");
    /// Counts a call against a quota.
    GCRA = "#!lua flags=allow-oom\n", include_str!("scripts/gcra.lua");
}

/// A script, and the hash that names it.
#[derive(Debug)]
pub(crate) struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = redis::Script::new(text).get_hash().to_owned();
        Self { text, hash }
    }

    /// A call by hash; its arguments are added to it.
    ///
    /// No keys are named: what an entry's tags are is known only to the entry. So this is not for a
    /// Redis Cluster.
    pub(crate) fn call(&self) -> Cmd {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.hash).arg(0);
        call
    }

    /// The same call by text, which the server knows from then on.
    pub(crate) fn by_text(&self, call: &Cmd) -> Cmd {
        let mut by_text = redis::cmd("EVAL");
        by_text.arg(self.text);
        for argument in call.args_iter().skip(2) {
            if let Arg::Simple(argument) = argument {
                by_text.arg(argument);
            }
        }
        by_text
    }
}
