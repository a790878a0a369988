//! Where in the log of the database something was written: what a read must have seen.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A position in PostgreSQL's write-ahead log (`pg_lsn`), in bytes since its beginning. A later write
/// has a greater position, on the primary and on every replica that has replayed it.
///
/// Its text is PostgreSQL's: the upper and the lower half in hexadecimal, as in `16/B374D848`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalPosition(pub u64);

/// A text that is no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a position of a write-ahead log, as in 16/B374D848")]
pub struct WalPositionError;

impl WalPosition {
    /// The longest text.
    pub const MAX_LENGTH: usize = 17;
}

impl fmt::Display for WalPosition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for WalPosition {
    type Err = WalPositionError;

    /// Takes one to eight hexadecimal digits of either case on each side, as PostgreSQL does.
    fn from_str(text: &str) -> Result<Self, WalPositionError> {
        let half = |digits: &str| {
            // `from_str_radix` alone would take a sign.
            let plain = digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let digits = Some(digits).filter(|_| plain)?;
            u64::from_str_radix(digits, 16).ok()
        };
        let (upper, lower) = text.split_once('/').ok_or(WalPositionError)?;
        match (half(upper), half(lower)) {
            (Some(upper), Some(lower)) => Ok(Self(upper << 32 | lower)),
            _ => Err(WalPositionError),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_is_that_of_the_database() {
        assert_eq!(WalPosition(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(WalPosition(0).to_string(), "0/0");
        let longest = WalPosition(u64::MAX).to_string();
        assert_eq!(longest, "FFFFFFFF/FFFFFFFF");
        assert_eq!(longest.len(), WalPosition::MAX_LENGTH);
        assert_eq!("16/b374d848".parse(), Ok(WalPosition(0x16_B374_D848)));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "/",
            "1/",
            "/1",
            "1",
            "+1/2",
            "1/-2",
            "1/2/3",
            " 1/2",
            "1/100000000",
            "g/1",
        ] {
            assert_eq!(
                text.parse::<WalPosition>(),
                Err(WalPositionError),
                "{text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(position: u64) {
            let position = WalPosition(position);
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn anything_else_is_an_error_and_no_panic(text in "\\PC{0,24}") {
            let _ = text.parse::<WalPosition>();
        }
    }
}
