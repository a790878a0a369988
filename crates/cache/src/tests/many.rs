//! Many keys at once.

use std::future::Future;
use std::sync::{Arc, Mutex};

use super::bed::{Bed, Failed, PAGE, Peer, Text, from_memory, ms, policy, secs, served};
use crate::answer::From::{Memory, Shared, Source};
use crate::answer::{Answer, GetError, State};
use crate::entry::Loaded;
use crate::many::Item;
use crate::shared::Strength;
use crate::stats::Counter;

type Asked = Arc<Mutex<Vec<Vec<usize>>>>;
type Answers = Result<Vec<Answer<Text>>, GetError<Failed>>;

fn items(names: &[&str]) -> Vec<Item> {
    let item = |name: &&str| Item {
        key: format!("page/{name}").into(),
        tags: vec![format!("pitch:{name}").into()],
    };
    names.iter().map(item).collect()
}

/// Asks for pages whose texts are their keys behind `version`.
fn get(
    bed: &Bed,
    peer: &Peer,
    names: &[&str],
    version: &'static str,
    asked: &Asked,
) -> impl Future<Output = Answers> + Send + use<> {
    let (cache, items, asked) = (peer.cache.clone(), items(names), asked.clone());
    let world = bed.world.clone();
    async move {
        let load = |places: Vec<usize>, _| {
            asked.lock().expect("no panic").push(places.clone());
            let texts: Vec<_> = places
                .iter()
                .map(|place| Loaded::new(Text(format!("{version}:{}", items[*place].key))))
                .collect();
            let world = world.clone();
            async move {
                pitchey_runtime::Timer::sleep(&world, ms(10)).await;
                match version {
                    "fails" => Err(Failed),
                    "short" => Ok(texts.into_iter().skip(1).collect()),
                    _ => Ok(texts),
                }
            }
        };
        cache.get_many(PAGE, &items, load).await
    }
}

fn texts(answers: Answers) -> Vec<String> {
    let answers = answers.expect("answers");
    answers
        .iter()
        .map(|answer| answer.value().0.clone())
        .collect()
}

#[test]
fn what_is_missing_is_found_loaded_and_filled_by_one_call_each_and_the_order_is_kept() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let asked = Asked::default();
    bed.run(get(&bed, &there, &["b"], "v1", &asked))
        .expect("loaded");
    bed.run(get(&bed, &here, &["d"], "v1", &asked))
        .expect("loaded");
    asked.lock().expect("no panic").clear();
    here.asks.take_calls();
    let names = ["d", "c", "b", "a", "c2"];
    let got = bed.run(get(&bed, &here, &names, "v2", &asked));
    let from: Vec<_> = got.iter().flatten().map(|answer| answer.from).collect();
    assert_eq!(
        texts(got),
        [
            "v1:page/d",
            "v2:page/c",
            "v1:page/b",
            "v2:page/a",
            "v2:page/c2"
        ]
    );
    assert_eq!(from, [Memory, Source, Shared, Source, Source]);
    assert_eq!(*asked.lock().expect("no panic"), [vec![1, 3, 4]]);
    assert_eq!(here.asks.take_calls(), ["lookup_many", "fill_many"]);
    assert_eq!(here.stats().answers(), 6);
    // Now everything is in memory.
    let got = bed.run(get(&bed, &here, &names, "v3", &asked));
    assert!(got.iter().flatten().all(|answer| answer.from == Memory));
    assert!(here.asks.take_calls().is_empty());
    assert_eq!(bed.tier.leases(), 0);
}

#[test]
fn nothing_is_asked_for_no_keys() {
    let bed = Bed::new();
    let (peer, asked) = (bed.peer(policy()), Asked::default());
    assert!(texts(bed.run(get(&bed, &peer, &[], "v1", &asked))).is_empty());
    assert!(peer.asks.take_calls().is_empty());
    assert!(asked.lock().expect("no panic").is_empty());
}

#[test]
fn when_loading_fails_what_is_stale_does_in_its_place_if_all_have_something() {
    let bed = Bed::new();
    let (peer, asked) = (bed.peer(policy()), Asked::default());
    bed.run(get(&bed, &peer, &["a", "b"], "v1", &asked))
        .expect("loaded");
    bed.advance(secs(200));
    let got = bed.run(get(&bed, &peer, &["b", "a"], "fails", &asked));
    let states: Vec<_> = got.iter().flatten().map(|answer| answer.state).collect();
    assert_eq!(states, [State::StaleOnError; 2]);
    assert_eq!(texts(got), ["v1:page/b", "v1:page/a"]);
    let got = bed.run(get(&bed, &peer, &["a", "c"], "fails", &asked));
    assert_eq!(got.err(), Some(GetError::Load(Failed)));
    bed.settle();
    assert_eq!(bed.tier.leases(), 0, "its leases are given back");
}

#[test]
fn what_is_stale_is_loaded_with_what_is_missing_and_counted_once() {
    let bed = Bed::new();
    let (peer, asked) = (bed.alone(policy()), Asked::default());
    bed.run(get(&bed, &peer, &["a"], "v1", &asked))
        .expect("loaded");
    bed.advance(secs(40));
    let got = bed.run(get(&bed, &peer, &["a", "b"], "v2", &asked));
    assert_eq!(texts(got), ["v2:page/a", "v2:page/b"]);
    assert_eq!(peer.stats().answers(), 3);
    assert_eq!(peer.count(Counter::Miss), 3);
}

#[test]
fn a_source_that_leaves_one_out_is_an_error_and_no_mix_up() {
    let bed = Bed::new();
    let (peer, asked) = (bed.peer(policy()), Asked::default());
    let got = bed.run(get(&bed, &peer, &["a", "b"], "short", &asked));
    assert_eq!(got.err(), Some(GetError::Incomplete));
    assert!(peer.cache.peek("page/a").is_none());
    bed.settle();
    assert_eq!(bed.tier.leases(), 0);
}

#[test]
fn dropped_it_gives_its_leases_back() {
    let bed = Bed::new();
    let (peer, asked) = (bed.peer(policy()), Asked::default());
    let getting = bed.begin(get(&bed, &peer, &["a", "b"], "v1", &asked));
    bed.advance(ms(5));
    assert_eq!(bed.tier.leases(), 2);
    getting.cut();
    bed.settle();
    assert_eq!(bed.tier.leases(), 0);
}

#[test]
fn what_was_invalidated_during_the_load_is_not_kept() {
    let bed = Bed::new();
    for peer in [bed.peer(policy()), bed.alone(policy())] {
        let asked = Asked::default();
        let getting = bed.begin(get(&bed, &peer, &["a", "b"], "old", &asked));
        bed.advance(ms(5));
        bed.run(peer.invalidate("pitch:a", Strength::Hard))
            .expect("done");
        bed.advance(ms(10));
        getting.output().expect("loaded");
        let got = bed.run(get(&bed, &peer, &["a", "b"], "new", &asked));
        assert_eq!(texts(got), ["new:page/a", "old:page/b"]);
    }
}

#[test]
fn what_was_removed_while_it_was_looked_up_is_not_kept() {
    let bed = Bed::new();
    let (here, there) = (bed.peer(policy()), bed.peer(policy()));
    let asked = Asked::default();
    bed.run(get(&bed, &there, &["a"], "old", &asked))
        .expect("loaded");
    here.asks.answers_take(ms(10));
    let getting = bed.begin(get(&bed, &here, &["a"], "new", &asked));
    bed.advance(ms(5));
    bed.run(here.remove("page/a")).expect("acknowledged");
    bed.advance(ms(100));
    getting.output().expect("an answer");
    let got = bed.run(get(&bed, &here, &["a"], "new", &asked));
    assert_eq!(texts(got), ["new:page/a"]);
}

#[test]
fn one_and_many_keep_what_the_other_finds() {
    let bed = Bed::new();
    let (peer, asked) = (bed.peer(policy()), Asked::default());
    bed.run(get(&bed, &peer, &["1"], "v1", &asked))
        .expect("loaded");
    let origin = bed.origin("other");
    assert_eq!(
        served(bed.run(peer.get("page/1", &origin))),
        from_memory("v1:page/1")
    );
}
