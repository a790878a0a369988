//! What is stored for one address: its variants and their bodies.

use bytes::Bytes;
use pitchey_http_cache::{Change, Stored};

/// The stored responses of an address, each with the bytes of its body.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    variants: Vec<Stored>,
    bodies: Vec<Bytes>,
}

/// A body that came from the origin.
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    /// Whether it came to its end.
    pub(crate) complete: bool,
}

impl Slot {
    /// The responses, in the order in which the decisions of the cache count them.
    pub fn variants(&self) -> &[Stored] {
        &self.variants
    }

    /// The bytes that are stored of the body of a response.
    pub fn body(&self, variant: usize) -> Option<&Bytes> {
        self.bodies.get(variant)
    }

    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let fields: usize = self.variants.iter().map(Stored::weight).sum();
        let bodies: usize = self.bodies.iter().map(Bytes::len).sum();
        size_of::<Self>() + fields + bodies
    }

    /// The slot after these changes; `None` if nothing is left. Changes that need a body which is not there
    /// are left out.
    pub(crate) fn changed(&self, changes: &[Change], body: Option<&Received>) -> Option<Self> {
        let mut next = self.clone();
        let mut gone = Vec::new();
        let mut added = None;
        for change in changes {
            match change {
                Change::Insert(stored) => added = body.and_then(|body| inserted(stored, body)),
                Change::Update { variant, stored } => next.replace(*variant, stored),
                Change::Splice {
                    variant,
                    stored,
                    span,
                } => {
                    let whole = body.filter(|body| body.complete);
                    let spliced = whole.zip(self.bodies.get(*variant)).and_then(|(new, old)| {
                        let content = self.variants.get(*variant)?.content();
                        let length = stored.content().length();
                        content.splice(old, *span, length, &new.bytes)
                    });
                    if let Some((_, bytes)) = spliced {
                        next.replace(*variant, stored);
                        next.bodies[*variant] = bytes;
                    }
                }
                Change::Remove { variant } => gone.push(*variant),
            }
        }
        // What makes room for something that did not come stays.
        let inserts = |change: &Change| matches!(change, Change::Insert(_));
        if added.is_none() && changes.iter().any(inserts) {
            gone.clear();
        }
        gone.sort_unstable();
        for variant in gone.into_iter().rev() {
            if variant < next.variants.len() {
                next.variants.remove(variant);
                next.bodies.remove(variant);
            }
        }
        if let Some((stored, bytes)) = added {
            next.variants.push(stored);
            next.bodies.push(bytes);
        }
        (!next.variants.is_empty()).then_some(next)
    }

    fn replace(&mut self, variant: usize, stored: &Stored) {
        if let Some(place) = self.variants.get_mut(variant) {
            stored.clone_into(place);
        }
    }
}

fn inserted(stored: &Stored, body: &Received) -> Option<(Stored, Bytes)> {
    let length = u64::try_from(body.bytes.len()).ok()?;
    let stored = stored.clone();
    let stored = if body.complete {
        stored.complete(length)
    } else {
        stored.truncated(length)
    };
    Some((stored?, body.bytes.clone()))
}
