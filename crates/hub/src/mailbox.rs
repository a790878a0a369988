//! What is to be written to one connection, between the node that decides and the task that writes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use pitchey_realtime::CloseCode;
use pitchey_realtime::outbox::{Outbox, TooSlow};
use tokio::sync::Notify;

/// The next thing to write.
pub(crate) enum Mail {
    Frame(Utf8Bytes),
    Ping,
    /// The last.
    Close(CloseCode),
}

/// Written to by the node, read by one task.
#[derive(Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    news: Notify,
}

#[derive(Default)]
struct State {
    frames: Outbox<Utf8Bytes>,
    ping: bool,
    close: Option<CloseCode>,
}

impl Mailbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn push(&self, frame: Utf8Bytes) -> Result<(), TooSlow> {
        let mut state = self.lock();
        if state.close.is_some() {
            return Ok(());
        }
        let pushed = state.frames.push(frame);
        drop(state);
        self.news.notify_one();
        pushed
    }

    pub(crate) fn ping(&self) {
        self.lock().ping = true;
        self.news.notify_one();
    }

    /// Closes after what waits; at once if too much waits, for that would not be read in time.
    pub(crate) fn close(&self, code: CloseCode) {
        let mut state = self.lock();
        if state.close.is_none() {
            state.close = Some(code);
            if code == CloseCode::Slow {
                state.frames.clear();
            }
        }
        drop(state);
        self.news.notify_one();
    }

    /// Waits for the next thing.
    pub(crate) async fn next(&self) -> Mail {
        loop {
            if let Some(mail) = self.try_next() {
                return mail;
            }
            self.news.notified().await;
        }
    }

    /// What is there already.
    pub(crate) fn try_next(&self) -> Option<Mail> {
        let mut state = self.lock();
        if let Some(frame) = state.frames.pop() {
            return Some(Mail::Frame(frame));
        }
        if let Some(code) = state.close {
            return Some(Mail::Close(code));
        }
        std::mem::take(&mut state.ping).then_some(Mail::Ping)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
