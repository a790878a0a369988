//! The origin's own figures, looked at again and again: when it was cut off, attached, and its breaker open.

use crate::client::Client;
use anyhow::{Result, ensure};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often they are looked at: no time below is more exact.
const EVERY: Duration = Duration::from_millis(20);

/// What they said at some moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Figures {
    pub(crate) attached: bool,
    pub(crate) timeouts: u64,
    pub(crate) opened: u64,
    pub(crate) closed: u64,
    pub(crate) database_reads: u64,
}

impl Figures {
    pub(crate) async fn of(metrics: &Client) -> Result<Self> {
        let answer = metrics.get("/metrics", &[]).await?.expect(200)?;
        let text = String::from_utf8_lossy(&answer.body);
        let sum = |name: &str, label: &str| -> u64 {
            let lines = text.lines().filter(|line| line.starts_with(name));
            let lines = lines.filter(|line| line.contains(label));
            lines
                .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum()
        };
        Ok(Self {
            attached: sum("cache_attached ", "") == 1,
            timeouts: sum("redis_timeouts_total ", ""),
            opened: sum("cache_breaker_transitions_total{", "to=\"open\""),
            closed: sum("cache_breaker_transitions_total{", "to=\"closed\""),
            database_reads: sum("db_reads_total{", ""),
        })
    }
}

pub(crate) type Samples = Vec<(Instant, Figures)>;

/// Looks until it is told to stop.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<Samples>>,
}

impl Watch {
    pub(crate) fn start(metrics: Client) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut samples = Samples::new();
            while let Err(oneshot::error::TryRecvError::Empty) = stopped.try_recv() {
                let figures = Figures::of(&metrics).await?;
                samples.push((Instant::now(), figures));
                tokio::time::sleep(EVERY).await;
            }
            Ok(samples)
        });
        Self { stop, task }
    }

    pub(crate) async fn stop(self) -> Result<Samples> {
        drop(self.stop);
        self.task.await?
    }

    pub(crate) async fn until_attached(metrics: &Client) -> Result<()> {
        let begun = Instant::now();
        while !Figures::of(metrics).await?.attached {
            ensure!(
                begun.elapsed() < Duration::from_secs(30),
                "it is never attached"
            );
            tokio::time::sleep(EVERY).await;
        }
        Ok(())
    }
}

/// What a fault did to the origin; times in milliseconds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    /// From the end of the fault until the origin was attached for good; `None` if it never was cut off.
    pub(crate) attached_after: Option<f64>,
    /// It was still cut off at the end.
    pub(crate) lost: bool,
    /// Calls to Redis that waited for as long as they may.
    pub(crate) timeouts: u64,
    /// From the begin of the fault until the breaker opened first, and closed last.
    pub(crate) opened: Option<f64>,
    pub(crate) closed: Option<f64>,
}

impl Course {
    pub(crate) fn of(samples: &Samples, begun: Instant, ended: Instant) -> Self {
        let Some((before, [.., (_, last)])) = samples
            .iter()
            .rev()
            .find(|(at, _)| *at <= begun)
            .map(|(_, figures)| figures)
            .zip(Some(samples.as_slice()))
        else {
            return Self::default();
        };
        let since = samples.iter().filter(|(at, _)| *at > begun);
        let ms =
            |from: Instant, at: Instant| at.saturating_duration_since(from).as_secs_f64() * 1000.0;
        let cut_off = since
            .clone()
            .rfind(|(_, now)| !now.attached)
            .map(|(at, _)| *at);
        let again = cut_off.and_then(|cut_off| {
            let later = since
                .clone()
                .find(|(at, now)| *at > cut_off && now.attached);
            later.map(|(at, _)| ms(ended, *at))
        });
        let mut changes = samples.windows(2).filter(|pair| pair[1].0 > begun);
        let opened = changes
            .clone()
            .find(|pair| pair[1].1.opened > pair[0].1.opened)
            .map(|pair| ms(begun, pair[1].0));
        let closed = changes
            .rfind(|pair| pair[1].1.closed > pair[0].1.closed)
            .map(|pair| ms(begun, pair[1].0));
        Self {
            attached_after: again,
            lost: !last.attached,
            timeouts: last.timeouts - before.timeouts,
            opened,
            closed,
        }
    }
}
