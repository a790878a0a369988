//! What to do with a response of the origin: store it, update what is stored, or forget it.

mod update;

use http::header::{
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, RANGE, TRANSFER_ENCODING,
};
use http::{Method, StatusCode};

use crate::answer::Inquiry;
use crate::decision::{Answer, Body, Change, Fetch, Outcome, Request, Respond, Response, Source};
use crate::etag::same_strongly;
use crate::fields::{connection_hides, number, only, remove_hop_by_hop};
use crate::key::invalidated;
use crate::lookup::{rescues, select, unsatisfied};
use crate::options::Options;
use crate::policy::{Policy, Times, decides};
use crate::range::{Content, Span, parse_content_range};
use crate::status::{CacheStatus, Handling};
use crate::stored::{Arrival, Refusal, Stored, date_arrival};
use crate::time::Timestamp;

/// Everything that a response is judged by.
pub(crate) struct Receipt<'a> {
    options: &'a Options,
    request: Request<'a>,
    inquiry: Inquiry<'a>,
    fetch: &'a Fetch,
    response: Response<'a>,
    times: Times,
    variants: &'a [Stored],
}

impl<'a> Receipt<'a> {
    pub(crate) fn new(
        options: &'a Options,
        request: Request<'a>,
        fetch: &'a Fetch,
        response: Response<'a>,
        times: Times,
        variants: &'a [Stored],
    ) -> Self {
        let inquiry = Inquiry::of(request, options);
        Self {
            options,
            request,
            inquiry,
            fetch,
            response,
            times,
            variants,
        }
    }

    pub(crate) fn decide(&self) -> Outcome {
        let status = self.response.status;
        if !is_safe(&self.fetch.method) {
            let worked = status.is_success() || status.is_redirection();
            let invalidate = if worked {
                invalidated(self.request.uri, self.response.headers)
            } else {
                Vec::new()
            };
            let refusal = Some(Refusal::Method);
            return Outcome {
                respond: self.upstream(false),
                changes: Vec::new(),
                invalidate,
                refusal,
            };
        }
        if !matches!(self.fetch.method, Method::GET | Method::HEAD) {
            return self.passed(Vec::new(), Refusal::Method);
        }
        if status.is_informational() {
            return self.passed(Vec::new(), Refusal::Status);
        }
        if self.inquiry.bypasses(self.options) {
            return self.passed(Vec::new(), Refusal::Bypass);
        }
        if status == StatusCode::NOT_MODIFIED && self.fetch.is_conditional() {
            return self.unchanged();
        }
        if let Some(answer) = self.rescue() {
            return Outcome {
                respond: Respond::Answer(answer),
                changes: Vec::new(),
                invalidate: Vec::new(),
                refusal: Some(Refusal::Status),
            };
        }
        if self.fetch.method == Method::HEAD {
            return self.passed(self.changes_of_head(), Refusal::Method);
        }
        self.stored()
    }

    /// The response as it goes on to the client.
    fn upstream(&self, stored: bool) -> Respond {
        let mut headers = self.response.headers.clone();
        remove_hop_by_hop(&mut headers);
        date_arrival(&mut headers, self.times.response);
        let policy = Policy::of(self.response.status, &headers, self.times, self.options);
        let no_transform = self.inquiry.control.no_transform || policy.no_transform;
        let mut cache_status = self.forwarded();
        if let Handling::Forward { stored: said, .. } = &mut cache_status.handling {
            *said = stored;
        }
        Respond::Upstream {
            headers,
            cache_status,
            no_transform,
        }
    }

    fn forwarded(&self) -> CacheStatus {
        CacheStatus::forward(self.fetch.reason, Some(self.response.status))
    }

    fn passed(&self, changes: Vec<Change>, refusal: Refusal) -> Outcome {
        Outcome {
            respond: self.upstream(false),
            changes,
            invalidate: Vec::new(),
            refusal: Some(refusal),
        }
    }

    /// The stored response that goes out instead of an error (RFC 5861, 4).
    fn rescue(&self) -> Option<Answer> {
        if !matches!(self.response.status.as_u16(), 500 | 502..=504) {
            return None;
        }
        stale_answer(
            self.options,
            &self.inquiry,
            self.variants,
            self.times.response,
            self.forwarded(),
        )
    }

    fn stored(&self) -> Outcome {
        let respond = |stored| match self.unwanted() {
            Some(answer) => Respond::Answer(answer),
            None => self.upstream(stored),
        };
        match self.changes_of_get() {
            Ok(changes) => Outcome {
                respond: respond(true),
                changes,
                invalidate: Vec::new(),
                refusal: None,
            },
            Err(refusal) => Outcome {
                respond: respond(false),
                changes: self.replaced_by_nothing(refusal),
                invalidate: Vec::new(),
                refusal: Some(refusal),
            },
        }
    }

    /// The 304 for a client that asked whether its own copy is good, if the cache asked for itself and
    /// what came is what the client has.
    fn unwanted(&self) -> Option<Answer> {
        let asked = self.inquiry.headers.contains_key(IF_NONE_MATCH)
            || self.inquiry.headers.contains_key(IF_MODIFIED_SINCE);
        if !asked || !self.fetch.answers_client || self.response.status != StatusCode::OK {
            return None;
        }
        let arrival = Stored::unchecked(
            StatusCode::OK,
            self.response.headers,
            self.times,
            Content::Whole { length: None },
            self.options,
        );
        let mut status = self.forwarded();
        status.ttl = Some(arrival.ttl(self.times.response));
        let now = self.times.response;
        let answer = self
            .inquiry
            .answer(&arrival, Source::Received, now, self.options, status)?;
        (answer.body == Body::Empty && answer.status == StatusCode::NOT_MODIFIED).then_some(answer)
    }

    /// If a stale response was to be validated and something came that may not be stored, the stale one
    /// is not what the origin would say any more. An error says nothing about it.
    fn replaced_by_nothing(&self, refusal: Refusal) -> Vec<Change> {
        let status = self.response.status;
        let keeps = status.is_server_error()
            || matches!(
                refusal,
                Refusal::RequestNoStore | Refusal::Superseded | Refusal::Bypass
            )
            || matches!(
                status.as_u16(),
                304 | 401 | 403 | 407 | 408 | 412 | 416 | 425 | 429
            );
        let selected = select(self.variants, &self.inquiry)
            .filter(|_| self.fetch.is_conditional() && !keeps)
            .filter(|place| !self.variants[*place].is_fresh(self.times.response));
        selected
            .map(|variant| Change::Remove { variant })
            .into_iter()
            .collect()
    }

    fn changes_of_get(&self) -> Result<Vec<Change>, Refusal> {
        let Response { status, headers } = self.response;
        if self.inquiry.control.no_store {
            return Err(Refusal::RequestNoStore);
        }
        if connection_hides(headers, |name| decides(name, self.options)) {
            return Err(Refusal::Private);
        }
        let declared = self.declared_length()?;
        if status != StatusCode::PARTIAL_CONTENT {
            let bodiless = matches!(status.as_u16(), 204 | 205);
            let length = if bodiless { Some(0) } else { declared };
            let new = self.arrival(status, Content::Whole { length })?;
            return self.insert(new);
        }
        let (span, length) = self.part(declared)?;
        let part = Content::Part {
            spans: Vec::new(),
            length,
        }
        .with(span, length)
        .ok_or(Refusal::Part)?;
        // A part is stored as what it is a part of, so that it can be completed.
        let new = self.arrival(StatusCode::OK, part)?;
        match self.combined(&new, span, length) {
            Some(change) => Ok(vec![change]),
            None => self.insert(new),
        }
    }

    /// The declared length of the body. One that is no number, or several that differ, is an error of
    /// the message's framing, with which nothing is to be stored.
    fn declared_length(&self) -> Result<Option<u64>, Refusal> {
        let headers = self.response.headers;
        // A transfer coding has an end of its own, beside which a length means nothing (RFC 9112, 6.3).
        if !headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING) {
            return Ok(None);
        }
        let length = only(headers, &CONTENT_LENGTH).and_then(|value| number(value.as_bytes()));
        length.map(Some).ok_or(Refusal::Part)
    }

    /// What a 206 is a part of: one span, which was asked for, and which its body has the length of.
    fn part(&self, declared: Option<u64>) -> Result<(Span, Option<u64>), Refusal> {
        let headers = self.response.headers;
        let multipart = headers.get(CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.as_bytes().to_ascii_lowercase();
            kind.starts_with(b"multipart/byteranges")
        });
        let found = only(headers, &CONTENT_RANGE).and_then(parse_content_range);
        let (span, length) = found.ok_or(Refusal::Part)?;
        let fits = self.fetch.headers.contains_key(RANGE)
            && !multipart
            && declared.is_none_or(|declared| declared == span.length());
        fits.then_some((span, length)).ok_or(Refusal::Part)
    }

    fn arrival(&self, status: StatusCode, content: Content) -> Result<Stored, Refusal> {
        let arrival = Arrival {
            request: &self.inquiry.headers,
            status,
            headers: self.response.headers,
            times: self.times,
            content,
        };
        Stored::new(arrival, self.options)
    }

    /// Adds a response, in the place of those that it makes useless: what the same request selected,
    /// and the oldest if there are too many.
    fn insert(&self, new: Stored) -> Result<Vec<Change>, Refusal> {
        let superseded = self.variants.iter().any(|stored| {
            self.inquiry.selects(stored)
                && stored.date() > new.date()
                && stored.received() > self.times.request
                && stored.is_fresh(self.times.response)
        });
        if superseded {
            return Err(Refusal::Superseded);
        }
        let (same, mut others): (Vec<usize>, Vec<usize>) = (0..self.variants.len())
            .partition(|place| self.inquiry.selects(&self.variants[*place]));
        others.sort_by_key(|place| self.variants[*place].received());
        let surplus = (others.len() + 1).saturating_sub(self.options.max_variants.max(1));
        let oldest = others.into_iter().take(surplus);
        let mut changes: Vec<Change> = same
            .into_iter()
            .chain(oldest)
            .map(|variant| Change::Remove { variant })
            .collect();
        changes.push(Change::Insert(Box::new(new)));
        Ok(changes)
    }

    /// Adds a part to what is stored of the same representation, if both have the same strong
    /// validator (RFC 9111, 3.4; RFC 9110, 15.3.7.3).
    fn combined(&self, new: &Stored, span: Span, length: Option<u64>) -> Option<Change> {
        let variant = select(self.variants, &self.inquiry)?;
        let stored = &self.variants[variant];
        let same = stored.status == StatusCode::OK
            && !stored.invalid
            && same_strongly((&stored.headers, stored.date()), (&new.headers, new.date()));
        if !same || encoding(&stored.headers) != encoding(&new.headers) {
            return None;
        }
        let content = stored.content.with(span, length)?;
        let mut updated = stored.updated(self.response.headers, self.times, self.options);
        updated.authorized |= new.authorized;
        updated.content = content;
        let kept = self.reselect(stored, &mut updated) && updated.permitted(self.options).is_ok();
        if !kept {
            return None;
        }
        let updated = Box::new(updated);
        Some(if stored.content.is_whole() {
            Change::Update {
                variant,
                stored: updated,
            }
        } else {
            Change::Splice {
                variant,
                stored: updated,
                span,
            }
        })
    }
}

fn encoding(headers: &HeaderMap) -> Vec<&HeaderValue> {
    headers
        .get_all(http::header::CONTENT_ENCODING)
        .into_iter()
        .collect()
}

/// Methods that change nothing. A method of which that is not known may change something.
fn is_safe(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE
    )
}

/// What is stored and may go out though the origin could not be asked.
fn stale_answer(
    options: &Options,
    inquiry: &Inquiry<'_>,
    variants: &[Stored],
    now: Timestamp,
    mut status: CacheStatus,
) -> Option<Answer> {
    if !inquiry.is_read() || inquiry.bypasses(options) || inquiry.tests_the_origin() {
        return None;
    }
    let place = select(variants, inquiry)?;
    let stored = &variants[place];
    if !rescues(inquiry, stored, now, options) {
        return None;
    }
    status.ttl = Some(stored.ttl(now));
    inquiry.answer(stored, Source::Stored(place), now, options, status)
}

/// The answer when there is no response at all.
pub(crate) fn on_failure(
    options: &Options,
    request: Request<'_>,
    fetch: &Fetch,
    now: Timestamp,
    variants: &[Stored],
) -> Answer {
    let inquiry = Inquiry::of(request, options);
    let status = CacheStatus::forward(fetch.reason, None);
    stale_answer(options, &inquiry, variants, now, status)
        .unwrap_or_else(|| unsatisfied(&inquiry, now))
}
