//! The guards of the promise, as switches: a simulation turns one off and must see the promise broken.

/// Which guards are on. Outside of a simulation all are, and cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    #[cfg(feature = "simulation")]
    off: Option<Guard>,
}

/// A guard, by the race that it wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// Numbers are read before a load, not after it.
    StampBeforeLoad,
    /// A fill whose tags were raised meanwhile is refused.
    FillChecksTags,
    /// An entry is checked against the numbers of its tags when it is looked up.
    LookupChecksTags,
    /// An entry in memory is checked against the cells of its tags.
    MemoryChecksTags,
    /// A load that began before an invalidation is not joined after it.
    JoinChecksTags,
    /// A fill needs the live token of its lease.
    FillChecksLease,
    /// A key that is removed while it is loaded is not filled.
    RemovalEndsLoads,
    /// Entries of another epoch are invalid.
    Epoch,
    /// A copy of the source is only read once it has reached the position of the newest invalidation.
    Position,
    /// A missed announcement is noticed.
    Gap,
    /// A node that is cut off stops trusting its memory.
    Silence,
    /// A node whose invalidation was not acknowledged does not trust the shared tier until it has been.
    Distrust,
    /// What says that there is nothing carries the tags that creation raises.
    NegativeTags,
    /// Invalidations that a dead process left behind are delivered by another.
    Relay,
    /// What is delivered before a node is attached is delivered in the epoch that it is attached to.
    AttachedEpoch,
}

impl Guard {
    /// Every guard.
    pub const ALL: [Self; 15] = [
        Self::StampBeforeLoad,
        Self::FillChecksTags,
        Self::LookupChecksTags,
        Self::MemoryChecksTags,
        Self::JoinChecksTags,
        Self::FillChecksLease,
        Self::RemovalEndsLoads,
        Self::Epoch,
        Self::Position,
        Self::Gap,
        Self::Silence,
        Self::Distrust,
        Self::NegativeTags,
        Self::Relay,
        Self::AttachedEpoch,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::StampBeforeLoad => "stamp-before-load",
            Self::FillChecksTags => "fill-checks-tags",
            Self::LookupChecksTags => "lookup-checks-tags",
            Self::MemoryChecksTags => "memory-checks-tags",
            Self::JoinChecksTags => "join-checks-tags",
            Self::FillChecksLease => "fill-checks-lease",
            Self::RemovalEndsLoads => "removal-ends-loads",
            Self::Epoch => "epoch",
            Self::Position => "position",
            Self::Gap => "gap",
            Self::Silence => "silence",
            Self::Distrust => "distrust",
            Self::NegativeTags => "negative-tags",
            Self::Relay => "relay",
            Self::AttachedEpoch => "attached-epoch",
        }
    }
}

impl Guards {
    /// All guards but one.
    #[cfg(feature = "simulation")]
    pub const fn without(off: Guard) -> Self {
        Self { off: Some(off) }
    }

    /// Whether a guard is on.
    #[cfg(feature = "simulation")]
    pub fn has(self, guard: Guard) -> bool {
        self.off != Some(guard)
    }

    /// Whether a guard is on: all are.
    #[cfg(not(feature = "simulation"))]
    #[inline]
    pub const fn has(self, _guard: Guard) -> bool {
        let _ = self;
        true
    }

    pub(crate) fn gap(self) -> bool {
        self.has(Guard::Gap)
    }

    pub(crate) fn silence(self) -> bool {
        self.has(Guard::Silence)
    }

    pub(crate) fn distrust(self) -> bool {
        self.has(Guard::Distrust)
    }
}
