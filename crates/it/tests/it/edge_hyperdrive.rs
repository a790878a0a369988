//! Databases near readers, asked by the worker: it hears no positions, so it goes by what the origin has told it
//! within its bound. What is the same on both shells is in `edge_regions`.

use crate::cache_site::{Maker, PATIENCE};
use crate::edge_pitchey::{SECRET, edit, versions};
use crate::edge_regions::{Bed, LONDON, TOKYO, giver, harmed};
use crate::edge_shell::Shell;
use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::{Worker, net};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, block_in_place};

/// The bound in these tests.
const BOUND: Duration = Duration::from_millis(500);

/// The worker's clock tells whole milliseconds.
const GRAIN: Duration = Duration::from_millis(2);

async fn open() -> Result<Option<Bed>> {
    if !Worker::is_there() {
        return Ok(None);
    }
    let bound = BOUND.as_millis().to_string();
    let settings = [("PITCHEY__BOUND_MS", &*bound)];
    Ok(Some(Bed::open_on(Shell::Worker, &settings).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_lags_shows_nothing_that_is_older_than_the_bound() -> Result<()> {
    let Some(bed) = open().await? else {
        return Ok(());
    };
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    bed.caught_up()?;
    bed.wait_until_answers(&TOKYO, "asia").await?;
    // Which version was acknowledged when.
    let history = Arc::new(Mutex::new(Vec::<(Instant, u32)>::new()));
    let last = pitch.version + 60;
    let mut readers = JoinSet::new();
    for target in [&*pitch.target, "/api/pitches/new"] {
        let (client, target, history) = (bed.edge.clone(), target.to_owned(), history.clone());
        readers.spawn(async move {
            let mut near = 0_u32;
            loop {
                let began = Instant::now();
                let answer = client.get(&target, &TOKYO).await?.expect(200)?;
                let version = versions(&answer, 1).context("it is not shown")?;
                let by = began.checked_sub(BOUND + GRAIN);
                let least = {
                    let all = history.lock().unwrap_or_else(PoisonError::into_inner);
                    let before = all.iter().filter(|(at, _)| by.is_some_and(|by| *at <= by));
                    before.map(|(_, version)| *version).max().unwrap_or(0)
                };
                ensure!(version >= least, "{target} shows {version} after {least}");
                near += u32::from(giver(&answer) == "asia");
                if version >= last {
                    return anyhow::Ok(near);
                }
            }
        });
    }
    for number in 0..60 {
        // It lags for longer than the bound, it follows, it lags again.
        match number % 30 {
            0 => block_in_place(|| bed.site.replica.pause_replay())?,
            20 => {
                let began = Instant::now();
                while began.elapsed() < BOUND * 2 {
                    bed.asks(&TOKYO).await?;
                }
                block_in_place(|| bed.site.replica.resume_replay())?;
            }
            _ => {}
        }
        let position = pitch.edit_and_know(&bed.edge, &maker.person).await?;
        {
            let mut all = history.lock().unwrap_or_else(PoisonError::into_inner);
            all.push((Instant::now(), pitch.version));
        }
        let mut own = vec![("cookie", &*position)];
        own.extend(TOKYO);
        let answer = bed.edge.get(&pitch.target, &own).await?.expect(200)?;
        assert_eq!(
            versions(&answer, 1),
            Some(pitch.version),
            "who has edited it"
        );
        assert_eq!(answer.header("x-cache-status"), "BYPASS");
    }
    let mut near = 0;
    while let Some(reader) = readers.join_next().await {
        near += reader??;
    }
    assert!(near > 0, "nothing was read near");
    Ok(())
}

/// Asia is behind Hyperdrive, and it alone is left: no other region stands in.
#[tokio::test(flavor = "multi_thread")]
async fn hyperdrive_that_is_down_alone_costs_no_request_and_is_used_again_once_it_is_back()
-> Result<()> {
    let Some(mut bed) = open().await? else {
        return Ok(());
    };
    bed.to_europe.cut();
    bed.wait_until_answers(&LONDON, "asia").await?;
    harmed(&mut bed, async |bed| {
        for _ in 0..2 {
            block_in_place(|| bed.site.replica.kill())?;
            bed.wait_until_answers(&TOKYO, "origin").await?;
            block_in_place(|| bed.site.replica.restart())?;
            bed.caught_up()?;
            bed.wait_until_answers(&TOKYO, "asia").await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_without_regions_says_so_to_who_names_some() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let nobody = format!("http://127.0.0.1:{}", net::free_port()?);
    let regions =
        r#"[{"name": "asia", "latitude": 1.3, "longitude": 103.8, "hyperdrive": "ASIA"}]"#;
    let program = Worker::program(&nobody)?
        .env("WORKER_PITCHEY__SECRET", SECRET)
        .env("WORKER_REGIONS", regions);
    let refused = block_in_place(|| Worker::start(&program)).expect_err("it is not configured");
    let told = "the configuration is wrong: REGIONS need the module in dist-regions";
    ensure!(format!("{refused:#}").contains(told), "{refused:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_origin_is_gone_a_region_answers_and_nothing_of_it_is_kept() -> Result<()> {
    let Some(bed) = open().await? else {
        return Ok(());
    };
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let mut pitch = maker.things.remove(1);
    bed.caught_up()?;
    bed.wait_until_answers(&TOKYO, "asia").await?;
    bed.to_origin.cut();
    let gone = Instant::now();
    while gone.elapsed() < BOUND * 2 {
        assert_eq!(bed.asks(&TOKYO).await?, "asia");
    }
    for _ in 0..2 {
        let answer = bed.edge.get(&pitch.target, &TOKYO).await?.expect(200)?;
        let told = (giver(&answer), answer.header("x-cache-status"));
        assert_eq!(told, ("asia", "MISS"));
    }
    assert_eq!(pitch.edit(&bed.edge, &maker.person).await?, 502);
    bed.to_origin.heal();
    let version = edit(&bed.edge, &maker.person, &mut pitch).await?;
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = bed.edge.get(&pitch.target, &TOKYO).await?.expect(200)?;
        if versions(&answer, 1) == Some(version) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the edit is never shown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_says_where_a_reader_is_and_who_has_changed_something_asks_the_origin()
-> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let bed = Bed::open_on(Shell::Worker, &[]).await?;
    Maker::new(&bed.edge, 0, 1).await?;
    bed.caught_up()?;
    bed.wait_until_answers(&TOKYO, "asia").await?;
    let cf = r#"{"latitude": "35.7", "longitude": "139.7"}"#;
    let mut told = vec![("test-cf", cf)];
    assert_eq!(bed.asks(&told).await?, "asia");
    // What a client says counts for less.
    told.extend(LONDON);
    assert_eq!(bed.asks(&told).await?, "asia");
    assert_eq!(bed.asks(&LONDON).await?, "europe");
    let mut marked = vec![("cookie", "__Host-changed=1")];
    marked.extend(TOKYO);
    assert_eq!(bed.asks(&marked).await?, "origin");
    // Who would rather have Brotli gets gzip.
    let mut coded = vec![("accept-encoding", "gzip, br")];
    coded.extend(TOKYO);
    let answer = bed
        .edge
        .get("/api/pitches/new", &coded)
        .await?
        .expect(200)?;
    ensure!(answer.header("content-encoding") != "br");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_tells_edges_alone_how_far_databases_must_have_come() -> Result<()> {
    if !Worker::is_there() {
        return Ok(());
    }
    let bed = Bed::open_on(Shell::Worker, &[]).await?;
    let mut maker = Maker::new(&bed.edge, 0, 1).await?;
    let edge = [("pitchey-edge-key", SECRET)];
    let mut before = None;
    for target in ["/api/health/live", &*maker.things[1].target.clone()] {
        // From its handler, and from memory.
        for _ in 0..2 {
            let answer = bed.origin.get(target, &[]).await?.expect(200)?;
            assert_eq!(answer.header("pitchey-edge-heard"), "", "{target}");
            let until = Instant::now() + PATIENCE;
            let heard = loop {
                let answer = bed.origin.get(target, &edge).await?.expect(200)?;
                let heard = pitchey_api::edge::read_heard(&answer.headers);
                if heard.is_some_and(|heard| Some(heard.position) > before) {
                    break heard;
                }
                ensure!(Instant::now() < until, "{target}: {heard:?}");
            };
            before = heard.map(|heard| heard.position);
            edit(&bed.origin, &maker.person, &mut maker.things[1]).await?;
        }
    }
    Ok(())
}
