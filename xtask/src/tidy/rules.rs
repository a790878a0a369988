//! The rules themselves, over the text of the files.

use crate::workspace::Metadata;

/// A file of the repository.
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    fn extension(&self) -> &str {
        self.name()
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    fn directory(&self) -> &str {
        self.path
            .rsplit_once('/')
            .map_or("", |(directory, _)| directory)
    }
}

/// Beyond this a file hides more than one thing.
const MOST_LINES: usize = 800;

/// Names that say nothing about what is inside.
const VAGUE: [&str; 7] = [
    "common",
    "helper",
    "helpers",
    "misc",
    "shared_code",
    "util",
    "utils",
];

/// What marks work as unfinished. Put together here, so that this file does not break its own rule.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
];

/// Places that exist on one machine or in one network.
const LOCAL: [&str; 7] = [
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/main"),
    concat!("/wo", "rk/shared"),
    concat!("../sha", "red/"),
    concat!("/fa", "rm/"),
    concat!("arti", "factory"),
    concat!("index.cra", "tes.io"),
];

const HEADER: [&str; 4] = ["name", "for", "index", "sample"];

/// What is wrong with one file by itself.
pub(super) fn of_file(source: &Source) -> Vec<String> {
    let mut problems = Vec::new();
    let path = &source.path;
    let mut say = |line: usize, what: &str| problems.push(format!("{path}:{line}: {what}"));

    if source.extension() == "rs" {
        let lines = source.text.lines().count();
        if lines > MOST_LINES {
            say(
                lines,
                &format!("longer than {MOST_LINES} lines: look for the seam"),
            );
        }
        let parts = path.trim_end_matches(".rs").split('/');
        if let Some(vague) = parts.rev().find(|part| VAGUE.contains(part)) {
            say(1, &format!("`{vague}` says nothing about what is inside"));
        }
    }
    for (number, line) in source.text.lines().enumerate() {
        if is_code(source)
            && let Some(mark) = UNFINISHED.iter().find(|mark| has_word(line, mark))
        {
            say(number + 1, &format!("unfinished: {mark}"));
        }
        if let Some(place) = LOCAL.iter().find(|place| line.contains(*place)) {
            say(
                number + 1,
                &format!("a place of one machine or network: {place}"),
            );
        }
    }
    if path.starts_with("crates/sql/statements/") && source.extension() == "sql" {
        for what in header(source) {
            say(1, &what);
        }
    }
    if source.name() == "Cargo.toml" && path.contains('/') {
        let table = |name: &str, line: &str| has_in_table(&source.text, name, line);
        if !table("lints", "workspace = true") {
            say(1, "does not inherit the lints of the workspace");
        }
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            if !table("package", &format!("{key}.workspace = true")) {
                say(1, &format!("does not inherit `{key}` from the workspace"));
            }
        }
    }
    problems
}

fn is_code(source: &Source) -> bool {
    [
        "rs", "sql", "sh", "toml", "ts", "js", "css", "html", "yml", "yaml",
    ]
    .contains(&source.extension())
        || source.path == ".ci/run"
}

/// What is wrong with the four lines that a statement opens with.
fn header(source: &Source) -> Vec<String> {
    let mut lines = source.text.lines();
    let mut problems = Vec::new();
    for key in HEADER {
        let line = lines.next().unwrap_or_default();
        let value = line.strip_prefix(&format!("-- {key}:")).map(str::trim);
        if value.is_none_or(str::is_empty) {
            problems.push(format!("the header lacks its line `-- {key}: …`"));
        }
    }
    let aggregate = source.directory().rsplit('/').next().unwrap_or_default();
    let name = format!("{aggregate}.{}", source.name().trim_end_matches(".sql"));
    if !source.text.starts_with(&format!("-- name: {name}\n")) {
        problems.push(format!(
            "the statement's name is not {name}, after its file"
        ));
    }
    problems
}

/// Whether a table of a manifest has this line.
fn has_in_table(manifest: &str, table: &str, wanted: &str) -> bool {
    let heading = format!("[{table}]");
    manifest
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .any(|line| line == wanted)
}

/// Whether the text has the word and not only a longer one that contains it.
fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + word.len()..].chars().next();
        let ends_in_word = word.chars().next_back().is_some_and(is_part);
        let longer = before.is_some_and(is_part) || (ends_in_word && after.is_some_and(is_part));
        !longer
    })
}

/// Links of Markdown files that lead to no file.
pub(super) fn links(sources: &[Source], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| source.extension() == "md") {
        let mut in_code = false;
        for (number, line) in source.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_code = !in_code;
            }
            if in_code {
                continue;
            }
            for target in link_targets(line) {
                let file = target.split('#').next().unwrap_or_default();
                if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                    continue;
                }
                let path = match file.strip_prefix('/') {
                    Some(from_root) => from_root.to_owned(),
                    None => format!("{}/{file}", source.directory()),
                };
                if !exists(path.trim_start_matches('/')) {
                    problems.push(format!(
                        "{}:{}: no such file: {file}",
                        source.path,
                        number + 1
                    ));
                }
            }
        }
    }
    problems
}

/// What stands between `](` and `)`, outside of inline code.
fn link_targets(line: &str) -> Vec<&str> {
    let outside_code = line.split('`').step_by(2);
    let ends = outside_code.flat_map(|text| text.split("](").skip(1));
    ends.filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.split_whitespace().next().unwrap_or_default())
        .collect()
}

/// Dependencies that the workspace declares and no crate takes, or that a crate takes and no source
/// file of it names.
pub(super) fn dependencies(sources: &[Source], metadata: &Metadata) -> Vec<String> {
    let mut problems = Vec::new();
    let root = sources.iter().find(|source| source.path == "Cargo.toml");
    for name in root.map(declared).unwrap_or_default() {
        let mut all = metadata.members().flat_map(|package| &package.dependencies);
        if !all.any(|dependency| dependency.alias() == name) {
            problems.push(format!(
                "Cargo.toml:1: no crate uses the workspace's dependency {name}"
            ));
        }
    }
    for package in metadata.members() {
        let directory = package.directory().strip_prefix(&metadata.workspace_root);
        let prefix = format!("{}/", directory.unwrap_or(package.directory()).display());
        let code: Vec<&Source> = sources
            .iter()
            .filter(|source| source.extension() == "rs" && source.path.starts_with(&prefix))
            .collect();
        for dependency in &package.dependencies {
            let name = dependency.alias().replace('-', "_");
            let used = code.iter().any(|source| has_word(&source.text, &name));
            if !used && dependency.name != package.name {
                problems.push(format!(
                    "{prefix}Cargo.toml:1: {} is not used",
                    dependency.name
                ));
            }
        }
    }
    problems
}

/// The names under `[workspace.dependencies]`.
fn declared(manifest: &Source) -> Vec<&str> {
    let lines = manifest
        .text
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]");
    lines
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, _)| name)
        .collect()
}

#[cfg(test)]
mod tests;
