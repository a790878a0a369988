//! `cargo xtask migrations`: migrations are only ever added.
//!
//! A database that has applied a migration remembers its text, and the origin refuses a text that it
//! does not know. So a migration that was committed once never changes and never goes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace::{Workspace, error_text};

const DIRECTORY: &str = "crates/sql/migrations";

/// Compares every migration with the text that it was committed with first.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let problems = check(&workspace.root)?;
    ensure!(
        problems.is_empty(),
        "migrations are add-only:\n  {}",
        problems.join("\n  ")
    );
    Ok(())
}

fn check(root: &Path) -> Result<Vec<String>> {
    let shallow = git(root, &["rev-parse", "--is-shallow-repository"])?;
    if text(&shallow).trim() == "true" {
        eprintln!("the clone is shallow: only the history that it has is looked at");
    }
    if git(root, &["rev-parse", "--verify", "--quiet", "HEAD"]).is_err() {
        return Ok(Vec::new());
    }
    // Every commit that added a migration, the oldest last: `A` and the path, after a line with `@`.
    let log = git(
        root,
        &[
            "log",
            "--diff-filter=A",
            "--name-only",
            "--format=@%H",
            "--no-renames",
            "--",
            DIRECTORY,
        ],
    )?;
    let mut problems = Vec::new();
    let mut commit = String::new();
    let mut known: Vec<String> = Vec::new();
    for line in text(&log).lines().filter(|line| !line.is_empty()) {
        if let Some(hash) = line.strip_prefix('@') {
            hash.clone_into(&mut commit);
            continue;
        }
        let path = line.to_owned();
        let committed = git(root, &["show", &format!("{commit}:{path}")])?;
        match fs::read(root.join(&path)) {
            Err(_) => problems.push(format!("{path} was committed in {commit:.12} and is gone")),
            Ok(now) if now != committed => {
                problems.push(format!(
                    "{path} differs from what was committed in {commit:.12}"
                ));
            }
            Ok(_) => {}
        }
        known.push(path);
    }
    problems.extend(out_of_order(root, &known)?);
    Ok(problems)
}

/// New migrations that would be applied before ones that are committed.
fn out_of_order(root: &Path, known: &[String]) -> Result<Vec<String>> {
    let Some(last) = known.iter().max() else {
        return Ok(Vec::new());
    };
    let mut problems = Vec::new();
    // Without the directory, all of them are gone, which has been said already.
    let Ok(entries) = fs::read_dir(root.join(DIRECTORY)) else {
        return Ok(problems);
    };
    for entry in entries {
        let path = format!("{DIRECTORY}/{}", entry?.file_name().to_string_lossy());
        if !known.contains(&path) && path < *last {
            problems.push(format!("{path} is new and sorts before {last}"));
        }
    }
    Ok(problems)
}

fn git(root: &Path, arguments: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!(
            "git {} failed: {}",
            arguments.join(" "),
            error_text(&output)
        );
    }
    Ok(output.stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Repository(tempfile::TempDir);

    impl Repository {
        fn new() -> Self {
            let repository = Self(tempfile::tempdir().expect("a temporary directory"));
            repository.git(&["init", "--quiet"]);
            repository
        }

        fn git(&self, arguments: &[&str]) {
            let identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"];
            git(self.0.path(), &[&identity[..], arguments].concat()).expect("git works");
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(DIRECTORY).join(name);
            fs::create_dir_all(path.parent().expect("it has one")).expect("writable");
            fs::write(path, text).expect("writable");
        }

        fn commit(&self) {
            self.git(&["add", "--all"]);
            self.git(&[
                "commit",
                "--quiet",
                "--no-verify",
                "--no-gpg-sign",
                "-m",
                "x",
            ]);
        }

        fn problems(&self) -> Vec<String> {
            check(self.0.path()).expect("git works")
        }
    }

    #[test]
    fn adding_is_allowed_before_and_after_the_first_commit() {
        let repository = Repository::new();
        repository.write("1_a.sql", "a");
        assert!(repository.problems().is_empty());
        repository.commit();
        repository.write("2_b.sql", "b");
        assert!(repository.problems().is_empty());
        repository.commit();
        assert!(repository.problems().is_empty());
    }

    #[test]
    fn an_edit_is_found_also_when_it_has_been_committed() {
        let repository = Repository::new();
        repository.write("1_a.sql", "a");
        repository.commit();
        repository.write("1_a.sql", "changed");
        assert_eq!(repository.problems().len(), 1);
        repository.commit();
        assert_eq!(repository.problems().len(), 1);
        assert!(repository.problems()[0].contains("1_a.sql differs"));
    }

    #[test]
    fn a_removal_is_found() {
        let repository = Repository::new();
        repository.write("1_a.sql", "a");
        repository.commit();
        repository.git(&["rm", "--quiet", &format!("{DIRECTORY}/1_a.sql")]);
        assert!(repository.problems()[0].contains("is gone"));
        repository.git(&["commit", "--quiet", "--no-gpg-sign", "-m", "x"]);
        assert!(repository.problems()[0].contains("is gone"));
    }

    #[test]
    fn a_new_one_may_not_come_before_an_old_one() {
        let repository = Repository::new();
        repository.write("2_b.sql", "b");
        repository.commit();
        repository.write("1_a.sql", "a");
        assert!(repository.problems()[0].contains("sorts before"));
    }
}
