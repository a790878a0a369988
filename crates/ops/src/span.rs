//! Spans of time as people write them.

use std::time::Duration;

/// A whole number and a unit.
pub(crate) fn span(text: &str) -> Result<Duration, String> {
    let seconds_in = |unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(86_400),
        _ => None,
    };
    let parsed = text.char_indices().last().and_then(|(at, unit)| {
        let number: u64 = text[..at].parse().ok()?;
        number.checked_mul(seconds_in(unit)?)
    });
    // Ten years: older views are gone.
    match parsed {
        Some(seconds @ 1..=315_360_000) => Ok(Duration::from_secs(seconds)),
        _ => Err("a span is a whole number and s, m, h or d, from 1s to 3650d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        let seconds = |text| span(text).ok().map(|span| span.as_secs());
        assert_eq!(
            ["90s", "15m", "6h", "30d"].map(seconds),
            [90, 900, 21_600, 2_592_000].map(Some)
        );
        for wrong in [
            "",
            "s",
            "0s",
            "1",
            "-1s",
            "1w",
            "3651d",
            "1.5h",
            "99999999999999999999d",
            "5ä",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }
}
