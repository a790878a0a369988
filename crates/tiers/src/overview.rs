//! What is in the shared tier, for operators.

use std::collections::BTreeMap;

use pitchey_cache::SharedError;
use pitchey_runtime::Runtime;
use pitchey_tier_scripts::escape;

use crate::link::RedisLink;

/// About how many keys one step looks at.
const STEP: u32 = 1000;

/// What the shared tier says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// The epoch, if the clock was ever read.
    pub epoch: Option<u64>,
    /// The newest number.
    pub seq: u64,
    /// The position in the log of the source that copies must have reached.
    pub position: u64,
    /// How long ago somebody last proved that invalidations are taken, in milliseconds of Redis' clock.
    pub beat_age_ms: Option<u64>,
    /// Announcements in the stream.
    pub announcements: u64,
    /// What the whole server takes, in bytes.
    pub memory_bytes: Option<u64>,
    /// Keys of the whole server.
    pub keys: u64,
    /// Entries by kind, among the keys that were looked at.
    pub entries: BTreeMap<String, u64>,
    /// Tags that are known, among them.
    pub tags: u64,
    /// Loads under way, among them.
    pub leases: u64,
    /// Whether all keys were looked at.
    pub is_whole: bool,
}

impl<R: Runtime> RedisLink<R> {
    /// Looks at the clock, the stream, and at most about a thousand keys in each of so many steps.
    pub async fn overview(&self, steps: u32) -> Result<Overview, SharedError> {
        let link = self;
        let prefix = &link.config().prefix;
        let mut call = redis::cmd("HMGET");
        call.arg(format!("{prefix}clock"));
        call.arg(&["epoch", "seq", "position", "beat"]);
        let clock: Vec<Option<u64>> = link.call(&call).await?;
        let of_clock = |n: usize| clock.get(n).copied().flatten();
        let (seconds, micros): (u64, u64) = link.call(&redis::cmd("TIME")).await?;
        let now = seconds * 1000 + micros / 1000;
        let info: String = link.call(redis::cmd("INFO").arg("memory")).await?;
        let mut overview = Overview {
            epoch: of_clock(0),
            seq: of_clock(1).unwrap_or(0),
            position: of_clock(2).unwrap_or(0),
            beat_age_ms: of_clock(3).map(|beat| now.saturating_sub(beat)),
            announcements: link
                .call(redis::cmd("XLEN").arg(format!("{prefix}stream")))
                .await?,
            memory_bytes: used_memory(&info),
            keys: link.call(&redis::cmd("DBSIZE")).await?,
            ..Overview::default()
        };
        let mut pattern = escape(prefix);
        pattern.push('*');
        let mut cursor = "0".to_owned();
        for _ in 0..steps {
            let mut call = redis::cmd("SCAN");
            call.arg(&cursor).arg("MATCH").arg(&pattern);
            call.arg("COUNT").arg(STEP);
            let (next, keys): (String, Vec<Vec<u8>>) = link.call(&call).await?;
            for key in keys {
                overview.count(key.get(prefix.len()..).unwrap_or_default());
            }
            cursor = next;
            if cursor == "0" {
                overview.is_whole = true;
                break;
            }
        }
        Ok(overview)
    }
}

impl Overview {
    /// Counts a key, the prefix of all taken off. A walk may give a key twice, so these are about right.
    fn count(&mut self, key: &[u8]) {
        match key {
            [b'e', b':', entry @ ..] => {
                let kind = entry.split(|byte| *byte == b':').next();
                let kind = String::from_utf8_lossy(kind.unwrap_or_default());
                *self.entries.entry(kind.into_owned()).or_default() += 1;
            }
            [b't', b':', ..] => self.tags += 1,
            [b'l', b':', ..] => self.leases += 1,
            _ => {}
        }
    }
}

fn used_memory(info: &str) -> Option<u64> {
    let mut lines = info.lines();
    let value = lines.find_map(|line| line.strip_prefix("used_memory:"));
    value?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_counted_by_what_they_are() {
        let mut overview = Overview::default();
        for key in [
            "e:search:/api/search?q=a:b",
            "e:search:/x",
            "e:session:ab",
            "t:lists",
            "l:x",
            "clock",
        ] {
            overview.count(key.as_bytes());
        }
        let entries: Vec<_> = overview
            .entries
            .iter()
            .map(|(kind, n)| (kind.as_str(), *n))
            .collect();
        assert_eq!(entries, [("search", 2), ("session", 1)]);
        assert_eq!((overview.tags, overview.leases), (1, 1));
    }

    #[test]
    fn the_memory_is_what_the_server_says() {
        let info = "# Memory\r\nused_memory:1234\r\nused_memory_human:1.2K\r\n";
        assert_eq!(used_memory(info), Some(1234));
        assert_eq!(used_memory(""), None);
    }
}
