//! `cargo xtask deps`: the arrows between crates, against the table in `docs/ARCHITECTURE.md`.
//!
//! The table stands between `<!-- deps:begin -->` and `<!-- deps:end -->`: crate, wasm, what it is, may
//! use. It is the rule and the documentation at once, so neither can fall behind the other.

mod table;

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::workspace::{Metadata, Package, Workspace};
use table::{Row, Table};

/// Libraries that belong to few crates, whatever the table says of the workspace's own.
const RESERVED: [(&str, &[&str]); 6] = [
    ("moka", &["tiers"]),
    ("redis", &["tiers", "testkit", "it"]),
    ("sqlx", &["store-pg"]),
    ("testcontainers", &["testkit"]),
    (
        "tokio-postgres",
        &["regional", "gateway", "worker", "testkit", "it"],
    ),
    ("worker", &["worker"]),
];

/// Libraries that need an operating system, so no crate that also runs on Workers takes them there.
const NATIVE: [&str; 13] = [
    "getrandom",
    "hyper",
    "hyper-util",
    "libc",
    "metrics-exporter-prometheus",
    "mio",
    "moka",
    "redis",
    "reqwest",
    "rustix",
    "sqlx",
    "tokio",
    "tracing-subscriber",
];

/// Crates for development, on which nothing that is shipped depends.
const DEVELOPMENT: [&str; 3] = ["it", "testkit", "xtask"];

/// The crates that the table marks for WebAssembly.
pub(crate) fn wasm_crates(workspace: &Workspace) -> Result<Vec<String>> {
    let rows = read_table(workspace)?.rows.into_iter();
    Ok(rows.filter(|row| row.wasm).map(|row| row.name).collect())
}

fn read_table(workspace: &Workspace) -> Result<Table> {
    let file = workspace.root.join("docs/ARCHITECTURE.md");
    let text =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Table::parse(&text)
}

/// Checks the workspace against its table.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let table = read_table(workspace)?;
    let metadata = workspace.metadata(&["--no-deps", "--offline"])?;
    let problems = check(&metadata, &table);
    ensure!(
        problems.is_empty(),
        "docs/ARCHITECTURE.md does not allow:\n  {}",
        problems.join("\n  ")
    );
    eprintln!("{} crates keep to the table", metadata.members().count());
    Ok(())
}

/// Everything that the table forbids, and where it and the workspace do not match.
fn check(metadata: &Metadata, table: &Table) -> Vec<String> {
    let mut problems = table.inconsistencies();
    for row in &table.rows {
        if !metadata
            .members()
            .any(|package| short_name(&package.name) == row.name)
        {
            problems.push(format!(
                "{}: in the table, but there is no such crate",
                row.name
            ));
        }
    }
    for package in metadata.members() {
        match table.row(short_name(&package.name)) {
            Some(row) => problems.extend(check_package(metadata, table, package, row)),
            None => problems.push(format!("{}: not in the table", short_name(&package.name))),
        }
    }
    problems
}

fn check_package(metadata: &Metadata, table: &Table, package: &Package, row: &Row) -> Vec<String> {
    let mut problems = Vec::new();
    let is_member = |name: &str| metadata.members().any(|member| member.name == name);
    for dependency in &package.dependencies {
        let development = dependency.kind.as_deref() == Some("dev");
        let name = short_name(&dependency.name);
        if is_member(&dependency.name) {
            // A crate names itself to switch on a feature for its own tests.
            let for_tests = development && (name == "testkit" || name == row.name);
            if !for_tests && !table.allows(row, name) {
                problems.push(format!(
                    "{} → {name}: an arrow that is not in the table",
                    row.name
                ));
            }
            continue;
        }
        let reserved = RESERVED
            .iter()
            .find(|(library, _)| *library == dependency.name);
        if let Some((library, owners)) = reserved
            && !owners.contains(&row.name.as_str())
        {
            problems.push(format!(
                "{} → {library}: only for {}",
                row.name,
                owners.join(", ")
            ));
        }
        let elsewhere = dependency.target.as_deref().is_some_and(excludes_wasm);
        if row.wasm && !development && !elsewhere && NATIVE.contains(&dependency.name.as_str()) {
            problems.push(format!(
                "{} → {}: needs an operating system, and the crate is marked wasm",
                row.name, dependency.name
            ));
        }
    }
    problems
}

/// The name of a package as the table has it.
fn short_name(package: &str) -> &str {
    package.strip_prefix("pitchey-").unwrap_or(package)
}

/// Whether a dependency for this platform is left out of a build for Workers.
fn excludes_wasm(platform: &str) -> bool {
    let platform: String = platform.chars().filter(|c| !c.is_whitespace()).collect();
    ["arch", "family"]
        .iter()
        .zip(["wasm32", "wasm"])
        .any(|(what, value)| platform.contains(&format!("not(target_{what}=\"{value}\")")))
        || ["cfg(unix)", "cfg(windows)"].contains(&platform.as_str())
}

#[cfg(test)]
mod tests;
