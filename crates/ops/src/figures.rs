//! Numbers, times and tables as people read them.

use std::fmt::Write as _;
use std::time::Duration;

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How many of something in a second, to the nearest whole.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is positive and far below 2^64; the cast saturates anyway"
)]
pub(crate) fn rate(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(0.001)).round() as u64
}

/// `75.2` seconds as `1m 15s`, below a minute with a decimal.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1}s", time.as_secs_f64())
    } else {
        format!("{}m {:02}s", seconds / 60, seconds % 60)
    }
}

/// Rows of a label and a number, the numbers flush right.
pub(crate) fn table(rows: &[(String, String)]) -> String {
    let width = |column: fn(&(String, String)) -> &String| {
        rows.iter()
            .map(|row| column(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let (labels, numbers) = (width(|row| &row.0), width(|row| &row.1));
    let mut text = String::new();
    for (label, number) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:<labels$}  {number:>numbers$}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_threes() {
        let grouped: Vec<_> = [0, 12, 999, 1000, 1_234_567].map(grouped).into();
        assert_eq!(grouped, ["0", "12", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn times_are_told_in_the_unit_that_fits() {
        assert_eq!(duration(Duration::from_millis(1240)), "1.2s");
        assert_eq!(duration(Duration::from_secs(125)), "2m 05s");
    }

    #[test]
    fn a_rate_is_per_second() {
        assert_eq!(rate(100, Duration::from_millis(500)), 200);
        assert_eq!(rate(0, Duration::ZERO), 0);
    }
}
