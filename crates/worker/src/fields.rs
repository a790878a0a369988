//! Fields as the text in which they cross to JavaScript: a line for each name and each value.

use http::header::{HeaderMap, HeaderName, HeaderValue};

/// Reads fields. What is none is left out.
pub(crate) fn read(text: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut lines = text.lines();
    while let (Some(name), Some(value)) = (lines.next(), lines.next()) {
        let name = HeaderName::try_from(name).ok();
        if let Some((name, value)) = name.zip(HeaderValue::from_bytes(value.as_bytes()).ok()) {
            headers.append(name, value);
        }
    }
    headers
}

/// Writes fields.
pub(crate) fn write(headers: &HeaderMap) -> String {
    let length = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 2);
    let mut text = String::with_capacity(length.sum());
    for (name, value) in headers {
        add(&mut text, name, value);
    }
    text
}

/// Writes the fields of an answer that its page does not have, but for one; `None` if the page has some that
/// the answer has not.
pub(crate) fn write_more(
    headers: &HeaderMap,
    page: &HeaderMap,
    but: &HeaderName,
) -> Option<String> {
    // About as much as there is to say of an exchange.
    let mut text = String::with_capacity(256);
    let mut alike = 0;
    for (name, value) in headers {
        if page.get(name).is_some_and(|other| other == value) {
            alike += 1;
        } else if name != but {
            add(&mut text, name, value);
        }
    }
    (alike == page.len()).then_some(text)
}

fn add(text: &mut String, name: &HeaderName, value: &HeaderValue) {
    text.push_str(name.as_str());
    text.push('\n');
    // Workers read and write values as UTF-8.
    text.push_str(&String::from_utf8_lossy(value.as_bytes()));
    text.push('\n');
}
