//! `docs/HTTP-CACHE.md` names tests that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The tests of this crate, by name, with the number of times that each is defined.
fn tests() -> BTreeMap<String, usize> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the tests are there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(path).expect("text");
        let mut marked = false;
        for line in text.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| marked) {
                let name = rest.split('(').next().unwrap_or_default();
                *found.entry(name.to_owned()).or_default() += 1;
            }
            // Other attributes may stand between the mark and the function.
            marked = line == "#[test]" || (marked && line.starts_with("#["));
        }
    }
    found
}

struct Row {
    chapter: String,
    requirement: String,
    shown_by: String,
}

fn rows() -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/HTTP-CACHE.md");
    let text = fs::read_to_string(path).expect("the document is there");
    let mut chapter = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut chapter);
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", section, level, requirement, shown_by, ""] = cells[..]
            && !["section", "---"].contains(&section)
        {
            rows.push(Row {
                chapter: chapter.clone(),
                requirement: format!("{section} {level} {requirement}"),
                shown_by: shown_by.to_owned(),
            });
        }
    }
    rows
}

/// What stands in backticks and is the name of a test by its looks.
fn named(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|name| name.contains('_') && !name.contains(':'))
        .collect()
}

#[test]
fn every_requirement_names_tests_that_exist() {
    let tests = tests();
    let rows = rows();
    assert!(rows.len() > 150, "only {} rows are read", rows.len());
    for row in &rows {
        let names = named(&row.shown_by);
        for name in &names {
            assert_eq!(tests.get(*name), Some(&1), "{}: {name}", row.requirement);
        }
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(
            unique.len(),
            names.len(),
            "a test stands twice in: {}",
            row.requirement
        );
        let shown = !names.is_empty() || row.shown_by.starts_with("caller: ");
        assert!(shown, "nothing shows: {}", row.requirement);
    }
}

#[test]
fn no_requirement_stands_twice() {
    let mut seen = BTreeSet::new();
    for row in rows() {
        let key = format!("{} {}", row.chapter, row.requirement);
        assert!(seen.insert(key), "twice: {}", row.requirement);
    }
}
