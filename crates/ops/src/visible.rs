//! Text of others on a terminal: what would steer it is spelt out.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Control characters, and those that change the order in which others are shown.
fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text with each such character as `\u{1b}`.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    spelt(text, steers, |character| {
        character.escape_unicode().collect()
    })
}

/// The same for a text of several lines.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    let steers = |character| character != '\n' && steers(character);
    spelt(text, steers, |character| {
        character.escape_unicode().collect()
    })
}

/// JSON with each such character as `\u001b`. What JSON itself must escape is escaped already, and the others
/// stand in strings only, so the line breaks that are left are those between values.
pub(crate) fn json_visible(json: &str) -> Cow<'_, str> {
    let steers = |character| character != '\n' && steers(character);
    // All of them are below U+10000.
    spelt(json, steers, |character| {
        format!("\\u{:04x}", u32::from(character))
    })
}

fn spelt(
    text: &str,
    is_spelt: impl Fn(char) -> bool,
    spell: impl Fn(char) -> String,
) -> Cow<'_, str> {
    if !text.contains(&is_spelt) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_spelt(character) {
            shown.push_str(&spell(character));
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Names and values as `operator=olga reason="three complaints"`.
pub(crate) fn assignments<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a serde_json::Value)>,
) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push(' ');
        }
        let plain = value.as_str().filter(|value| {
            !value.is_empty()
                && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '='))
        });
        // Writing to a string cannot fail.
        let _ = match plain {
            Some(plain) => write!(text, "{name}={plain}"),
            None => write!(text, "{name}={value}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_steers_a_terminal_is_spelt_out() {
        assert_eq!(visible("Žofie 🎬 Ann"), "Žofie 🎬 Ann");
        assert_eq!(
            visible("a\u{1b}[2Jb\rc\u{9b}31m\u{202e}d\n"),
            r"a\u{1b}[2Jb\u{d}c\u{9b}31m\u{202e}d\u{a}"
        );
        assert_eq!(visible_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn assignments_are_read_apart() {
        let detail =
            json!({ "operator": "olga", "reason": "three complaints", "n": 2, "none": "" });
        let pairs = detail.as_object().expect("an object");
        let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value));
        assert_eq!(
            assignments(pairs),
            r#"n=2 none="" operator=olga reason="three complaints""#
        );
    }

    proptest! {
        #[test]
        fn json_stays_the_same_value(text in any::<String>()) {
            let json = serde_json::to_string_pretty(&json!({ "text": text })).expect("a string");
            let shown = json_visible(&json);
            prop_assert!(!shown.contains(|c| c != '\n' && steers(c)));
            let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
            prop_assert_eq!(read["text"].as_str(), Some(text.as_str()));
        }
    }
}
