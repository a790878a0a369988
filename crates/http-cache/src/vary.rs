//! Which of several stored responses a request selects (RFC 9111, 4.1).

use std::cell::RefCell;

use http::header::{
    ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderMap, HeaderName, VARY,
};

use crate::fields::{listed, members};

/// More names than this in `Vary`, and the response is not stored.
pub(crate) const MAX_FIELDS: usize = 32;

/// What a response says it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Vary {
    /// On these fields of the request, sorted; on none of them if there are none.
    Fields(Vec<HeaderName>),
    /// On something that no request can show again.
    Any,
}

impl Vary {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut names = Vec::new();
        for name in listed(headers, &VARY) {
            match HeaderName::from_bytes(name) {
                Ok(name) if name != "*" && names.len() <= MAX_FIELDS => names.push(name),
                _ => return Self::Any,
            }
        }
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        if names.len() > MAX_FIELDS {
            Self::Any
        } else {
            Self::Fields(names)
        }
    }
}

/// The fields of a request that selected a response, and what they said in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Selection {
    pub(crate) fields: Vec<(HeaderName, Option<Vec<u8>>)>,
}

impl Selection {
    pub(crate) fn of(names: &[HeaderName], request: &HeaderMap) -> Self {
        let fields = names
            .iter()
            .map(|name| (name.clone(), normalised(name, request)));
        Self {
            fields: fields.collect(),
        }
    }

    pub(crate) fn matches(&self, request: &HeaderMap, normal: &Normal) -> bool {
        self.fields
            .iter()
            .all(|(name, value)| normal.is(name, request, value.as_deref()))
    }

    pub(crate) fn bytes(&self) -> usize {
        let length = |(name, value): &(HeaderName, Option<Vec<u8>>)| {
            name.as_str().len() + value.as_ref().map_or(0, Vec::len)
        };
        self.fields.iter().map(length).sum()
    }
}

/// The fields of one request in their normal form. Each is brought into it once, however many variants
/// ask for it: a client could make that dear.
#[derive(Default)]
pub(crate) struct Normal(RefCell<Vec<(HeaderName, Option<Vec<u8>>)>>);

impl Normal {
    fn is(&self, name: &HeaderName, request: &HeaderMap, value: Option<&[u8]>) -> bool {
        let mut known = self.0.borrow_mut();
        if let Some((_, found)) = known.iter().find(|(known, _)| known == name) {
            return found.as_deref() == value;
        }
        let found = normalised(name, request);
        let same = found.as_deref() == value;
        known.push((name.clone(), found));
        same
    }
}

/// A field of a request in a form in which what means the same looks the same. What is not known to be
/// a list is only joined, as RFC 9110, 5.3 joins lines.
fn normalised(name: &HeaderName, request: &HeaderMap) -> Option<Vec<u8>> {
    let mut values = request.get_all(name).into_iter().peekable();
    values.peek()?;
    let preferences = [ACCEPT, ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE].contains(name);
    let quoted = || {
        request
            .get_all(name)
            .into_iter()
            .any(|line| line.as_bytes().contains(&b'"'))
    };
    if preferences && !quoted() {
        let mut words: Vec<Vec<u8>> = listed(request, name).map(preference).collect();
        // Some origins take the order of the others as a preference among equals.
        if *name == ACCEPT_ENCODING {
            words.sort_unstable();
            words.dedup();
        }
        return Some(words.join(&b','));
    }
    let lines: Vec<&[u8]> = values.map(|value| value.as_bytes().trim_ascii()).collect();
    Some(lines.join(&b", "[..]))
}

/// One member of `Accept` and its like: in lower case up to its parameters, and its weight as short as
/// it can be written.
fn preference(member: &[u8]) -> Vec<u8> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let mut text = parts.next().unwrap_or_default().to_ascii_lowercase();
    for part in parts {
        let weight = part
            .strip_prefix(b"q=")
            .or_else(|| part.strip_prefix(b"Q="))
            .map(shortest_weight);
        if weight == Some(b"1") {
            continue;
        }
        text.push(b';');
        match weight {
            Some(weight) => {
                text.extend_from_slice(b"q=");
                text.extend_from_slice(weight);
            }
            None => text.extend_from_slice(part),
        }
    }
    text
}

fn shortest_weight(weight: &[u8]) -> &[u8] {
    let mut short = weight;
    if short.contains(&b'.') {
        while let [rest @ .., b'0'] = short {
            short = rest;
        }
        if let [rest @ .., b'.'] = short {
            short = rest;
        }
    }
    short
}

/// Whether the request takes the content coding that a stored response has.
pub(crate) fn takes_coding(request: &HeaderMap, codings: &HeaderMap) -> bool {
    let mut accepted = listed(request, &ACCEPT_ENCODING).map(preference).peekable();
    let mut needed = listed(codings, &http::header::CONTENT_ENCODING).peekable();
    if needed.peek().is_none() {
        return true;
    }
    let accepted: Vec<Vec<u8>> = accepted.by_ref().collect();
    needed.all(|coding| {
        accepted.iter().any(|entry| {
            let mut parts = entry.split(|byte| *byte == b';');
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(coding));
            named && parts.next() != Some(b"q=0")
        })
    })
}

/// Whether a list names a word, in any case.
pub(crate) fn names_word(value: &[u8], word: &str) -> bool {
    members(value).any(|member| member.eq_ignore_ascii_case(word.as_bytes()))
}
