//! NDAs and expressions of interest: what happens between a creator and somebody who reads a pitch.

use crate::{InterestId, InterestStatus, NdaId, NdaStatus, Person, PitchId};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

/// A non-disclosure agreement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nda {
    /// The agreement.
    pub id: NdaId,
    /// What it is about.
    pub pitch: PitchId,
    /// The title of what it is about.
    pub pitch_title: String,
    /// Who asks.
    pub requester: Person,
    /// Who decides.
    pub creator: Person,
    /// Where it stands.
    pub status: NdaStatus,
    /// What was said when it was asked for.
    pub message: String,
    /// What was said when it was decided.
    pub decision: String,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// The last decision.
    pub decided_at: Option<OffsetDateTime>,
    /// Until when an approved one holds.
    pub expires_at: Option<OffsetDateTime>,
    /// Goes up with every change.
    pub version: i64,
}

impl Nda {
    /// The most characters of a message or a decision.
    pub const MAX_MESSAGE: usize = 2000;
    /// How long an approval holds unless told otherwise.
    pub const DEFAULT_TERM: Duration = Duration::days(365);
    /// The longest that an approval can hold, in days.
    pub const MAX_TERM_DAYS: i64 = 3650;

    /// Whether it lets its requester read.
    pub fn holds(&self, now: OffsetDateTime) -> bool {
        self.status == NdaStatus::Approved && self.expires_at.is_some_and(|expires| now < expires)
    }
}

/// A request for an NDA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNda {
    /// What it will be called.
    pub id: NdaId,
    /// What it is about.
    pub pitch: PitchId,
    /// What is said to the creator.
    pub message: String,
}

/// An expression of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    /// The interest.
    pub id: InterestId,
    /// What it is about.
    pub pitch: PitchId,
    /// The title of what it is about.
    pub pitch_title: String,
    /// Who is interested.
    pub investor: Person,
    /// Who decides.
    pub creator: Person,
    /// Where it stands.
    pub status: InterestStatus,
    /// How much.
    pub amount: Money,
    /// What is said to the creator.
    pub message: String,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// When it was withdrawn, accepted or declined.
    pub decided_at: Option<OffsetDateTime>,
    /// Goes up with every change.
    pub version: i64,
}

/// A new expression of interest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInterest {
    /// What it will be called.
    pub id: InterestId,
    /// What it is about.
    pub pitch: PitchId,
    /// How much.
    pub amount: Money,
    /// What is said to the creator.
    pub message: String,
}

/// An amount in minor units (cents) of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// In minor units, never negative.
    pub amount: i64,
    /// Of what.
    pub currency: Currency,
}

impl Money {
    /// The largest amount: it fits the numbers of JSON's readers exactly (RFC 8259, section 6).
    pub const MAX: i64 = 9_007_199_254_740_991;
}

/// The code of a currency (ISO 4217): three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

/// What cannot be the code of a currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be the three capital letters of a currency")]
pub struct CurrencyError;

impl Currency {
    /// The text form.
    pub fn as_str(&self) -> &str {
        // Three ASCII letters, by construction.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::str::FromStr for Currency {
    type Err = CurrencyError;
    fn from_str(text: &str) -> Result<Self, CurrencyError> {
        let bytes: [u8; 3] = text.as_bytes().try_into().map_err(|_| CurrencyError)?;
        if bytes.iter().all(u8::is_ascii_uppercase) {
            Ok(Self(bytes))
        } else {
            Err(CurrencyError)
        }
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
