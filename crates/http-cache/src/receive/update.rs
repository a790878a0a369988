//! Responses without a body that say something about what is stored: 304, and those to `HEAD`.

use http::StatusCode;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG, LAST_MODIFIED};

use super::Receipt;
use crate::decision::{Answer, Change, Outcome, Respond, Source};
use crate::etag::entity_tag;
use crate::fields::{add, number, only};
use crate::lookup::{plain, select};
use crate::stored::{Refusal, Stored};
use crate::vary::Vary;

impl Receipt<'_> {
    /// A 304 to conditions of the cache's own (RFC 9111, 4.3.3 and 4.3.4).
    pub(super) fn unchanged(&self) -> Outcome {
        let named = self.named_unchanged();
        let selected = select(self.variants, &self.inquiry);
        let serves = named
            .iter()
            .copied()
            .find(|place| Some(*place) == selected)
            .or_else(|| named.first().copied());
        let credentials = self.inquiry.headers.contains_key(AUTHORIZATION);
        let mut changes = Vec::new();
        let mut answer = None;
        for place in named {
            let stored = &self.variants[place];
            let mut updated = stored.updated(self.response.headers, self.times, self.options);
            if Some(place) == serves {
                updated.select_also_for(&self.inquiry.headers);
            }
            let selects = self.reselect(stored, &mut updated);
            updated.authorized |= credentials;
            if Some(place) == serves {
                let mut status = self.forwarded();
                status.ttl = Some(updated.ttl(self.times.response));
                let source = Source::Stored(place);
                let now = self.times.response;
                answer = self
                    .inquiry
                    .answer(&updated, source, now, self.options, status)
                    .map(|answer| self.with_fields_of_the_client(answer, &updated));
            }
            let permitted = if selects {
                updated.permitted(self.options)
            } else {
                Err(Refusal::Vary)
            };
            match permitted {
                Ok(()) if self.inquiry.control.no_store => {}
                Ok(()) => changes.push(Change::Update {
                    variant: place,
                    stored: Box::new(updated),
                }),
                // What one user is told says nothing against what is stored for all.
                Err(Refusal::Authorization) if !stored.authorized => {}
                Err(_) => changes.push(Change::Remove { variant: place }),
            }
        }
        let respond = match answer {
            Some(answer) => Respond::Answer(answer),
            None => Respond::Again(plain(&self.inquiry, self.fetch.reason)),
        };
        Outcome {
            respond,
            changes,
            invalidate: Vec::new(),
            refusal: None,
        }
    }

    /// Adds the fields of a 304 that are not kept because they are for this client alone.
    fn with_fields_of_the_client(&self, mut answer: Answer, updated: &Stored) -> Answer {
        for name in updated.fields_kept_out() {
            for value in self.response.headers.get_all(name) {
                add(&mut answer.headers, name.clone(), value.clone());
            }
        }
        answer
    }

    /// If the newer fields say that it depends on other fields of the request than before, the present
    /// request is the only one of which it is known what they were.
    pub(super) fn reselect(&self, stored: &Stored, updated: &mut Stored) -> bool {
        let vary = |stored: &Stored| Vary::of(&stored.headers);
        vary(stored) == vary(updated) || updated.select_for(&self.inquiry.headers).is_ok()
    }

    /// The stored responses that a 304 is about.
    fn named_unchanged(&self) -> Vec<usize> {
        let headers = self.response.headers;
        let sent = self.fetch.conditions.as_ref();
        let all = || self.variants.iter().enumerate();
        let matching = || all().filter(|(_, stored)| self.inquiry.selects(stored));
        let latest = |fits: &dyn Fn(&Stored) -> bool| {
            let found = matching().filter(|(_, stored)| fits(stored));
            let latest = found.max_by_key(|(_, stored)| (stored.date(), stored.received()));
            latest
                .map(|(place, _)| place)
                .into_iter()
                .collect::<Vec<_>>()
        };
        if let Some(tag) = entity_tag(headers) {
            let own =
                |stored: &Stored| entity_tag(&stored.headers).is_some_and(|own| own.weak_eq(tag));
            if tag.weak {
                return latest(&own);
            }
            // A strong one names the very same bytes, whichever request they were sent for.
            let strong = all()
                .filter(|(_, stored)| {
                    entity_tag(&stored.headers).is_some_and(|own| own.strong_eq(tag))
                })
                .filter(|(_, stored)| self.inquiry.selects(stored) || self.was_sent(stored));
            return strong.map(|(place, _)| place).collect();
        }
        if let Some(modified) = only(headers, &LAST_MODIFIED) {
            return latest(&|stored| only(&stored.headers, &LAST_MODIFIED) == Some(modified));
        }
        // It does not say, and only one can be meant.
        let Some(sent) = sent.filter(|sent| sent.tags.len() <= 1) else {
            return Vec::new();
        };
        match sent.tags.first() {
            Some(tag) => latest(&|stored| stored.headers.get(ETAG) == Some(tag)),
            None => latest(&|stored| {
                stored.headers.get(LAST_MODIFIED) == sent.modified.as_ref()
                    && !stored.headers.contains_key(ETAG)
            }),
        }
    }

    fn was_sent(&self, stored: &Stored) -> bool {
        let tag = stored.headers.get(ETAG);
        let sent = self.fetch.conditions.as_ref();
        sent.is_some_and(|sent| sent.tags.iter().any(|sent| Some(sent) == tag))
    }

    /// What a response to `HEAD` says about stored responses to `GET` (RFC 9111, 4.3.5).
    pub(super) fn changes_of_head(&self) -> Vec<Change> {
        if self.response.status != StatusCode::OK || self.inquiry.control.no_store {
            return Vec::new();
        }
        let fields = self.response.headers;
        let length = only(fields, &CONTENT_LENGTH).and_then(|value| number(value.as_bytes()));
        let matching = self
            .variants
            .iter()
            .enumerate()
            .filter(|(_, stored)| self.inquiry.selects(stored));
        let changes = matching.map(|(variant, stored)| {
            let same = |name| {
                fields
                    .get(&name)
                    .is_none_or(|value| stored.headers.get(&name) == Some(value))
            };
            let fits = stored.status == StatusCode::OK
                && same(ETAG)
                && same(LAST_MODIFIED)
                && (length.is_none()
                    || stored
                        .content
                        .length()
                        .is_none_or(|own| Some(own) == length));
            if !fits {
                return Some(Change::Update {
                    variant,
                    stored: Box::new(stored.clone().invalidated()),
                });
            }
            let mut updated = stored.updated(fields, self.times, self.options);
            updated.authorized |= self.inquiry.headers.contains_key(AUTHORIZATION);
            // It does not say that what was declared outdated is good again, unless it shows so.
            updated.invalid = stored.invalid && !fields.contains_key(ETAG);
            let selects = self.reselect(stored, &mut updated);
            match updated.permitted(self.options) {
                Ok(()) if selects => Some(Change::Update {
                    variant,
                    stored: Box::new(updated),
                }),
                Err(Refusal::Authorization) if !stored.authorized => None,
                _ => Some(Change::Remove { variant }),
            }
        });
        changes.flatten().collect()
    }
}
