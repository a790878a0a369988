//! Content codings: which one a client would have (RFC 9110, section 12.5.3), and the coding itself.

use http::{HeaderMap, header};
use std::io::Write as _;

/// How a body is coded for transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Brotli,
}

impl Coding {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Brotli => "br",
        }
    }

    /// What can be made here, the best first.
    pub(crate) const MADE: &[&str] = if cfg!(feature = "brotli") {
        &["br", "gzip"]
    } else {
        &["gzip"]
    };

    /// The best of what the client takes; identity when it takes nothing we have.
    pub(crate) fn negotiate(headers: &HeaderMap) -> Self {
        match best(headers, &["br", "gzip"]).first() {
            Some(&"br") => Self::Brotli,
            Some(_) => Self::Gzip,
            None => Self::Identity,
        }
    }

    /// The coded body; `None` if it came out no smaller.
    pub(crate) fn encode(self, body: &[u8]) -> Option<Vec<u8>> {
        let coded = match self {
            Self::Identity => return None,
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
                encoder.write_all(body).ok()?;
                encoder.finish().ok()?
            }
            #[cfg(not(feature = "brotli"))]
            Self::Brotli => return None,
            #[cfg(feature = "brotli")]
            Self::Brotli => {
                // Quality 5: as fast as gzip's 6, and a tenth smaller.
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
                encoder.write_all(body).ok()?;
                encoder.into_inner()
            }
        };
        (coded.len() < body.len()).then_some(coded)
    }
}

/// Those of these codings that a client takes, what it would rather have first, and of what it likes alike what
/// is first here.
pub(crate) fn best(headers: &HeaderMap, codings: &[&'static str]) -> Vec<&'static str> {
    let mut any = 0;
    let mut named = Vec::new();
    for item in headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','))
    {
        let (name, weight) = match item.split_once(';') {
            Some((name, parameter)) => (name.trim(), weight(parameter)),
            None => (item.trim(), 1000),
        };
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("x-").unwrap_or(&name) {
            "*" => any = weight,
            name => {
                let known = codings.iter().find(|known| **known == name);
                named.extend(known.map(|known| (*known, weight)));
            }
        }
    }
    let weighed = codings.iter().map(|coding| {
        let mut named = named.iter();
        let weight = named.find(|(known, _)| known == coding);
        (*coding, weight.map_or(any, |(_, weight)| *weight))
    });
    let mut wanted: Vec<_> = weighed.filter(|(_, weight)| *weight > 0).collect();
    // It is stable.
    wanted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    wanted.into_iter().map(|(coding, _)| coding).collect()
}

/// The weight of `q=0.5` in thousandths; something unreadable means "not acceptable".
fn weight(parameter: &str) -> u32 {
    let Some(value) = parameter
        .trim()
        .strip_prefix("q=")
        .or_else(|| parameter.trim().strip_prefix("Q="))
    else {
        return 1000;
    };
    match value.trim().split_once('.').unwrap_or((value.trim(), "")) {
        ("1", zeros) if zeros.len() <= 3 && zeros.bytes().all(|b| b == b'0') => 1000,
        ("0", digits) if digits.len() <= 3 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{digits:0<3}").parse().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide_and_brotli_wins_ties() {
        let cases = [
            ("", Coding::Identity),
            ("gzip, deflate, br", Coding::Brotli),
            ("gzip", Coding::Gzip),
            ("GZip;q=1.0, br;q=0.5", Coding::Gzip),
            ("br;q=0, *", Coding::Gzip),
            ("*", Coding::Brotli),
            ("*;q=0", Coding::Identity),
            ("br;q=0.001, gzip;q=0.01", Coding::Gzip),
            ("br;q=nonsense", Coding::Identity),
            ("zstd, deflate", Coding::Identity),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accept.parse().expect("a header"));
            assert_eq!(Coding::negotiate(&headers), expected, "{accept}");
        }
    }

    #[test]
    fn what_does_not_shrink_is_sent_as_it_is() {
        assert_eq!(Coding::Gzip.encode(b"x"), None);
        for coding in [Coding::Gzip, Coding::Brotli] {
            let coded = coding.encode(&[b'a'; 2000]);
            let is_made = Coding::MADE.contains(&coding.name());
            assert_eq!(coded.is_some_and(|coded| coded.len() < 100), is_made);
        }
    }
}
