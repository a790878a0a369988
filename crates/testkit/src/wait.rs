//! Waiting for a condition by looking again and again, never beyond a deadline.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// The pause between two looks: short enough not to be felt, long enough not to burn a core.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls `probe` until it gives a value, and fails when `within` has passed without one.
///
/// An error of `probe` ends the wait at once: it means that the condition can no longer come true.
pub fn until<T>(
    what: &str,
    within: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if started.elapsed() >= within {
            bail!("waited {within:?} for {what}, in vain");
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_of_the_first_look_that_has_one() {
        let mut looks = 0;
        let value = until("the third look", Duration::from_mins(1), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.expect("the third look gives a value"), 3);
    }

    #[test]
    fn ends_at_the_deadline_and_says_what_it_waited_for() {
        let error = until::<()>("godot", Duration::ZERO, || Ok(None)).expect_err("never comes");
        assert!(error.to_string().contains("godot"), "{error}");
    }

    #[test]
    fn an_error_ends_the_wait_at_once() {
        let error = until::<()>("x", Duration::from_mins(1), || bail!("it died"));
        assert_eq!(error.expect_err("the probe failed").to_string(), "it died");
    }
}
