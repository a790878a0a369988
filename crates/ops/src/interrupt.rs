//! Ctrl-C: the first asks for an orderly stop, the second ends the process.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The exit code of a command that was stopped by a signal, as shells have it for SIGINT.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Says whether the command was asked to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// One that never comes.
    pub fn never() -> Self {
        Self(watch::channel(false).1)
    }

    /// Listens to SIGINT and SIGTERM for as long as the task in `tasks` runs. `notice` is printed at the first.
    pub(crate) fn listen(tasks: &mut JoinSet<()>, notice: &'static str) -> std::io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        tasks.spawn(async move {
            for first in [true, false] {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if first {
                    eprintln!("\n{notice}");
                    sender.send_replace(true);
                }
            }
            std::process::exit(EXIT_INTERRUPTED.into());
        });
        Ok(Self(receiver))
    }

    /// Whether a stop was asked for.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until a stop is asked for.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}
