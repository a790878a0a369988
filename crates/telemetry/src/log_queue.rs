//! Log lines on their way to whoever reads them.
//!
//! Lines are gathered for a moment and written together by a thread of their own: to wake it for each would
//! cost a request more than everything else about its line. A stuck reader must not stop the process, so what
//! does not fit is dropped and counted.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for a slow reader, in bytes together.
const QUEUED_BYTES: usize = 4 * 1024 * 1024;

/// How long lines are gathered before they are written.
const GATHERED_FOR: Duration = Duration::from_millis(5);

/// How long the end waits for what is still queued.
const END_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    /// The thread waits until it is told of a line.
    idle: bool,
    /// No more lines will come.
    ending: bool,
    ended: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, or drops it if there is no room.
    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.lines.len() + line.len() > self.limit {
            drop(state);
            metrics::counter!(crate::names::LOG_LINES_DROPPED).increment(1);
            return;
        }
        state.lines.extend_from_slice(line);
        if state.idle {
            state.idle = false;
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Writes what comes until no more will.
    fn write_to(&self, mut reader: impl Write) {
        let mut taken = Vec::new();
        let mut state = self.lock();
        while !(state.lines.is_empty() && state.ending) {
            if state.lines.is_empty() {
                state.idle = true;
                let waiting = |state: &mut State| state.idle && !state.ending;
                let waited = self.changed.wait_while(state, waiting);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                state.idle = false;
            }
            let gathering = |state: &mut State| !state.ending;
            let waited = self
                .changed
                .wait_timeout_while(state, GATHERED_FOR, gathering);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            std::mem::swap(&mut taken, &mut state.lines);
            drop(state);
            // Nobody is left to be told that it cannot be written.
            let _ = reader.write_all(&taken).and_then(|()| reader.flush());
            taken.clear();
            state = self.lock();
        }
        state.ended = true;
        drop(state);
        self.changed.notify_all();
    }
}

/// Takes lines from any thread.
#[derive(Clone)]
pub(crate) struct Queue(Arc<Shared>);

/// Writes what is still queued when dropped.
pub(crate) struct Drain(Arc<Shared>);

/// A queue in front of a reader.
pub(crate) fn queue(reader: impl Write + Send + 'static) -> io::Result<(Queue, Drain)> {
    queue_of(QUEUED_BYTES, reader)
}

fn queue_of(limit: usize, reader: impl Write + Send + 'static) -> io::Result<(Queue, Drain)> {
    let shared = Arc::new(Shared {
        state: Mutex::default(),
        changed: Condvar::new(),
        limit,
    });
    let writing = shared.clone();
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || writing.write_to(reader))?;
    Ok((Queue(shared.clone()), Drain(shared)))
}

impl Drop for Drain {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.ending = true;
        self.0.changed.notify_all();
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, END_TIMEOUT, |state| !state.ended);
        drop(waited);
    }
}

/// One line: the formatter writes it in one piece.
pub(crate) struct Line<'a>(&'a Shared);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    /// A reader that takes nothing while the lock is held.
    #[derive(Clone, Default)]
    struct Reader(Arc<Mutex<Vec<u8>>>);

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut taken = self.0.lock().expect("not poisoned");
            taken.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(queue: &Queue, line: &str) {
        let written = queue.make_writer().write_all(line.as_bytes());
        written.expect("a queue takes everything");
    }

    #[test]
    fn every_line_of_every_thread_is_written_whole_and_in_its_order() {
        let reader = Reader::default();
        let (queue, drain) = queue(reader.clone()).expect("a thread");
        thread::scope(|scope| {
            for writer in 0..4 {
                let queue = &queue;
                scope.spawn(move || {
                    for n in 0..500 {
                        log(queue, &format!("{writer} {n}\n"));
                    }
                });
            }
        });
        drop(drain);
        let text = reader.0.lock().expect("not poisoned").clone();
        let text = String::from_utf8(text).expect("text");
        assert_eq!(text.lines().count(), 2000);
        for writer in 0..4 {
            let mine = text.lines().filter_map(|line| line.split_once(' '));
            let mine = mine.filter(|(from, _)| *from == writer.to_string());
            let numbers: Vec<usize> = mine.filter_map(|(_, n)| n.parse().ok()).collect();
            assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lines_that_a_stuck_reader_does_not_take_are_dropped_and_counted() {
        let reader = Reader::default();
        let held = reader.0.lock().expect("not poisoned");
        let (queue, drain) = queue_of(10, reader.clone()).expect("a thread");
        let recorder = PrometheusBuilder::new().build_recorder();
        let figures = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            // Two are with the reader at most, two in the queue.
            for _ in 0..8 {
                log(&queue, "line\n");
            }
        });
        drop(held);
        drop(drain);
        let written = reader.0.lock().expect("not poisoned").len() / "line\n".len();
        let text = figures.render();
        let dropped = text.lines().find_map(|line| {
            let value = line.strip_prefix("log_lines_dropped_total ")?;
            value.parse::<usize>().ok()
        });
        assert!(written <= 4, "{written}");
        assert_eq!(dropped, Some(8 - written), "{text}");
    }
}
