use super::*;
use crate::workspace::{Dependency, Target};

const DOCUMENT: &str = "
Before.

<!-- deps:begin -->
| crate | wasm | what it is | may use |
| --- | --- | --- | --- |
| `model` | yes | ids | – |
| `runtime` | yes | ports | – |
| `store` | yes | ports | model, runtime |
| `store-pg` | no | sqlx | store, `model` |
| `origin` | no | **binary**: the server | libraries |
| `ops` | no | binary `pitchey`: the command line | libraries |
| `testkit` | no | development | libraries and native binaries |
| `it` | no | tests | testkit, anything |
| `xtask` | no | dispatcher | nothing in the workspace |
<!-- deps:end -->
";

fn table() -> Table {
    Table::parse(DOCUMENT).expect("the document has a table")
}

/// The workspace of [`DOCUMENT`] with arrows `from → to`, of which one to a library may name its
/// kind and platform.
fn metadata(arrows: &[(&str, &str, Option<&str>, Option<&str>)]) -> Metadata {
    let names: Vec<String> = table().rows.into_iter().map(|row| row.name).collect();
    let full = |name: &str| match name {
        "xtask" => name.to_owned(),
        _ if names.iter().any(|known| known == name) => format!("pitchey-{name}"),
        _ => name.to_owned(),
    };
    let packages: Vec<Package> = names
        .iter()
        .map(|name| Package {
            id: name.clone(),
            name: full(name),
            manifest_path: format!("crates/{name}/Cargo.toml").into(),
            dependencies: arrows
                .iter()
                .filter(|(from, ..)| from == name)
                .map(|(_, to, kind, target)| Dependency {
                    name: full(to),
                    rename: None,
                    kind: kind.map(str::to_owned),
                    target: target.map(str::to_owned),
                })
                .collect(),
            targets: vec![Target {
                name: name.clone(),
                kind: vec!["lib".to_owned()],
            }],
            metadata: None,
        })
        .collect();
    Metadata {
        workspace_members: packages.iter().map(|package| package.id.clone()).collect(),
        packages,
        workspace_root: ".".into(),
        target_directory: "target".into(),
    }
}

fn problems(arrows: &[(&str, &str, Option<&str>, Option<&str>)]) -> Vec<String> {
    check(&metadata(arrows), &table())
}

#[test]
fn the_arrows_of_the_table_are_allowed() {
    let allowed = [
        ("store", "model", None, None),
        ("store-pg", "store", None, None),
        ("store-pg", "sqlx", None, None),
        ("origin", "store-pg", None, None),
        ("origin", "tokio", None, None),
        ("testkit", "origin", None, None),
        ("it", "testkit", None, None),
        ("it", "origin", None, None),
        ("it", "xtask", None, None),
    ];
    assert_eq!(problems(&allowed), Vec::<String>::new());
}

#[test]
fn an_arrow_that_is_not_in_the_table_is_found() {
    for (from, to) in [
        ("model", "store"),
        ("store", "store-pg"),
        ("store-pg", "runtime"),
        ("origin", "testkit"),
        ("origin", "ops"),
        ("ops", "origin"),
        ("origin", "xtask"),
        ("xtask", "model"),
    ] {
        let found = problems(&[(from, to, None, None)]);
        assert_eq!(found.len(), 1, "{from} → {to}: {found:?}");
        assert!(found[0].starts_with(&format!("{from} → {to}")), "{found:?}");
    }
}

#[test]
fn tests_may_use_the_testkit_and_their_own_crate_and_nothing_else_that_is_forbidden() {
    let dev = Some("dev");
    assert!(problems(&[("model", "testkit", dev, None)]).is_empty());
    assert!(problems(&[("model", "model", dev, None)]).is_empty());
    assert_eq!(problems(&[("model", "store", dev, None)]).len(), 1);
    assert_eq!(
        problems(&[("model", "testkit", Some("build"), None)]).len(),
        1
    );
}

#[test]
fn a_reserved_library_is_for_its_owners_alone() {
    assert!(problems(&[("origin", "sqlx", None, None)])[0].contains("only for store-pg"));
    assert!(problems(&[("origin", "sqlx", Some("dev"), None)])[0].contains("only for store-pg"));
}

#[test]
fn a_wasm_crate_takes_a_native_library_only_where_wasm_is_excluded() {
    let native = "cfg(not(target_arch = \"wasm32\"))";
    assert_eq!(problems(&[("store", "tokio", None, None)]).len(), 1);
    assert_eq!(
        problems(&[(
            "store",
            "tokio",
            None,
            Some("cfg(target_arch = \"wasm32\")")
        )])
        .len(),
        1
    );
    assert!(problems(&[("store", "tokio", None, Some(native))]).is_empty());
    assert!(problems(&[("store", "tokio", Some("dev"), None)]).is_empty());
    assert!(problems(&[("origin", "tokio", None, None)]).is_empty());
}

#[test]
fn the_table_and_the_workspace_list_the_same_crates() {
    let mut metadata = metadata(&[]);
    metadata.packages[0].name = "pitchey-novel".to_owned();
    let found = check(&metadata, &table());
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.contains(&"novel: not in the table".to_owned()));
    assert!(found.contains(&"model: in the table, but there is no such crate".to_owned()));
}

#[test]
fn a_table_that_contradicts_itself_is_found() {
    let document = DOCUMENT
        .replace("| store, `model` |", "| store, nowhere |")
        .replace("| model, runtime |", "| model, store-pg |");
    let table = Table::parse(&document).expect("it can be read");
    let found = table.inconsistencies();
    assert!(
        found.contains(&"store-pg may use nowhere, which has no row".to_owned()),
        "{found:?}"
    );
    assert!(
        found.contains(&"store is for wasm and store-pg is not".to_owned()),
        "{found:?}"
    );
}

#[test]
fn a_table_that_cannot_be_read_is_an_error() {
    for (from, to) in [
        ("<!-- deps:begin -->", ""),
        ("<!-- deps:end -->", ""),
        ("| `model` | yes |", "| `model` | maybe |"),
        ("| model, runtime |", "| all the rest |"),
        ("| `model` | yes | ids | – |", "| `model` | yes | ids |"),
    ] {
        Table::parse(&DOCUMENT.replace(from, to)).expect_err(to);
    }
}
