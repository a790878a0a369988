//! Where frames of a WebSocket begin and end (RFC 6455, section 5.2), as far as a tunnel must know it to
//! say something of its own between two of them.

/// A place in a stream of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frames {
    /// Bytes of the header that have passed.
    seen: u8,
    /// Bytes of the header that say how long the frame is, and are yet to pass.
    lengths: u8,
    /// Bytes of the mask that are yet to pass.
    masks: u8,
    /// Bytes of the content: of which so many are known of so far, then are yet to pass.
    content: u64,
}

impl Frames {
    /// Whether one frame has ended and no other has begun.
    pub(crate) const fn is_between(self) -> bool {
        self.seen == 0 && self.content == 0
    }

    /// Goes on by what has passed.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.seen == 0 && self.content > 0 {
                let here = u64::try_from(bytes.len()).map_or(self.content, |n| n.min(self.content));
                self.content -= here;
                let here = usize::try_from(here).unwrap_or(bytes.len());
                bytes = bytes.get(here..).unwrap_or_default();
            } else {
                self.header(byte);
                bytes = rest;
            }
        }
    }

    fn header(&mut self, byte: u8) {
        match self.seen {
            0 => {
                self.seen = 1;
                return;
            }
            1 => {
                self.seen = 2;
                self.masks = if byte & 0x80 == 0 { 0 } else { 4 };
                (self.lengths, self.content) = match byte & 0x7f {
                    126 => (2, 0),
                    127 => (8, 0),
                    length => (0, u64::from(length)),
                };
            }
            _ if self.lengths > 0 => {
                self.lengths -= 1;
                self.content = self.content << 8 | u64::from(byte);
            }
            _ => self.masks -= 1,
        }
        if self.lengths == 0 && self.masks == 0 {
            self.seen = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which bytes one frame has ended and no other has begun, passed in pieces of this length.
    fn ends(bytes: &[u8], piece: usize) -> Vec<usize> {
        let mut frames = Frames::default();
        let mut at = 0;
        let mut ends = Vec::new();
        for piece in bytes.chunks(piece) {
            frames.pass(piece);
            at += piece.len();
            if frames.is_between() {
                ends.push(at);
            }
        }
        ends
    }

    #[test]
    fn frames_of_every_length_end_where_they_end() {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (header, length) in [
            (&[0x81, 0][..], 0),
            (&[0x81, 125], 125),
            (&[0x82, 126, 0, 126], 126),
            (&[0x82, 126, 0x12, 0x34], 0x1234),
            (&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 0x1_0000),
            (&[0x88, 0x82, 1, 2, 3, 4], 2),
            (&[0x88, 0x80, 1, 2, 3, 4], 0),
            (&[0x81, 0xfe, 0, 200, 1, 2, 3, 4], 200),
        ] {
            bytes.extend_from_slice(header);
            bytes.resize(bytes.len() + length, 0x81);
            expected.push(bytes.len());
        }
        assert_eq!(ends(&bytes, 1), expected);
        for piece in [2, 7, 4096, bytes.len()] {
            let seen = ends(&bytes, piece);
            let at_piece = |at: &&usize| (*at).is_multiple_of(piece) || **at == bytes.len();
            let expected: Vec<_> = expected.iter().filter(at_piece).copied().collect();
            assert_eq!(seen, expected, "pieces of {piece}");
        }
    }
}
