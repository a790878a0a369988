//! On a manual clock.

use super::*;
use pitchey_runtime::ManualRuntime;
use std::cell::Cell;
use std::future::{pending, ready};
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

fn away() -> Failure {
    sqlx::Error::PoolTimedOut.into()
}

fn dead() -> Failure {
    sqlx::Error::Io(ErrorKind::ConnectionReset.into()).into()
}

/// The result of one call that ends at once.
fn call(
    breaker: &DatabaseBreaker<ManualRuntime>,
    result: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let future = pin!(breaker.run(|| ready(result())));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("it ends at once"),
    }
}

fn is_refused(result: &Result<(), Failure>) -> bool {
    result.as_ref().is_err_and(|error| open(error).is_some())
}

/// The breaker's own refusal, if it is that.
fn open(failure: &Failure) -> Option<BreakerOpen> {
    match failure {
        Failure::Database(error) => as_open(error),
        Failure::Overloaded(_) | Failure::TooLate => None,
    }
}

#[test]
fn a_database_that_is_away_is_not_asked_and_is_found_when_it_is_back() {
    let runtime = ManualRuntime::new(1);
    let breaker = DatabaseBreaker::new(5, runtime.clone());
    for _ in 0..1000 {
        call(&breaker, || Ok(())).expect("it is there");
    }
    let asked = Cell::new(0);
    for _ in 0..200 {
        let _ = call(&breaker, || {
            asked.set(asked.get() + 1);
            Err(away())
        });
    }
    assert_eq!(asked.get(), 50, "half of the last hundred, then none");
    let refused = call(&breaker, || Ok(())).expect_err("it is open");
    let open = open(&refused).expect("the breaker's own refusal");
    assert_eq!(open.retry_after, Duration::from_millis(500));

    runtime.clock.advance(Duration::from_millis(500));
    for _ in 0..3 {
        call(&breaker, || Ok(())).expect("a trial");
    }
    call(&breaker, || Ok(())).expect("it is closed");
}

#[test]
fn it_is_tried_about_once_a_second_however_long_it_is_away() {
    let runtime = ManualRuntime::new(1);
    let breaker = DatabaseBreaker::new(5, runtime.clone());
    let asked = Cell::new(0);
    let fail = || {
        asked.set(asked.get() + 1);
        Err(away())
    };
    for _ in 0..20 {
        let _ = call(&breaker, fail);
    }
    asked.set(0);
    for _ in 0..600_000 {
        runtime.clock.advance(Duration::from_millis(1));
        let _ = call(&breaker, fail);
    }
    assert!(
        (1000..2000).contains(&asked.get()),
        "{} in 600 s",
        asked.get()
    );
}

#[test]
fn errors_of_one_caller_alone_are_not_the_databases() {
    let breaker = DatabaseBreaker::new(5, ManualRuntime::new(1));
    for _ in 0..100 {
        let error = call(&breaker, || Err(sqlx::Error::RowNotFound.into()));
        let found = matches!(error, Err(Failure::Database(sqlx::Error::RowNotFound)));
        assert!(found);
    }
}

#[test]
fn a_call_that_is_given_up_after_a_while_has_failed_and_one_that_is_left_early_has_not() {
    let runtime = ManualRuntime::new(1);
    let breaker = DatabaseBreaker::new(5, runtime.clone());
    let hang = |after| {
        for _ in 0..20 {
            let mut hanging = pin!(breaker.run(pending::<Result<(), Failure>>));
            let polled = hanging
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            runtime.clock.advance(after);
        }
        is_refused(&call(&breaker, || Ok(())))
    };
    assert!(!hang(Duration::from_millis(300)), "their clients left");
    // All of the last ten seconds: five of them.
    assert!(!hang(SLOW), "too few in the window");
}

#[test]
fn many_who_give_up_at_once_open_it() {
    let runtime = ManualRuntime::new(1);
    let breaker = DatabaseBreaker::new(5, runtime.clone());
    let mut hanging: Vec<_> = (0..20)
        .map(|_| Box::pin(breaker.run(pending::<Result<(), Failure>>)))
        .collect();
    for call in &mut hanging {
        let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    runtime.clock.advance(Duration::from_secs(5));
    drop(hanging);
    assert!(is_refused(&call(&breaker, || Ok(()))));
}

#[test]
fn a_pool_of_dead_connections_is_replaced_and_further_extra_calls_have_a_budget() {
    let breaker = DatabaseBreaker::new(5, ManualRuntime::new(1));
    let calls = Cell::new(0);
    let dead_once = || {
        let first = calls.replace(calls.get() + 1) % 2 == 0;
        if first { Err(dead()) } else { Ok(()) }
    };
    for _ in 0..5 {
        call(&breaker, dead_once).expect("a new connection works");
    }
    assert_eq!(calls.get(), 10);
    let extra = Cell::new(0);
    for _ in 0..1000 {
        let asked = Cell::new(0);
        let _ = call(&breaker, || {
            asked.set(asked.get() + 1);
            if asked.get() == 1 {
                Err(dead())
            } else {
                Ok(())
            }
        });
        extra.set(extra.get() + asked.get() - i32::from(asked.get() > 0));
    }
    assert!(extra.get() <= 100, "{} of 1000", extra.get());
}
