//! A stored response but for its body, which the caller keeps.

use http::header::{AUTHORIZATION, DATE, HeaderMap, HeaderValue, SET_COOKIE};
use http::{HeaderName, StatusCode};

use crate::directives::Scope;
use crate::etag::{entity_tag, has_strong_validator, last_modified};
use crate::fields::{add, only, put, remove_hop_by_hop, remove_unstored};
use crate::options::Options;
use crate::policy::{
    Policy, Times, is_about_the_request, is_heuristically_cacheable, is_understood,
};
use crate::range::{Content, Span};
use crate::time::Timestamp;
use crate::vary::{Normal, Selection, Vary};

/// The most sets of request fields that select one stored response.
pub(crate) const MAX_SELECTIONS: usize = 8;

/// One stored response: its status, its fields, when it came, which requests select it, and which
/// bytes of its representation there are. [`Stored::encode`] makes bytes of it, and
/// [`SharedCache::decode`](crate::SharedCache::decode) takes them back.
///
/// The values of the request fields that `Vary` names are part of it; what names `Cookie` or
/// `Authorization` puts secrets into the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where the caller keeps the body: a number of its own choice, nought until it is set. It stays
    /// with the response when its fields are updated.
    pub locator: u64,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) times: Times,
    pub(crate) content: Content,
    pub(crate) selections: Vec<Selection>,
    /// The request had an `Authorization`, so that only what allows it may be kept.
    pub(crate) authorized: bool,
    /// Somebody said that it is outdated: it must be validated before it is used.
    pub(crate) invalid: bool,
    pub(crate) policy: Policy,
}

/// Why a response was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request's method is not `GET`.
    Method,
    /// The status is not final, says something of this request only, or is one whose meaning is
    /// demanded to be known and is not.
    Status,
    /// The request said `no-store`.
    RequestNoStore,
    /// The response said `no-store`.
    NoStore,
    /// The response is for one user, or forbids to keep a field that it cannot be cached without.
    Private,
    /// The request had an `Authorization`, and the response does not say that it is for all.
    Authorization,
    /// The caller's options let such requests pass by.
    Bypass,
    /// Nothing says that it may be cached.
    NotCacheable,
    /// It depends on more than a request's fields, or on too many of them.
    Vary,
    /// It sets a cookie, and the options forbid to store that.
    SetCookie,
    /// It is a part of a representation, and cannot be told which.
    Part,
    /// It could never be used: it is stale already, has no validator, and allows no stale window.
    Useless,
    /// Its fields are larger than the options allow.
    TooLarge,
    /// A newer response was stored while this one was on its way.
    Superseded,
}

/// What a response must be asked before it is stored.
pub(crate) struct Arrival<'a> {
    /// The request's fields as the origin saw them.
    pub(crate) request: &'a HeaderMap,
    pub(crate) status: StatusCode,
    /// The response's fields as they came.
    pub(crate) headers: &'a HeaderMap,
    pub(crate) times: Times,
    pub(crate) content: Content,
}

impl Stored {
    /// Stores a response, if RFC 9111, 3 allows it.
    pub(crate) fn new(arrival: Arrival<'_>, options: &Options) -> Result<Self, Refusal> {
        let Arrival {
            request,
            status,
            headers,
            times,
            content,
        } = arrival;
        if is_about_the_request(status) {
            return Err(Refusal::Status);
        }
        // Also if the cookie itself would not be kept: the body may be meant for whoever gets it.
        if !options.store_set_cookie && headers.contains_key(SET_COOKIE) {
            return Err(Refusal::SetCookie);
        }
        let mut stored = Self::unchecked(status, headers, times, content, options);
        stored.authorized = request.contains_key(AUTHORIZATION);
        let policy = &stored.policy;
        if !(policy.explicit || policy.public || is_heuristically_cacheable(status)) {
            return Err(Refusal::NotCacheable);
        }
        stored.select_for(request)?;
        stored.permitted(options)?;
        if stored.is_useless(options) {
            return Err(Refusal::Useless);
        }
        Ok(stored)
    }

    /// A response as if it were stored, to answer from; nobody asks whether it may be.
    pub(crate) fn unchecked(
        status: StatusCode,
        headers: &HeaderMap,
        times: Times,
        content: Content,
        options: &Options,
    ) -> Self {
        let policy = Policy::of(status, headers, times, options);
        Self::kept(headers, policy, |headers, policy| Self {
            locator: 0,
            status,
            headers,
            times,
            content,
            selections: Vec::new(),
            authorized: false,
            invalid: false,
            policy,
        })
    }

    /// Removes the fields that are not kept, and gives it a date if it has none that can be read.
    fn kept(
        headers: &HeaderMap,
        policy: Policy,
        build: impl FnOnce(HeaderMap, Policy) -> Self,
    ) -> Self {
        let mut kept = headers.clone();
        remove_hop_by_hop(&mut kept);
        remove_unstored(&mut kept);
        set_date(&mut kept, policy.date);
        let mut stored = build(kept, policy);
        let kept_out: Vec<HeaderName> = stored.fields_kept_out().cloned().collect();
        for name in kept_out {
            stored.headers.remove(name);
        }
        stored
    }

    /// The fields that are for the client that asked, and for nobody else.
    pub(crate) fn fields_kept_out(&self) -> impl Iterator<Item = &HeaderName> {
        [&self.policy.private, &self.policy.no_cache]
            .into_iter()
            .filter_map(|scope| match scope {
                Scope::Fields(names) => Some(names),
                _ => None,
            })
            .flatten()
    }

    /// Whether its own fields allow that it is kept.
    pub(crate) fn permitted(&self, options: &Options) -> Result<(), Refusal> {
        let policy = &self.policy;
        if policy.must_understand && !is_understood(self.status) {
            return Err(Refusal::Status);
        }
        if policy.no_store && !policy.must_understand {
            return Err(Refusal::NoStore);
        }
        if policy.private == Scope::Whole {
            return Err(Refusal::Private);
        }
        if self.authorized && !policy.shareable {
            return Err(Refusal::Authorization);
        }
        if !options.store_set_cookie && self.headers.contains_key(SET_COOKIE) {
            return Err(Refusal::SetCookie);
        }
        if self.bytes_of_fields() > options.max_header_bytes {
            return Err(Refusal::TooLarge);
        }
        Ok(())
    }

    /// Lets requests like this one select it, and no others.
    pub(crate) fn select_for(&mut self, request: &HeaderMap) -> Result<(), Refusal> {
        match Vary::of(&self.headers) {
            Vary::Any => Err(Refusal::Vary),
            Vary::Fields(names) => {
                self.selections = vec![Selection::of(&names, request)];
                Ok(())
            }
        }
    }

    /// Lets requests like this one select it, too.
    pub(crate) fn select_also_for(&mut self, request: &HeaderMap) {
        if let Vary::Fields(names) = Vary::of(&self.headers) {
            let selection = Selection::of(&names, request);
            if !self.selections.contains(&selection) {
                if self.selections.len() >= MAX_SELECTIONS {
                    self.selections.remove(0);
                }
                self.selections.push(selection);
            }
        }
    }

    /// Whether it could not be served even once, not even after a validation.
    fn is_useless(&self, options: &Options) -> bool {
        let policy = &self.policy;
        let window = policy
            .stale_while_revalidate
            .max(policy.stale_if_error)
            .max(options.stale_if_unreachable);
        let stale = window > 0 && !policy.forbids_stale;
        let usable = policy.ttl(self.times.response) > 0 || stale;
        !self.has_validator() && (!usable || policy.no_cache == Scope::Whole)
    }

    pub(crate) fn has_validator(&self) -> bool {
        entity_tag(&self.headers).is_some()
            || last_modified(&self.headers, self.times.response).is_some()
    }

    /// Whether a request with these fields selects it.
    pub(crate) fn matches(&self, request: &HeaderMap, normal: &Normal) -> bool {
        self.selections
            .iter()
            .any(|selection| selection.matches(request, normal))
    }

    /// Whether it was selected by any fields of a request at all.
    pub(crate) fn varies(&self) -> bool {
        self.selections
            .iter()
            .any(|selection| !selection.fields.is_empty())
    }

    /// Its status. A part of a representation has the status that the whole would have had, 200.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its fields, without `Content-Length`, `Content-Range` and those that are not to be stored.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// About how many bytes it takes in memory, without its body: for stores that count.
    pub fn weight(&self) -> usize {
        size_of::<Self>().saturating_add(self.bytes_of_fields())
    }

    fn bytes_of_fields(&self) -> usize {
        let fields: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len().saturating_add(value.len()))
            .sum();
        let selections: usize = self.selections.iter().map(Selection::bytes).sum();
        fields.saturating_add(selections)
    }

    /// Which bytes of its representation are stored.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// When it was made.
    pub fn date(&self) -> Timestamp {
        self.policy.date
    }

    /// When it came, or was last validated.
    pub fn received(&self) -> Timestamp {
        self.times.response
    }

    /// How old it is, in seconds (RFC 9111, 4.2.3).
    pub fn age(&self, now: Timestamp) -> u64 {
        self.policy.age(now)
    }

    /// For how much longer it is fresh, in seconds: nought or less if it is stale.
    pub fn ttl(&self, now: Timestamp) -> i64 {
        self.policy.ttl(now)
    }

    /// Whether it may be served without asking the origin.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.ttl(now) > 0 && !self.must_validate()
    }

    /// Whether it may not be served before it is validated, fresh or not.
    pub(crate) fn must_validate(&self) -> bool {
        self.invalid || self.policy.no_cache == Scope::Whole
    }

    /// For how much longer, in seconds, it may be served in any case that the response itself provides
    /// for: fresh, while it is revalidated, or instead of an error. After that it is good for
    /// validation only, so a store that forgets by time should keep it somewhat longer.
    pub fn servable_for(&self, now: Timestamp) -> u64 {
        let policy = &self.policy;
        let window = if policy.forbids_stale {
            0
        } else {
            policy.stale_while_revalidate.max(policy.stale_if_error)
        };
        policy
            .lifetime
            .saturating_add(window)
            .saturating_sub(self.age(now))
    }

    /// Whether nobody may change the content's coding or form (RFC 9111, 5.2.2.6).
    pub fn no_transform(&self) -> bool {
        self.policy.no_transform
    }

    /// The same response, to be validated before it is used again: what is left of it when its URI is
    /// invalidated, for callers that do not remove it (RFC 9111, 4.4).
    #[must_use]
    pub fn invalidated(mut self) -> Self {
        self.invalid = true;
        self
    }

    /// What is stored once the body has come to its end as the protocol marks it, with so many bytes.
    /// A body of another length than the one declared is a truncated one.
    pub fn complete(mut self, received: u64) -> Option<Self> {
        match &self.content {
            Content::Whole { length } if length.is_some_and(|length| length != received) => {
                self.truncated(received)
            }
            Content::Whole { .. } => {
                self.content = Content::Whole {
                    length: Some(received),
                };
                Some(self)
            }
            Content::Part { spans, .. } => {
                let length: u64 = spans.iter().map(|span| span.length()).sum();
                if length == received {
                    Some(self)
                } else {
                    self.truncated(received)
                }
            }
        }
    }

    /// What is stored if the body broke off after so many bytes: the part that came, if it can be
    /// completed or used for ranges later, else nothing (RFC 9111, 3.3).
    pub fn truncated(mut self, received: u64) -> Option<Self> {
        let worth = received > 0
            && self.status == StatusCode::OK
            && has_strong_validator(&self.headers, self.policy.date);
        let (start, length) = match &self.content {
            Content::Whole { length } => (0, *length),
            Content::Part { spans, length } => match spans.as_slice() {
                [span] if received < span.length() => (span.start, *length),
                _ => return None,
            },
        };
        let end = start.checked_add(received)?;
        let nothing = Content::Part {
            spans: Vec::new(),
            length,
        };
        // If nothing is missing after all, it is the whole.
        self.content = nothing
            .with(Span { start, end }, length)
            .filter(|_| worth)?;
        Some(self)
    }

    /// The fields of this response, replaced by those of a newer one that is about the same
    /// representation (RFC 9111, 3.2).
    pub(crate) fn updated(&self, response: &HeaderMap, times: Times, options: &Options) -> Self {
        let mut headers = self.headers.clone();
        // How old the former was says nothing about the newer.
        headers.remove(http::header::AGE);
        let mut newer = response.clone();
        remove_hop_by_hop(&mut newer);
        for name in newer.keys() {
            if !OF_THE_BODY.contains(name) {
                headers.remove(name);
            }
        }
        for (name, value) in &newer {
            if !OF_THE_BODY.contains(name) {
                add(&mut headers, name.clone(), value.clone());
            }
        }
        if !newer.contains_key(DATE) {
            headers.remove(DATE);
            set_date(&mut headers, times.response);
        }
        let policy = Policy::of(self.status, &headers, times, options);
        Self::kept(&headers, policy, |headers, policy| Self {
            headers,
            times,
            policy,
            invalid: false,
            ..self.clone()
        })
    }
}

/// What describes the bytes that are stored, which a response without a body cannot change.
const OF_THE_BODY: [HeaderName; 3] = [
    http::header::CONTENT_LENGTH,
    http::header::CONTENT_RANGE,
    http::header::CONTENT_ENCODING,
];

fn set_date(headers: &mut HeaderMap, date: Timestamp) {
    let readable = only(headers, &DATE)
        .is_some_and(|value| Timestamp::parse(value.as_bytes(), date).is_some());
    if !readable && let Ok(value) = HeaderValue::try_from(date.format()) {
        put(headers, DATE, value);
    }
}

/// Gives a response the date of its arrival if it has none (RFC 9110, 6.6.1).
pub(crate) fn date_arrival(headers: &mut HeaderMap, arrived: Timestamp) {
    if !headers.contains_key(DATE) {
        set_date(headers, arrived);
    }
}
