//! Every statement the product runs, by name, as text.
//!
//! One file each in `statements/<aggregate>/<name>.sql`, opening with four comment lines that
//! [`Statement`] gives back: `name`, `for` (its purpose and parameters in order), `index` (what serves
//! it) and `sample` (a query whose rows are representative parameters, on whatever data is there).
//! `store-pg` checks the text against a real schema when it is compiled; others read it from here.

use std::sync::LazyLock;

/// A named statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// `<aggregate>.<name>`: labels its metrics and its span, and stands in the query text.
    pub name: &'static str,
    /// What it is for, and its parameters in order.
    pub purpose: &'static str,
    /// The indexes that serve it, primary keys included; empty for those that need none.
    pub indexes: &'static str,
    /// A query that gives sets of representative parameters, one a row.
    pub sample: &'static str,
    /// The statement, comments included.
    pub text: &'static str,
}

impl Statement {
    /// The names of the indexes that serve it.
    pub fn index_names(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.indexes
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty() && *name != "none")
    }

    fn parse(text: &'static str) -> Option<Self> {
        let field = |key: &str| {
            let line = text
                .lines()
                .take(4)
                .find_map(|line| line.strip_prefix("-- ")?.strip_prefix(key));
            line.map(str::trim)
        };
        Some(Self {
            name: field("name:")?,
            purpose: field("for:")?,
            indexes: field("index:")?,
            sample: field("sample:")?,
            text,
        })
    }
}

static FILES: &[&str] = include!(concat!(env!("OUT_DIR"), "/statements.rs"));

static STATEMENTS: LazyLock<Vec<Statement>> = LazyLock::new(|| {
    let mut statements: Vec<_> = FILES
        .iter()
        .filter_map(|text| Statement::parse(text))
        .collect();
    statements.sort_by_key(|statement| statement.name);
    statements
});

/// All statements, by name.
pub fn statements() -> &'static [Statement] {
    &STATEMENTS
}

/// The statement of that name.
pub fn statement(name: &str) -> Option<&'static Statement> {
    STATEMENTS
        .binary_search_by_key(&name, |statement| statement.name)
        .ok()
        .map(|at| &STATEMENTS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_whole_header_and_carries_its_name_in_the_query() {
        assert_eq!(statements().len(), FILES.len());
        for statement in statements() {
            assert!(
                statement
                    .text
                    .contains(&format!("/* {} */", statement.name)),
                "{}",
                statement.name
            );
            assert!(!statement.purpose.is_empty() && !statement.sample.is_empty());
        }
    }

    #[test]
    fn names_are_unique_and_found() {
        let names = statements().iter().map(|s| s.name);
        assert!(names.clone().is_sorted_by(|a, b| a < b));
        for name in names {
            assert_eq!(statement(name).map(|s| s.name), Some(name));
        }
        assert_eq!(statement("pitches.none"), None);
    }
}
