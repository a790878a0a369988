//! The signals that end the process.

use std::future::Future;
use std::pin::pin;

use anyhow::bail;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Runs a server until it ends by itself or by SIGTERM or SIGINT. The first signal cancels the token, and
/// the server may take its time to stop; whoever sends a second one does not want to wait.
pub async fn until_stopped<Served>(
    serve: impl FnOnce(CancellationToken) -> Served,
) -> anyhow::Result<()>
where
    Served: Future<Output = anyhow::Result<()>>,
{
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let mut serving = pin!(serve(stop.clone()));
    tokio::select! {
        result = serving.as_mut() => return result,
        () = next(&mut terminate, &mut interrupt) => tracing::info!("stopping"),
    }
    stop.cancel();
    tokio::select! {
        result = serving => result,
        () = next(&mut terminate, &mut interrupt) => bail!("stopped at once by a second signal"),
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
