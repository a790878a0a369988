use super::*;
use crate::workspace::{Dependency, Package};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// The one problem of a file.
fn problem(path: &str, text: &str) -> String {
    let mut problems = of_file(&source(path, text));
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

const MANIFEST: &str = "[package]\nname = \"x\"\nversion.workspace = true\n\
    edition.workspace = true\nrust-version.workspace = true\nlicense.workspace = true\n\
    publish.workspace = true\n\n[lints]\nworkspace = true\n";

const STATEMENT: &str = "-- name: users.by_id\n-- for: a user\n-- index: users_pkey\n\
    -- sample: SELECT id FROM users LIMIT 1\nSELECT 1\n";

#[test]
fn a_file_may_have_eight_hundred_lines_and_no_more() {
    assert!(of_file(&source("crates/x/src/a.rs", &"\n".repeat(800))).is_empty());
    assert!(problem("crates/x/src/a.rs", &"\n".repeat(801)).contains("longer than 800"));
    assert!(of_file(&source("crates/x/data.sql", &"\n".repeat(801))).is_empty());
}

#[test]
fn a_module_whose_name_says_nothing_is_found_as_file_and_as_folder() {
    for path in ["crates/x/src/utils.rs", "crates/x/src/helpers/time.rs"] {
        assert!(problem(path, "").contains("says nothing"), "{path}");
    }
    assert!(of_file(&source("crates/x/src/commonwealth.rs", "")).is_empty());
}

#[test]
fn unfinished_work_is_found_as_a_word_and_in_code_alone() {
    let mark = UNFINISHED[0];
    assert!(problem("a.rs", &format!("// {mark}: later")).contains("unfinished"));
    assert!(problem("a.sql", &format!("-- {mark}")).ends_with(mark));
    assert!(problem("a.rs", &format!("    {}\"x\")", UNFINISHED[3])).contains("unfinished"));
    assert!(of_file(&source("a.rs", &format!("let {mark}S = 1;"))).is_empty());
    assert!(of_file(&source("a.md", &format!("about {mark} lists"))).is_empty());
}

#[test]
fn a_place_of_one_machine_is_found_with_its_line() {
    let text = format!("fine\nsee {}x\n", LOCAL[0]);
    assert!(problem("README.md", &text).starts_with("README.md:2: a place of one machine"));
}

#[test]
fn a_statement_has_its_four_lines_and_the_name_of_its_file() {
    let path = "crates/sql/statements/users/by_id.sql";
    assert!(of_file(&source(path, STATEMENT)).is_empty());
    let without = STATEMENT.replace("-- index: users_pkey\n", "-- index:\n");
    assert!(problem(path, &without).contains("`-- index: …`"));
    let renamed = STATEMENT.replace("users.by_id", "users.by_name");
    assert!(problem(path, &renamed).contains("is not users.by_id"));
}

#[test]
fn a_crate_inherits_lints_and_package_from_the_workspace() {
    assert!(of_file(&source("crates/x/Cargo.toml", MANIFEST)).is_empty());
    let without = MANIFEST.replace("[lints]\nworkspace = true\n", "");
    assert!(problem("crates/x/Cargo.toml", &without).contains("lints"));
    let own = MANIFEST.replace("edition.workspace = true", "edition = \"2024\"");
    assert!(problem("crates/x/Cargo.toml", &own).contains("`edition`"));
}

#[test]
fn a_link_to_a_file_that_is_not_there_is_found() {
    let text = "[a](other.md) [b](missing.md#part) ![c](/docs/picture.svg)\n\
        [d](https://example.org/x) [e](#here) `[f](code.md)`\n```\n[g](example.md)\n```\n";
    let sources = [source("docs/guide.md", text)];
    let found = links(&sources, |path| {
        ["docs/other.md", "docs/picture.svg"].contains(&path)
    });
    assert_eq!(found, ["docs/guide.md:1: no such file: missing.md"]);
}

#[test]
fn a_dependency_that_nobody_uses_is_found_in_both_places() {
    let manifest =
        "[workspace.dependencies]\nanyhow = \"1\"\nserde = \"1\"\n\n[workspace.lints]\nx = 1\n";
    let dependency = |name: &str| Dependency {
        name: name.to_owned(),
        rename: None,
        kind: None,
        target: None,
    };
    let metadata = Metadata {
        packages: vec![Package {
            id: "x".to_owned(),
            name: "pitchey-x".to_owned(),
            manifest_path: "ws/crates/x/Cargo.toml".into(),
            dependencies: vec![
                dependency("anyhow"),
                dependency("tokio-util"),
                dependency("pitchey-x"),
            ],
            targets: Vec::new(),
            metadata: None,
        }],
        workspace_members: vec!["x".to_owned()],
        workspace_root: "ws".into(),
        target_directory: "target".into(),
    };
    let sources = [
        source("Cargo.toml", manifest),
        source(
            "crates/x/src/lib.rs",
            "use anyhow::Result;\nuse tokio_utility;",
        ),
    ];
    assert_eq!(
        dependencies(&sources, &metadata),
        [
            "Cargo.toml:1: no crate uses the workspace's dependency serde",
            "crates/x/Cargo.toml:1: tokio-util is not used",
        ]
    );
}
