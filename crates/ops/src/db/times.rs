//! What many measured times come to.

use serde::Serialize;
use std::time::Duration;

/// Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) runs: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) mean_ms: f64,
    pub(crate) max_ms: f64,
}

impl Figures {
    /// None of no times.
    pub(crate) fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut ms: Vec<f64> = times.into_iter().map(|t| t.as_secs_f64() * 1e3).collect();
        ms.sort_by(f64::total_cmp);
        Some(Self {
            runs: ms.len(),
            p50_ms: percentile(&ms, 50)?,
            p99_ms: percentile(&ms, 99)?,
            mean_ms: ms.iter().sum::<f64>() / ms.len() as f64,
            max_ms: *ms.last()?,
        })
    }
}

/// The smallest value that at least `percent` of a hundred are not above: nearest rank.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 50), Some(50.0));
        assert_eq!(percentile(&hundred, 99), Some(99.0));
        assert_eq!(percentile(&hundred, 100), Some(100.0));
        assert_eq!(percentile(&[1.0, 2.0, 3.0], 50), Some(2.0));
        assert_eq!(percentile(&[7.0], 99), Some(7.0));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn figures_do_not_depend_on_the_order_of_the_times() {
        let ms = |times: [u64; 4]| Figures::of(times.map(Duration::from_millis)).expect("times");
        let figures = ms([4, 1, 3, 2]);
        assert_eq!(figures, ms([1, 2, 3, 4]));
        assert_eq!(
            (figures.p50_ms, figures.p99_ms, figures.max_ms),
            (2.0, 4.0, 4.0)
        );
        assert!((figures.mean_ms - 2.5).abs() < 1e-9);
        assert_eq!(Figures::of([]), None);
    }
}
