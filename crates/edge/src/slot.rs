//! What is stored for one address: its variants and their bodies.

use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use pitchey_http_cache::{Change, Content, SharedCache, Stored};

use crate::coding::Coded;

/// The version of how a slot is written.
const VERSION: u8 = 1;

/// The stored responses of an address, each with the bytes of its body.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    variants: Vec<Stored>,
    bodies: Vec<Bytes>,
    /// The same, coded.
    coded: Vec<Arc<Coded>>,
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

    /// The codings of that body.
    pub(crate) fn coded(&self, variant: usize) -> Option<&Coded> {
        self.coded.get(variant).map(Arc::as_ref)
    }

    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> usize {
        let fields: usize = self.variants.iter().map(Stored::weight).sum();
        let bodies: usize = self.bodies.iter().map(Bytes::len).sum();
        let coded: usize = self.coded.iter().map(|coded| coded.weight()).sum();
        size_of::<Self>() + fields + bodies + coded
    }

    /// Writes it as bytes: a version, the length of the responses, the responses, and each body behind its
    /// length. Lengths are four bytes, the lowest first.
    pub(crate) fn encode(&self, cache: &SharedCache) -> Vec<u8> {
        let variants = cache.encode_variants(&self.variants);
        let bodies: usize = self.bodies.iter().map(|body| body.len() + 4).sum();
        let mut out = Vec::with_capacity(1 + 4 + variants.len() + bodies);
        out.push(VERSION);
        let all = self.bodies.iter().map(Bytes::as_ref);
        for piece in std::iter::once(&*variants).chain(all) {
            // Nothing that is kept is as long.
            let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(piece);
        }
        out
    }

    /// Takes back what [`Slot::encode`] wrote; `None` if it is anything else.
    pub(crate) fn decode(mut bytes: &[u8], cache: &SharedCache) -> Option<Self> {
        if bytes.try_get_u8() != Ok(VERSION) {
            return None;
        }
        let mut piece = || {
            let length = usize::try_from(bytes.try_get_u32_le().ok()?).ok()?;
            let (piece, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            Some(piece)
        };
        let variants = cache.decode_variants(piece()?).ok()?;
        // Copies, and not slices of a larger buffer that would be kept with them.
        let bodies = variants
            .iter()
            .map(|_| Some(Bytes::copy_from_slice(piece()?)))
            .collect::<Option<_>>()?;
        let is_whole = bytes.is_empty() && !variants.is_empty();
        // Who shares what is kept leaves codings to others.
        let coded = variants.iter().map(|_| Arc::default()).collect();
        is_whole.then_some(Self {
            variants,
            bodies,
            coded,
        })
    }

    /// Whether it has the very bodies of another one.
    pub(crate) fn has_bodies_of(&self, other: &Self) -> bool {
        let is_same = |(one, other): (&Bytes, &Bytes)| {
            one.as_ptr() == other.as_ptr() && one.len() == other.len()
        };
        self.bodies.len() == other.bodies.len()
            && self.bodies.iter().zip(&other.bodies).all(is_same)
    }

    /// The slot after these changes; `None` if nothing is left. Changes that need a body which is not there
    /// are left out.
    /// Bodies are coded later if `codes` says so.
    pub(crate) fn changed(
        &self,
        changes: &[Change],
        body: Option<&Received>,
        codes: bool,
    ) -> Option<Self> {
        let coded = |stored: &Stored, bytes: &Bytes| {
            let length = u64::try_from(bytes.len()).ok();
            let is_whole = *stored.content() == Content::Whole { length };
            Arc::new(if codes && is_whole {
                Coded::of(stored.headers(), bytes.len())
            } else {
                Coded::default()
            })
        };
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
                        next.coded[*variant] = coded(stored, &bytes);
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
                next.coded.remove(variant);
            }
        }
        if let Some((stored, bytes)) = added {
            next.coded.push(coded(&stored, &bytes));
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
