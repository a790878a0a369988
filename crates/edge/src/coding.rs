//! Codings of what is kept, for clients that take them, where the origin has sent it plain.
//!
//! What is coded is another representation of the same content (RFC 9110, section 7.7 allows it unless somebody
//! says `no-transform`): its entity tag becomes a weak one, since other bytes are sent under it, it has no ranges,
//! and `Vary` says what it depends on, also where it is sent plain. An origin that says itself that its answers
//! depend on what a client takes is left to decide.
//!
//! Only what is kept for everybody is coded: no secret is in it whose length could be told from outside beside
//! what an attacker has put there.

use std::sync::OnceLock;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH, RANGE, VARY,
};
use pitchey_api::edge::best_codings;

/// What codes a body, by the name of a coding; `None` if it comes out no smaller.
pub type Encode = fn(coding: &str, body: &[u8]) -> Option<Vec<u8>>;

/// The codings, the best first.
const CODINGS: [&str; 2] = ["br", "gzip"];

/// The smallest body that is worth it, and the largest that anybody waits for.
const SIZES: std::ops::RangeInclusive<usize> = 1024..=1 << 20;

/// What is about the bytes as they are sent, or was signed so.
const OF_BYTES: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// A body that is kept, coded as far as somebody has asked for it.
#[derive(Debug, Default)]
pub(crate) struct Coded {
    /// How many bytes the codings are counted for; none if there can be none.
    allowance: usize,
    bodies: [OnceLock<Option<Bytes>>; CODINGS.len()],
}

impl Coded {
    /// Of a body of so many bytes, with these fields.
    pub(crate) fn of(headers: &HeaderMap, length: usize) -> Self {
        let is_codable = SIZES.contains(&length)
            && is_text(headers)
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && !OF_BYTES.iter().any(|name| headers.contains_key(name))
            && !varies(headers);
        Self {
            // Text comes to a quarter or a third, once for each coding.
            allowance: if is_codable { length / 2 } else { 0 },
            bodies: Default::default(),
        }
    }

    /// About how many bytes its codings take.
    pub(crate) fn weight(&self) -> usize {
        self.allowance
    }

    /// The body for one who asked so, coded if they take a coding. `headers` are those of the plain answer, and
    /// become those of this one.
    pub(crate) fn choose(
        &self,
        plain: &Bytes,
        encode: Encode,
        asked: &HeaderMap,
        headers: &mut HeaderMap,
    ) -> Option<Bytes> {
        if self.allowance == 0 {
            return None;
        }
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
        // Ranges are of the plain one.
        if asked.contains_key(RANGE) || !asked.contains_key(ACCEPT_ENCODING) {
            return None;
        }
        let coding = best_codings(asked, &CODINGS).first().copied()?;
        let place = CODINGS.iter().position(|one| *one == coding)?;
        let coded = self.bodies[place].get_or_init(|| encode(coding, plain).map(Bytes::from));
        let coded = coded.clone()?;
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(coded.len()));
        headers.remove(ACCEPT_RANGES);
        weaken(headers);
        Some(coded)
    }
}

/// Whether it is text, by its type.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    kind.starts_with("text/") && kind != "text/event-stream"
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || matches!(
            &*kind,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/wasm"
                | "application/manifest+json"
                | "font/ttf"
                | "font/otf"
        )
}

/// Whether the origin chooses codings itself, or nobody knows what it depends on.
fn varies(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names.any(|name| {
        let name = name.trim_ascii();
        name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
    })
}

fn weaken(headers: &mut HeaderMap) {
    let tag = headers
        .get(ETAG)
        .filter(|tag| tag.as_bytes().starts_with(b"\""));
    let weak = tag.map(|tag| [b"W/", tag.as_bytes()].concat());
    if let Some(Ok(weak)) = weak.map(|weak| HeaderValue::from_bytes(&weak)) {
        headers.insert(ETAG, weak);
    }
}

/// What a 304 says to one who has a coded copy: the tag that they have, so that the copy stays theirs.
pub(crate) fn unchanged(asked: &HeaderMap, headers: &mut HeaderMap) {
    let Some(tag) = headers.get(ETAG) else { return };
    let weak = [b"W/", tag.as_bytes()].concat();
    let mut lines = asked.get_all(IF_NONE_MATCH).iter();
    let has_coded = lines.any(|line| {
        let mut tags = line.as_bytes().windows(weak.len());
        tags.any(|part| part == weak)
    });
    if has_coded {
        weaken(headers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    /// Says which coding it is, and is small.
    fn encode(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
        (coding.len() < body.len()).then(|| coding.into())
    }

    const PLAIN: [(&str, &str); 3] = [
        ("content-type", "text/html; charset=utf-8"),
        ("etag", "\"a\""),
        ("accept-ranges", "bytes"),
    ];

    fn answer(
        fields: &[(&'static str, &'static str)],
        asked: &[(&'static str, &'static str)],
        encode: Encode,
    ) -> (Option<Bytes>, HeaderMap) {
        let mut headers = map(fields);
        let plain = Bytes::from(vec![b'x'; 2000]);
        let coded = Coded::of(&headers, plain.len());
        let body = coded.choose(&plain, encode, &map(asked), &mut headers);
        (body, headers)
    }

    #[test]
    fn who_takes_a_coding_gets_it_with_a_weak_tag_and_without_ranges() {
        for (accepted, expected) in [("gzip, br", "br"), ("gzip", "gzip"), ("br;q=0, *", "gzip")] {
            let (body, headers) = answer(&PLAIN, &[("accept-encoding", accepted)], encode);
            assert_eq!(body.as_deref(), Some(expected.as_bytes()));
            let said = ["content-encoding", "etag", "vary", "content-length"];
            let said = said.map(|name| headers[name].to_str().expect("text").to_owned());
            let length = expected.len().to_string();
            assert_eq!(said, [expected, "W/\"a\"", "accept-encoding", &length]);
            assert!(!headers.contains_key("accept-ranges"));
        }
    }

    #[test]
    fn who_takes_none_or_asks_for_a_part_gets_it_plain_and_is_told_what_it_depends_on() {
        let cases: [&[(&str, &str)]; 4] = [
            &[],
            &[("accept-encoding", "identity")],
            &[("accept-encoding", "zstd")],
            &[("accept-encoding", "br"), ("range", "bytes=0-9")],
        ];
        for asked in cases {
            let (body, headers) = answer(&PLAIN, asked, encode);
            assert_eq!(
                (body, &headers["vary"]),
                (None, &HeaderValue::from_static("accept-encoding"))
            );
            assert_eq!(headers["etag"], "\"a\"");
        }
        let (body, headers) = answer(&PLAIN, &[("accept-encoding", "br")], |_, _| None);
        assert!(body.is_none() && !headers.contains_key("content-encoding"));
    }

    #[test]
    fn what_is_no_text_or_is_coded_or_chosen_by_the_origin_stays_as_it_is() {
        let cases: [&[(&str, &str)]; 8] = [
            &[],
            &[("content-type", "image/png")],
            &[("content-type", "text/event-stream")],
            &[("content-type", "text/css"), ("content-encoding", "gzip")],
            &[
                ("content-type", "text/css"),
                ("vary", "Origin, Accept-Encoding"),
            ],
            &[("content-type", "text/css"), ("vary", "*")],
            &[
                ("content-type", "text/css"),
                ("repr-digest", "sha-256=:AA==:"),
            ],
            &[
                ("content-type", "text/css"),
                ("content-range", "bytes 0-9/20"),
            ],
        ];
        for fields in cases {
            let (body, headers) = answer(fields, &[("accept-encoding", "br")], encode);
            assert_eq!((body, headers), (None, map(fields)));
        }
        for length in [1023, (1 << 20) + 1] {
            assert_eq!(Coded::of(&map(&PLAIN), length).weight(), 0);
        }
    }

    #[test]
    fn a_copy_that_is_coded_stays_one() {
        let told = |asked: &'static str| {
            let mut headers = map(&[("etag", "\"a\"")]);
            unchanged(&map(&[("if-none-match", asked)]), &mut headers);
            headers["etag"].to_str().expect("text").to_owned()
        };
        assert_eq!(told("W/\"a\""), "W/\"a\"");
        assert_eq!(told("\"b\", W/\"a\""), "W/\"a\"");
        assert_eq!(told("\"a\""), "\"a\"");
        assert_eq!(told("*"), "\"a\"");
    }
}
