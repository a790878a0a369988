//! Random requests and responses, made of what matters to caches, and damaged here and there.

use http::Method;

use super::super::*;
use crate::Credentials;

/// `SplitMix64`; Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
pub(super) struct Random {
    state: u64,
    /// Whether this run is mostly about parts of one representation, which else hardly ever meet.
    parts: bool,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self {
            state: seed,
            parts: false,
        };
        random.parts = random.one_in(4);
        random
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        let place = usize::try_from(self.below(words.len() as u64)).unwrap_or(0);
        words[place]
    }

    /// A number of seconds: mostly small, sometimes absurd.
    pub(super) fn seconds(&mut self) -> i64 {
        match self.below(12) {
            0 => self.next().cast_signed(),
            1 => -i64::try_from(self.below(200)).unwrap_or(0),
            _ => i64::try_from(self.below(60)).unwrap_or(0),
        }
    }

    fn number(&mut self) -> String {
        match self.below(16) {
            0 => "18446744073709551616".into(),
            1 => self.next().to_string(),
            2 => format!("-{}", self.below(9)),
            3 => format!("\"{}\"", self.below(60)),
            4 => "2147483648".into(),
            _ => self.below(60).to_string(),
        }
    }

    fn date(&mut self) -> String {
        let seconds = START.saturating_add(self.seconds());
        let text = Timestamp::from_unix(seconds).format();
        match self.below(10) {
            0 => text.to_lowercase(),
            1 => text.replace("GMT", "CET"),
            2 => "0".into(),
            _ => text,
        }
    }

    fn tag(&mut self) -> String {
        self.pick(&[
            "\"a\"", "\"b\"", "\"c\"", "W/\"a\"", "W/\"b\"", "\"\"", "a", "\"a", "*",
        ])
        .into()
    }

    fn names(&mut self) -> String {
        let words = [
            "foo",
            "bar",
            "etag",
            "vary",
            "accept-encoding",
            "set-cookie",
            "cache-control",
            "*",
            "(",
        ];
        let mut text = String::new();
        for _ in 0..=self.below(3) {
            text.push_str(self.pick(&words));
            text.push_str(self.pick(&[",", ", ", " , ", ",,"]));
        }
        text
    }

    fn control(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.below(5) {
            let name = self.pick(&[
                "max-age",
                "s-maxage",
                "max-stale",
                "min-fresh",
                "stale-while-revalidate",
                "stale-if-error",
                "no-cache",
                "no-store",
                "private",
                "public",
                "must-revalidate",
                "proxy-revalidate",
                "must-understand",
                "no-transform",
                "only-if-cached",
                "immutable",
                "max-age",
                "s-maxage",
                "stale-while-revalidate",
                "public",
                "x",
                "Max-Age",
            ]);
            text.push_str(name);
            let takes_number =
                name.contains("age") || name.contains("stale") || name.contains("fresh");
            if takes_number && !self.one_in(12) {
                text.push('=');
                text.push_str(&self.number());
            } else if self.one_in(4) && (name == "private" || name == "no-cache") {
                text.push_str("=\"");
                text.push_str(&self.names());
                text.push('"');
            }
            text.push_str(self.pick(&[", ", ",", ",\t", " ,, "]));
        }
        text.truncate(text.trim_end_matches([',', ' ', '\t']).len());
        text
    }

    fn range(&mut self) -> String {
        let mut text =
            String::from(self.pick(&["bytes=", "bytes=", "bytes=", "Bytes =", "items="]));
        for _ in 0..=self.below(4) {
            let (first, more) = (self.below(400), self.below(90));
            let range = match self.below(5) {
                0 => format!("-{more},"),
                1 => format!("{first}-,"),
                2 => format!("{first}-{},", self.number()),
                _ => format!("{first}-{},", first + more),
            };
            text.push_str(&range);
        }
        text.pop();
        text
    }

    fn coding(&mut self) -> String {
        self.pick(&[
            "gzip",
            "br, gzip",
            "gzip;q=0",
            "identity",
            "GZIP;q=1.0",
            "",
            "*",
        ])
        .into()
    }

    /// A text with some of its bytes changed, as a field may have it.
    fn damaged(&mut self, text: String) -> Vec<u8> {
        let mut bytes = text.into_bytes();
        if self.one_in(20) {
            for _ in 0..=self.below(3) {
                let place = usize::try_from(self.below(bytes.len() as u64 + 1)).unwrap_or(0);
                let byte = match self.below(3) {
                    0 => b'"',
                    1 => b',',
                    _ => u8::try_from(32 + self.below(224)).unwrap_or(b' '),
                };
                match self.below(3) {
                    0 if place < bytes.len() => bytes[place] = byte,
                    1 if place < bytes.len() => drop(bytes.remove(place)),
                    _ => bytes.insert(place, byte),
                }
            }
        }
        bytes
    }

    fn add(&mut self, headers: &mut HeaderMap, name: &str, value: String) {
        let value = HeaderValue::from_bytes(&self.damaged(value));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), value) {
            headers.append(name, value);
        }
    }

    pub(super) fn request(&mut self) -> http::Request<()> {
        let method = match self.below(12) {
            0 => Method::HEAD,
            1 => Method::POST,
            _ => Method::GET,
        };
        let mut headers = HeaderMap::new();
        let plain = self.parts && !self.one_in(4);
        if plain {
            self.add(&mut headers, "range", "bytes=0-399".into());
        }
        for _ in 0..if plain { 0 } else { self.below(5) } {
            let (name, value) = match self.below(16) {
                0..=2 => ("cache-control", self.control()),
                3 => ("pragma", "no-cache".into()),
                4 | 5 => ("range", self.range()),
                6 => ("if-none-match", format!("{}, {}", self.tag(), self.tag())),
                7 => ("if-modified-since", self.date()),
                8 => (
                    "if-range",
                    if self.one_in(2) {
                        self.tag()
                    } else {
                        self.date()
                    },
                ),
                9 => (self.pick(&["if-match", "if-unmodified-since"]), self.tag()),
                10 => ("authorization", "x".into()),
                11 => ("connection", self.names()),
                12 => ("accept-encoding", self.coding()),
                13 => ("cookie", "a=b".into()),
                _ => (self.pick(&["foo", "bar"]), self.below(3).to_string()),
            };
            self.add(&mut headers, name, value);
        }
        let mut request = with_method(method, &[]);
        *request.headers_mut() = headers;
        request
    }

    pub(super) fn response(&mut self) -> (u16, HeaderMap) {
        let status = [
            200, 200, 200, 200, 206, 206, 206, 304, 304, 304, 404, 301, 302, 204, 500, 503, 416,
            599, 100,
        ];
        let mut place = usize::try_from(self.below(status.len() as u64)).unwrap_or(0);
        let clean = self.parts && !self.one_in(4);
        if clean {
            place = 4;
        }
        let mut headers = HeaderMap::new();
        let first = self.below(300);
        for _ in 0..self.below(9) {
            let (name, value) = match self.below(20) {
                0..=3 => ("cache-control", self.control()),
                4 => ("cdn-cache-control", self.control().to_lowercase()),
                5 => ("expires", self.date()),
                6 => ("date", self.date()),
                7 => ("last-modified", self.date()),
                8 => ("age", self.number()),
                9 => ("vary", self.names()),
                10..=12 => ("etag", self.tag()),
                13 => ("connection", self.names()),
                14 => (
                    self.pick(&["location", "content-location"]),
                    self.pick(&[
                        "/x",
                        "../y?z",
                        "//example.org",
                        "http://[",
                        "https://example.org/%",
                        "?",
                        "::",
                        "",
                    ])
                    .into(),
                ),
                15 => ("set-cookie", "a=b".into()),
                16 => ("content-encoding", "gzip".into()),
                17 => ("content-length", self.number()),
                _ => (
                    self.pick(&["foo", "bar", "content-type", "warning"]),
                    self.number(),
                ),
            };
            self.add(&mut headers, name, value);
        }
        if status[place] == 206 {
            let mut first = first;
            if clean {
                first = self.below(8) * 50 + self.below(2);
                headers.clear();
                self.add(&mut headers, "etag", "\"a\"".into());
                self.add(&mut headers, "cache-control", "max-age=30".into());
            }
            let last = if self.one_in(2) {
                first + 49
            } else {
                first + self.below(100)
            };
            let last = last.min(399);
            let length = if self.one_in(4) {
                "*".into()
            } else {
                "400".to_owned()
            };
            self.add(
                &mut headers,
                "content-range",
                format!("bytes {first}-{last}/{length}"),
            );
        }
        (status[place], headers)
    }

    pub(super) fn options(&mut self) -> Options {
        let credentials = |bypass| {
            if bypass {
                Credentials::Bypass
            } else {
                Credentials::Ignore
            }
        };
        Options {
            heuristics: !self.one_in(4),
            obey_requests: !self.one_in(4),
            store_set_cookie: !self.one_in(4),
            cookies: credentials(self.one_in(4)),
            authorization: credentials(self.one_in(4)),
            windows_beside_s_maxage: self.one_in(4),
            stale_if_unreachable: self.below(2) * self.below(60),
            offer_other_variants: !self.one_in(4),
            fill_on_condition: self.one_in(4),
            max_variants: usize::try_from(1 + self.below(4)).unwrap_or(1),
            max_ranges: usize::try_from(self.below(6)).unwrap_or(1),
            ..Options::default()
        }
    }
}
