//! What a cache, its memory and its node tell a scraper: alike in every program that has them.

use pitchey_cache::NodeStatus;
use pitchey_cache::stats::{Counter, KindSnapshot};

/// What happened, kind by kind.
pub fn record_kinds(kinds: impl IntoIterator<Item = (&'static str, KindSnapshot)>) {
    for (kind, stats) in kinds {
        for counter in Counter::ALL {
            let labels = [("kind", kind), ("what", counter.name())];
            metrics::counter!("cache_events_total", &labels).absolute(stats.get(*counter));
        }
    }
}

/// How many entries are in memory and their bytes, about; and how many loads are in flight.
pub fn record_memory((entries, bytes): (u64, u64), in_flight: usize) {
    metrics::gauge!("cache_memory_entries").set(entries as f64);
    metrics::gauge!("cache_memory_bytes").set(bytes as f64);
    metrics::gauge!("cache_loads_in_flight").set(in_flight as f64);
}

/// Whether the node hears what is invalidated, and how long it trusts what it has.
pub fn record_node(status: &NodeStatus) {
    metrics::gauge!("cache_attached").set(f64::from(u8::from(status.attached)));
    metrics::gauge!("cache_trusted_seconds").set(status.trusted_for.as_secs_f64());
}
