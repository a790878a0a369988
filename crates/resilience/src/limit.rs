//! How often something may be asked, as operators write it.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::rate_limit::Quota;

/// A limit: `"off"`, or a burst and the rate at which it comes back: `"60 then 2/s"`, `"10 then 10/min"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Limit(Option<Rate>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    burst: NonZeroU32,
    count: NonZeroU32,
    unit: Unit,
}

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A second.
    Second,
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    const fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "h",
        }
    }

    const fn duration(self) -> Duration {
        match self {
            Self::Second => Duration::from_secs(1),
            Self::Minute => Duration::from_mins(1),
            Self::Hour => Duration::from_hours(1),
        }
    }
}

/// A text that is no limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither \"off\" nor a burst and a rate in s, min or h, like \"60 then 2/s\", each up to {MAX}"
)]
pub struct NoLimit(String);

/// More than this is no limit any more.
const MAX: u32 = 1_000_000;

impl Limit {
    /// No limit.
    pub const OFF: Self = Self(None);

    /// A burst, and so many more in a unit of time. Neither is zero.
    pub const fn new(burst: u32, count: u32, unit: Unit) -> Self {
        Self(Some(Rate {
            burst: NonZeroU32::new(burst).expect("not zero"),
            count: NonZeroU32::new(count).expect("not zero"),
            unit,
        }))
    }

    /// The limit as a rate limiter takes it.
    pub fn quota(self) -> Option<Quota> {
        let rate = self.0?;
        let interval = rate.unit.duration() / rate.count.get();
        Some(Quota::new(rate.burst, interval))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => formatter.write_str("off"),
            Some(Rate { burst, count, unit }) => {
                write!(formatter, "{burst} then {count}/{}", unit.name())
            }
        }
    }
}

impl FromStr for Limit {
    type Err = NoLimit;

    fn from_str(text: &str) -> Result<Self, NoLimit> {
        if text == "off" {
            return Ok(Self::OFF);
        }
        let number = |text: &str| {
            let plain = text.bytes().all(|byte| byte.is_ascii_digit());
            let number: NonZeroU32 = text.parse().ok().filter(|_| plain)?;
            (number.get() <= MAX).then_some(number)
        };
        let rate = || {
            let (burst, rate) = text.split_once(" then ")?;
            let (count, unit) = rate.split_once('/')?;
            Some(Rate {
                burst: number(burst)?,
                count: number(count)?,
                unit: Unit::ALL.into_iter().find(|known| known.name() == unit)?,
            })
        };
        rate()
            .map(|rate| Self(Some(rate)))
            .ok_or_else(|| NoLimit(text.to_owned()))
    }
}

impl TryFrom<String> for Limit {
    type Error = NoLimit;

    fn try_from(text: String) -> Result<Self, NoLimit> {
        text.parse()
    }
}

impl From<Limit> for String {
    fn from(limit: Limit) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_burst_and_an_interval() {
        for (text, burst, interval_ms) in [
            ("60 then 2/s", 60, 500),
            ("10 then 10/min", 10, 6_000),
            ("10 then 2/min", 10, 30_000),
            ("1 then 1/h", 1, 3_600_000),
            ("1000000 then 1000000/h", 1_000_000, 3),
        ] {
            let limit: Limit = text.parse().expect("a limit");
            let quota = limit.quota().expect("a quota");
            let interval_ms_found = quota.interval().as_millis();
            assert_eq!((quota.burst(), interval_ms_found), (burst, interval_ms));
            assert_eq!(limit.to_string(), text);
        }
        let off: Limit = "off".parse().expect("a limit");
        assert_eq!((off.quota(), off.to_string().as_str()), (None, "off"));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in [
            "",
            "on",
            "60",
            "60 then 2",
            "60 then 2/",
            "60 then 2/day",
            "60, 2/s",
            "0 then 2/s",
            "60 then 0/s",
            "-1 then 2/s",
            "+60 then 2/s",
            "1000001 then 2/s",
            "60 then 2.5/s",
            " 60 then 2/s",
        ] {
            assert!(text.parse::<Limit>().is_err(), "{text}");
        }
    }
}
