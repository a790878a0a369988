//! The scripts that Redis runs: each is one atomic step of the shared tier.
//!
//! They run by the hash of their text (EVALSHA); a server that does not know it, as it was restarted or
//! its scripts were flushed, is given the text once.
//!
//! `allow-oom` lets a script run on a server that has reached its `maxmemory` and may not evict: an
//! invalidation must work then, and so must a lookup; a fill must not. The flags need Redis 7.

use std::sync::LazyLock;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($part:expr),+;)+) => {
        $(
            $(#[$doc])*
            pub static $name: LazyLock<Script> =
                LazyLock::new(|| Script::new(concat!($($part),+)));
        )+
    };
}

scripts! {
    /// Looks keys up, and grants leases.
    LOOKUP = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/lookup.lua");
    /// Stores what was loaded under leases.
    FILL = "#!lua\n", include_str!("scripts/common.lua"), include_str!("scripts/fill.lua");
    /// Numbers, does and announces an invalidation.
    INVALIDATE = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/invalidate.lua");
    /// [`LOOKUP`] for who has no connection of its own.
    UNCONNECTED_LOOKUP = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/unconnected.lua"), include_str!("scripts/lookup.lua");
    /// [`FILL`] for the same.
    UNCONNECTED_FILL = "#!lua\n", include_str!("scripts/common.lua"), include_str!("scripts/unconnected.lua"), include_str!("scripts/fill.lua");
    /// [`INVALIDATE`] for the same.
    UNCONNECTED_INVALIDATE = "#!lua flags=allow-oom\n", include_str!("scripts/common.lua"), include_str!("scripts/unconnected.lua"), include_str!("scripts/invalidate.lua");
    /// Has leases last.
    RENEW = "#!lua flags=allow-oom\n", include_str!("scripts/renew.lua");
    /// Ends leases.
    RELEASE = "#!lua flags=allow-oom\n", include_str!("scripts/release.lua");
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

/// The scripts that read the clock of the shared tier, as a transport needs them.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    pub(crate) lookup: &'static LazyLock<Script>,
    pub(crate) fill: &'static LazyLock<Script>,
    pub(crate) invalidate: &'static LazyLock<Script>,
}

/// For a connection whose first exchange is [`BEAT`]: while it lasts, the server is the same one.
pub const CONNECTED: Steps = Steps {
    lookup: &LOOKUP,
    fill: &FILL,
    invalidate: &INVALIDATE,
};

/// For who cannot tell one server from the next: each step looks by itself.
pub const UNCONNECTED: Steps = Steps {
    lookup: &UNCONNECTED_LOOKUP,
    fill: &UNCONNECTED_FILL,
    invalidate: &UNCONNECTED_INVALIDATE,
};

/// A script, and the hash that names it.
#[derive(Debug)]
pub struct Script {
    text: &'static str,
    hash: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        let hash = sha1_smol::Sha1::from(text).digest().to_string();
        Self { text, hash }
    }

    /// What a server is given that does not know it.
    pub fn text(&self) -> &'static str {
        self.text
    }

    /// The name by which it is run.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_named_as_redis_names_it() {
        // `SCRIPT LOAD "return 1"`.
        let script = Script::new("return 1");
        assert_eq!(script.hash(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
    }

    #[test]
    fn who_has_no_connection_looks_at_the_server_in_each_step() {
        let steps = [CONNECTED, UNCONNECTED].map(|steps| {
            [steps.lookup, steps.fill, steps.invalidate].map(|script| {
                script
                    .text()
                    .contains("'INFO', 'server'), 'run_id:(%x+)')\nif ")
            })
        });
        assert_eq!(steps, [[false; 3], [true; 3]]);
    }
}
