//! What every memory must do, as tests that each stamps out with [`suite!`].
//!
//! The memory is made for 1 MiB, and nothing here comes near it: what is put in stays.

use std::sync::Arc;
use std::time::Duration;

use pitchey_runtime::Monotonic;

use super::Memory;
use crate::entry::{Entry, Times};
use crate::shared::Meta;
use crate::stamp::{Seq, Stamp};

/// An entry of this value, weighing so much and what stands around it, that no tag invalidates.
pub fn entry<V>(value: V, weight: usize) -> Arc<Entry<V>> {
    let times = Times {
        born: Monotonic::START,
        meta: Meta {
            fresh_ms: u64::MAX,
            stale_ms: u64::MAX,
            error_ms: u64::MAX,
            cost_us: 0,
            absent: false,
        },
        softened: false,
        copied: Monotonic::START,
        memory: Duration::MAX,
        early_refresh: 0.0,
    };
    let stamp = Stamp::new(1, Seq(1));
    let tags = Box::default();
    Arc::new(Entry::new(
        value,
        weight,
        stamp,
        Monotonic::START,
        tags,
        &times,
    ))
}

fn put(memory: &impl Memory<u64>, key: &str, value: u64) {
    memory.insert(key.into(), entry(value, 8), |_| false);
}

fn value(memory: &impl Memory<u64>, key: &str) -> Option<u64> {
    memory.get(key).map(|entry| *entry.value())
}

/// The very entry, and not a copy.
pub fn what_is_put_in_is_found(memory: &impl Memory<u64>) {
    assert_eq!(value(memory, "k"), None);
    let first = entry(1, 8);
    memory.insert("k".into(), Arc::clone(&first), |_| false);
    let found = memory.get("k").expect("it was put in");
    assert!(Arc::ptr_eq(&found, &first));
    assert_eq!(value(memory, "K"), None);
}

/// Whoever puts one in says so, having seen the one that is there; if there is none it is not asked.
pub fn an_entry_that_is_kept_stays(memory: &impl Memory<u64>) {
    memory.insert("k".into(), entry(1, 8), |_| panic!("there is none"));
    memory.insert("k".into(), entry(2, 8), |present| *present.value() == 1);
    assert_eq!(value(memory, "k"), Some(1));
    memory.insert("k".into(), entry(3, 8), |present| *present.value() != 1);
    assert_eq!(value(memory, "k"), Some(3));
}

/// However many threads put theirs in, the newest is there in the end.
pub fn an_older_entry_never_replaces_a_newer_one(memory: &impl Memory<u64>) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..500 {
                    // 7 and 2000 have no common divisor: each number comes once, in another order.
                    let version = (n * 4 + thread) * 7 % 2000;
                    memory.insert("k".into(), entry(version, 8), |present| {
                        *present.value() > version
                    });
                }
            });
        }
    });
    assert_eq!(value(memory, "k"), Some(1999));
}

/// And nothing else; it can be put in again.
pub fn a_removed_key_is_forgotten(memory: &impl Memory<u64>) {
    put(memory, "k", 1);
    put(memory, "kk", 2);
    memory.remove("k");
    memory.remove("never there");
    assert_eq!((value(memory, "k"), value(memory, "kk")), (None, Some(2)));
    put(memory, "k", 3);
    assert_eq!(value(memory, "k"), Some(3));
}

/// And nothing else.
pub fn a_removed_prefix_is_forgotten(memory: &impl Memory<u64>) {
    let keys: Vec<String> = (0..100).map(|n| format!("p:{n}")).collect();
    for key in keys.iter().map(String::as_str).chain(["p", "q:1", "xp:1"]) {
        put(memory, key, 1);
    }
    memory.remove_prefix("p:");
    assert!(keys.iter().all(|key| value(memory, key).is_none()));
    for key in ["p", "q:1", "xp:1"] {
        assert_eq!(value(memory, key), Some(1), "{key} does not begin so");
    }
    memory.remove_prefix("");
    assert_eq!(value(memory, "q:1"), None);
}

/// Stamps the suite out for an implementation: a module name and an expression that gives a fresh, empty
/// memory of 1 MiB.
#[macro_export]
macro_rules! memory_contract_suite {
    ($module:ident, $memory:expr) => {
        $crate::memory_contract_suite!(@each $module, $memory,
            what_is_put_in_is_found, an_entry_that_is_kept_stays,
            an_older_entry_never_replaces_a_newer_one, a_removed_key_is_forgotten,
            a_removed_prefix_is_forgotten);
    };
    (@each $module:ident, $memory:expr, $($name:ident),*) => {
        mod $module {
            use super::*;
            $(
                #[test]
                fn $name() {
                    $crate::memory_contract::$name(&$memory);
                }
            )*
        }
    };
}
pub use crate::memory_contract_suite as suite;
