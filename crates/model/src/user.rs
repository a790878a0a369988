//! Accounts as others see them.

use crate::{MediaId, Role, UserId};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use time::OffsetDateTime;
use unicode_normalization::UnicodeNormalization as _;
use utoipa::ToSchema;

/// The name in a profile's address: 1 to 40 of `a-z 0-9 _ -`, a letter or digit at both ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[a-z0-9](?:[a-z0-9_-]{0,38}[a-z0-9])?$")]
pub struct Username(String);

/// A name that no account can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 1 to 40 of a-z, 0-9, _ and -, with a letter or digit at both ends")]
pub struct UsernameError;

impl Username {
    /// The most characters a name may have.
    pub const MAX: usize = 40;

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest possible name to a person's name: accents folded, everything else a hyphen.
    /// `None` when nothing of it is left.
    pub fn from_person(name: &str) -> Option<Self> {
        let mut slug = String::with_capacity(name.len().min(Self::MAX));
        for c in name.nfkd().flat_map(char::to_lowercase) {
            if c.is_ascii_alphanumeric() {
                slug.push(c);
            } else if !unicode_normalization::char::is_combining_mark(c)
                && c != '\''
                && !slug.ends_with('-')
            {
                slug.push('-');
            }
            if slug.trim_start_matches('-').len() >= Self::MAX {
                break;
            }
        }
        slug.trim_matches('-').parse().ok()
    }
}

impl std::str::FromStr for Username {
    type Err = UsernameError;
    fn from_str(text: &str) -> Result<Self, UsernameError> {
        let bytes = text.as_bytes();
        let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let ends =
            bytes.first().is_some_and(alphanumeric) && bytes.last().is_some_and(alphanumeric);
        let inner = bytes
            .iter()
            .all(|b| alphanumeric(b) || matches!(b, b'_' | b'-'));
        if ends && inner && bytes.len() <= Self::MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err(UsernameError)
        }
    }
}

impl TryFrom<String> for Username {
    type Error = UsernameError;
    fn try_from(text: String) -> Result<Self, UsernameError> {
        text.parse()
    }
}

impl From<Username> for String {
    fn from(username: Username) -> Self {
        username.0
    }
}

/// A public profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// Its name on pages.
    pub display_name: String,
    /// What it is for.
    pub role: Role,
    /// About the person.
    pub bio: String,
    /// Where they work.
    pub company: String,
    /// Where they are.
    pub location: String,
    /// Their own site.
    pub website: Option<String>,
    /// Their picture.
    pub avatar: Option<MediaId>,
    /// Listed pitches, counted up to 10,000.
    pub pitch_count: i64,
    /// Followers, counted up to 10,000.
    pub follower_count: i64,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// Goes up with every change.
    pub version: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn persons_become_names() {
        let of = |name: &str| Username::from_person(name).map(String::from);
        assert_eq!(of("Ingrid Bergman").as_deref(), Some("ingrid-bergman"));
        assert_eq!(of("Renée Adorée").as_deref(), Some("renee-adoree"));
        assert_eq!(
            of(" J. Warren  Kerrigan, Jr. ").as_deref(),
            Some("j-warren-kerrigan-jr")
        );
        assert_eq!(of("Peter O'Toole").as_deref(), Some("peter-otoole"));
        assert_eq!(of("黒澤"), None);
        let long = of(&"Ab ".repeat(40)).expect("letters are left");
        assert!(long.len() <= Username::MAX && long.parse::<Username>().is_ok());
    }

    #[test]
    fn names_have_a_shape() {
        for good in ["a", "a1", "ann-lee_2"] {
            assert!(good.parse::<Username>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "é", "a\0", &"a".repeat(41)] {
            assert_eq!(bad.parse::<Username>(), Err(UsernameError), "{bad}");
        }
    }
}
