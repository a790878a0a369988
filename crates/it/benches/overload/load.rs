//! The load: requests over connections of its own, written and read by hand, so that the load costs little
//! beside the server; and what came of them.

use crate::percentile::percentile;
use anyhow::{Context as _, Result, bail};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// A keep-alive connection for one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(32 * 1024),
        })
    }

    /// The status of the answer to a GET, and its body.
    pub(crate) async fn get(&mut self, target: &str) -> Result<(u16, String)> {
        let request = format!("GET {target} HTTP/1.1\r\nhost: bench\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let body_at = loop {
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        let head = std::str::from_utf8(&self.buffer[..body_at])?.to_ascii_lowercase();
        let status = head.get(9..12).context("no status")?.parse()?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .with_context(|| format!("an answer without a length: {head}"))?;
        let end = body_at + length.parse::<usize>()?;
        while self.buffer.len() < end {
            self.read().await?;
        }
        let body = String::from_utf8_lossy(&self.buffer[body_at..end]);
        Ok((status, body.into_owned()))
    }

    async fn read(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server has closed the connection");
        }
        Ok(())
    }
}

/// What came of a window of load.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Good answers in a second.
    pub(crate) good_per_s: f64,
    /// Good answers, all answers.
    pub(crate) good: usize,
    pub(crate) all: usize,
    /// Waits for good answers and for refusals, in milliseconds, ascending, each from the moment that was
    /// planned for its request.
    pub(crate) good_ms: Vec<f64>,
    pub(crate) refused_ms: Vec<f64>,
    /// How late requests were sent, in milliseconds, ascending: the load's own fault.
    pub(crate) late_ms: Vec<f64>,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.good_ms.extend(other.good_ms);
        self.refused_ms.extend(other.refused_ms);
        self.late_ms.extend(other.late_ms);
    }

    fn finish(mut self, took: Duration) -> Self {
        for waits in [&mut self.good_ms, &mut self.refused_ms, &mut self.late_ms] {
            waits.sort_by(f64::total_cmp);
        }
        self.good = self.good_ms.len();
        self.all = self.good + self.refused_ms.len();
        self.good_per_s = self.good as f64 / took.as_secs_f64();
        self
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// `requests_per_s`, whatever the answers do; without a rate as many as the connections allow.
pub(crate) async fn offer(
    address: SocketAddr,
    target: &'static str,
    connections: usize,
    requests_per_s: Option<f64>,
    window: Duration,
) -> Result<Seen> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for mut connection in open {
        let next = next.clone();
        workers.spawn(async move {
            let mut seen = Seen::default();
            loop {
                let planned = match requests_per_s {
                    None => Instant::now(),
                    Some(rate) => {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        start + Duration::from_secs_f64(number as f64 / rate)
                    }
                };
                if planned - start >= window {
                    return anyhow::Ok(seen);
                }
                tokio::time::sleep_until(planned).await;
                seen.late_ms.push(ms(planned.elapsed()));
                let (status, body) = connection.get(target).await?;
                match status {
                    200 => seen.good_ms.push(ms(planned.elapsed())),
                    503 => seen.refused_ms.push(ms(planned.elapsed())),
                    _ => bail!("{status}: {body}"),
                }
            }
        });
    }
    let mut all = Seen::default();
    while let Some(seen) = workers.join_next().await {
        all.add(seen??);
    }
    Ok(all.finish(start.elapsed()))
}

/// The value of a figure in the text of the metrics; zero if it is not there.
pub(crate) fn figure(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// Median, least and most of some rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self {
            median: percentile(&values, 0.5),
            least: percentile(&values, 0.0),
            most: percentile(&values, 1.0),
        }
    }

    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::json!({"median": self.median, "least": self.least, "most": self.most})
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}
