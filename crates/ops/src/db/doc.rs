//! `pitchey db indexes doc`: what every index is for, from the catalog and the statements' headers.

use super::rules::{self, Reason};
use crate::table::Table;
use pitchey_sql::Statement;
use pitchey_store_pg::inspect::{Catalog, Index};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

/// What to do with the document.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Compare with this file instead; fail if it says anything else.
    #[arg(long, value_name = "FILE")]
    pub(crate) check: Option<PathBuf>,
}

/// The document, one table for each table that has indexes.
pub(crate) fn markdown(catalog: &Catalog) -> String {
    let statements: Vec<&Statement> = pitchey_sql::statements().iter().collect();
    let needs = rules::needs(&statements);
    let mut by_table: BTreeMap<&str, Vec<&Index>> = BTreeMap::new();
    for index in &catalog.indexes {
        by_table.entry(&index.table).or_default().push(index);
    }
    let mut text = String::from(
        "# Indexes\n\n\
         Written by `pitchey db indexes doc > docs/INDEXES.md` from the comments in the migrations and the \
         headers of the statements; do not edit.\n\
         Every index names the statement that needs it; `pitchey db indexes verify` proves on data that the \
         statement uses it.\n\
         Partitions have the indexes of their table.\n",
    );
    for (table, indexes) in by_table {
        let _ = write!(text, "\n## {table}\n\n");
        let mut rows = Table::new(&["index", "kind", "definition", "statements", "why"]);
        for index in indexes {
            let statements = needs.get(index.name.as_str());
            rows.row([
                format!("`{}`", index.name),
                kind(index),
                format!("`{}`", index.definition),
                statements.map_or_else(String::new, code_list),
                why(index),
            ]);
        }
        text.push_str(&rows.to_markdown());
    }
    text
}

fn code_list(names: &BTreeSet<&str>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// What its comment says besides the statements, which have a column of their own.
fn why(index: &Index) -> String {
    match &index.comment {
        Some(comment) => Reason::of(comment).words.join("; "),
        None if index.is_constraint => "constraint".to_owned(),
        None => String::new(),
    }
}

fn kind(index: &Index) -> String {
    let mut kind = index.method.clone();
    for (holds, word) in [
        (index.is_unique, "unique"),
        (index.predicate.is_some(), "partial"),
        (!index.included.is_empty(), "covering"),
    ] {
        if holds {
            let _ = write!(kind, ", {word}");
        }
    }
    kind
}

/// The first line in which a file differs from the document, if any: its number and what it should say.
pub(crate) fn first_difference(expected: &str, found: &str) -> Option<(usize, String)> {
    if expected == found {
        return None;
    }
    let mut found = found.lines();
    for (at, line) in (1..).zip(expected.lines()) {
        if found.next() != Some(line) {
            return Some((at, line.to_owned()));
        }
    }
    Some((expected.lines().count() + 1, "nothing more".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_found() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        let of = |found| first_difference("a\nb\n", found).expect("they differ");
        assert_eq!(of("a\nc\n"), (2, "b".to_owned()));
        assert_eq!(of("a\n"), (2, "b".to_owned()));
        assert_eq!(of("a\nb\nc\n"), (3, "nothing more".to_owned()));
        assert_eq!(of("a\nb"), (3, "nothing more".to_owned()));
    }
}
