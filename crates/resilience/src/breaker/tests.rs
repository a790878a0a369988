use std::future::{pending, ready};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use pitchey_runtime::ManualClock;
use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn small() -> BreakerConfig {
    BreakerConfig {
        calls: 10,
        minimum_calls: 4,
        half_open_calls: 2,
        ..BreakerConfig::default()
    }
}

fn at(milliseconds: u64) -> Monotonic {
    Monotonic::from_start(Duration::from_millis(milliseconds))
}

fn call(breaker: &Breaker, now: Monotonic) -> Call {
    breaker.admit(now).expect("it lets calls through")
}

fn fail(breaker: &Breaker, times: u32, now: Monotonic) {
    (0..times).for_each(|_| call(breaker, now).failed(now));
}

#[test]
fn it_opens_at_the_rate_and_not_before_the_minimum_of_calls() {
    let breaker = Breaker::new(small());
    fail(&breaker, 3, at(0));
    assert_eq!(breaker.phase(), Phase::Closed);
    call(&breaker, at(0)).succeeded(at(0));
    assert_eq!(breaker.phase(), Phase::Open);
    let refused = breaker.admit(at(2000)).expect_err("open");
    assert_eq!(refused.retry_after, SECOND * 3);
}

#[test]
fn what_fell_out_of_the_window_counts_no_more() {
    let breaker = Breaker::new(small());
    fail(&breaker, 3, at(0));
    for _ in 0..3 {
        call(&breaker, at(10_000)).succeeded(at(10_000));
    }
    fail(&breaker, 1, at(10_000));
    assert_eq!(breaker.phase(), Phase::Closed, "one of four");
}

#[test]
fn slow_calls_open_it_though_they_succeed() {
    let breaker = Breaker::new(small());
    for _ in 0..4 {
        call(&breaker, at(0)).succeeded(at(1000));
    }
    assert_eq!(breaker.phase(), Phase::Open);
}

#[test]
fn the_trial_has_exactly_its_permits_and_a_dropped_call_gives_its_own_back() {
    let breaker = Breaker::new(small());
    fail(&breaker, 4, at(0));
    let first = call(&breaker, at(5000));
    let second = call(&breaker, at(5000));
    assert!(breaker.admit(at(5000)).is_err());
    drop(second);
    let third = call(&breaker, at(5000));
    first.succeeded(at(5000));
    assert!(
        breaker.admit(at(5000)).is_err(),
        "one succeeded, one is out"
    );
    third.succeeded(at(5000));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn each_failed_trial_doubles_the_open_time_up_to_the_longest() {
    let breaker = Breaker::new(small());
    let mut now = at(0);
    fail(&breaker, 4, now);
    let mut waits = Vec::new();
    for _ in 0..6 {
        let wait = breaker.admit(now).expect_err("open").retry_after;
        waits.push(wait.as_secs());
        now = now + wait;
        fail(&breaker, 1, now);
    }
    assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    now = now + SECOND * 60;
    call(&breaker, now).succeeded(now);
    call(&breaker, now).succeeded(now);
    fail(&breaker, 4, now);
    let wait = breaker.admit(now).expect_err("open").retry_after;
    assert_eq!(wait, SECOND * 5, "a success starts it over");
}

#[test]
fn a_call_from_before_a_transition_changes_nothing() {
    let breaker = Breaker::new(small());
    let old = call(&breaker, at(0));
    let older = call(&breaker, at(0));
    fail(&breaker, 4, at(0));
    let trial = call(&breaker, at(5000));
    old.failed(at(5000));
    drop(older);
    assert_eq!(breaker.phase(), Phase::HalfOpen);
    let other = call(&breaker, at(5000));
    assert!(breaker.admit(at(5000)).is_err());
    drop((trial, other));
}

#[test]
fn an_operator_has_the_last_word() {
    let breaker = Breaker::new(small());
    breaker.force_open(at(0));
    assert!(breaker.admit(at(1_000_000)).is_err());
    breaker.force_closed(at(0));
    fail(&breaker, 100, at(0));
    assert_eq!(breaker.phase(), Phase::ForcedClosed);
    breaker.reset(at(0));
    assert_eq!(breaker.phase(), Phase::Closed);
}

#[test]
fn every_transition_is_told_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let breaker = Breaker::with_listener(small(), {
        let told = told.clone();
        move |transition: Transition| {
            told.lock()
                .expect("not poisoned")
                .push((transition.from, transition.to));
        }
    });
    fail(&breaker, 4, at(0));
    assert!(breaker.admit(at(1)).is_err());
    call(&breaker, at(5000)).succeeded(at(5000));
    call(&breaker, at(5000)).succeeded(at(5000));
    assert_eq!(
        *told.lock().expect("not poisoned"),
        [
            (Phase::Closed, Phase::Open),
            (Phase::Open, Phase::HalfOpen),
            (Phase::HalfOpen, Phase::Closed),
        ]
    );
}

#[test]
fn only_errors_that_count_open_it_and_a_dropped_call_holds_no_permit() {
    let clock = ManualClock::new();
    let breaker = Breaker::new(small());
    let mut context = Context::from_waker(Waker::noop());
    let mut run = |counts: bool| {
        pin!(breaker.run(&clock, |(): &()| counts, ready(Err::<(), ()>(())))).poll(&mut context)
    };
    for _ in 0..10 {
        assert_eq!(run(false), Poll::Ready(Err(BreakerError::Call(()))));
    }
    for _ in 0..10 {
        let _ = run(true);
    }
    assert_eq!(breaker.phase(), Phase::Open);
    clock.advance(SECOND * 5);
    for _ in 0..5 {
        let mut hung = Box::pin(breaker.run(&clock, |()| true, pending::<Result<(), ()>>()));
        assert!(hung.as_mut().poll(&mut context).is_pending());
    }
    let _trial = (call(&breaker, clock.now()), call(&breaker, clock.now()));
}

/// One step of a test: how much time passes, and what happens then.
#[derive(Clone, Debug)]
enum Step {
    Begin,
    End(prop::sample::Index, bool),
    Drop(prop::sample::Index),
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let step = prop_oneof![
        3 => Just(Step::Begin),
        3 => any::<(prop::sample::Index, bool)>().prop_map(|(which, failed)| Step::End(which, failed)),
        1 => any::<prop::sample::Index>().prop_map(Step::Drop),
    ];
    let pause = prop_oneof![4 => 0_u64..300, 1 => 0_u64..8000];
    prop::collection::vec((pause, step), 1..300)
}

proptest! {
    #[test]
    fn it_opens_exactly_when_the_last_calls_say_so(steps in steps()) {
        let config = small();
        let breaker = Breaker::new(config);
        let mut now = Monotonic::START;
        // Each call out, with the number of transitions that had been when it began.
        let mut out = Vec::<(u32, Call)>::new();
        let (mut phase, mut transitions) = (Phase::Closed, 0);
        // What ended in this phase, as a plain list: when, failed, slow.
        let mut ended = Vec::<(Monotonic, bool, bool)>::new();
        for (pause, step) in steps {
            now = now + Duration::from_millis(pause);
            let mut counted = false;
            match step {
                Step::Begin => match breaker.admit(now) {
                    Ok(call) => {
                        prop_assert!(phase != Phase::Open || breaker.phase() == Phase::HalfOpen);
                        if phase == Phase::Open {
                            (phase, transitions) = (Phase::HalfOpen, transitions + 1);
                            ended.clear();
                        }
                        out.push((transitions, call));
                    }
                    Err(_) => prop_assert_ne!(phase, Phase::Closed),
                },
                Step::End(which, failed) if !out.is_empty() => {
                    let (begun_in, call) = out.remove(which.index(out.len()));
                    if begun_in == transitions {
                        ended.push((now, failed, now - call.begun >= config.slow_call));
                        counted = true;
                    }
                    call.end(failed, now);
                }
                Step::Drop(which) if !out.is_empty() => {
                    drop(out.remove(which.index(out.len())));
                }
                _ => {}
            }
            let last = &ended[ended.len().saturating_sub(config.calls)..];
            let recent: Vec<_> = last.iter().filter(|call| phase == Phase::HalfOpen || now - call.0 < config.window).collect();
            let failed = recent.iter().filter(|call| call.1).count();
            let slow = recent.iter().filter(|call| call.2).count();
            let bad = |all| failed > 0 && failed * 2 >= all || slow > 0 && slow * 5 >= all * 4;
            let expected = match phase {
                Phase::Closed if counted && recent.len() >= 4 && bad(recent.len()) => Phase::Open,
                Phase::HalfOpen if counted && bad(2) => Phase::Open,
                Phase::HalfOpen if counted && ended.len() == 2 => Phase::Closed,
                _ => phase,
            };
            prop_assert_eq!(breaker.phase(), expected);
            if expected != phase {
                (phase, transitions) = (expected, transitions + 1);
                ended.clear();
            }
            if phase == Phase::HalfOpen {
                let trying = out.iter().filter(|(begun_in, _)| *begun_in == transitions).count();
                prop_assert!(trying + ended.len() <= config.half_open_calls);
            }
        }
    }
}
