//! A foreign film record, as a line of JSON.
//!
//! The data are somebody else's: fields that we do not know are skipped. What would make a record mean two
//! things is refused: the same field twice, the wrong type, text after the end.

use super::lines::BOM;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt::{self, Write as _};

/// A film as it was handed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) title: String,
    pub(super) year: i64,
    /// Names, the first-billed first.
    pub(super) cast: Vec<String>,
    pub(super) genres: Vec<String>,
    /// The first paragraph of an article.
    pub(super) extract: Option<String>,
    /// The name of that article.
    pub(super) href: Option<String>,
}

/// The record on a line, or why there is none.
pub(super) fn parse(line: &[u8]) -> Result<Record, String> {
    if line.trim_ascii().is_empty() {
        return Err("empty line".to_owned());
    }
    if line.starts_with(BOM) {
        return Err(
            "begins with a byte order mark, which belongs at the start of a file".to_owned(),
        );
    }
    let text = str::from_utf8(line)
        .map_err(|error| format!("not UTF-8 (byte {})", error.valid_up_to() + 1))?;
    let field = Cell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let record = json.deserialize_map(RecordVisitor { field: &field });
    record
        .and_then(|record| json.end().map(|()| record))
        .map_err(|error| reason(&error, field.get()))
}

/// The message of a JSON error about a field, fit for one line of a terminal.
fn reason(error: &serde_json::Error, field: Option<&str>) -> String {
    const MAX: usize = 160;
    let full = error.to_string();
    // A line has one line: the column alone says where.
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = full.strip_suffix(&place).unwrap_or(&full);
    let mut text = match (error.is_data(), field) {
        (false, _) => "not JSON: ".to_owned(),
        (true, Some(field)) => format!("{field}: "),
        (true, None) => String::new(),
    };
    // What a stranger wrote must neither fill the operator's terminal nor steer it.
    for c in message.chars().take(MAX) {
        if c.is_control() {
            text.extend(c.escape_default());
        } else {
            text.push(c);
        }
    }
    if message.chars().count() > MAX {
        text.push('…');
    }
    if error.column() > 0 {
        let _ = write!(text, " (column {})", error.column());
    }
    text
}

struct RecordVisitor<'a> {
    /// The field that is being read: an error in its value is about it.
    field: &'a Cell<Option<&'static str>>,
}

impl RecordVisitor<'_> {
    fn value<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
        &self,
        map: &mut A,
        field: &'static str,
    ) -> Result<T, A::Error> {
        self.field.set(Some(field));
        let value = map.next_value()?;
        self.field.set(None);
        Ok(value)
    }
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = Record;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of a film")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        let mut record = Record::default();
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "title" => record.title = self.value(&mut map, "title")?,
                "year" => record.year = self.value::<_, Year>(&mut map, "year")?.0,
                "cast" => {
                    record.cast = self
                        .value::<_, Option<Words>>(&mut map, "cast")?
                        .unwrap_or_default()
                        .0;
                }
                "genres" => {
                    record.genres = self
                        .value::<_, Option<Words>>(&mut map, "genres")?
                        .unwrap_or_default()
                        .0;
                }
                "extract" => record.extract = self.value(&mut map, "extract")?,
                "href" => record.href = self.value(&mut map, "href")?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            if let Some(key) = seen.replace(key) {
                return Err(A::Error::custom(format!("field {key:?} is there twice")));
            }
        }
        for required in ["title", "year"] {
            if !seen.contains(required) {
                return Err(A::Error::custom(format!("{required} is missing")));
            }
        }
        Ok(record)
    }
}

/// A whole number.
struct Year(i64);

impl<'de> Deserialize<'de> for Year {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct YearVisitor;
        impl Visitor<'_> for YearVisitor {
            type Value = Year;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }
            fn visit_i64<E>(self, year: i64) -> Result<Year, E> {
                Ok(Year(year))
            }
            fn visit_u64<E>(self, year: u64) -> Result<Year, E> {
                // Out of any range is out of ours.
                Ok(Year(i64::try_from(year).unwrap_or(i64::MAX)))
            }
        }
        deserializer.deserialize_i64(YearVisitor)
    }
}

/// A list of texts.
#[derive(Default)]
struct Words(Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordsVisitor;
        impl<'de> Visitor<'de> for WordsVisitor {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_seq(WordsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(line: impl AsRef<[u8]>) -> String {
        parse(line.as_ref()).expect_err("the line is bad")
    }

    #[test]
    fn a_whole_record_is_read() {
        let line = r#"{"title":"A","year":1915,"cast":["B"],"genres":["Drama"],"extract":"C.","href":"D"}"#;
        let record = parse(line.as_bytes()).expect("it is whole");
        assert_eq!(
            record,
            Record {
                title: "A".into(),
                year: 1915,
                cast: vec!["B".into()],
                genres: vec!["Drama".into()],
                extract: Some("C.".into()),
                href: Some("D".into()),
            }
        );
    }

    #[test]
    fn gaps_and_strange_fields_are_borne() {
        let line = r#" {"title":"A","year":1915,"cast":null,"href":null,"rating":{"x":[1,{}]}} "#;
        let record = parse(line.as_bytes()).expect("only title and year must be there");
        assert_eq!((record.cast.len(), record.href), (0, None));
    }

    #[test]
    fn bad_lines_are_refused_with_a_reason() {
        let table: &[(&[u8], &str)] = &[
            (b"", "empty line"),
            (b" \t ", "empty line"),
            (
                b"\xef\xbb\xbf{}",
                "begins with a byte order mark, which belongs at the start of a file",
            ),
            (b"{\"title\":\"\xff\"}", "not UTF-8 (byte 11)"),
            (
                b"{\"title\":\"A\"",
                "not JSON: EOF while parsing an object (column 12)",
            ),
            (
                b"{\"title\":\"A\",\"year\":1} x",
                "not JSON: trailing characters (column 24)",
            ),
            (b"{\"year\":1915}", "title is missing (column 13)"),
            (b"{\"title\":\"A\"}", "year is missing (column 13)"),
            (
                b"{\"title\":5,\"year\":1915}",
                "title: invalid type: integer `5`, expected a string (column 10)",
            ),
            (
                b"{\"title\":\"A\",\"year\":\"1915\"}",
                "year: invalid type: string \"1915\", expected a whole number (column 26)",
            ),
            (
                b"{\"title\":\"A\",\"year\":1915,\"cast\":\"B\"}",
                "cast: invalid type: string \"B\", expected a list of texts (column 35)",
            ),
            (
                b"{\"title\":\"A\",\"title\":\"B\",\"year\":1915}",
                "field \"title\" is there twice (column 24)",
            ),
            (
                b"{\"title\":\"A\",\"year\":1915,\"cast\":[\"B\",null]}",
                "cast: invalid type: null, expected a string (column 41)",
            ),
            (
                b"{\"title\":\"A\",\"year\":1915.5}",
                "year: invalid type: floating point `1915.5`, expected a whole number (column 26)",
            ),
            (
                b"{\"x\":1,\"x\":2,\"title\":\"A\",\"year\":1915}",
                "field \"x\" is there twice (column 12)",
            ),
            (
                b"[1]",
                "invalid type: sequence, expected an object with the fields of a film (column 0)",
            ),
        ];
        for (line, expected) in table {
            let expected = expected.trim_end_matches(" (column 0)");
            assert_eq!(refusal(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_reason_is_short_and_has_no_control_characters() {
        let long = format!(
            "{{\"title\":\"A\",\"year\":\"\\u001b[2J{}\"}}",
            "x".repeat(5000)
        );
        let reason = refusal(long);
        assert!(reason.chars().count() < 200, "{reason}");
        assert!(!reason.chars().any(char::is_control), "{reason}");
    }
}
