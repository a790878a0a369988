//! The worker as the edge of Pitchey: it hears nothing of what is invalidated, so what it serves from memory
//! is bounded by time.

use crate::cache_site::{Maker, PATIENCE};
use crate::client::Client;
use crate::edge_pitchey::{Bed, SECRET, edit, open_on, versions};
use crate::edge_shell::Shell;
use crate::upstream::{Reply, Upstream};
use anyhow::{Context as _, Result, ensure};
use http::Method;
use pitchey_testkit::Worker;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, block_in_place};

/// The bound in these tests.
const BOUND: Duration = Duration::from_millis(300);

/// The worker's clock tells whole milliseconds.
const GRAIN: Duration = Duration::from_millis(2);

async fn open() -> Result<Option<Bed>> {
    if !Worker::is_there() {
        return Ok(None);
    }
    let bound = BOUND.as_millis().to_string();
    let bed = open_on(Shell::Worker, &[], &[("PITCHEY__BOUND_MS", &bound)]).await?;
    Ok(Some(bed))
}

/// Which version was acknowledged when.
#[derive(Clone, Default)]
struct History(Arc<Mutex<Vec<(Instant, u32)>>>);

impl History {
    fn note(&self, version: u32) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push((Instant::now(), version));
    }

    /// The newest that had been acknowledged by then.
    fn newest(&self, by: Instant) -> u32 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = all.iter().filter(|(at, _)| *at <= by);
        before.next_back().map_or(0, |(_, version)| *version)
    }
}

/// Reads until it is told to stop; how many reads there were, and how many of them came from memory.
async fn read(client: Client, target: String, history: History, until: u32) -> Result<(u32, u32)> {
    let (mut reads, mut hits) = (0, 0);
    loop {
        let began = Instant::now();
        let answer = client.get(&target, &[]).await?.expect(200)?;
        let version = versions(&answer, 1).context("it is not shown")?;
        let by = began.checked_sub(BOUND + GRAIN);
        let least = by.map_or(0, |by| history.newest(by));
        ensure!(version >= least, "{target} shows {version} after {least}");
        reads += 1;
        hits += u32::from(answer.header("x-cache-status") == "HIT");
        if version >= until {
            return Ok((reads, hits));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_read_is_older_than_the_bound_and_who_edits_sees_it_at_once() -> Result<()> {
    const EDITS: u32 = 40;
    let Some(bed) = open().await? else {
        return Ok(());
    };
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    let history = History::default();
    let mut readers = JoinSet::new();
    let last = pitch.version + EDITS;
    for target in [&*pitch.target, "/api/pitches/new", "/api/pitches"] {
        let (client, history) = (bed.edge.clone(), history.clone());
        readers.spawn(read(client, target.to_owned(), history, last));
    }
    // What the origin gives those who have changed something.
    let position = pitch.edit_and_know(&bed.edge, &maker.person).await?;
    for _ in 1..EDITS {
        let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
        history.note(version);
        for target in [&*pitch.target, "/api/pitches/new"] {
            let own = bed.edge.get(target, &[("cookie", &position)]).await?;
            assert_eq!(own.header("x-cache-status"), "BYPASS");
            assert_eq!(versions(&own.expect(200)?, 1), Some(version), "{target}");
        }
    }
    // They end when they have seen the last, which no read hides for longer than the bound.
    while let Some(counted) = readers.join_next().await {
        let (reads, hits) = counted??;
        assert!(
            hits > 0 && hits < reads,
            "of {reads} reads {hits} were hits"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bound_has_passed_for_stands_in_for_an_origin_that_is_gone() -> Result<()> {
    let Some(bed) = open().await? else {
        return Ok(());
    };
    let mut maker = Maker::new(&bed.edge, 0, 2).await?;
    let mut pitch = maker.things.remove(1);
    let kept = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
    bed.to_origin.cut();
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        assert_eq!(answer.body, kept.body);
        if answer.header("cache-status").contains("fwd=stale") {
            break;
        }
        ensure!(Instant::now() < until, "what nobody vouches for is a hit");
    }
    let other = bed.edge.get(&maker.things[1].target, &[]).await?;
    let told = (other.status, other.header("cache-control"));
    assert_eq!(told, (502, "no-store"));
    bed.to_origin.heal();
    let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = bed.edge.get(&pitch.target, &[]).await?.expect(200)?;
        if versions(&answer, 1) == Some(version) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the edit is never shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_something_is_marked_where_the_origin_gives_no_position() -> Result<()> {
    const PITCH: &str = "/api/pitches/01939000-0000-7000-8000-000000000001";
    if !Worker::is_there() {
        return Ok(());
    }
    let upstream = Upstream::start(|seen| {
        let reply = match &*seen.target {
            "/api/pitches/refused" => Reply::new(409, "{}"),
            "/api/pitches/told" => {
                Reply::new(200, "{}").with("set-cookie", "__Host-position=0/1; Path=/")
            }
            _ => Reply::new(200, "{}"),
        };
        ready(reply)
    })
    .await?;
    let program = Worker::program(&upstream.url())?.env("WORKER_PITCHEY__SECRET", SECRET);
    let worker = block_in_place(|| Worker::start(&program))?;
    let client = Client::new(worker.address());
    let view = format!("{PITCH}/view");
    for (method, target, cookies) in [
        (Method::PATCH, PITCH, vec!["__Host-changed"]),
        (Method::POST, "/api/pitches/told", vec!["__Host-position"]),
        (Method::POST, "/api/pitches/refused", vec![]),
        (Method::POST, &view, vec![]),
        (Method::GET, "/api/me", vec![]),
    ] {
        let answer = client.send(method, target, &[], None).await?;
        let given = answer.headers.get_all("set-cookie").iter();
        let names = given.filter_map(|line| line.to_str().ok()?.split('=').next());
        assert_eq!(names.collect::<Vec<_>>(), cookies, "{target}");
    }
    let marked = [("cookie", "__Host-changed=1")];
    let own = client.get(PITCH, &marked).await?.expect(200)?;
    assert_eq!(own.header("x-cache-status"), "BYPASS");
    // It is the edge's own, and no business of the origin's.
    let seen = upstream.seen();
    assert!(seen.iter().all(|seen| seen.header("cookie") == "-"));
    Ok(())
}
