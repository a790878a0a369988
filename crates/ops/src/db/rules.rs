//! What the catalog must look like, and what the comments of its indexes promise.

use super::verify::Finding;
use pitchey_sql::Statement;
use pitchey_store_pg::inspect::{Catalog, ForeignKey, Index};
use std::collections::{BTreeMap, BTreeSet};

/// The statements that need each index, by the headers of the statements.
pub(crate) fn needs<'a>(statements: &[&'a Statement]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for statement in statements {
        for index in statement.index_names() {
            needs.entry(index).or_default().insert(statement.name);
        }
    }
    needs
}

/// Why an index says that it is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reason<'a> {
    /// The statements that it names.
    pub(crate) statements: Vec<&'a str>,
    /// Whether it serves the check of a foreign key.
    pub(crate) foreign_key: bool,
    /// What it says besides the names of statements.
    pub(crate) words: Vec<&'a str>,
}

impl<'a> Reason<'a> {
    /// Reads a comment: parts between semicolons, each `names: why`, where names are those of statements,
    /// between commas, or the words `foreign key`.
    pub(crate) fn of(comment: &'a str) -> Self {
        let mut reason = Self::default();
        for part in comment.split(';').map(str::trim) {
            let (names, why) = match part.split_once(':') {
                Some((names, why)) => (names, why.trim()),
                None => (part, ""),
            };
            let before = reason.statements.len();
            for name in names.split(',').map(str::trim) {
                if name == "foreign key" {
                    reason.foreign_key = true;
                } else if is_statement_name(name) {
                    reason.statements.push(name);
                }
            }
            let words = if reason.statements.len() > before {
                why
            } else {
                part
            };
            reason.words.extend((!words.is_empty()).then_some(words));
        }
        reason
    }
}

fn is_statement_name(text: &str) -> bool {
    let word =
        |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    text.split_once('.')
        .is_some_and(|(aggregate, name)| word(aggregate) && word(name))
}

/// What is wrong with the catalog and the comments, whatever the plans are.
pub(crate) fn check(catalog: &Catalog, statements: &[&Statement]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let needs = needs(statements);
    for (name, by) in &needs {
        if catalog.index(name).is_none() {
            let by: Vec<&str> = by.iter().copied().collect();
            findings.push(Finding::new(
                "no-such-index",
                name,
                format!("named by {}, but it does not exist", by.join(", ")),
            ));
        }
    }
    for index in &catalog.indexes {
        if !index.is_valid {
            findings.push(Finding::new(
                "invalid-index",
                &index.name,
                "the planner may not use it: drop it and create it again".to_owned(),
            ));
        }
        if !index.is_constraint {
            check_reason(index, &needs, statements, &mut findings);
        }
    }
    for key in &catalog.foreign_keys {
        if !catalog.indexes.iter().any(|index| serves(index, key)) {
            findings.push(Finding::new(
                "foreign-key-without-index",
                &key.name,
                format!(
                    "no index of {} begins with {}: removing what it refers to reads the whole table",
                    key.table,
                    key.columns.join(", ")
                ),
            ));
        }
    }
    findings
}

fn check_reason(
    index: &Index,
    needs: &BTreeMap<&str, BTreeSet<&str>>,
    statements: &[&Statement],
    findings: &mut Vec<Finding>,
) {
    let Some(comment) = &index.comment else {
        findings.push(Finding::new(
            "index-without-comment",
            &index.name,
            "COMMENT ON INDEX shall say which statement needs it".to_owned(),
        ));
        return;
    };
    let reason = Reason::of(comment);
    for name in &reason.statements {
        let Some(statement) = statements.iter().find(|known| known.name == *name) else {
            findings.push(Finding::new(
                "no-such-statement",
                &index.name,
                format!("its comment names {name}, which does not exist"),
            ));
            continue;
        };
        if !statement.index_names().any(|named| named == index.name) {
            findings.push(Finding::new(
                "comment-and-header-differ",
                &index.name,
                format!("its comment names {name}, whose header does not name the index"),
            ));
        }
    }
    if !reason.foreign_key && !needs.contains_key(index.name.as_str()) {
        findings.push(Finding::new(
            "unused-index",
            &index.name,
            "no statement names it, and it is there for no foreign key".to_owned(),
        ));
    }
}

/// Whether the check of a foreign key can use the index.
fn serves(index: &Index, key: &ForeignKey) -> bool {
    let leading: BTreeSet<&String> = index.keys.iter().take(key.columns.len()).collect();
    // The check asks for rows whose columns equal a value, so leaving out nulls loses nothing.
    let covers = index.predicate.as_ref().is_none_or(|predicate| {
        key.columns
            .iter()
            .any(|column| *predicate == format!("({column} IS NOT NULL)"))
    });
    index.table == key.table
        && index.is_valid
        && matches!(index.method.as_str(), "btree" | "hash")
        && covers
        && leading == key.columns.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(name: &str, table: &str, keys: &[&str], comment: Option<&str>) -> Index {
        Index {
            name: name.to_owned(),
            table: table.to_owned(),
            method: "btree".to_owned(),
            definition: format!("({})", keys.join(", ")),
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            included: Vec::new(),
            predicate: None,
            is_unique: false,
            is_constraint: false,
            is_valid: true,
            comment: comment.map(str::to_owned),
            bytes: 0,
        }
    }

    fn key(columns: &[&str]) -> ForeignKey {
        ForeignKey {
            name: "t_fkey".to_owned(),
            table: "t".to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
        }
    }

    const STATEMENT: Statement = Statement {
        name: "things.list",
        purpose: "",
        indexes: "t_list",
        sample: "",
        text: "",
    };

    fn kinds(catalog: &Catalog) -> Vec<(&'static str, String)> {
        let findings = check(catalog, &[&STATEMENT]);
        findings
            .into_iter()
            .map(|found| (found.kind, found.subject))
            .collect()
    }

    fn catalog(indexes: Vec<Index>) -> Catalog {
        Catalog {
            indexes,
            ..Catalog::default()
        }
    }

    #[test]
    fn an_index_that_a_statement_names_and_that_names_it_is_right() {
        let right = index("t_list", "t", &["a"], Some("things.list: in order"));
        assert_eq!(kinds(&catalog(vec![right])), []);
    }

    #[test]
    fn an_index_that_is_named_must_exist() {
        assert_eq!(
            kinds(&catalog(Vec::new())),
            [("no-such-index", "t_list".to_owned())]
        );
    }

    #[test]
    fn an_index_needs_a_comment_a_statement_and_to_be_valid() {
        let mut invalid = index("t_list", "t", &["a"], None);
        invalid.is_valid = false;
        let unused = index("t_b", "t", &["b"], Some("because"));
        let gone = index(
            "t_c",
            "t",
            &["c"],
            Some("things.gone; foreign key: removal"),
        );
        let other = index("t_d", "t", &["d"], Some("things.list; foreign key"));
        let of = |kind, name: &str| (kind, name.to_owned());
        assert_eq!(
            kinds(&catalog(vec![invalid, unused, gone, other])),
            [
                of("invalid-index", "t_list"),
                of("index-without-comment", "t_list"),
                of("unused-index", "t_b"),
                of("no-such-statement", "t_c"),
                of("comment-and-header-differ", "t_d"),
            ]
        );
    }

    #[test]
    fn primary_keys_and_unique_constraints_need_no_reason() {
        let mut primary = index("t_pkey", "t", &["id"], None);
        primary.is_constraint = true;
        let list = index("t_list", "t", &["a"], Some("things.list"));
        assert_eq!(kinds(&catalog(vec![primary, list])), []);
    }

    #[test]
    fn a_foreign_key_is_served_by_an_index_that_begins_with_its_columns_in_any_order() {
        let serving = |keys: &[&str]| index("i", "t", keys, None);
        assert!(serves(&serving(&["a"]), &key(&["a"])));
        assert!(serves(&serving(&["a", "b"]), &key(&["a"])));
        assert!(serves(&serving(&["b", "a", "c"]), &key(&["a", "b"])));
        assert!(!serves(&serving(&["b", "a"]), &key(&["a"])));
        assert!(!serves(&serving(&["a"]), &key(&["a", "b"])));
        assert!(!serves(&index("i", "other", &["a"], None), &key(&["a"])));
    }

    #[test]
    fn a_partial_index_serves_a_foreign_key_if_it_leaves_out_nulls_alone() {
        let with = |change: &dyn Fn(&mut Index)| {
            let mut index = index("i", "t", &["a"], None);
            change(&mut index);
            serves(&index, &key(&["a"]))
        };
        assert!(with(&|i| i.predicate = Some("(a IS NOT NULL)".to_owned())));
        assert!(!with(&|i| i.predicate = Some("(b IS NOT NULL)".to_owned())));
        assert!(!with(&|i| i.predicate = Some("(a > 0)".to_owned())));
        assert!(!with(&|i| i.method = "brin".to_owned()));
        assert!(!with(&|i| i.is_valid = false));
    }

    #[test]
    fn a_comment_names_statements_and_foreign_keys() {
        let of = |comment| {
            let reason = Reason::of(comment);
            (reason.statements, reason.foreign_key, reason.words)
        };
        assert_eq!(
            of("a.b, c_d.e: why. And f.g"),
            (vec!["a.b", "c_d.e"], false, vec!["why. And f.g"])
        );
        assert_eq!(
            of("a.b; foreign key: removing x"),
            (vec!["a.b"], true, vec!["foreign key: removing x"])
        );
        assert_eq!(
            of("foreign key: removing x.y"),
            (vec![], true, vec!["foreign key: removing x.y"])
        );
        assert_eq!(
            of("a.b; REFRESH … CONCURRENTLY needs it"),
            (vec!["a.b"], false, vec!["REFRESH … CONCURRENTLY needs it"])
        );
    }
}
