//! On a manual clock.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use pitchey_runtime::ManualRuntime;

use super::*;

fn number(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

fn door(runtime: &ManualRuntime, least: usize, most: usize) -> FrontDoor<ManualRuntime> {
    let settings = OverloadSettings {
        shed: ShedConfig::new(number(most)),
        least: number(least),
    };
    FrontDoor::new(settings, runtime.clone())
}

fn deadline(runtime: &ManualRuntime) -> Deadline {
    Deadline::after(runtime.now(), Duration::from_secs(5))
}

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn who_is_sent_away_is_counted_by_priority() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let runtime = ManualRuntime::new(1);
        let door = door(&runtime, 1, 1);
        let Poll::Ready(Ok(inside)) = poll(pin!(door.enter(Priority::Low, deadline(&runtime))))
        else {
            panic!("there is room");
        };
        let mut waits = pin!(door.enter(Priority::Low, deadline(&runtime)));
        assert!(poll(waits.as_mut()).is_pending());
        door.record_metrics();
        runtime.clock.advance(Duration::from_millis(101));
        assert!(matches!(poll(waits.as_mut()), Poll::Ready(Err(_))));
        let late = door.enter(Priority::Critical, Deadline::at(runtime.now()));
        assert!(matches!(poll(pin!(late)), Poll::Ready(Err(_))));
        drop(inside);
    });
    let figures = figures.render();
    for line in [
        "requests_shed_total{priority=\"critical\"} 1",
        "requests_shed_total{priority=\"normal\"} 0",
        "requests_shed_total{priority=\"low\"} 1",
        "requests_inside 1",
        "requests_waiting 1",
    ] {
        assert!(figures.contains(line), "{line} in\n{figures}");
    }
}

#[test]
fn the_most_urgent_of_those_who_wait_comes_first() {
    let runtime = ManualRuntime::new(1);
    let door = door(&runtime, 1, 1);
    let Poll::Ready(Ok(inside)) = poll(pin!(door.enter(Priority::Normal, deadline(&runtime))))
    else {
        panic!("there is room");
    };
    let mut beacon = pin!(door.enter(Priority::Low, deadline(&runtime)));
    let mut money = pin!(door.enter(Priority::Critical, deadline(&runtime)));
    assert!(poll(beacon.as_mut()).is_pending());
    assert!(poll(money.as_mut()).is_pending());
    drop(inside);
    assert!(poll(beacon.as_mut()).is_pending());
    assert!(matches!(poll(money.as_mut()), Poll::Ready(Ok(_))));
}

/// So many rounds with the door full, each of which takes this long. Gives how many there is room for
/// then.
fn serve(
    runtime: &ManualRuntime,
    door: &FrontDoor<ManualRuntime>,
    rounds: usize,
    takes: Duration,
) -> usize {
    for _ in 0..rounds {
        let mut inside = Vec::new();
        while let Some(entered) = enter_at_once(runtime, door) {
            inside.push(entered);
        }
        runtime.clock.advance(takes);
        drop(inside);
    }
    let mut inside = Vec::new();
    while let Some(entered) = enter_at_once(runtime, door) {
        inside.push(entered);
    }
    inside.len()
}

fn enter_at_once<'a>(
    runtime: &ManualRuntime,
    door: &'a FrontDoor<ManualRuntime>,
) -> Option<Inside<'a, ManualRuntime>> {
    match poll(pin!(door.enter(Priority::Normal, deadline(runtime)))) {
        Poll::Ready(Ok(inside)) => Some(inside),
        _ => None,
    }
}

#[test]
fn the_limit_shrinks_when_requests_take_longer_and_not_below_its_bound() {
    let (quick, slow) = (Duration::from_millis(12), Duration::from_millis(600));
    let runtime = ManualRuntime::new(1);
    let adaptive = door(&runtime, 8, 32);
    assert_eq!(serve(&runtime, &adaptive, 300, quick), 32);
    assert_eq!(serve(&runtime, &adaptive, 40, slow), 8);
    let fixed = door(&runtime, 32, 32);
    serve(&runtime, &fixed, 300, quick);
    assert_eq!(serve(&runtime, &fixed, 40, slow), 32);
}
