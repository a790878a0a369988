//! What the cache decides: plain values, which the caller carries out.

use bytes::{Bytes, BytesMut};
use http::header::{HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};

use crate::key::Key;
use crate::range::{Content, Span};
use crate::status::{CacheStatus, Reason};
use crate::stored::{Refusal, Stored};

/// A request as the cache looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method; methods are case-sensitive.
    pub method: &'a Method,
    /// Its target URI, absolute: with scheme and authority.
    pub uri: &'a Uri,
    /// Its fields as they came.
    pub headers: &'a HeaderMap,
}

impl<'a, B> From<&'a http::Request<B>> for Request<'a> {
    fn from(request: &'a http::Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
        }
    }
}

/// What to do with a request.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Answer with this and do nothing else.
    Serve(Answer),
    /// Answer with this, and renew what is stored while nobody waits.
    ServeStale {
        /// The answer, which is stale.
        answer: Answer,
        /// What to ask the origin meanwhile. Its response goes to
        /// [`SharedCache::on_response`](crate::SharedCache::on_response) like any other; nobody gets
        /// it.
        revalidate: Fetch,
    },
    /// Ask the origin whether what is stored is still good.
    Validate(Fetch),
    /// Ask the origin for it.
    Forward(Fetch),
    /// The client wants what is stored or nothing, and it is nothing: the answer is a 504.
    Unsatisfied(Answer),
}

/// A request to the origin.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The method to send.
    pub method: Method,
    /// The fields to send: those of the client, without those of its connection, and with the cache's
    /// own conditions if it has some. `Via` and the like are the caller's to add.
    pub headers: HeaderMap,
    /// Why it is sent.
    pub reason: Reason,
    pub(crate) conditions: Option<Conditions>,
    /// The client's conditions are not in it, and are answered from what comes back.
    pub(crate) answers_client: bool,
}

impl Fetch {
    /// Whether the conditions in it are the cache's own, so that a 304 is an answer to the cache.
    pub fn is_conditional(&self) -> bool {
        self.conditions.is_some()
    }
}

/// The validators that a request to the origin shows, all of them of stored responses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) tags: Vec<HeaderValue>,
    pub(crate) modified: Option<HeaderValue>,
}

/// Where the bytes of an answer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// With the stored response at this place of the slice that was given.
    Stored(usize),
    /// With the response that has just come.
    Received,
    /// Nowhere: the cache made the answer, which has no body.
    Made,
}

/// A whole response to the client, but for the bytes of its body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The fields, with `Age`, and with `Content-Length` where it is known. `Cache-Status` is not among
    /// them: see [`CacheStatus::append_to`].
    pub headers: HeaderMap,
    /// Where the body is from.
    pub source: Source,
    /// Which bytes of it are sent.
    pub body: Body,
    /// What was done, in the words of RFC 9211.
    pub cache_status: CacheStatus,
    /// Whether nobody may change coding or form of the content: the request or the response says so.
    pub no_transform: bool,
}

/// Which bytes an answer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    Empty,
    /// All of the representation.
    Whole,
    /// One run of it.
    Span(Span),
    /// Several runs, each with its own head.
    Multipart(Multipart),
}

/// The body of a `multipart/byteranges` response (RFC 9110, 14.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multipart {
    /// The text before each run, and the run.
    pub parts: Vec<(Bytes, Span)>,
    /// The text behind the last one.
    pub closing: Bytes,
}

impl Multipart {
    /// How many bytes all of it has.
    pub fn length(&self) -> u64 {
        let count = |bytes: &Bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.parts
            .iter()
            .fold(count(&self.closing), |sum, (head, span)| {
                sum.saturating_add(count(head))
                    .saturating_add(span.length())
            })
    }
}

impl Body {
    /// Cuts the bytes out of what is stored, for callers that have it in memory in one piece. `None` if
    /// the stored bytes are fewer than `content` says.
    pub fn assemble(&self, content: &Content, stored: &Bytes) -> Option<Bytes> {
        let cut = |span: Span| {
            let start = usize::try_from(content.locate(span)?).ok()?;
            let end = start.checked_add(usize::try_from(span.length()).ok()?)?;
            (end <= stored.len()).then(|| stored.slice(start..end))
        };
        match self {
            Self::Empty => Some(Bytes::new()),
            Self::Whole => Some(stored.clone()),
            Self::Span(span) => cut(*span),
            Self::Multipart(multipart) => {
                let mut all = BytesMut::new();
                for (head, span) in &multipart.parts {
                    all.extend_from_slice(head);
                    all.extend_from_slice(&cut(*span)?);
                }
                all.extend_from_slice(&multipart.closing);
                Some(all.freeze())
            }
        }
    }
}

/// A response of the origin.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its fields as they came.
    pub headers: &'a HeaderMap,
}

impl<'a, B> From<&'a http::Response<B>> for Response<'a> {
    fn from(response: &'a http::Response<B>) -> Self {
        Self {
            status: response.status(),
            headers: response.headers(),
        }
    }
}

/// What to do with a response: three things that are independent of each other.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the client gets.
    pub respond: Respond,
    /// What becomes of the stored responses for the request's own key. Places are those in the slice
    /// that was given.
    pub changes: Vec<Change>,
    /// The keys of which nothing may be served any more without validation: remove what is stored
    /// there, or replace it by [`Stored::invalidated`].
    pub invalidate: Vec<Key>,
    /// Why the response itself is not stored, if it is not.
    pub refusal: Option<Refusal>,
}

/// What the client gets.
#[derive(Clone, Debug)]
pub enum Respond {
    /// The response of the origin.
    Upstream {
        /// Its fields, without those of the connection, and with a `Date`.
        headers: HeaderMap,
        /// What was done, in the words of RFC 9211.
        cache_status: CacheStatus,
        /// Whether nobody may change coding or form of the content.
        no_transform: bool,
    },
    /// This. A body of [`Source::Stored`] is the one that was stored before the changes, which do not
    /// touch it; if `changes` stores the response, its body is to be read all the same.
    Answer(Answer),
    /// Nothing yet: the origin found something unchanged that is not stored (any more). Ask it again
    /// with this, which has no conditions of the cache.
    Again(Fetch),
}

/// One change of what is stored for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Add this one. Its body is that of the response: when it has come to its end, store what
    /// [`Stored::complete`] or [`Stored::truncated`] says.
    Insert(Box<Stored>),
    /// Put this one in the place of another; the body is the same.
    Update {
        /// The place of the other.
        variant: usize,
        /// What to put there.
        stored: Box<Stored>,
    },
    /// Put this one in the place of another, once the response's body has come in full: its bytes
    /// belong among those that are stored ([`Content::splice`]). If it breaks off, leave it.
    Splice {
        /// The place of the other.
        variant: usize,
        /// What to put there.
        stored: Box<Stored>,
        /// Where in the representation the response's bytes belong.
        span: Span,
    },
    /// Forget this one and its body.
    Remove {
        /// Its place.
        variant: usize,
    },
}

impl Outcome {
    /// Carries the changes out on the stored responses of the key, for callers that keep them so. Gives
    /// back those that went, whose bodies are of no more use.
    pub fn apply(&self, variants: &mut Vec<Stored>) -> Vec<Stored> {
        let mut gone = Vec::new();
        let mut added = Vec::new();
        for change in &self.changes {
            match change {
                Change::Insert(stored) => added.push(stored.as_ref().clone()),
                Change::Update { variant, stored }
                | Change::Splice {
                    variant, stored, ..
                } => {
                    if let Some(place) = variants.get_mut(*variant) {
                        stored.as_ref().clone_into(place);
                    }
                }
                Change::Remove { variant } => gone.push(*variant),
            }
        }
        gone.sort_unstable_by(|one, other| other.cmp(one));
        gone.dedup();
        gone.retain(|variant| *variant < variants.len());
        let removed = gone
            .into_iter()
            .map(|variant| variants.remove(variant))
            .collect();
        variants.extend(added);
        removed
    }
}
