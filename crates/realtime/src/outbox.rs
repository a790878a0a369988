//! What waits to be written to one connection, bounded: who reads too slowly is closed, and nobody else
//! waits for them.

use std::collections::VecDeque;
use std::ops::Deref;

/// The most frames that wait.
pub const MAX_FRAMES: usize = 1000;

/// The most bytes that wait.
pub const MAX_BYTES: usize = 1 << 20;

/// More waits than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client reads too slowly")]
pub struct TooSlow;

/// Frames in the order in which they are to be written.
#[derive(Debug)]
pub struct Outbox<F> {
    frames: VecDeque<F>,
    bytes: usize,
}

impl<F> Default for Outbox<F> {
    fn default() -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
        }
    }
}

impl<F: Deref<Target: AsRef<[u8]>>> Outbox<F> {
    /// Adds a frame, unless more would wait than may.
    pub fn push(&mut self, frame: F) -> Result<(), TooSlow> {
        let bytes = self.bytes + length(&frame);
        if self.frames.len() >= MAX_FRAMES || bytes > MAX_BYTES {
            return Err(TooSlow);
        }
        self.bytes = bytes;
        self.frames.push_back(frame);
        Ok(())
    }

    /// Takes the next frame. Memory that a burst needed is given back when nothing waits.
    pub fn pop(&mut self) -> Option<F> {
        let frame = self.frames.pop_front();
        match &frame {
            Some(frame) => self.bytes -= length(frame),
            None => self.frames.shrink_to(4),
        }
        frame
    }

    /// Forgets what waits.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

fn length<F: Deref<Target: AsRef<[u8]>>>(frame: &F) -> usize {
    (**frame).as_ref().len()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn frames_and_bytes_are_bounded_and_come_out_in_order() {
        let mut outbox = Outbox::default();
        for n in 0..MAX_FRAMES {
            outbox.push(n.to_string().into()).expect("room for it");
        }
        assert_eq!(outbox.push(Bytes::new()), Err(TooSlow));
        assert_eq!(outbox.pop().as_deref(), Some(&b"0"[..]));
        outbox
            .push(Bytes::from(vec![b' '; MAX_BYTES]))
            .expect_err("too many bytes");
        outbox.push(Bytes::new()).expect("one place is free");
        outbox.clear();
        assert!(outbox.is_empty());
        outbox
            .push(Bytes::from(vec![b' '; MAX_BYTES]))
            .expect("exactly as much as may");
        assert_eq!(outbox.push(Bytes::from_static(b"1")), Err(TooSlow));
    }
}
