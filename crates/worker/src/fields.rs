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
        text.push_str(name.as_str());
        text.push('\n');
        // Workers read and write values as UTF-8.
        text.push_str(&String::from_utf8_lossy(value.as_bytes()));
        text.push('\n');
    }
    text
}
