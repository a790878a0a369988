//! The day, played.

use crate::cache_site::Thing;
use crate::client::{Answer, Client};
use crate::places::{Own, Places};
use crate::script::{Deed, Script};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// More at once is no day but a flood: who comes then waits, and the wait is counted.
const MOST_AT_ONCE: usize = 4_000;

/// What readers like to go through; each has one of them.
const LISTS: [&str; 8] = [
    "/api/pitches?limit=20",
    "/api/pitches/new?limit=20",
    "/api/pitches/trending?limit=20",
    "/api/pitches?genre=drama&limit=20",
    "/api/pitches?genre=comedy&limit=20",
    "/api/pitches?genre=documentary&limit=20",
    "/api/pitches?format=feature&limit=20",
    "/api/pitches?sort=views&limit=20",
];

/// What kind of a request it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pitch,
    Crawled,
    List,
}

impl Kind {
    pub(crate) const ALL: [(Self, &str); 3] = [
        (Self::Pitch, "pitch, read"),
        (Self::Crawled, "pitch, crawled"),
        (Self::List, "list"),
    ];
}

/// Who had the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tier {
    Edge,
    /// Somebody else's answer, waited for at the edge or at the origin.
    Coalesced,
    OriginMemory,
    Redis,
    Database,
    Nobody,
}

impl Tier {
    pub(crate) const ALL: [(Self, &str); 5] = [
        (Self::Edge, "edge"),
        (Self::Coalesced, "coalesced"),
        (Self::OriginMemory, "origin"),
        (Self::Redis, "Redis"),
        (Self::Database, "database"),
    ];

    /// What the members of `Cache-Status` say, the origin's first.
    fn of(answer: &Answer) -> Self {
        let lines = answer.headers.get_all("cache-status").iter();
        let members: Vec<&str> = lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .collect();
        let says = |name: &str, what: &str| {
            let mut of = members.iter().filter(|member| member.starts_with(name));
            of.any(|member| member.split(';').any(|part| part.trim() == what))
        };
        if says("pitchey-edge", "hit") {
            Self::Edge
        } else if says("pitchey-edge", "collapsed") || says("pitchey-origin", "detail=coalesced") {
            Self::Coalesced
        } else if says("pitchey-origin", "detail=memory") {
            Self::OriginMemory
        } else if says("pitchey-origin", "detail=redis") {
            Self::Redis
        } else if says("pitchey-origin", "detail=origin") {
            Self::Database
        } else {
            Self::Nobody
        }
    }
}

/// A read and what came of it.
#[derive(Clone, Copy, Debug)]
struct Read {
    kind: Kind,
    tier: Tier,
    good: bool,
    waited: Duration,
}

enum Outcome {
    Read(Read),
    /// The next read through the edge showed something older, or did not.
    Edit {
        good: bool,
        old: bool,
    },
    Publish,
}

/// What a day came to.
#[derive(Debug, Default)]
pub(crate) struct Day {
    pub(crate) reads: BTreeMap<(Kind, Tier), u64>,
    pub(crate) failed: u64,
    pub(crate) edits: u64,
    /// Edits that were refused, and those after which the next read was old.
    pub(crate) refused: u64,
    pub(crate) old: u64,
    pub(crate) published: u64,
    /// Waits in milliseconds, ascending: of what the edge had, and of the rest.
    pub(crate) from_edge: Vec<f64>,
    pub(crate) from_behind: Vec<f64>,
}

/// Where each reader is in their list.
type Cursors = Arc<Mutex<BTreeMap<u32, Option<String>>>>;

pub(crate) async fn replay(edge: &Client, script: &Script, places: &Places) -> Result<Day> {
    let cursors = Cursors::default();
    let mut under_way = JoinSet::new();
    let mut day = Day::default();
    let start = Instant::now();
    for &(at, deed) in &script.deeds {
        let due = start + at;
        while under_way.len() >= MOST_AT_ONCE {
            note(&mut day, under_way.join_next().await)?;
        }
        tokio::time::sleep_until(due).await;
        while let Some(ended) = under_way.try_join_next() {
            note(&mut day, Some(ended))?;
        }
        let (edge, places, cursors) = (edge.clone(), places.clone(), cursors.clone());
        under_way.spawn(async move {
            match deed {
                Deed::Pitch { crawls, pitch } => {
                    let coding = if crawls { "identity" } else { "br, gzip" };
                    let target = places.target(pitch).context("it is not there yet")?;
                    let answer = edge.get(&target, &[("accept-encoding", coding)]).await?;
                    let kind = if crawls { Kind::Crawled } else { Kind::Pitch };
                    Ok(Outcome::Read(read(kind, &answer, due)))
                }
                Deed::List { reader, page } => list(&edge, &cursors, reader, page, due).await,
                Deed::Edit(pitch) => edit(&edge, &places, pitch).await,
                Deed::Publish(pitch) => {
                    let person = places.publisher.clone();
                    let thing = Thing::publish(&edge, &person, pitch as usize).await?;
                    places.add(pitch, Own { person, thing });
                    Ok(Outcome::Publish)
                }
            }
        });
    }
    while let Some(ended) = under_way.join_next().await {
        note(&mut day, Some(ended))?;
    }
    day.from_edge.sort_by(f64::total_cmp);
    day.from_behind.sort_by(f64::total_cmp);
    Ok(day)
}

fn read(kind: Kind, answer: &Answer, due: Instant) -> Read {
    Read {
        kind,
        tier: Tier::of(answer),
        good: answer.status == 200,
        waited: due.elapsed(),
    }
}

async fn list(
    edge: &Client,
    cursors: &Cursors,
    reader: u32,
    page: u32,
    due: Instant,
) -> Result<Outcome> {
    let list = LISTS[reader as usize % LISTS.len()];
    let known = {
        let cursors = cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.get(&reader).cloned().flatten()
    };
    let target = match known {
        Some(cursor) if page > 0 => format!("{list}&cursor={cursor}"),
        // They have come to its end, or their last page is not there yet.
        _ => list.to_owned(),
    };
    let answer = edge
        .get(&target, &[("accept-encoding", "identity")])
        .await?;
    let outcome = read(Kind::List, &answer, due);
    let next = answer.json()["next_cursor"].as_str().map(str::to_owned);
    let mut cursors = cursors.lock().unwrap_or_else(PoisonError::into_inner);
    cursors.insert(reader, next);
    Ok(Outcome::Read(outcome))
}

async fn edit(edge: &Client, places: &Places, pitch: u32) -> Result<Outcome> {
    let own = places.own(pitch).context("it belongs to nobody here")?;
    // One after the other: each starts from the version before.
    let mut own = own.lock().await;
    let Own { person, thing } = &mut *own;
    if thing.edit(edge, person).await? != 200 {
        return Ok(Outcome::Edit {
            good: false,
            old: false,
        });
    }
    thing.version += 1;
    let answer = edge.get(&thing.target, &[]).await?;
    let new = Thing::text(thing.number, thing.version);
    Ok(Outcome::Edit {
        good: answer.status == 200,
        old: answer.json()["title"] != *new,
    })
}

type Ended = Option<std::result::Result<Result<Outcome>, tokio::task::JoinError>>;

fn note(day: &mut Day, ended: Ended) -> Result<()> {
    let Some(ended) = ended else {
        return Ok(());
    };
    match ended? {
        Err(error) => {
            // The first say what is wrong; a day has many.
            if day.failed < 3 {
                eprintln!("{error:#}");
            }
            day.failed += 1;
        }
        Ok(Outcome::Read(read)) => {
            day.failed += u64::from(!read.good);
            *day.reads.entry((read.kind, read.tier)).or_default() += 1;
            let waits = if read.tier == Tier::Edge {
                &mut day.from_edge
            } else {
                &mut day.from_behind
            };
            waits.push(read.waited.as_secs_f64() * 1000.0);
        }
        Ok(Outcome::Edit { good, old }) => {
            day.edits += 1;
            day.refused += u64::from(!good);
            day.old += u64::from(old);
        }
        Ok(Outcome::Publish) => day.published += 1,
    }
    Ok(())
}

/// How often the origin has begun each statement.
#[derive(Debug)]
pub(crate) struct Counts(pub(crate) BTreeMap<String, u64>);

impl Counts {
    pub(crate) async fn of(metrics: &Client) -> Result<Self> {
        let answer = metrics.get("/metrics", &[]).await?.expect(200)?;
        let text = String::from_utf8(answer.body)?;
        let counts = text.lines().filter_map(|line| {
            let rest = line.strip_prefix("db_statement_duration_seconds_count{statement=\"")?;
            let (name, count) = rest.split_once("\"} ")?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        Ok(Self(counts.collect()))
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        let counts = self.0.iter().map(|(name, count)| {
            let old = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), count.saturating_sub(old))
        });
        Self(counts.filter(|(_, count)| *count > 0).collect())
    }

    /// How many of them were for pages that everybody may read: those of details and of lists.
    pub(crate) fn of_reads(&self) -> u64 {
        let of = self.0.iter();
        of.filter(|(name, _)| *name == "pitches.detail" || name.starts_with("pitches.browse"))
            .map(|(_, count)| count)
            .sum()
    }
}
