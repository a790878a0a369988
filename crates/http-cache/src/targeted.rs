//! Targeted fields, which are for some caches only and are structured (RFC 9213).

use http::header::{HeaderMap, HeaderName};
use sfv::{BareItem, Dictionary, InnerList, ListEntry, Parser};

use crate::directives::{Argument, Directive, Directives, MAX_CONTROL_BYTES};

/// Directives whose value is a number of seconds.
const DELTAS: [&str; 5] = [
    "max-age",
    "s-maxage",
    "stale-while-revalidate",
    "stale-if-error",
    "max-stale",
];
/// Directives that have no value.
const FLAGS: [&str; 6] = [
    "no-store",
    "must-revalidate",
    "proxy-revalidate",
    "public",
    "no-transform",
    "must-understand",
];

/// The directives of the first of these fields that is there, valid and not empty.
pub(crate) fn directives(headers: &HeaderMap, names: &[HeaderName]) -> Option<Directives> {
    names.iter().find_map(|name| parse(headers, name))
}

fn parse(headers: &HeaderMap, name: &HeaderName) -> Option<Directives> {
    let mut text = Vec::new();
    for line in headers.get_all(name) {
        if text.len() + line.len() + 2 > MAX_CONTROL_BYTES {
            return None;
        }
        if !text.is_empty() {
            text.extend_from_slice(b", ");
        }
        text.extend_from_slice(line.as_bytes());
    }
    if text.is_empty() {
        return None;
    }
    let dictionary = Parser::new(&text).parse::<Dictionary>().ok()?;
    let mut found = Directives::default();
    for (key, entry) in &dictionary {
        let name = key.as_str();
        let value = match entry {
            ListEntry::Item(item) => Some(&item.bare_item),
            ListEntry::InnerList(_) => None,
        };
        // A value of a wrong type is as bad as one that cannot be parsed.
        let argument = match (value, entry) {
            (Some(BareItem::Boolean(true)), _) if !DELTAS.contains(&name) => Argument::None,
            // It says that the directive is not there.
            (Some(BareItem::Boolean(false)), _) if !DELTAS.contains(&name) => continue,
            _ if FLAGS.contains(&name) => return None,
            (Some(BareItem::Integer(number)), _) => {
                let number = i64::from(*number);
                if number < 0 && DELTAS.contains(&name) {
                    Argument::Invalid
                } else {
                    Argument::Text(number.to_string())
                }
            }
            _ if DELTAS.contains(&name) => return None,
            (Some(BareItem::String(text)), _) => Argument::Text(text.as_str().to_owned()),
            (Some(BareItem::Token(text)), _) => Argument::Text(text.as_str().to_owned()),
            (None, ListEntry::InnerList(list)) => Argument::Text(joined(list)),
            _ => Argument::Invalid,
        };
        found.push(Directive {
            name: name.to_owned(),
            argument,
        });
    }
    (!dictionary.is_empty()).then_some(found)
}

/// Field names given as an inner list, as the text that a string would have had.
fn joined(list: &InnerList) -> String {
    let words = list.items.iter().map(|item| match &item.bare_item {
        BareItem::String(text) => text.as_str(),
        BareItem::Token(text) => text.as_str(),
        // No name of a field, so that the directive is about the whole response.
        _ => "?",
    });
    words.collect::<Vec<_>>().join(",")
}
