//! How soon an edit is seen: through the edge that it went through, and through another.

use crate::cache_site::{Maker, Thing};
use crate::client::Client;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Later than this, something is broken.
const LATEST: Duration = Duration::from_secs(5);

/// How many edit at once where an edit may take seconds to be seen, and how often it is looked whether it is.
const EDITORS: u32 = 50;
const LOOK: Duration = Duration::from_millis(50);

/// What a row of edits came to; times in milliseconds, ascending.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    pub(crate) made: u32,
    /// After how many the next read through the same edge showed what was before.
    pub(crate) old: u32,
    /// After how many the first read through the other edge did.
    pub(crate) old_elsewhere: u32,
    /// How many reads before the edits came from the memory of their edge: it is what could be old.
    pub(crate) from_memory: u32,
    /// From the answer to an edit until the last read through the other edge that was old began.
    pub(crate) lags: Vec<f64>,
    /// How long the edits themselves took.
    pub(crate) took: Vec<f64>,
}

async fn title(client: &Client, thing: &Thing, headers: &[(&str, &str)]) -> Result<Seen> {
    let answer = client.get(&thing.target, headers).await?.expect(200)?;
    Ok(Seen {
        title: answer.json()["title"].as_str().map(str::to_owned),
        from_memory: answer.header("x-cache-status") == "HIT",
    })
}

/// What a read showed.
struct Seen {
    title: Option<String>,
    from_memory: bool,
}

pub(crate) async fn edits(edge: &Client, other: &Client, edits: u32) -> Result<Edits> {
    let mut maker = Maker::new(edge, 900_000, 1).await?;
    let Maker { person, things } = &mut maker;
    let thing = &mut things[1];
    let mut seen = Edits {
        made: edits,
        ..Edits::default()
    };
    for edit in 0..edits {
        // Either may be the one that it goes through.
        let (here, there) = if edit % 2 == 0 {
            (edge, other)
        } else {
            (other, edge)
        };
        for client in [here, there] {
            title(client, thing, &[]).await?;
            seen.from_memory += u32::from(title(client, thing, &[]).await?.from_memory);
        }
        let begun = Instant::now();
        ensure!(thing.edit(here, person).await? == 200, "an edit is refused");
        let answered = Instant::now();
        thing.version += 1;
        let new = Some(Thing::text(thing.number, thing.version));
        let mut lag = Duration::ZERO;
        loop {
            let asked = answered.elapsed();
            if title(there, thing, &[]).await?.title == new {
                break;
            }
            lag = asked.max(Duration::from_nanos(1));
            ensure!(lag < LATEST, "the other edge shows what was before");
        }
        seen.old += u32::from(title(here, thing, &[]).await?.title != new);
        seen.old_elsewhere += u32::from(!lag.is_zero());
        seen.lags.push(lag.as_secs_f64() * 1000.0);
        seen.took.push((answered - begun).as_secs_f64() * 1000.0);
    }
    seen.lags.sort_by(f64::total_cmp);
    seen.took.sort_by(f64::total_cmp);
    Ok(seen)
}

/// So many edits through an edge that hears nothing, of many pitches at once: others may be shown what was
/// before for as long as its bound, and whoever edits never.
pub(crate) async fn bounded(edge: &Client, edits: u32) -> Result<Edits> {
    let mut all = JoinSet::new();
    for place in 0..EDITORS {
        let edge = edge.clone();
        let share = edits / EDITORS + u32::from(place < edits % EDITORS);
        all.spawn(async move { edit_bounded(&edge, place, share).await });
    }
    let mut seen = Edits::default();
    while let Some(one) = all.join_next().await {
        let one = one??;
        seen.made += one.made;
        seen.old += one.old;
        seen.old_elsewhere += one.old_elsewhere;
        seen.from_memory += one.from_memory;
        seen.lags.extend(one.lags);
        seen.took.extend(one.took);
    }
    seen.lags.sort_by(f64::total_cmp);
    seen.took.sort_by(f64::total_cmp);
    Ok(seen)
}

async fn edit_bounded(edge: &Client, place: u32, edits: u32) -> Result<Edits> {
    let mut maker = Maker::new(edge, 910_000 + place as usize * 2, 1).await?;
    let Maker { person, things } = &mut maker;
    let thing = &mut things[1];
    let mut seen = Edits::default();
    for _ in 0..edits {
        title(edge, thing, &[]).await?;
        seen.from_memory += u32::from(title(edge, thing, &[]).await?.from_memory);
        let begun = Instant::now();
        let cookie = thing.edit_and_know(edge, person).await?;
        let answered = Instant::now();
        let new = Some(Thing::text(thing.number, thing.version));
        let own = title(edge, thing, &[("cookie", &cookie)]).await?;
        seen.old += u32::from(own.title != new);
        let mut lag = Duration::ZERO;
        loop {
            let asked = answered.elapsed();
            if title(edge, thing, &[]).await?.title == new {
                break;
            }
            lag = asked.max(Duration::from_nanos(1));
            ensure!(lag < LATEST * 2, "the edge shows what was before");
            tokio::time::sleep(LOOK).await;
        }
        seen.made += 1;
        seen.old_elsewhere += u32::from(!lag.is_zero());
        seen.lags.push(lag.as_secs_f64() * 1000.0);
        seen.took.push((answered - begun).as_secs_f64() * 1000.0);
    }
    Ok(seen)
}
