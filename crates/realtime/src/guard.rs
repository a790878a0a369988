//! The guards of the promise, as switches: the simulation turns one off and must see it broken.

/// Which guards are on. Outside of the crate's own tests all are, and cost nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Guards {
    #[cfg(test)]
    pub(crate) off: Option<Guard>,
}

/// A guard, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// What waits to be sent goes out before somebody enters the room.
    FlushBeforeJoin,
    /// What was seen already is dropped.
    IgnoreOld,
    /// An update that is not the next one is not delivered; what is missing is loaded.
    CheckGap,
    /// Offsets of another epoch are not compared.
    CheckEpoch,
    /// Who has missed something for good is told.
    TellLoss,
    /// A quiet room is asked for from time to time.
    CheckHeads,
}

impl Guard {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::FlushBeforeJoin,
        Self::IgnoreOld,
        Self::CheckGap,
        Self::CheckEpoch,
        Self::TellLoss,
        Self::CheckHeads,
    ];
}

impl Guards {
    /// Whether a guard is on.
    #[inline]
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "there are switches in tests")
    )]
    pub(crate) fn on(self, guard: Guard) -> bool {
        #[cfg(test)]
        return self.off != Some(guard);
        #[cfg(not(test))]
        {
            let _ = guard;
            true
        }
    }
}
