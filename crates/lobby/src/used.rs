//! Tickets that were used: each lets one connect once.

use std::collections::{BTreeSet, HashSet};

use uuid::Uuid;

/// The ids of used tickets, until they expire anyway. At most so many are remembered; whoever has that
/// many signed within a minute connects no more until some have expired.
#[derive(Debug, Default)]
pub struct Used {
    ids: HashSet<Uuid>,
    by_expiry: BTreeSet<(i64, Uuid)>,
}

const MOST: usize = 200_000;

impl Used {
    /// Whether the ticket was not used before; from now on it was.
    pub fn first_use(&mut self, id: Uuid, expires_at: i64, now: i64) -> bool {
        while let Some((expiry, oldest)) = self.by_expiry.first().copied()
            && expiry <= now
        {
            self.by_expiry.remove(&(expiry, oldest));
            self.ids.remove(&oldest);
        }
        if self.ids.len() >= MOST || !self.ids.insert(id) {
            return false;
        }
        self.by_expiry.insert((expires_at, id));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_used_once_and_forgotten_when_it_has_expired() {
        let mut used = Used::default();
        let id = Uuid::from_u128(1);
        assert!(used.first_use(id, 60, 0));
        assert!(!used.first_use(id, 60, 59));
        assert!(used.first_use(Uuid::from_u128(2), 120, 60));
        assert_eq!(used.ids.len(), 1);
    }
}
