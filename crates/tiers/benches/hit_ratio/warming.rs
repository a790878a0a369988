//! Whether warming what is predicted pays, over replayed days.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt as _;
use pitchey_cache::predict::{Predictor, PredictorConfig};
use pitchey_cache::trace::{Act, Trace, TraceConfig};
use pitchey_cache::warm::{Plan, Planned};
use pitchey_cache::{From, Policy, Position, shared::Strength};
use pitchey_runtime::Clock as _;
use serde_json::{Value, json};

use crate::engine::{Counted, PAGE, engine, name};

/// How much of the pitches memory has room for.
const ENTRIES: usize = 2000;
/// At most so many are warmed each time.
const MOST: usize = 200;

/// What a replay has shown, after the first day.
struct Shown {
    requests: u64,
    waits: u64,
    loads: u64,
}

/// Replays the days without and with warming; of what is expected at least so often before it expires.
pub(crate) fn compare() -> Value {
    let mut rows = Vec::new();
    for fresh in [Duration::from_secs(30), Duration::from_mins(30)] {
        println!(
            "\nwarming, {ENTRIES} entries that are fresh for {} s, days 2 and 3 of the replayed days",
            fresh.as_secs()
        );
        println!(
            "{:>22} {:>10} {:>10} {:>10} {:>22}",
            "warmed if expected", "hit ratio", "waits", "loads", "loads per wait saved"
        );
        let without = replay(fresh, None);
        show(&mut rows, fresh, None, &without, &without);
        for least in [4.0, 1.0, 0.5] {
            let with = replay(fresh, Some(least));
            show(&mut rows, fresh, Some(least), &with, &without);
        }
    }
    Value::Array(rows)
}

fn show(rows: &mut Vec<Value>, fresh: Duration, least: Option<f32>, with: &Shown, without: &Shown) {
    let ratio = (with.requests - with.waits) as f64 * 100.0 / with.requests as f64;
    let saved = without.waits.saturating_sub(with.waits);
    let more = with.loads.saturating_sub(without.loads);
    let price = (saved > 0).then(|| more as f64 / saved as f64);
    let name = least.map_or("never".to_owned(), |least| {
        format!("at least {least} times")
    });
    let shown = price.map_or("-".to_owned(), |price| format!("{price:.2}"));
    println!(
        "{name:>22} {ratio:>8.2} % {:>10} {:>10} {shown:>22}",
        with.waits, with.loads
    );
    rows.push(json!({
        "fresh_s": fresh.as_secs(),
        "warmed_if_expected": least,
        "requests": with.requests,
        "hit_percent": ratio,
        "waits": with.waits,
        "loads": with.loads,
        "loads_per_wait_saved": price,
    }));
}

fn replay(fresh: Duration, least: Option<f32>) -> Shown {
    let policy = Policy {
        memory: fresh,
        shared: fresh,
        fresh,
        ..Policy::default()
    };
    let (engine, replay) = engine(ENTRIES, &policy);
    let loads = Arc::default();
    let source = |key: u64| Counted {
        tag: Some(format!("page:{key}").into()),
        loads: Arc::clone(&loads),
    };
    let mut predictor = Predictor::new(PredictorConfig::default());
    let mut last: HashMap<u32, u64> = HashMap::new();
    let mut shown = Shown {
        requests: 0,
        waits: 0,
        loads: 0,
    };
    let mut loads_of_first_day = 0;
    // Often enough that what is warmed lasts until it is looked at again.
    let interval = fresh.min(Duration::from_mins(5)) / 2;
    let mut next_warming = interval;
    let start = replay.now();
    for request in Trace::new(TraceConfig::default()) {
        while let Some(least) = least
            && next_warming <= request.at
        {
            replay
                .time
                .clock
                .advance(next_warming.saturating_sub(replay.now() - start));
            let mut plan = Plan::new(MOST);
            for one in predictor.predict(next_warming, fresh, MOST) {
                plan.add(Planned {
                    kind: PAGE,
                    key: (*one.key).into(),
                    priority: one.expected,
                });
            }
            for item in plan.into_items() {
                let number = item.key.trim_start_matches("page/").parse();
                if item.priority >= least {
                    let source = source(number.expect("a number"));
                    engine
                        .warm(PAGE, &item.key, interval, source)
                        .now_or_never();
                }
            }
            next_warming += interval;
        }
        replay
            .time
            .clock
            .advance(request.at.saturating_sub(replay.now() - start));
        let key = match request.act {
            Act::Pitch(pitch) => u64::from(pitch),
            Act::List(page) => 1 << 32 | u64::from(page),
            Act::Edit(pitch) => {
                let tags = [format!("page:{pitch}").into()];
                let done =
                    engine
                        .backplane()
                        .invalidate(&tags, Strength::Hard, Position::default());
                assert!(done.now_or_never().is_some_and(|done| done.is_ok()));
                continue;
            }
        };
        let first_day = request.at < Duration::from_hours(24);
        if first_day {
            loads_of_first_day = loads.load(Ordering::Relaxed);
        }
        let name = name(key);
        let got = engine.get(PAGE, &name, source(key)).now_or_never();
        let answer = got.expect("nothing waits").expect("nothing fails");
        replay.work();
        if !first_day {
            shown.requests += 1;
            shown.waits += u64::from(answer.from == From::Source);
        }
        if request.reader > 0 {
            let after = last.insert(request.reader, key).map(crate::engine::name);
            predictor.observe(request.at, &name, after.as_deref());
        }
    }
    shown.loads = loads.load(Ordering::Relaxed) - loads_of_first_day;
    shown
}
