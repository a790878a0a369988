//! What to do with a request, given what is stored (RFC 9111, 4).

use http::header::{
    CONTENT_LENGTH, DATE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use http::{Method, StatusCode};

use crate::answer::Inquiry;
use crate::decision::{Answer, Body, Conditions, Decision, Fetch, Request, Source};
use crate::etag::{entity_tag, last_modified};
use crate::fields::{only, put};
use crate::options::Options;
use crate::status::{CacheStatus, Reason};
use crate::stored::Stored;
use crate::time::Timestamp;
use crate::vary::takes_coding;

/// What may be done with a stored response at some point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usable {
    /// It may be served.
    Yes,
    /// It may be served while it is renewed.
    WhileRevalidated,
    /// It must be validated first.
    No(Reason),
}

/// The stored response that a request selects: of those that match the one whose `Vary` says so before
/// one that has none, and of these the most recent (RFC 9111, 4.1).
pub(crate) fn select(variants: &[Stored], inquiry: &Inquiry<'_>) -> Option<usize> {
    let matching = variants
        .iter()
        .enumerate()
        .filter(|(_, stored)| inquiry.selects(stored));
    matching
        .max_by_key(|(_, stored)| (stored.varies(), stored.date(), stored.received()))
        .map(|(place, _)| place)
}

/// Decides, without conditions being made yet.
pub(crate) fn decide(
    options: &Options,
    request: Request<'_>,
    variants: &[Stored],
    now: Timestamp,
) -> Decision {
    let inquiry = Inquiry::of(request, options);
    if !inquiry.is_read() {
        return Decision::Forward(plain(&inquiry, Reason::Method));
    }
    let cached_only = inquiry.control.only_if_cached;
    if inquiry.bypasses(options) || inquiry.tests_the_origin() {
        return if cached_only {
            Decision::Unsatisfied(unsatisfied(&inquiry, now))
        } else {
            Decision::Forward(plain(&inquiry, Reason::Bypass))
        };
    }
    let Some(place) = select(variants, &inquiry) else {
        if cached_only {
            return Decision::Unsatisfied(unsatisfied(&inquiry, now));
        }
        let reason = if variants.is_empty() {
            Reason::UriMiss
        } else {
            Reason::VaryMiss
        };
        return ask(&inquiry, variants, None, reason, options);
    };
    let stored = &variants[place];
    let hit = CacheStatus::hit(stored.ttl(now));
    let Some(answer) = inquiry.answer(stored, Source::Stored(place), now, options, hit) else {
        return if cached_only {
            Decision::Unsatisfied(unsatisfied(&inquiry, now))
        } else {
            Decision::Forward(plain(&inquiry, Reason::Partial))
        };
    };
    match usable(&inquiry, stored, now) {
        Usable::Yes => Decision::Serve(answer),
        Usable::WhileRevalidated if cached_only => Decision::Serve(answer),
        Usable::WhileRevalidated => {
            let revalidate = renew(&inquiry, variants, place, options);
            Decision::ServeStale { answer, revalidate }
        }
        Usable::No(_) if cached_only => Decision::Unsatisfied(unsatisfied(&inquiry, now)),
        // The tag of a part is sent only for a range that lies in it: a 304 would leave the cache with
        // nothing to answer from (RFC 9111, 4.3.2).
        Usable::No(reason) if !stored.content.is_whole() && !is_range(&answer) => {
            Decision::Forward(plain(&inquiry, reason))
        }
        Usable::No(reason) => ask(&inquiry, variants, Some(place), reason, options),
    }
}

fn is_range(answer: &Answer) -> bool {
    answer.status == StatusCode::PARTIAL_CONTENT
}

/// Whether a stored response may be served without the origin being asked before (RFC 9111, 4.2 and
/// 5.2.1; RFC 5861, 3).
fn usable(inquiry: &Inquiry<'_>, stored: &Stored, now: Timestamp) -> Usable {
    let (control, policy) = (&inquiry.control, &stored.policy);
    let (age, lifetime) = (stored.age(now), policy.lifetime);
    if stored.must_validate() {
        return Usable::No(Reason::Stale);
    }
    // Nothing is younger than nought: whoever asks for that wants it from the origin.
    let too_old = control.max_age.is_some_and(|most| age > most || most == 0);
    let too_soon = control
        .min_fresh
        .is_some_and(|least| lifetime.saturating_sub(age) < least);
    if control.no_cache || too_old || too_soon {
        return Usable::No(Reason::Request);
    }
    if lifetime > age {
        return Usable::Yes;
    }
    let staleness = age.saturating_sub(lifetime);
    if policy.forbids_stale {
        return Usable::No(Reason::Stale);
    }
    match control.max_stale {
        Some(most) if staleness <= most => Usable::Yes,
        _ if staleness < policy.stale_while_revalidate => Usable::WhileRevalidated,
        _ => Usable::No(Reason::Stale),
    }
}

/// Whether a stored response may be served because the origin failed (RFC 5861, 4; RFC 9111, 4.2.4).
pub(crate) fn rescues(
    inquiry: &Inquiry<'_>,
    stored: &Stored,
    now: Timestamp,
    options: &Options,
) -> bool {
    let (control, policy) = (&inquiry.control, &stored.policy);
    if stored.must_validate() || control.no_cache {
        return false;
    }
    if policy.ttl(now) > 0 {
        return true;
    }
    let window = policy
        .stale_if_error
        .max(control.stale_if_error)
        .max(options.stale_if_unreachable);
    !policy.forbids_stale && stored.age(now).saturating_sub(policy.lifetime) < window
}

/// The request as the client sent it, but for what belongs to its connection.
pub(crate) fn plain(inquiry: &Inquiry<'_>, reason: Reason) -> Fetch {
    Fetch {
        method: inquiry.method.clone(),
        headers: inquiry.headers.clone().into_owned(),
        reason,
        conditions: None,
        answers_client: false,
    }
}

/// The request to send when the client waits for it.
fn ask(
    inquiry: &Inquiry<'_>,
    variants: &[Stored],
    selected: Option<usize>,
    reason: Reason,
    options: &Options,
) -> Decision {
    let mut fetch = plain(inquiry, reason);
    match conditions(inquiry, variants, selected, options) {
        Some(conditions) => {
            conditional(&mut fetch, conditions);
            Decision::Validate(fetch)
        }
        None => {
            // A part would not fill the cache.
            let fills = options.fill_on_condition
                && fetch.method == Method::GET
                && !inquiry.control.no_store
                && !fetch.headers.contains_key(RANGE);
            if fills {
                fetch.headers.remove(IF_NONE_MATCH);
                fetch.headers.remove(IF_MODIFIED_SINCE);
                fetch.answers_client = true;
            }
            Decision::Forward(fetch)
        }
    }
}

/// The request to send while nobody waits: for the whole, whatever the client wanted of it.
fn renew(inquiry: &Inquiry<'_>, variants: &[Stored], selected: usize, options: &Options) -> Fetch {
    let mut fetch = plain(inquiry, Reason::Stale);
    fetch.method = Method::GET;
    for name in [RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE] {
        fetch.headers.remove(name);
    }
    if variants[selected].content.is_whole()
        && let Some(conditions) = conditions(inquiry, variants, Some(selected), options)
    {
        conditional(&mut fetch, conditions);
    }
    fetch
}

/// The validators of what is stored: of the response that is selected, and the strong entity tags of
/// the others, which the origin may find good for this request, too (RFC 9111, 4.3.1).
fn conditions(
    inquiry: &Inquiry<'_>,
    variants: &[Stored],
    selected: Option<usize>,
    options: &Options,
) -> Option<Conditions> {
    let mut found = Conditions::default();
    let add = |found: &mut Conditions, stored: &Stored| {
        let tag = only(&stored.headers, &ETAG).filter(|tag| !found.tags.contains(tag));
        found.tags.extend(tag.cloned());
    };
    let selected_stored = selected.map(|place| &variants[place]);
    let has_tag = |stored: &Stored| entity_tag(&stored.headers).is_some();
    if let Some(stored) = selected_stored {
        if has_tag(stored) {
            add(&mut found, stored);
        }
        // A date is also read by those who know no entity tags.
        found.modified = last_modified(&stored.headers, stored.times.response)
            .and_then(|_| only(&stored.headers, &LAST_MODIFIED))
            .cloned();
    }
    let others = variants.iter().enumerate().filter(|(place, stored)| {
        options.offer_other_variants
            && Some(*place) != selected
            && stored.content.is_whole()
            && !stored.invalid
            && entity_tag(&stored.headers).is_some_and(|tag| !tag.weak)
            && takes_coding(&inquiry.headers, &stored.headers)
    });
    // Without a tag of the selected one, tags of others would take the place of its date.
    if selected_stored.is_none_or(has_tag) {
        for (_, stored) in others.take(options.max_variants) {
            add(&mut found, stored);
        }
    }
    (!found.tags.is_empty() || found.modified.is_some()).then_some(found)
}

/// Puts the cache's conditions in the place of the client's, which are answered from what comes back.
fn conditional(fetch: &mut Fetch, conditions: Conditions) {
    fetch.headers.remove(IF_NONE_MATCH);
    fetch.headers.remove(IF_MODIFIED_SINCE);
    let list: Vec<&[u8]> = conditions.tags.iter().map(HeaderValue::as_bytes).collect();
    if let (false, Ok(value)) = (
        list.is_empty(),
        HeaderValue::from_bytes(&list.join(&b", "[..])),
    ) {
        put(&mut fetch.headers, IF_NONE_MATCH, value);
    }
    if let Some(modified) = &conditions.modified {
        put(&mut fetch.headers, IF_MODIFIED_SINCE, modified.clone());
    }
    fetch.conditions = Some(conditions);
    fetch.answers_client = true;
}

/// The answer to `only-if-cached`, and to what may be neither served nor validated: 504.
pub(crate) fn unsatisfied(inquiry: &Inquiry<'_>, now: Timestamp) -> Answer {
    let mut headers = HeaderMap::new();
    if let Ok(date) = HeaderValue::try_from(now.format()) {
        put(&mut headers, DATE, date);
    }
    put(&mut headers, CONTENT_LENGTH, HeaderValue::from(0));
    Answer {
        status: StatusCode::GATEWAY_TIMEOUT,
        headers,
        source: Source::Made,
        body: Body::Empty,
        cache_status: CacheStatus::generated(),
        no_transform: inquiry.control.no_transform,
    }
}
