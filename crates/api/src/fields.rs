//! `fields=`: which parts of a representation to send.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The fields asked for, in one normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldSet(Option<BTreeSet<&'static str>>);

impl FieldSet {
    /// Everything.
    pub(crate) const fn all() -> Self {
        Self(None)
    }

    /// `raw` is comma-separated; `known` are all paths there are, parents before their children
    /// (`creator`, `creator.username`). The error names what is not known.
    pub(crate) fn parse(raw: &str, known: &'static [&'static str]) -> Result<Self, String> {
        let mut fields = BTreeSet::new();
        for name in raw.split(',').map(str::trim) {
            match known.iter().find(|path| **path == name) {
                Some(path) => fields.insert(*path),
                None => {
                    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
                    return Err(format!(
                        "{name:?} is not a field: one of {}",
                        known.join(", ")
                    ));
                }
            };
        }
        // A parent brings its children: naming both says nothing more.
        let whole = fields.clone();
        fields.retain(|path| {
            path.split_once('.')
                .is_none_or(|(parent, _)| !whole.contains(parent))
        });
        Ok(Self(Some(fields)))
    }

    /// Whether a field, or a part of it, is asked for.
    pub(crate) fn wants(&self, field: &str) -> bool {
        self.0.as_ref().is_none_or(|fields| {
            fields.iter().any(|path| {
                *path == field
                    || path
                        .split_once('.')
                        .is_some_and(|(parent, _)| parent == field)
            })
        })
    }

    /// What is asked for of an object.
    pub(crate) fn select(&self, value: Value) -> Value {
        let (Some(fields), Value::Object(mut object)) = (&self.0, value.clone()) else {
            return value;
        };
        let mut picked = Map::new();
        for path in fields {
            match path.split_once('.') {
                None => {
                    if let Some(field) = object.remove(*path) {
                        picked.insert((*path).to_owned(), field);
                    }
                }
                Some((parent, child)) => match object.get(parent).map(|inner| inner.get(child)) {
                    Some(Some(field)) => {
                        let inner = picked
                            .entry(parent)
                            .or_insert_with(|| Value::Object(Map::new()));
                        inner[child] = field.clone();
                    }
                    // A parent that is null stays null.
                    Some(None) => {
                        picked.insert(parent.to_owned(), Value::Null);
                    }
                    None => {}
                },
            }
        }
        Value::Object(picked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const KNOWN: &[&str] = &["id", "title", "creator", "creator.id", "creator.username"];

    fn select(raw: &str) -> Value {
        let value = json!({"id": 1, "title": "T", "creator": {"id": 2, "username": "u"}});
        FieldSet::parse(raw, KNOWN)
            .expect("known fields")
            .select(value)
    }

    #[test]
    fn only_what_is_asked_is_sent() {
        assert_eq!(select("title,id"), json!({"id": 1, "title": "T"}));
        assert_eq!(
            select("creator.username"),
            json!({"creator": {"username": "u"}})
        );
        assert_eq!(
            select("creator.username, creator"),
            json!({"creator": {"id": 2, "username": "u"}})
        );
    }

    #[test]
    fn order_and_repetition_make_no_difference() {
        assert_eq!(
            FieldSet::parse("title,id,title", KNOWN),
            FieldSet::parse("id,title", KNOWN)
        );
    }

    #[test]
    fn unknown_names_are_refused() {
        for bad in ["", "nope", "id,", "creator.email", "id.x", "ID"] {
            assert!(FieldSet::parse(bad, KNOWN).is_err(), "{bad}");
        }
    }
}
