//! `docs/SECURITY.md` claims nothing that no test shows, forgets no item, and tells the limits that hold.

use anyhow::{Context as _, Result, ensure};
use pitchey_origin::Config;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// How many items of levels 1 and 2 each section of ASVS 5.0.0 has that this API could have to do with.
/// Items are numbered from 1; those of level 3, which the document is not about, are left out by number.
/// Chapters 10 (`OAuth`) and 17 (`WebRTC`) are out of scope as a whole.
const SECTIONS: &[(&str, u32)] = &[
    ("1.1", 2),
    ("1.2", 9),
    ("1.3", 11),
    ("1.4", 3),
    ("1.5", 2),
    ("2.1", 3),
    ("2.2", 3),
    ("2.3", 4),
    ("2.4", 1),
    ("3.2", 2),
    ("3.3", 4),
    ("3.4", 6),
    ("3.5", 5),
    ("3.7", 2),
    ("4.1", 3),
    ("4.2", 1),
    ("4.3", 2),
    ("4.4", 4),
    ("5.1", 1),
    ("5.2", 3),
    ("5.3", 2),
    ("5.4", 3),
    ("6.1", 3),
    ("6.2", 12),
    ("6.3", 4),
    ("6.4", 4),
    ("6.5", 5),
    ("6.6", 3),
    ("6.8", 4),
    ("7.1", 3),
    ("7.2", 4),
    ("7.3", 2),
    ("7.4", 5),
    ("7.5", 2),
    ("7.6", 2),
    ("8.1", 2),
    ("8.2", 3),
    ("8.3", 1),
    ("8.4", 1),
    ("9.1", 3),
    ("9.2", 4),
    ("11.1", 2),
    ("11.2", 3),
    ("11.3", 3),
    ("11.4", 4),
    ("11.5", 1),
    ("11.6", 1),
    ("12.1", 3),
    ("12.2", 2),
    ("12.3", 4),
    ("13.1", 1),
    ("13.2", 5),
    ("13.3", 2),
    ("13.4", 5),
    ("14.1", 2),
    ("14.2", 4),
    ("14.3", 3),
    ("15.1", 3),
    ("15.2", 3),
    ("15.3", 7),
    ("16.1", 1),
    ("16.2", 5),
    ("16.3", 4),
    ("16.4", 3),
    ("16.5", 3),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document() -> Result<String> {
    fs::read_to_string(root().join("docs/SECURITY.md")).context("docs/SECURITY.md")
}

/// A row of a table, if its first cell is the number of an item.
fn row(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<&str> = line.strip_prefix('|')?.split('|').map(str::trim).collect();
    let number = cells.first()?;
    is_number(number).then_some(cells)
}

fn is_number(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    parts.len() == 3 && parts.iter().all(|part| part.parse::<u32>().is_ok())
}

/// What is in backquotes and names a test, `<path>::<name>`.
fn tests(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.contains(".rs::")).collect()
}

/// The items of the document: claimed with their tests, not claimed, and those that do not apply.
struct Items<'a> {
    claimed: Vec<(&'a str, Vec<&'a str>)>,
    not_claimed: Vec<&'a str>,
    not_applicable: Vec<&'a str>,
}

fn items(document: &str) -> Items<'_> {
    let mut items = Items {
        claimed: Vec::new(),
        not_claimed: Vec::new(),
        not_applicable: Vec::new(),
    };
    let mut claimed = true;
    for line in document.lines() {
        if line.starts_with('#') {
            claimed = !line.contains("Not claimed");
        }
        if let Some(list) = line.strip_prefix("Does not apply: ") {
            let words = list.split([' ', ',', ';', '(', ')']);
            let words = words.map(|word| word.trim_end_matches('.'));
            items
                .not_applicable
                .extend(words.filter(|word| is_number(word)));
        }
        match row(line) {
            Some(cells) if claimed => {
                items.claimed.push((
                    cells[0],
                    cells.iter().flat_map(|cell| tests(cell)).collect(),
                ));
            }
            Some(cells) => items.not_claimed.push(cells[0]),
            None => {}
        }
    }
    items
}

/// Whether a file has a test of this name, or a case of the contract suite, which every store runs.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declared = format!("fn {name}(");
    // One that runs on both shells stands in the list of those.
    let listed = format!("{name},");
    let mut lists = lines
        .split(|line| line.starts_with("on_both_shells!"))
        .skip(1);
    let is_listed = lists.any(|list| {
        let mut names = list.iter().take_while(|line| line.ends_with(','));
        names.any(|line| *line == listed)
    });
    is_listed
        || lines.iter().enumerate().any(|(at, line)| {
            let before = &lines[at.saturating_sub(4)..at];
            line.contains(&declared)
                && (line.contains("harness: impl Harness")
                    || before.iter().any(|line| {
                        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
                    }))
        })
}

#[test]
fn every_claimed_item_names_tests_that_there_are() -> Result<()> {
    let document = document()?;
    let items = items(&document);
    ensure!(items.claimed.len() > 50, "{} items", items.claimed.len());
    let mut wrong = Vec::new();
    for (number, tests) in &items.claimed {
        if tests.is_empty() {
            wrong.push(format!("{number} is claimed without a test"));
        }
        for test in tests {
            let (path, name) = test.split_once("::").context("a path and a name")?;
            match fs::read_to_string(root().join(path)) {
                Err(_) => wrong.push(format!("{number}: there is no file {path}")),
                Ok(source) if !has_test(&source, name) => {
                    wrong.push(format!("{number}: {path} has no test {name}"));
                }
                Ok(_) => {}
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn every_item_of_levels_one_and_two_is_in_one_place() -> Result<()> {
    let document = document()?;
    let items = items(&document);
    let claimed = items.claimed.iter().map(|(number, _)| *number);
    let mut places: BTreeMap<&str, u32> = BTreeMap::new();
    for number in claimed.chain(items.not_claimed).chain(items.not_applicable) {
        *places.entry(number).or_default() += 1;
    }
    let known: BTreeSet<String> = SECTIONS
        .iter()
        .flat_map(|(section, count)| (1..=*count).map(move |n| format!("{section}.{n}")))
        .collect();
    let mut wrong: Vec<String> = known
        .iter()
        .filter(|number| !places.contains_key(number.as_str()))
        .map(|number| format!("{number} is missing"))
        .collect();
    for (number, count) in places {
        if count > 1 {
            wrong.push(format!("{number} is in {count} places"));
        }
        if !known.contains(number) {
            wrong.push(format!("{number} is no item of levels 1 and 2"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn the_limits_that_it_tells_are_the_defaults() -> Result<()> {
    let document = document()?;
    let variables = [
        ("DATABASE_URL", "postgres://ann@127.0.0.1/pitchey"),
        (
            "PITCHEY_CURSOR__KEY",
            "a key for cursors in tests, long enough",
        ),
    ];
    let variables = variables.map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let effective = Config::load(None, variables)?.to_redacted_toml()?;
    let mut section = "";
    let mut known = BTreeMap::new();
    for line in effective.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((key, value)) = line.split_once(" = ") {
            known.insert(format!("{section}.{key}"), value.trim_matches('"'));
        }
    }
    let (_, table) = document
        .split_once("<!-- defaults:begin -->")
        .context("no mark")?;
    let (table, _) = table
        .split_once("<!-- defaults:end -->")
        .context("no mark")?;
    let mut told = 0;
    for line in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let key = cells[1].trim_matches('`');
        let value = known
            .get(key)
            .with_context(|| format!("there is no {key}"))?;
        ensure!(cells[2] == *value, "{key} is {value}, not {}", cells[2]);
        told += 1;
    }
    ensure!(told >= 15, "{told} limits are told");
    Ok(())
}

#[test]
fn no_crate_may_have_unsafe_code() -> Result<()> {
    let workspace = fs::read_to_string(root().join("Cargo.toml"))?;
    ensure!(workspace.contains("\nunsafe_code = \"deny\"\n"));
    for member in fs::read_dir(root().join("crates"))? {
        let manifest = member?.path().join("Cargo.toml");
        let text = fs::read_to_string(&manifest)?;
        ensure!(
            text.contains("[lints]\nworkspace = true\n"),
            "{}",
            manifest.display()
        );
    }
    Ok(())
}

#[test]
fn the_checks_can_fail() {
    let text = "## Claimed\n| 1.1.1 | 1 | x | y | `a.rs::b` |\n| 1.1.2 | 1 | x | y | |\n\
                Does not apply: 1.2.3 (LDAP), 1.2.4.\n### Not claimed\n| 1.3.1 | 1 | why |\n";
    let items = items(text);
    assert_eq!(
        items.claimed,
        [("1.1.1", vec!["a.rs::b"]), ("1.1.2", vec![])]
    );
    assert_eq!(items.not_claimed, ["1.3.1"]);
    assert_eq!(items.not_applicable, ["1.2.3", "1.2.4"]);
    assert!(has_test("#[test]\nfn b() {", "b"));
    assert!(has_test(
        "pub async fn b(harness: impl Harness) -> Result {",
        "b"
    ));
    assert!(!has_test("fn b() {", "b"));
    assert!(!has_test("#[test]\nfn bc() {", "b"));
}
