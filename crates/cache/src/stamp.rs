//! What orders invalidations: an epoch, and a number that grows with each of them.

use std::fmt;
use std::time::Duration;

use pitchey_runtime::Monotonic;

/// The life of the counters of a shared tier: a random number, drawn anew whenever they may have been
/// lost. Entries of another epoch are invalid, since nobody knows what was invalidated meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// How many invalidations there were in an epoch. Every invalidation has a number of its own, and each
/// is greater than all before it.
///
/// Counters rather than clocks: machines agree on them whatever their clocks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the next invalidation.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A moment between two invalidations, read before a load began: all that were numbered up to it are in
/// what was loaded, the later ones may not be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AsOf {
    /// The epoch.
    pub epoch: Epoch,
    /// The newest invalidation at that moment.
    pub seq: Seq,
}

/// A position in the log of the source of truth (for PostgreSQL, of its WAL). A copy of the source that
/// has not reached the position of an invalidation would put old data under a new number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Further than any copy has come: only the source itself will do.
    pub const SOURCE: Self = Self(u64::MAX);
}

/// Proof of the right to fill a key: random, so that a leader which was given up for dead cannot pass
/// for the one that took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u64);

/// The right to load a key for everybody, until it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What the fill must show.
    pub token: Token,
    /// What the load will have seen.
    pub as_of: AsOf,
    /// Which copies of the source may be read: those that have come this far.
    pub position: Position,
}

/// Times are exchanged in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A moment between two invalidations as one node counts them: its era, and a number within it. Stamps
/// of later eras are greater than all of earlier ones, so one comparison tells old from new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Stamp(u64);

/// A lease, and what it is worth on this node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granting {
    pub(crate) lease: Lease,
    /// What a load under it will have seen.
    pub(crate) stamp: Stamp,
    /// The moment before it was asked for.
    pub(crate) asked: Monotonic,
    /// It lasts until then at least, unless its key is removed.
    pub(crate) until: Monotonic,
}

/// How many bits of a stamp are the number; the others are the era.
const SEQ_BITS: u32 = 40;

impl Stamp {
    /// The last era there can be; nothing in it is trusted.
    pub(crate) const LAST_ERA: u64 = (1 << (64 - SEQ_BITS)) - 1;

    pub(crate) const fn new(era: u64, seq: Seq) -> Self {
        let era = if era > Self::LAST_ERA {
            Self::LAST_ERA
        } else {
            era
        };
        let most = (1 << SEQ_BITS) - 1;
        let seq = if seq.0 > most { most } else { seq.0 };
        Self(era << SEQ_BITS | seq)
    }

    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) const fn bits(self) -> u64 {
        self.0
    }

    pub(crate) const fn era(self) -> u64 {
        self.0 >> SEQ_BITS
    }

    pub(crate) const fn seq(self) -> Seq {
        Seq(self.0 & ((1 << SEQ_BITS) - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_stamp_of_a_later_era_is_greater() {
        let late = Stamp::new(3, Seq(0));
        let early = Stamp::new(2, Seq((1 << SEQ_BITS) - 1));
        assert!(late > early);
        assert_eq!((late.era(), early.era()), (3, 2));
        assert!(Stamp::new(3, Seq(1)) > late);
    }

    #[test]
    fn what_does_not_fit_saturates_and_does_not_reach_into_the_next_era() {
        assert_eq!(Stamp::new(2, Seq(u64::MAX)).era(), 2);
        assert_eq!(Stamp::new(u64::MAX, Seq(1)).era(), Stamp::LAST_ERA);
    }
}
