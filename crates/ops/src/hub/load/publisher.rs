//! Publishing at a steady pace, whatever comes of it.

use super::super::address::Address;
use super::super::ask::Asker;
use super::place::Position;
use super::tally::Tally;
use crate::Interrupt;
use anyhow::{Context as _, ensure};
use http::Method;
use pitchey_model::room::Room;
use pitchey_runtime::{Clock as _, SystemRuntime, Timer as _};
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};

/// So many publications are on their way at once; others are late, which their latency tells.
const ON_THE_WAY: usize = 64;

/// How often it is looked at what is due.
const TICK: Duration = Duration::from_millis(1);

/// What was published.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Published {
    pub(super) count: u64,
    pub(super) failed: u64,
    pub(super) time: Duration,
}

#[derive(Debug)]
pub(super) struct Publisher {
    asker: Asker,
    hubs: Vec<Address>,
    rooms: Vec<Room>,
    rate: u32,
    /// What fills an update up to its size.
    fill: Arc<str>,
    /// The newest position of each room that was acknowledged.
    heads: Arc<Mutex<Vec<Option<Position>>>>,
    clock: SystemRuntime,
}

impl Publisher {
    pub(super) fn new(
        asker: Asker,
        hubs: Vec<Address>,
        rooms: &[Room],
        (rate, size): (u32, usize),
        clock: SystemRuntime,
    ) -> Self {
        let empty = data(u64::from(u32::MAX), "").len();
        Self {
            asker,
            hubs,
            rooms: rooms.to_vec(),
            rate,
            fill: "x".repeat(size.saturating_sub(empty)).into(),
            heads: Arc::new(Mutex::new(vec![None; rooms.len()])),
            clock,
        }
    }

    /// Publishes for so long.
    pub(super) async fn run(
        &self,
        duration: Duration,
        interrupt: Interrupt,
        tally: &Tally,
    ) -> Published {
        let began = self.clock.now();
        let places = Arc::new(Semaphore::new(ON_THE_WAY));
        let mut sending = JoinSet::new();
        let mut published = Published::default();
        let mut count = |outcome: Result<anyhow::Result<()>, JoinError>| match outcome {
            Ok(Ok(())) => published.count += 1,
            Ok(Err(error)) => {
                published.failed += 1;
                tally.lock().error(&format!("publishing: {error}"));
            }
            Err(_) => published.failed += 1,
        };
        let each = Duration::from_secs(1) / self.rate;
        let mut sent: u32 = 0;
        'all: while self.clock.now() - began < duration && !interrupt.is_asked() {
            while each * sent <= self.clock.now() - began {
                if each * sent >= duration {
                    break 'all;
                }
                while let Some(outcome) = sending.try_join_next() {
                    count(outcome);
                }
                let due = (began + each * sent).since_start();
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    break 'all;
                };
                let publishing = self.publish(sent, due);
                sending.spawn(async move {
                    let _place = place;
                    publishing.await
                });
                sent += 1;
            }
            self.clock.sleep(TICK).await;
        }
        while let Some(outcome) = sending.join_next().await {
            count(outcome);
        }
        published.time = self.clock.now() - began;
        published
    }

    fn publish(
        &self,
        number: u32,
        due: Duration,
    ) -> impl Future<Output = anyhow::Result<()>> + Send + 'static {
        let place = number as usize % self.rooms.len();
        let due_us = u64::try_from(due.as_micros()).unwrap_or(u64::MAX);
        let data = data(due_us, &self.fill);
        let body = format!(r#"{{"room":"{}","data":{data}}}"#, self.rooms[place]);
        let (asker, heads) = (self.asker.clone(), Arc::clone(&self.heads));
        let hubs = self.hubs.clone();
        async move {
            // A hub that goes away sends others elsewhere; publications are no exception.
            let mut last = None;
            for turn in 0..hubs.len() {
                let hub = &hubs[(number as usize + turn) % hubs.len()];
                let asked = asker.ask(&Method::POST, hub, "/publish", Some(body.clone()));
                match asked.await {
                    Ok(answer) if answer.status.is_success() => {
                        let position: Position =
                            serde_json::from_slice(&answer.body).context("no position")?;
                        let mut heads = heads.lock().unwrap_or_else(PoisonError::into_inner);
                        let head = &mut heads[place];
                        let is_newer = head.as_ref().is_none_or(|head| {
                            head.epoch != position.epoch || head.offset < position.offset
                        });
                        if is_newer {
                            *head = Some(position);
                        }
                        return Ok(());
                    }
                    other => last = Some(other),
                }
            }
            let answer = last.context("no hub")??;
            ensure!(answer.status.is_success(), "refused: {}", answer.status);
            Ok(())
        }
    }

    pub(super) fn into_heads(self) -> Vec<Option<Position>> {
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *heads)
    }
}

fn data(due_us: u64, fill: &str) -> String {
    json!({"due_us": due_us, "fill": fill}).to_string()
}
