//! Where a client stands in its room, and what it should not have seen.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;

/// So many missing updates of one client are told apart from late ones; more are missed anyway.
const MOST_MISSING: u64 = 4096;

/// A frame of the server, as far as a client of the load looks at it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame<'a> {
    #[serde(borrow)]
    pub(super) batch: Vec<Item<'a>>,
    #[serde(borrow)]
    pub(super) ok: Option<Entered<'a>>,
    pub(super) error: Option<Refused>,
    pub(super) reconnect_after_ms: Option<u64>,
}

/// An update; presence has no offset.
#[derive(Debug, Deserialize)]
pub(super) struct Item<'a> {
    pub(super) offset: Option<u64>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

/// The answer to one who enters.
#[derive(Debug, Deserialize)]
pub(super) struct Entered<'a> {
    pub(super) epoch: String,
    pub(super) offset: u64,
    pub(super) recovered: bool,
    #[serde(borrow)]
    pub(super) updates: Vec<Item<'a>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    pub(super) code: String,
}

/// What a publication of the load carries: when it was due, in microseconds of the load's own clock.
#[derive(Debug, Deserialize)]
struct Stamp {
    due_us: u64,
}

impl Item<'_> {
    /// When it was due, if it is one of ours.
    pub(super) fn due_us(&self) -> Option<u64> {
        // An array of one number would be read as one, too.
        let object = self.data?.get();
        let object = Some(object).filter(|text| text.starts_with('{'))?;
        let stamp: Stamp = serde_json::from_str(object).ok()?;
        Some(stamp.due_us)
    }
}

/// A place in the log of a room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Position {
    pub(super) epoch: String,
    pub(super) offset: u64,
}

/// What broke the promise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) twice: u64,
    pub(super) out_of_order: u64,
    /// Without being told: a client that was told reads anew.
    pub(super) missed: u64,
}

/// One client in its room.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) last: Option<Position>,
    missing: BTreeSet<u64>,
    broken: Broken,
}

impl Place {
    /// An update has come.
    pub(super) fn update(&mut self, offset: u64) {
        let Some(last) = &mut self.last else {
            // Before the answer that says where the room stands, there is nothing that it could follow.
            self.broken.out_of_order += 1;
            return;
        };
        if offset > last.offset {
            let first = last.offset + 1;
            let told = first..offset.min(first + MOST_MISSING);
            self.broken.missed += offset - told.end.max(first);
            self.missing.extend(told);
            last.offset = offset;
        } else if self.missing.remove(&offset) {
            self.broken.out_of_order += 1;
        } else {
            self.broken.twice += 1;
        }
    }

    /// The room was entered at this place, after the updates that were missed meanwhile or without them.
    pub(super) fn entered(&mut self, head: Position, recovered: bool) {
        if recovered && let Some(last) = &self.last {
            // What was recovered ends where the room stands.
            self.broken.missed += head.offset.saturating_sub(last.offset);
            self.broken.twice += last.offset.saturating_sub(head.offset);
        }
        self.last = Some(head);
    }

    /// Whether everything up to this place has come. In another epoch nothing is left to wait for: whoever is in it
    /// was told that the one before has ended.
    pub(super) fn has_reached(&self, head: &Position) -> bool {
        let last = self.last.as_ref();
        last.is_some_and(|last| last.epoch != head.epoch || last.offset >= head.offset)
    }

    /// What was broken, if nothing else comes and the room stands at `head`.
    pub(super) fn broken(&self, head: Option<&Position>) -> Broken {
        let mut broken = self.broken;
        broken.missed += self.missing.len() as u64;
        if let (Some(last), Some(head)) = (&self.last, head)
            && last.epoch == head.epoch
        {
            broken.missed += head.offset.saturating_sub(last.offset);
        }
        broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        let epoch = "e".to_owned();
        Position { epoch, offset }
    }

    fn after(updates: &[u64]) -> Broken {
        let mut place = Place::default();
        place.entered(at(0), false);
        for offset in updates {
            place.update(*offset);
        }
        place.broken(Some(&at(3)))
    }

    #[test]
    fn each_break_of_the_promise_is_told_by_its_name() {
        let broken = |twice, out_of_order, missed| Broken {
            twice,
            out_of_order,
            missed,
        };
        assert_eq!(after(&[1, 2, 3]), broken(0, 0, 0));
        assert_eq!(after(&[1, 2, 2, 3]), broken(1, 0, 0));
        assert_eq!(after(&[1, 3, 2]), broken(0, 1, 0));
        assert_eq!(after(&[1, 3]), broken(0, 0, 1));
        assert_eq!(after(&[1, 2]), broken(0, 0, 1));
        assert_eq!(after(&[]), broken(0, 0, 3));
        assert_eq!(after(&[10_000]).missed, 9_999, "however many they are");
    }

    #[test]
    fn who_recovers_a_part_has_missed_the_rest_and_who_recovers_nothing_was_told() {
        let mut place = Place::default();
        place.entered(at(5), false);
        place.update(6);
        place.entered(at(8), true);
        assert_eq!(place.broken(None).missed, 2);
        let mut told = Place::default();
        told.entered(at(5), false);
        told.entered(at(300), false);
        assert_eq!(told.broken(Some(&at(300))), Broken::default());
        assert!(told.has_reached(&at(300)) && !told.has_reached(&at(301)));
    }

    #[test]
    fn frames_are_read_and_what_is_not_looked_at_is_left_out() {
        let batch = r#"{"batch":[{"room":"lists","offset":1,"at":1,"data":{"due_us":7,"fill":"x"}},
            {"room":"lists","offset":2,"at":1,"data":[1]},{"room":"lists","presence":{"count":1}}]}"#;
        let frame: Frame<'_> = serde_json::from_str(batch).expect("a frame");
        let seen: Vec<_> = frame
            .batch
            .iter()
            .map(|item| (item.offset, item.due_us()))
            .collect();
        assert_eq!(seen, [(Some(1), Some(7)), (Some(2), None), (None, None)]);
        let drain = r#"{"op":"drain","reconnect_after_ms":12}"#;
        let frame: Frame<'_> = serde_json::from_str(drain).expect("a frame");
        assert_eq!(frame.reconnect_after_ms, Some(12));
    }
}
