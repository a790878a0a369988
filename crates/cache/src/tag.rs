//! Tags in a node's memory: one cell for each tag in use, which an invalidation raises.
//!
//! Entries point to the cells of their tags. To invalidate a tag is to raise one cell, however many
//! entries carry it, and to check an entry is to read its cells.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::shared::Strength;
use crate::stamp::Stamp;

/// When a tag was last raised.
#[derive(Debug)]
pub(crate) struct TagCell {
    name: Box<str>,
    raised: AtomicU64,
    softened: AtomicU64,
}

impl TagCell {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn raised(&self) -> Stamp {
        Stamp::from_bits(self.raised.load(Ordering::Acquire))
    }

    pub(crate) fn softened(&self) -> Stamp {
        Stamp::from_bits(self.softened.load(Ordering::Acquire))
    }

    fn raise(&self, strength: Strength, stamp: Stamp) {
        let cell = match strength {
            Strength::Hard => &self.raised,
            Strength::Soft => &self.softened,
        };
        // Numbers only grow: of two invalidations that arrive out of order the later one stays.
        cell.fetch_max(stamp.bits(), Ordering::AcqRel);
    }
}

const SHARDS: usize = 32;

/// Cells of one shard above which those that nobody points to are swept out.
const SWEEP_ABOVE: usize = 4096;

/// The cells of all tags in use.
#[derive(Debug)]
pub(crate) struct TagTable {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

#[derive(Debug)]
struct Shard {
    cells: HashMap<Arc<str>, Arc<TagCell>, RandomState>,
    /// What a cell that is made anew starts from: nothing that was swept out was raised later.
    floor: (Stamp, Stamp),
    /// What `sweep_above` is at least.
    least: usize,
    sweep_above: usize,
}

impl TagTable {
    pub(crate) fn new() -> Self {
        Self::sweeping_above(SWEEP_ABOVE)
    }

    fn sweeping_above(cells: usize) -> Self {
        let shard = |_| {
            Mutex::new(Shard {
                cells: HashMap::default(),
                floor: (Stamp::default(), Stamp::default()),
                least: cells,
                sweep_above: cells,
            })
        };
        Self {
            shards: std::array::from_fn(shard),
            hasher: RandomState::new(),
        }
    }

    /// The cell of a tag.
    pub(crate) fn cell(&self, tag: &str) -> Arc<TagCell> {
        self.shard(tag).cell(tag)
    }

    /// Raises a tag, and its family with it.
    ///
    /// A tag that nothing carries yet is remembered too: a load in flight may come back with it.
    pub(crate) fn raise(&self, tag: &str, strength: Strength, stamp: Stamp) {
        self.cell(tag).raise(strength, stamp);
        if strength == Strength::Hard {
            self.cell(&family(tag)).raise(strength, stamp);
        }
    }

    fn shard(&self, tag: &str) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(tag);
        let shard = &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()];
        // Nothing that can panic happens between two changes of a shard.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn cell(&mut self, tag: &str) -> Arc<TagCell> {
        if let Some(cell) = self.cells.get(tag) {
            return cell.clone();
        }
        if self.cells.len() >= self.sweep_above {
            self.sweep();
        }
        let (raised, softened) = self.floor;
        let cell = Arc::new(TagCell {
            name: tag.into(),
            raised: AtomicU64::new(raised.bits()),
            softened: AtomicU64::new(softened.bits()),
        });
        self.cells.insert(tag.into(), cell.clone());
        cell
    }

    /// Drops the cells that no entry and no load points to. What is thereby forgotten is covered by the
    /// floor, at the cost of loads that began before it.
    fn sweep(&mut self) {
        let floor = &mut self.floor;
        self.cells.retain(|_, cell| {
            let used = Arc::strong_count(cell) > 1;
            if !used {
                floor.0 = floor.0.max(cell.raised());
                floor.1 = floor.1.max(cell.softened());
            }
            used
        });
        // If most are in use, do not look through them at every insert.
        self.sweep_above = self.least.max(self.cells.len() * 2);
    }
}

/// The name under which all tags of one kind are raised together: what a load that finds its tags only
/// as it goes must look at.
pub(crate) fn family(tag: &str) -> String {
    let kind = tag.split_once(':').map_or(tag, |(kind, _)| kind);
    format!("{kind}:*")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::stamp::Seq;

    fn stamp(seq: u64) -> Stamp {
        Stamp::new(1, Seq(seq))
    }

    #[test]
    fn a_tag_is_raised_for_all_who_hold_its_cell() {
        let table = TagTable::new();
        let cell = table.cell("pitch:1");
        table.raise("pitch:1", Strength::Hard, stamp(5));
        assert_eq!(cell.raised(), stamp(5));
        assert_eq!(cell.softened(), Stamp::default());
        assert_eq!(table.cell("pitch:2").raised(), Stamp::default());
        assert_eq!(table.cell("pitch:*").raised(), stamp(5));
    }

    #[test]
    fn of_two_invalidations_out_of_order_the_later_one_stays() {
        let table = TagTable::new();
        table.raise("a", Strength::Hard, stamp(5));
        table.raise("a", Strength::Hard, stamp(4));
        assert_eq!(table.cell("a").raised(), stamp(5));
    }

    #[test]
    fn a_sweep_forgets_no_invalidation() {
        let table = TagTable::new();
        let held = table.cell("held");
        table.raise("forgotten", Strength::Hard, stamp(7));
        for n in 0..SHARDS * SWEEP_ABOVE * 2 {
            table.cell(&format!("t:{n}"));
        }
        let cells: usize = table
            .shards
            .iter()
            .map(|shard| shard.lock().expect("no panic").cells.len())
            .sum();
        assert!(
            cells <= SHARDS * (SWEEP_ABOVE + 1),
            "{cells} cells are kept"
        );
        assert!(
            table.cell("forgotten").raised() >= stamp(7),
            "it counts as raised then, or later"
        );
        table.raise("held", Strength::Hard, stamp(9));
        assert_eq!(held.raised(), stamp(9), "a cell in use is not swept out");
    }

    proptest! {
        /// Entries come and go, tags are raised in any order, and cells are swept out all the time: what a
        /// cell says is never less than what was raised, and exact for as long as an entry holds it.
        #[test]
        fn a_table_never_says_less_than_what_was_raised(
            steps in proptest::collection::vec((0_u8..5, 0_usize..300, 1_u64..1000), 1..600),
        ) {
            let table = TagTable::sweeping_above(4);
            let mut raised: HashMap<String, [Stamp; 2]> = HashMap::new();
            let mut held: HashMap<String, Arc<TagCell>> = HashMap::new();
            for (step, tag, seq) in steps {
                let name = format!("t{}:{tag}", tag % 3);
                match step {
                    0 => {
                        held.insert(name.clone(), table.cell(&name));
                    }
                    1 => {
                        held.remove(&name);
                    }
                    _ => {
                        let strength = if step == 2 { Strength::Soft } else { Strength::Hard };
                        let before = held.get(&name).map(|cell| cell.raised());
                        table.raise(&name, strength, stamp(seq));
                        if let (Some(before), Strength::Hard) = (before, strength) {
                            prop_assert_eq!(held[&name].raised(), before.max(stamp(seq)));
                        }
                        let mut note = |name: String, at: usize| {
                            let noted = raised.entry(name).or_default();
                            noted[at] = noted[at].max(stamp(seq));
                        };
                        if strength == Strength::Hard {
                            note(family(&name), 0);
                        }
                        note(name.clone(), usize::from(strength == Strength::Soft));
                    }
                }
                let noted = raised.get(&name).copied().unwrap_or_default();
                let cell = table.cell(&name);
                prop_assert!(cell.raised() >= noted[0] && cell.softened() >= noted[1]);
                prop_assert!(held.get(&name).is_none_or(|held| Arc::ptr_eq(held, &cell)));
            }
            for (name, noted) in raised {
                prop_assert!(table.cell(&name).raised() >= noted[0]);
                prop_assert!(table.cell(&name).softened() >= noted[1]);
            }
        }
    }
}
