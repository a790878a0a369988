//! Reading the layers and turning them into sections, without stopping at the first mistake.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use figment::error::{Actual, Kind};
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider};
use serde::de::DeserializeOwned;

const PREFIX: &str = "PITCHEY_";

/// Variables that everyone knows, and the keys they stand for.
const WELL_KNOWN: [(&str, &str); 2] =
    [("DATABASE_URL", "database.url"), ("REDIS_URL", "cache.url")];

/// Values that no message shows, and that are text whatever they look like.
const SECRETS: [&str; 5] = [
    "database.url",
    "cursor.key",
    "cache.url",
    "realtime.ticket_key",
    "realtime.publish_key",
];

/// Has secrets in it: no message shows what was found there or below.
const WITH_SECRETS: &str = "database.replicas";

/// One environment variable as a layer of its own, so that a message can name it.
struct Variable {
    name: String,
    key: String,
    value: String,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let value = if SECRETS.contains(&self.key.as_str()) {
            Value::from(self.value.clone())
        } else {
            // Never fails: what is no number, truth value or list is text.
            self.value
                .parse::<Value>()
                .unwrap_or_else(|never| match never {})
        };
        let nested = figment::util::nest(&self.key, value);
        let dict = nested.into_dict().unwrap_or_default();
        Ok(Map::from([(Profile::Default, dict)]))
    }
}

/// All layers merged. Sections are taken out one by one; what is left in the end is unknown.
pub(super) struct Layers {
    figment: Figment,
    sections: Dict,
    known: BTreeSet<&'static str>,
    /// Keys that were taken out of their section before it.
    taken: Vec<(&'static str, &'static str)>,
}

impl Layers {
    pub(super) fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Vec<String>,
    ) -> Self {
        let mut figment = Figment::new();
        if let Some(path) = file {
            let toml = Toml::file_exact(path);
            match toml.data() {
                Ok(_) => figment = figment.merge(toml),
                Err(error) => problems.push(format!("{}: {}", path.display(), error.kind)),
            }
        }
        for variable in variables(environment, problems) {
            figment = figment.merge(variable);
        }
        let sections = match figment.data() {
            Ok(mut profiles) => profiles.remove(&Profile::Default).unwrap_or_default(),
            Err(error) => {
                problems.push(error.to_string());
                Dict::new()
            }
        };
        Self {
            figment,
            sections,
            known: BTreeSet::new(),
            taken: Vec::new(),
        }
    }

    /// Takes one value out of the section `name`, which is still to be taken itself.
    pub(super) fn value<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        key: &'static str,
        problems: &mut Vec<String>,
    ) -> T {
        self.taken.push((name, key));
        let section = self.sections.get_mut(name);
        let Some(value) = section.and_then(|section| remove(section, &[key.to_owned()])) else {
            return T::default();
        };
        value.deserialize().unwrap_or_else(|error: Error| {
            let error = error.with_path(key);
            problems.push(self.describe(name, &error, &value));
            T::default()
        })
    }

    /// Takes the section `name`. Every value that does not fit becomes a problem and is left out,
    /// so that the next one is found, too.
    pub(super) fn section<T: DeserializeOwned + Default>(
        &mut self,
        name: &'static str,
        problems: &mut Vec<String>,
    ) -> T {
        self.known.insert(name);
        let Some(mut section) = self.sections.remove(name) else {
            return T::default();
        };
        loop {
            let error = match section.deserialize::<T>() {
                Ok(read) => return read,
                Err(error) => error,
            };
            match remove(&mut section, &error.path) {
                Some(wrong) => problems.push(self.describe(name, &error, &wrong)),
                None => {
                    problems.push(self.describe(name, &error, &section));
                    return T::default();
                }
            }
        }
    }

    /// What no section has taken is unknown.
    pub(super) fn finish(self, problems: &mut Vec<String>) {
        for (name, value) in &self.sections {
            let sections = self.known.iter().copied().collect::<Vec<_>>().join(", ");
            problems.push(format!(
                "{name}: no such section, there are {sections}{}",
                self.source(value)
            ));
        }
    }

    fn describe(&self, section: &str, error: &Error, found: &Value) -> String {
        let key = [section]
            .into_iter()
            .chain(error.path.iter().map(String::as_str))
            .collect::<Vec<_>>()
            .join(".");
        let message = match &error.kind {
            Kind::InvalidType(..) | Kind::InvalidValue(..) if SECRETS.contains(&key.as_str()) => {
                "is not text".to_owned()
            }
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected)
                if key.starts_with(WITH_SECRETS) =>
            {
                format!("is not {}", wanted(expected))
            }
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                format!("{} is not {}", shown(actual), wanted(expected))
            }
            Kind::UnknownField(_, expected) => {
                let taken = self.taken.iter().filter(|(of, _)| *of == section);
                let keys = taken.map(|(_, key)| *key).chain(expected.iter().copied());
                format!(
                    "no such key, there are {}",
                    keys.collect::<Vec<_>>().join(", ")
                )
            }
            Kind::UnknownVariant(variant, expected) => {
                format!("{variant:?} is none of {}", expected.join(", "))
            }
            other => other.to_string(),
        };
        format!("{key}: {message}{}", self.source(found))
    }

    /// Where a value comes from.
    fn source(&self, value: &Value) -> String {
        // The tag of a table is not that of what is in it.
        let mut value = value;
        while let Value::Dict(_, dict) = value
            && let Some(first) = dict.values().next()
        {
            value = first;
        }
        let Some(metadata) = self.figment.get_metadata(value.tag()) else {
            return String::new();
        };
        match metadata
            .source
            .as_ref()
            .and_then(figment::Source::file_path)
        {
            Some(path) => format!(" ({})", path.display()),
            None => format!(" ({})", metadata.name),
        }
    }
}

/// The variables that concern the configuration, the well-known ones first.
fn variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    problems: &mut Vec<String>,
) -> Vec<Variable> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str() else { continue };
        let well_known = WELL_KNOWN.iter().find(|(known, _)| *known == name);
        let key = match (well_known, name.strip_prefix(PREFIX)) {
            (Some((_, key)), _) => (*key).to_owned(),
            (None, Some(rest)) => rest.to_lowercase().replace("__", "."),
            (None, None) => continue,
        };
        if key.split('.').any(str::is_empty) {
            problems.push(format!("{name}: is not PITCHEY_<SECTION>__<KEY>"));
            continue;
        }
        match value.into_string() {
            Ok(value) => variables.push((
                well_known.is_none(),
                Variable {
                    name: name.to_owned(),
                    key,
                    value,
                },
            )),
            Err(_) => problems.push(format!("{key}: is not UTF-8 ({name})")),
        }
    }
    variables
        .sort_by(|(own, one), (other_own, other)| (own, &one.name).cmp(&(other_own, &other.name)));
    variables
        .into_iter()
        .map(|(_, variable)| variable)
        .collect()
}

/// Removes and returns what is at `path`. Of a list all is removed: what is left of one with a wrong
/// entry was not meant.
fn remove(value: &mut Value, path: &[String]) -> Option<Value> {
    (1..=path.len())
        .rev()
        .find_map(|length| remove_exactly(value, &path[..length]))
}

fn remove_exactly(value: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    let mut value = value;
    for key in parents {
        let Value::Dict(_, dict) = value else {
            return None;
        };
        value = dict.get_mut(key)?;
    }
    let Value::Dict(_, dict) = value else {
        return None;
    };
    dict.remove(last)
}

/// What serde expected, in the words of someone who writes a configuration.
fn wanted(expected: &str) -> &str {
    match expected {
        "u16" | "u32" | "u64" | "usize" => "a whole number above or at zero",
        "a string" => "text",
        "a sequence" => "a list like [\"a\", \"b\"]",
        struct_name if struct_name.starts_with("struct ") => "a section",
        other => other,
    }
}

fn shown(actual: &Actual) -> String {
    match actual {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Str(value) => format!("{value:?}"),
        other => other.to_string(),
    }
}
