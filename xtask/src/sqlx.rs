//! `cargo xtask sqlx`: the offline data of the statements that are checked at compile time.
//!
//! sqlx's macros write a file for each statement when they are expanded against a live database with
//! `SQLX_OFFLINE_DIR` set. So: a fresh Postgres, the migrations, one forced check of `store-pg`, and a
//! comparison with what is committed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use crate::steps::{self, Steps};
use crate::workspace::Workspace;

/// Renews `.sqlx`, or with `check` fails unless it is current.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<()> {
    let mut steps = Steps::new();
    steps.step("build the test servers' program", || {
        // Without the part that needs `store-pg`, which may not compile before this has run.
        steps::run(&mut workspace.cargo(&[
            "build",
            "-p",
            "pitchey-testkit",
            "--no-default-features",
            "--bin",
            "with-services",
        ]))
    })?;
    let scratch = workspace.target.join("sqlx-offline");
    let _ = fs::remove_dir_all(&scratch);
    fs::create_dir_all(&scratch)?;
    steps.step("check the statements against a fresh database", || {
        force_rebuild(&workspace.root.join("crates/store-pg/src/lib.rs"))?;
        let mut command = workspace.program("with-services");
        command
            .arg("--apply")
            .arg(workspace.root.join("crates/sql/migrations"))
            .args([
                "--",
                "cargo",
                "check",
                "--quiet",
                "-p",
                "pitchey-store-pg",
                "--lib",
            ])
            // Never a database that somebody else has put something into.
            .env_remove("DATABASE_URL")
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", &scratch);
        steps::run(&mut command)
    })?;
    let committed = workspace.root.join(".sqlx");
    let changes = compare(&read(&committed)?, &read(&scratch)?);
    if changes.is_empty() {
        eprintln!("the offline data in .sqlx is current");
        return Ok(());
    }
    let list = changes.join("\n  ");
    if check {
        bail!("the offline data in .sqlx is not current; `cargo xtask sqlx` renews it:\n  {list}");
    }
    replace(&committed, &read(&scratch)?)?;
    eprintln!("renewed the offline data in .sqlx:\n  {list}");
    Ok(())
}

/// Makes cargo compile the crate again, although nothing has changed but the environment.
fn force_rebuild(source: &Path) -> Result<()> {
    let file = fs::File::options().append(true).open(source);
    file.and_then(|file| file.set_modified(SystemTime::now()))
        .with_context(|| format!("cannot touch {}", source.display()))
}

/// The offline data in a directory, by file name.
fn read(directory: &Path) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return Ok(files);
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with("query-") {
            files.insert(name, fs::read_to_string(&path)?);
        }
    }
    Ok(files)
}

/// What would have to happen to `old` to become `new`, a line for each file.
fn compare(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<String> {
    let mut changes = Vec::new();
    for (name, text) in new {
        let change = match old.get(name) {
            None => "missing",
            Some(known) if known != text => "changed",
            Some(_) => continue,
        };
        changes.push(format!("{change} {name} ({})", statement_name(text)));
    }
    for (name, text) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
        changes.push(format!("unused  {name} ({})", statement_name(text)));
    }
    changes
}

/// The name that a statement carries in a comment, as in `/* pitches.by_id */`.
fn statement_name(text: &str) -> &str {
    text.split_once("/* ")
        .and_then(|(_, rest)| rest.split_once(" */"))
        .map_or("unnamed", |(name, _)| name)
}

fn replace(directory: &Path, files: &BTreeMap<String, String>) -> Result<()> {
    fs::create_dir_all(directory)?;
    for name in read(directory)?
        .keys()
        .filter(|name| !files.contains_key(*name))
    {
        fs::remove_file(directory.join(name))?;
    }
    for (name, text) in files {
        fs::write(directory.join(name), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect()
    }

    #[test]
    fn every_difference_is_told_with_the_statement_it_is_about() {
        let old = files(&[
            ("query-1", "/* a.same */"),
            ("query-2", "/* a.old */ x"),
            ("query-3", ""),
        ]);
        let new = files(&[
            ("query-1", "/* a.same */"),
            ("query-2", "/* a.old */ y"),
            ("query-4", ""),
        ]);
        assert_eq!(
            compare(&old, &new),
            [
                "changed query-2 (a.old)",
                "missing query-4 (unnamed)",
                "unused  query-3 (unnamed)"
            ]
        );
        assert!(compare(&old, &old).is_empty());
    }

    #[test]
    fn renewing_leaves_exactly_the_new_files() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let old = files(&[("query-1", "one"), ("query-2", "two")]);
        let new = files(&[("query-2", "zwei"), ("query-3", "three")]);
        replace(directory.path(), &old).expect("writable");
        replace(directory.path(), &new).expect("writable");
        assert_eq!(read(directory.path()).expect("readable"), new);
    }
}
