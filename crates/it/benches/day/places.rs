//! Which pitch of the script is which of the site.

use crate::cache_site::{Maker, Thing};
use crate::client::{Client, Person};
use crate::script::Script;
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;

/// How many pitches one maker has at most.
const OF_ONE: usize = 40;

/// One that can be edited, with who may.
pub(crate) struct Own {
    pub(crate) person: Person,
    pub(crate) thing: Thing,
}

/// The pitches, by their numbers in the script.
#[derive(Clone)]
pub(crate) struct Places {
    targets: Arc<RwLock<BTreeMap<u32, Arc<str>>>>,
    own: Arc<RwLock<BTreeMap<u32, Arc<Mutex<Own>>>>>,
    /// Who publishes what is new.
    pub(crate) publisher: Person,
}

impl Places {
    /// Makes those that are edited, and finds one of the seeded ones for each other.
    pub(crate) async fn fill(edge: &Client, script: &Script) -> Result<Self> {
        let publisher = edge.register("publisher", "creator").await?;
        let places = Self {
            targets: Arc::default(),
            own: Arc::default(),
            publisher,
        };
        let seeded = seeded(edge, script.pitches as usize).await?;
        let edited: Vec<u32> = script.edited.iter().copied().collect();
        for (group, numbers) in edited.chunks(OF_ONE).enumerate() {
            let Maker { person, things } =
                Maker::new(edge, group * (OF_ONE + 1), numbers.len()).await?;
            // The first is the account.
            for (number, thing) in numbers.iter().zip(things.into_iter().skip(1)) {
                let person = person.clone();
                places.add(*number, Own { person, thing });
            }
        }
        let mut seeded = seeded.into_iter();
        for number in 0..script.pitches {
            if script.edited.contains(&number) {
                continue;
            }
            let target = seeded.next().context("too few pitches are public")?;
            let mut targets = places
                .targets
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            targets.insert(number, target);
        }
        Ok(places)
    }

    pub(crate) fn add(&self, number: u32, own: Own) {
        let target = Arc::from(&*own.thing.target);
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        targets.insert(number, target);
        drop(targets);
        let mut all = self.own.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(number, Arc::new(Mutex::new(own)));
    }

    pub(crate) fn target(&self, number: u32) -> Option<Arc<str>> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.get(&number).cloned()
    }

    pub(crate) fn own(&self, number: u32) -> Option<Arc<Mutex<Own>>> {
        let own = self.own.read().unwrap_or_else(PoisonError::into_inner);
        own.get(&number).cloned()
    }
}

/// The addresses of pitches that are public, as the lists give them.
async fn seeded(edge: &Client, most: usize) -> Result<Vec<Arc<str>>> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    while found.len() < most {
        let target = format!("/api/pitches?limit=50{cursor}");
        let page = edge.get(&target, &[]).await?.expect(200)?.json();
        let items = page["items"].as_array().context("no list")?;
        ensure!(!items.is_empty(), "an empty page");
        let ids = items.iter().filter_map(|item| item["id"].as_str());
        found.extend(ids.map(|id| Arc::from(format!("/api/pitches/{id}"))));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    // What is listed first is no more popular than the rest: the script says what is.
    Ok(found)
}
