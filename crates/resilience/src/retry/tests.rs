use std::cell::RefCell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pitchey_runtime::{ManualRuntime, SeededRandom};
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const NEVER: Deadline = Deadline::at(Monotonic::from_start(Duration::MAX));

fn rich() -> RetryBudget {
    let budget = RetryBudget::new(100, 1000);
    (0..1000).for_each(|_| budget.deposit());
    budget
}

/// Runs to the end, letting the time pass to each sleep's end, and returns when attempts began.
fn run(
    policy: &RetryPolicy,
    budget: &RetryBudget,
    patience: Duration,
    failures: &[Failure],
) -> (Vec<Duration>, Result<(), Failed<Failure>>) {
    let runtime = ManualRuntime::new(7);
    let begun = RefCell::new(Vec::new());
    let start = runtime.now();
    let mut running = pin!(policy.run(
        &runtime,
        budget,
        Deadline::after(start, patience),
        |failure: &Failure| *failure,
        |attempt| {
            begun.borrow_mut().push(runtime.now() - start);
            let failure = failures.get(attempt as usize - 1).copied();
            async move { failure.map_or(Ok(()), Err) }
        },
    ));
    let mut context = Context::from_waker(Waker::noop());
    let result = loop {
        if let Poll::Ready(result) = running.as_mut().poll(&mut context) {
            break result;
        }
        let next = runtime.clock.next_deadline().expect("it sleeps");
        runtime.clock.advance(next - runtime.now());
    };
    (begun.take(), result)
}

#[test]
fn a_success_ends_it() {
    let (begun, result) = run(
        &RetryPolicy::default(),
        &rich(),
        SECOND * 9,
        &[Failure::Transient],
    );
    assert_eq!(begun.len(), 2);
    assert_eq!(result, Ok(()));
}

#[test]
fn a_call_pays_into_the_budget_once_however_often_it_is_tried() {
    let budget = RetryBudget::new(200, 10);
    let (begun, _) = run(
        &RetryPolicy::default(),
        &budget,
        SECOND * 9,
        &[Failure::Transient],
    );
    assert_eq!(begun.len(), 2);
    assert!(budget.try_withdraw(), "two came in and one went out");
    assert!(!budget.try_withdraw());
}

#[test]
fn the_last_error_says_why_there_was_no_further_attempt() {
    let policy = RetryPolicy::default();
    let stopped = |budget: &RetryBudget, patience, failures: &[Failure]| match run(
        &policy, budget, patience, failures,
    )
    .1
    {
        Err(Failed::Error {
            attempts, stopped, ..
        }) => (attempts, stopped),
        other => panic!("{other:?}"),
    };
    let fails = [Failure::Transient; 9];
    assert_eq!(stopped(&rich(), SECOND * 9, &fails), (3, Stopped::Attempts));
    assert_eq!(
        stopped(&rich(), SECOND * 9, &[Failure::Permanent]),
        (1, Stopped::Permanent)
    );
    assert_eq!(
        stopped(&RetryBudget::default(), SECOND * 9, &fails),
        (1, Stopped::Budget)
    );
    let after = [Failure::After(SECOND * 10)];
    assert_eq!(stopped(&rich(), SECOND * 9, &after), (1, Stopped::Deadline));
}

#[test]
fn nothing_is_begun_that_cannot_be_in_time() {
    let policy = RetryPolicy {
        needs: SECOND,
        ..RetryPolicy::default()
    };
    let (begun, result) = run(&policy, &rich(), SECOND / 2, &[]);
    assert_eq!((begun.len(), result), (0, Err(Failed::TooLate)));
}

#[test]
fn retry_after_is_waited_for() {
    let failures = [Failure::After(SECOND * 3)];
    let (begun, _) = run(&RetryPolicy::default(), &rich(), SECOND * 9, &failures);
    assert!(begun[1] >= SECOND * 3, "{begun:?}");
}

#[test]
fn a_token_is_not_spent_on_what_is_too_late() {
    let budget = RetryBudget::new(100, 1);
    budget.deposit();
    let policy = RetryPolicy::default();
    let failure = Failure::After(SECOND * 10);
    let deadline = Deadline::after(Monotonic::START, SECOND);
    let random = SeededRandom::new(1);
    let stopped = policy.next(1, failure, &budget, deadline, Monotonic::START, &random);
    assert_eq!(stopped, Err(Stopped::Deadline));
    assert!(budget.try_withdraw());
}

proptest! {
    #[test]
    fn extra_calls_never_exceed_their_share(
        percent in 1_u32..50, reserve in 1_u32..20,
        asks in prop::collection::vec(0_u32..4, 1..500),
    ) {
        let budget = RetryBudget::new(percent, reserve);
        let mut extra = 0_u64;
        for (calls, asks) in (1_u64..).zip(asks) {
            budget.deposit();
            extra += (0..asks).filter(|_| budget.try_withdraw()).count() as u64;
            prop_assert!(extra * 100 <= calls * u64::from(percent));
        }
        // Whatever was saved up, it is no more than the reserve.
        (0..2000).for_each(|_| budget.deposit());
        let saved = (0..1000).filter(|_| budget.try_withdraw()).count();
        prop_assert_eq!(saved, reserve as usize);
    }

    #[test]
    fn a_wait_is_at_least_what_was_asked_and_at_most_the_backoff_more(
        made in 1_u32..80, asked in 0_u64..5000, seed: u64,
    ) {
        let policy = RetryPolicy {
            attempts: NonZeroU32::MAX,
            longest: SECOND,
            ..RetryPolicy::default()
        };
        let asked = Duration::from_millis(asked);
        let random = SeededRandom::new(seed);
        let wait = policy
            .next(made, Failure::After(asked), &rich(), NEVER, Monotonic::START, &random)
            .expect("there is time and budget");
        let backoff = SECOND.min(SECOND / 10 * 2_u32.pow(made.min(6) - 1));
        prop_assert!(wait >= asked && wait <= asked + backoff, "{wait:?}");
    }

    #[test]
    fn no_attempt_begins_after_the_deadline(
        patience in 0_u64..2000, needs in 0_u64..500, failures in 0_usize..10,
    ) {
        let policy = RetryPolicy {
            attempts: NonZeroU32::new(10).expect("not zero"),
            needs: Duration::from_millis(needs),
            ..RetryPolicy::default()
        };
        let patience = Duration::from_millis(patience);
        let (begun, _) = run(&policy, &rich(), patience, &vec![Failure::Transient; failures]);
        prop_assert!(begun.iter().all(|at| *at + policy.needs <= patience));
    }
}
