//! Accounts as their owners see them, and who acts.

use crate::{MediaId, Role, SessionId, UserId, Username};
use thiserror::Error;
use time::OffsetDateTime;

/// An address that somebody signs in with, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

/// What cannot be an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be an e-mail address of at most 254 characters")]
pub struct EmailError;

impl Email {
    /// The most characters an address may have (RFC 5321, section 4.5.3.1.3, without the brackets).
    pub const MAX: usize = 254;

    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Email {
    type Err = EmailError;

    /// One `@`, something before it, a domain of letters, digits, hyphens and dots behind it. Whether mail
    /// arrives is for mail to find out.
    fn from_str(text: &str) -> Result<Self, EmailError> {
        let (local, domain) = text.split_once('@').ok_or(EmailError)?;
        let local_ok = (1..=64).contains(&local.len())
            && local
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"()<>[]:;@\\,\"".contains(&b))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..");
        let label_ok = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let domain_ok = domain.split('.').all(label_ok);
        if local_ok && domain_ok && text.len() <= Self::MAX {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(EmailError)
        }
    }
}

impl std::fmt::Display for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The fewest characters of a password.
pub const MIN_PASSWORD: usize = 12;
/// The most characters of a password.
pub const MAX_PASSWORD: usize = 256;

/// Who acts: a signed-in account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// Its name on pages.
    pub display_name: String,
    /// What it is for.
    pub role: Role,
    /// Through which session it acts.
    pub session: SessionId,
}

/// An account as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub id: UserId,
    /// Its name in addresses.
    pub username: Username,
    /// What its owner signs in with; imported accounts have none.
    pub email: Option<Email>,
    /// What it is for.
    pub role: Role,
    /// What others may read.
    pub profile: ProfileText,
    /// Its picture.
    pub avatar: Option<MediaId>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// The last change.
    pub updated_at: OffsetDateTime,
    /// Goes up with every change.
    pub version: i64,
}

/// What an owner writes about themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileText {
    /// The name on pages.
    pub display_name: String,
    /// About the person.
    pub bio: String,
    /// Where they work.
    pub company: String,
    /// Where they are.
    pub location: String,
    /// Their own site.
    pub website: Option<String>,
}

impl ProfileText {
    /// The most characters of [`display_name`](Self::display_name).
    pub const MAX_DISPLAY_NAME: usize = 80;
    /// The most characters of [`bio`](Self::bio).
    pub const MAX_BIO: usize = 2000;
    /// The most characters of [`company`](Self::company) and [`location`](Self::location).
    pub const MAX_PLACE: usize = 120;
    /// The most characters of [`website`](Self::website).
    pub const MAX_WEBSITE: usize = 300;
}

/// A change of a profile: what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileChange {
    /// The name on pages.
    pub display_name: Option<String>,
    /// About the person.
    pub bio: Option<String>,
    /// Where they work.
    pub company: Option<String>,
    /// Where they are.
    pub location: Option<String>,
    /// Their own site; `Some(None)` takes it away.
    pub website: Option<Option<String>>,
}

impl ProfileChange {
    /// The profile after the change.
    pub fn apply(self, to: &mut ProfileText) {
        fn set<T>(to: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *to = new;
            }
        }
        set(&mut to.display_name, self.display_name);
        set(&mut to.bio, self.bio);
        set(&mut to.company, self.company);
        set(&mut to.location, self.location);
        set(&mut to.website, self.website);
    }
}

/// A session as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session.
    pub id: SessionId,
    /// What the browser or program called itself.
    pub user_agent: String,
    /// From where it signed in.
    pub ip: Option<std::net::IpAddr>,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// When it was last used, give or take a minute.
    pub last_seen_at: OffsetDateTime,
    /// When it ends if it is not used.
    pub idle_expires_at: OffsetDateTime,
    /// When it ends in any case.
    pub expires_at: OffsetDateTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_shape_and_one_case() {
        for good in [
            "a@b",
            "Ann.Lee+films@Example.org",
            "a@xn--bcher-kva.example",
        ] {
            assert_eq!(
                good.parse::<Email>().map(|email| email.to_string()),
                Ok(good.to_lowercase())
            );
        }
        let long = format!("{}@{}.example", "a".repeat(64), "b".repeat(63).repeat(3));
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@@b",
            "a b@c",
            "a@b c",
            "a@-b",
            "a@b..c",
            "a@.b",
            ".a@b",
            "a..b@c",
            "é@b",
            "a@b\n",
            "a\0@b",
            long.as_str(),
        ] {
            assert_eq!(bad.parse::<Email>(), Err(EmailError), "{bad:?}");
        }
    }
}
