//! How soon an edit is seen: through the edge that it went through, and through another.

use crate::cache_site::{Maker, Thing};
use crate::client::Client;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

/// Later than this, something is broken.
const LATEST: Duration = Duration::from_secs(5);

/// What a row of edits came to; times in milliseconds, ascending.
#[derive(Debug)]
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

pub(crate) async fn edits(edge: &Client, other: &Client, edits: u32) -> Result<Edits> {
    let mut maker = Maker::new(edge, 900_000, 1).await?;
    let Maker { person, things } = &mut maker;
    let thing = &mut things[1];
    let mut seen = Edits {
        made: edits,
        old: 0,
        old_elsewhere: 0,
        from_memory: 0,
        lags: Vec::new(),
        took: Vec::new(),
    };
    let title = async |client: &Client, thing: &Thing| {
        let answer = client.get(&thing.target, &[]).await?.expect(200)?;
        let title = answer.json()["title"].as_str().map(str::to_owned);
        anyhow::Ok((title, answer.header("x-cache-status") == "HIT"))
    };
    for edit in 0..edits {
        // Either may be the one that it goes through.
        let (here, there) = if edit % 2 == 0 {
            (edge, other)
        } else {
            (other, edge)
        };
        for client in [here, there] {
            title(client, thing).await?;
            seen.from_memory += u32::from(title(client, thing).await?.1);
        }
        let begun = Instant::now();
        ensure!(thing.edit(here, person).await? == 200, "an edit is refused");
        let answered = Instant::now();
        thing.version += 1;
        let new = Some(Thing::text(thing.number, thing.version));
        let mut lag = Duration::ZERO;
        loop {
            let asked = answered.elapsed();
            if title(there, thing).await?.0 == new {
                break;
            }
            lag = asked.max(Duration::from_nanos(1));
            ensure!(lag < LATEST, "the other edge shows what was before");
        }
        seen.old += u32::from(title(here, thing).await?.0 != new);
        seen.old_elsewhere += u32::from(!lag.is_zero());
        seen.lags.push(lag.as_secs_f64() * 1000.0);
        seen.took.push((answered - begun).as_secs_f64() * 1000.0);
    }
    seen.lags.sort_by(f64::total_cmp);
    seen.took.sort_by(f64::total_cmp);
    Ok(seen)
}
