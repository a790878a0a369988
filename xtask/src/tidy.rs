//! `cargo xtask tidy`: the house rules that no other tool knows.

mod rules;

use std::fs;

use anyhow::{Result, bail};

use crate::workspace::Workspace;
use rules::Source;

/// Checks every file that git knows or would add.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut sources = Vec::new();
    for path in workspace.files()? {
        // What is not text has no lines to check.
        if let Ok(text) = fs::read_to_string(workspace.root.join(&path)) {
            sources.push(Source {
                path: path.to_string_lossy().into_owned(),
                text,
            });
        }
    }
    let metadata = workspace.metadata(&["--no-deps", "--offline"])?;
    let mut problems: Vec<String> = sources.iter().flat_map(rules::of_file).collect();
    problems.extend(rules::links(&sources, |path| {
        workspace.root.join(path).exists()
    }));
    problems.extend(rules::dependencies(&sources, &metadata));
    if problems.is_empty() {
        eprintln!("{} files keep the house rules", sources.len());
        return Ok(());
    }
    problems.sort();
    bail!(
        "the house rules are broken {} times:\n  {}",
        problems.len(),
        problems.join("\n  ")
    )
}
