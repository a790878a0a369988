//! Saying which rules a section breaks.

use std::fmt::Display;

/// The problems of one section.
pub(super) struct Rules<'a> {
    section: &'static str,
    problems: &'a mut Vec<String>,
}

impl<'a> Rules<'a> {
    pub(super) fn of(section: &'static str, problems: &'a mut Vec<String>) -> Self {
        Self { section, problems }
    }

    /// Adds a problem of `key`.
    pub(super) fn broken(&mut self, key: &str, how: &(impl Display + ?Sized)) {
        let section = self.section;
        self.problems.push(format!("{section}.{key}: {how}"));
    }

    /// Whether `value` is between `min` and `max`; adds a problem if it is not.
    pub(super) fn range(&mut self, key: &str, value: u64, min: u64, max: u64) -> bool {
        let in_range = (min..=max).contains(&value);
        if !in_range {
            self.broken(key, &format!("{value} is not between {min} and {max}"));
        }
        in_range
    }
}
