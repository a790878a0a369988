//! Which signed requests were heard, for as long as they could be heard again.

use std::collections::HashMap;

use super::refused::Refused;

/// How many are remembered; more within the window are refused.
const MOST: usize = 4096;

/// The nonces of what was heard, each with the time in milliseconds from which on its request is too old
/// anyway.
#[derive(Debug, Default)]
pub(super) struct Nonces(HashMap<Box<str>, i64>);

impl Nonces {
    /// Takes note of a nonce that nobody has used.
    pub(super) fn hear(&mut self, nonce: &str, until: i64, now: i64) -> Result<(), Refused> {
        if self.0.contains_key(nonce) {
            return Err(Refused::Replayed);
        }
        if self.0.len() >= MOST {
            self.0.retain(|_, until| *until >= now);
        }
        if self.0.len() >= MOST {
            return Err(Refused::Busy);
        }
        self.0.insert(nonce.into(), until);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_is_known_until_it_is_too_old_and_no_more_than_fits() {
        let mut nonces = Nonces::default();
        for n in 0..MOST {
            nonces.hear(&n.to_string(), 100, 0).expect("it is new");
        }
        assert!(matches!(nonces.hear("7", 100, 0), Err(Refused::Replayed)));
        assert!(matches!(nonces.hear("x", 200, 100), Err(Refused::Busy)));
        nonces.hear("x", 200, 101).expect("the others are too old");
        assert_eq!(nonces.0.len(), 1);
        assert!(matches!(nonces.hear("x", 200, 200), Err(Refused::Replayed)));
    }
}
