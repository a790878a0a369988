use super::*;
use futures::FutureExt as _;
use std::collections::HashMap;

/// Objects in memory: name, then tag and content.
#[derive(Default)]
struct Shelf(HashMap<&'static str, (&'static str, &'static str)>);

impl Objects for Shelf {
    type Body = String;

    async fn open(&self, name: &str, wanted: Wanted<'_>) -> Result<Opened<String>, FetchError> {
        let Some((tag, content)) = self.0.get(name) else {
            return Ok(Opened::Missing);
        };
        let body = match wanted {
            Wanted::Head => String::new(),
            Wanted::Whole { known } if known == Some(*tag) => return Ok(Opened::Unwanted),
            Wanted::Whole { .. } => (*content).to_owned(),
            Wanted::Part { tag: only, .. } if only != *tag => return Ok(Opened::Unwanted),
            Wanted::Part { first, length, .. } => {
                let first = usize::try_from(first).expect("small");
                content[first..first + usize::try_from(length).expect("small")].to_owned()
            }
        };
        let length = u64::try_from(content.len()).expect("small");
        let tag = (*tag).to_owned();
        Ok(Opened::Found { tag, length, body })
    }
}

fn shelf() -> Shelf {
    Shelf(HashMap::from([
        ("a.css", ("1", "0123456789")),
        ("a.css.br", ("2", "brotli")),
        ("a.png", ("3", "png")),
        ("a.png.br", ("4", "never")),
    ]))
}

fn ask(path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, String) {
    answer(Method::GET, path, headers, 5)
}

fn answer(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    largest: u64,
) -> (u16, HeaderMap, String) {
    let mut request = http::Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).expect("a request").into_parts();
    let response = asset(&shelf(), &parts, largest).now_or_never();
    let response = response
        .expect("nothing waits here")
        .expect("it does not fail");
    let (parts, body) = response.into_parts();
    let text = match body {
        AssetBody::Text(text) | AssetBody::Object(text) => text,
    };
    (parts.status.as_u16(), parts.headers, text)
}

#[test]
fn each_coding_has_a_tag_of_its_own_and_what_is_known_is_not_sent() {
    for (accept, known, status, tag, body) in [
        ("br", "\"1\"", 200, "\"2-br\"", "brotli"),
        ("br", "\"1\", \"2-br\"", 304, "\"2-br\"", ""),
        ("br", "\"2\"", 200, "\"2-br\"", "brotli"),
        ("br", "W/\"2-br\"", 200, "\"2-br\"", "brotli"),
        ("gzip", "\"2-br\"", 200, "\"1\"", "0123456789"),
        ("gzip", "\"2-br\", \"1\"", 304, "\"1\"", ""),
    ] {
        let headers = [("accept-encoding", accept), ("if-none-match", known)];
        let (told, fields, text) = ask("/assets/a.css", &headers);
        assert_eq!((told, &*text), (status, body), "{accept} {known}");
        assert_eq!(fields[ETAG], tag, "{accept} {known}");
    }
}

#[test]
fn what_is_packed_is_looked_for_once() {
    let (status, fields, text) = ask("/assets/a.png", &[("accept-encoding", "br")]);
    assert_eq!((status, &*text), (200, "png"));
    assert_eq!(fields[ETAG], "\"3\"");
}

#[test]
fn parts_of_what_is_long_come_from_the_store_and_of_what_is_short_from_the_cache() {
    for (range, status, said, body) in [
        ("bytes=2-4", 206, "bytes 2-4/10", "234"),
        ("bytes=8-", 206, "bytes 8-9/10", "89"),
        ("bytes=8-99", 206, "bytes 8-9/10", "89"),
        ("bytes=-3", 206, "bytes 7-9/10", "789"),
        ("bytes=-30", 206, "bytes 0-9/10", "0123456789"),
        ("bytes=10-", 416, "bytes */10", ""),
        ("bytes=-0", 416, "bytes */10", ""),
        ("bytes=0-1,3-4", 200, "", "0123456789"),
        ("bytes=4-2", 200, "", "0123456789"),
        ("bytes=+4-5", 200, "", "0123456789"),
        ("lines=1-2", 200, "", "0123456789"),
    ] {
        let (told, fields, text) = ask("/assets/a.css", &[("range", range)]);
        let content_range = fields
            .get(CONTENT_RANGE)
            .map_or("", |said| said.to_str().expect("text"));
        assert_eq!(
            (told, content_range, &*text),
            (status, said, body),
            "{range}"
        );
        let length = fields[CONTENT_LENGTH].to_str().expect("text");
        assert_eq!(length, body.len().to_string(), "{range}");
    }
    let headers = [("range", "bytes=2-4"), ("if-range", "\"0\"")];
    assert_eq!(ask("/assets/a.css", &headers).0, 200);
    let headers = [("range", "bytes=2-4"), ("if-range", "\"1\"")];
    assert_eq!(ask("/assets/a.css", &headers).0, 206);
    let (status, _, text) = answer(Method::GET, "/assets/a.css", &[("range", "bytes=2-4")], 10);
    assert_eq!((status, &*text), (200, "0123456789"));
    let (status, fields, text) =
        answer(Method::HEAD, "/assets/a.css", &[("range", "bytes=2-4")], 5);
    assert_eq!((status, &*text), (200, ""));
    assert_eq!(fields[CONTENT_LENGTH], "10");
}

#[test]
fn a_query_means_nothing() {
    let stripped = |text: &str| {
        let uri = text.parse().expect("an address");
        asset_address(&uri).map(|uri| uri.to_string())
    };
    assert_eq!(
        stripped("/assets/a.js?v=1").as_deref(),
        Some("/assets/a.js")
    );
    assert_eq!(stripped("/assets/a.js").as_deref(), Some("/assets/a.js"));
    assert_eq!(stripped("/api/a?x"), None);
}
