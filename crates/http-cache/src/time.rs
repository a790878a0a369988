//! Points in time, and the three forms in which HTTP writes them (RFC 9110, 5.6.7).

use std::time::{SystemTime, UNIX_EPOCH};

/// The longest time that the cache reckons with, in seconds: what a delta that is too large becomes
/// (RFC 9111, 1.2.2).
pub const MAX_DELTA: u64 = 1 << 31;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const LONG_DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];
/// Of the length that a year has in the middle.
const FIFTY_YEARS: i64 = 50 * 31_556_952;
/// The last second of the year 9999, after which the forms have no digits left.
const LAST: i64 = 253_402_300_799;

/// A point of wall-clock time in whole seconds since 1970, UTC: HTTP has no finer one.
///
/// A fraction is cut off, so that what is reckoned is never later than what was meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The point that lies so many seconds after the start of 1970, or before it if negative.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Seconds since the start of 1970.
    pub const fn as_unix(self) -> i64 {
        self.0
    }

    /// Seconds from `earlier` to this, none if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// The point so many seconds later.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX)),
        )
    }

    /// Reads an HTTP-date in any of its three forms.
    ///
    /// Case does not matter, as RFC 9111, 4.2 asks of caches; a zone other than GMT is no date. A year
    /// of two digits that would lie more than 50 years after `now` is one of the century before.
    pub fn parse(text: &[u8], now: Self) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
        if !text.is_ascii() || text.len() > 40 {
            return None;
        }
        match text.split_once(',') {
            Some((day, rest)) if named(&DAYS, day).is_some() => imf_fixdate(rest),
            Some((day, rest)) if named(&LONG_DAYS, day).is_some() => rfc850(rest, now),
            Some(_) => None,
            None => asctime(text),
        }
    }

    /// Writes the preferred form, `Sun, 06 Nov 1994 08:49:37 GMT`.
    ///
    /// What lies outside of the years 0 to 9999 is written as the end of them.
    pub fn format(self) -> String {
        let seconds = self.0.clamp(-62_167_219_200, LAST);
        let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
        let (year, month, day) = civil(days);
        let weekday = (days + 3).rem_euclid(7);
        format!(
            "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
            pick(&DAYS, weekday),
            pick(&MONTHS, month - 1),
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(i64::try_from(after.as_secs()).unwrap_or(i64::MAX)),
            Err(before) => {
                let before = before.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                Self(-whole - i64::from(before.subsec_nanos() > 0))
            }
        }
    }
}

fn pick<'a>(names: &[&'a str], index: i64) -> &'a str {
    usize::try_from(index)
        .ok()
        .and_then(|index| names.get(index).copied())
        .unwrap_or("")
}

fn named(names: &[&str], name: &str) -> Option<i64> {
    let index = names
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))?;
    i64::try_from(index).ok()
}

/// ` 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(rest: &str) -> Option<Timestamp> {
    let [day, month, year, clock, zone] = split(rest.strip_prefix(' ')?)?;
    gmt(zone)?;
    assemble(
        digits(year, 4)?,
        named(&MONTHS, month)?,
        digits(day, 2)?,
        clock,
    )
}

/// ` 06-Nov-94 08:49:37 GMT`
fn rfc850(rest: &str, now: Timestamp) -> Option<Timestamp> {
    let [date, clock, zone] = split(rest.strip_prefix(' ')?)?;
    gmt(zone)?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (day, month, year) = (digits(day, 2)?, named(&MONTHS, month)?, digits(year, 2)?);
    let now = now.0.clamp(0, LAST);
    let (present, _, _) = civil(now.div_euclid(DAY));
    let year = present - present.rem_euclid(100) + year;
    // The latest of the years that end like this, and never more than 50 years ahead.
    [year + 100, year, year - 100].into_iter().find_map(|year| {
        assemble(year, month, day, clock).filter(|time| time.0 <= now + FIFTY_YEARS)
    })
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &str) -> Option<Timestamp> {
    let (day_name, rest) = text.split_once(' ')?;
    named(&DAYS, day_name)?;
    let (month, rest) = rest.split_once(' ')?;
    let day = rest.get(..2)?;
    let day = match day.strip_prefix(' ') {
        Some(one) => digits(one, 1)?,
        None => digits(day, 2)?,
    };
    let [clock, year] = split(rest.get(2..)?.strip_prefix(' ')?)?;
    assemble(digits(year, 4)?, named(&MONTHS, month)?, day, clock)
}

fn split<const N: usize>(text: &str) -> Option<[&str; N]> {
    let mut parts = text.split(' ');
    let mut found = [""; N];
    for place in &mut found {
        *place = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

fn gmt(zone: &str) -> Option<()> {
    zone.eq_ignore_ascii_case("GMT").then_some(())
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// `month` counts from nought.
fn assemble(year: i64, month: i64, day: i64, clock: &str) -> Option<Timestamp> {
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 if leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    // The sixtieth second is a leap second, which the count of seconds does not have.
    let valid = parts.next().is_none()
        && (1..=length).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let days = days_from_civil(year, month + 1, day);
    valid.then(|| Timestamp(days * DAY + hour * 3600 + minute * 60 + second.min(59)))
}

/// Days since 1970 of a date of the Gregorian calendar; Howard Hinnant, "chrono-compatible low-level
/// date algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}
