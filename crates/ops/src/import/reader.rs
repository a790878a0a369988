//! Reading, checking and mapping a file in a thread of its own, while batches before are being written.

use super::lines::{Line, Lines};
use super::mapping::{Adjustments, Mapper};
use super::record;
use anyhow::Context as _;
use pitchey_store_pg::bulk::Film;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::BufRead;
use tokio::sync::mpsc;

/// A longer line is refused; the longest film that was ever seen has a hundredth of it.
pub(super) const MAX_LINE: usize = 256 * 1024;
/// Every film's key is remembered, to tell the same film twice in a file; this bounds the memory for it.
const MAX_FILMS: usize = 5_000_000;
/// A batch ends after so many lines even if few of them are films.
const LINES_PER_FILM: usize = 10;

/// A line that was refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Rejection {
    /// Its number; the first line is 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// A line about a film that an earlier line was about.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Repetition {
    /// Its number.
    pub line: u64,
    /// The earlier line, which was taken.
    pub of: u64,
    /// Whether both say the same.
    pub identical: bool,
}

/// How far and with what the reader is.
#[derive(Debug)]
pub(super) struct Batch {
    /// Films to be written, no key twice in the whole file.
    pub(super) films: Vec<Film>,
    pub(super) rejections: Vec<Rejection>,
    pub(super) repetitions: Vec<Repetition>,
    /// The last line that this batch covers.
    pub(super) last_line: u64,
    /// Of the whole file up to there.
    pub(super) rejected: u64,
    pub(super) end: Option<End>,
}

/// Why no further batch comes.
#[derive(Debug)]
pub(super) enum End {
    /// The file is at its end.
    Whole(Adjustments),
    /// More lines were refused than are tolerated.
    TooManyErrors,
    /// It could not be read on.
    Failed(anyhow::Error),
}

/// What the reader does with what it reads.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) mapper: Mapper,
    /// Films of these first lines were written by the run before.
    pub(super) skip: u64,
    pub(super) batch_size: usize,
    pub(super) max_errors: u64,
}

/// The earlier line about a film, and the start of the hash of what it says.
struct Seen {
    line: u64,
    content: u64,
}

impl Reader {
    /// Reads `text` to its end, or until nobody listens any more.
    pub(super) fn run(mut self, text: impl BufRead, batches: &mpsc::Sender<Batch>) {
        let mut lines = Lines::new(text, MAX_LINE);
        let mut seen = HashMap::new();
        let mut rejected = 0;
        loop {
            let mut batch = Batch {
                films: Vec::new(),
                rejections: Vec::new(),
                repetitions: Vec::new(),
                last_line: 0,
                rejected,
                end: None,
            };
            batch.end = self.fill(&mut batch, &mut lines, &mut seen);
            batch.last_line = lines.number();
            rejected = batch.rejected;
            let last = batch.end.is_some();
            if batches.blocking_send(batch).is_err() || last {
                return;
            }
        }
    }

    fn fill(
        &mut self,
        batch: &mut Batch,
        lines: &mut Lines<impl BufRead>,
        seen: &mut HashMap<u128, Seen>,
    ) -> Option<End> {
        for _ in 0..self.batch_size * LINES_PER_FILM {
            let line = match lines.next() {
                Ok(line) => line,
                Err(error) => {
                    let after = lines.number();
                    return Some(End::Failed(
                        anyhow::Error::new(error)
                            .context(format!("the file cannot be read on after line {after}")),
                    ));
                }
            };
            let film = match line {
                None => return Some(End::Whole(std::mem::take(&mut self.mapper.adjustments))),
                Some(Line::TooLong { bytes }) => Err(format!(
                    "{bytes} bytes long, more than the {MAX_LINE} that a line may have"
                )),
                Some(Line::Whole(line)) => {
                    record::parse(line).and_then(|record| self.mapper.film(&record))
                }
            };
            let line = lines.number();
            match film {
                Err(reason) => {
                    batch.rejected += 1;
                    // Those before were reported by the run before.
                    if line > self.skip {
                        batch.rejections.push(Rejection { line, reason });
                    }
                    if batch.rejected > self.max_errors {
                        return Some(End::TooManyErrors);
                    }
                }
                Ok(film) => match remember(seen, &film, line) {
                    Err(error) => return Some(End::Failed(error)),
                    Ok(Some(repetition)) => batch.repetitions.push(repetition),
                    Ok(None) if line > self.skip => batch.films.push(film),
                    Ok(None) => {}
                },
            }
            if batch.films.len() >= self.batch_size {
                break;
            }
        }
        None
    }
}

fn remember(
    seen: &mut HashMap<u128, Seen>,
    film: &Film,
    line: u64,
) -> anyhow::Result<Option<Repetition>> {
    let mut content = [0; 8];
    content.copy_from_slice(&film.content_hash[..8]);
    let content = u64::from_be_bytes(content);
    let full = seen.len() >= MAX_FILMS;
    // The id follows from the natural key.
    match seen.entry(film.id.0.as_u128()) {
        Entry::Occupied(earlier) => Ok(Some(Repetition {
            line,
            of: earlier.get().line,
            identical: earlier.get().content == content,
        })),
        Entry::Vacant(_) if full => None.with_context(|| {
            format!("more than {MAX_FILMS} films in one file: split it before line {line}")
        }),
        Entry::Vacant(place) => {
            place.insert(Seen { line, content });
            Ok(None)
        }
    }
}
