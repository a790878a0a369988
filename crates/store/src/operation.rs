//! Operations on the caches, as the audit log tells them: by the API and by the command line alike.

use crate::accounts::Operation;
use std::fmt::Write as _;

/// How much of what was named the audit log keeps, in bytes.
const NOTED: usize = 1000;

impl Operation {
    /// Forgetting what is kept under tags, keys and prefixes.
    pub fn cache_purge(
        tags: &[impl AsRef<str>],
        keys: &[impl AsRef<str>],
        prefixes: &[impl AsRef<str>],
        soft: bool,
    ) -> Self {
        let detail = vec![
            ("tags", noted(tags)),
            ("keys", noted(keys)),
            ("prefixes", noted(prefixes)),
            ("soft", soft.to_string()),
        ];
        Self::on_cache("cache.purge", detail)
    }

    /// Loading what will be asked for.
    pub fn cache_warm(addresses: &[impl AsRef<str>]) -> Self {
        let detail = vec![
            ("count", addresses.len().to_string()),
            ("addresses", noted(addresses)),
        ];
        Self::on_cache("cache.warm", detail)
    }

    fn on_cache(action: &'static str, detail: Vec<(&'static str, String)>) -> Self {
        Self {
            action,
            subject_kind: "cache",
            detail,
        }
    }
}

/// What was named, cut to what the audit log keeps of it.
fn noted(names: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (n, name) in names.iter().enumerate() {
        let name = name.as_ref();
        if text.len() + name.len() > NOTED {
            // Writing to a string cannot fail.
            let _ = write!(text, "… {} more", names.len() - n);
            break;
        }
        if n > 0 {
            text.push(' ');
        }
        text.push_str(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_what_fits() {
        assert_eq!(noted(&["lists", "search"]), "lists search");
        let long = vec!["x".repeat(400); 5];
        let text = noted(&long);
        assert!(text.ends_with("… 3 more"), "{text}");
    }

    #[test]
    fn a_purge_is_told_with_all_that_was_named() {
        let none: [&str; 0] = [];
        let purge = Operation::cache_purge(&["lists", "search"], &none, &["search:"], true);
        let detail = [
            ("tags", "lists search"),
            ("keys", ""),
            ("prefixes", "search:"),
            ("soft", "true"),
        ];
        let expected = Operation {
            action: "cache.purge",
            subject_kind: "cache",
            detail: detail.map(|(name, value)| (name, value.to_owned())).into(),
        };
        assert_eq!(purge, expected);
    }
}
