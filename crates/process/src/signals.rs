//! The signals that end the process.

use std::future::Future;
use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A second signal has ended the process with requests in flight.
#[derive(Debug, thiserror::Error)]
#[error("stopped at once by a second {0}")]
pub struct CutShort(&'static str);

/// Runs a server until it ends by itself or by SIGTERM or SIGINT. The first signal cancels the token
/// that `serve` was given, and the server may take its time to stop; whoever sends a second one does
/// not want to wait.
pub async fn until_stopped<Served>(
    serve: impl FnOnce(CancellationToken) -> Served,
) -> anyhow::Result<()>
where
    Served: Future<Output = anyhow::Result<()>>,
{
    let mut signals = Signals {
        terminate: signal(SignalKind::terminate())?,
        interrupt: signal(SignalKind::interrupt())?,
    };
    let stop = CancellationToken::new();
    let mut serving = pin!(serve(stop.clone()));
    tokio::select! {
        result = serving.as_mut() => return result,
        name = signals.next() => tracing::info!(signal = name, "stopping"),
    }
    stop.cancel();
    tokio::select! {
        result = serving => result,
        name = signals.next() => Err(CutShort(name).into()),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
