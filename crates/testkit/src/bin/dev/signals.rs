//! Counts the requests to stop: the first asks for an orderly end, the second for an end at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// How often this process was asked to stop, by Ctrl-C, SIGTERM or a terminal that closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Counts from now on.
    pub(crate) fn listen() -> Result<Self> {
        let interrupts = Self::default();
        let count = Arc::clone(&interrupts.0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let (mut interrupt, mut terminate, mut hang_up) = runtime.block_on(async {
            anyhow::Ok((
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
                signal(SignalKind::hangup())?,
            ))
        })?;
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    loop {
                        tokio::select! {
                            _ = interrupt.recv() => {}
                            _ = terminate.recv() => {}
                            _ = hang_up.recv() => {}
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                });
            })?;
        Ok(interrupts)
    }

    /// Whether nobody has asked yet.
    pub(crate) fn none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Whether somebody has lost patience.
    pub(crate) fn urgent(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }

    /// Fails if somebody has asked: for use between the steps of the start.
    pub(crate) fn check(&self) -> Result<()> {
        if self.none() {
            Ok(())
        } else {
            bail!("interrupted")
        }
    }
}
