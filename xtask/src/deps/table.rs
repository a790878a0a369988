//! The table of what each crate may use.

use anyhow::{Context as _, Result, bail, ensure};

use super::DEVELOPMENT;

const BEGIN: &str = "<!-- deps:begin -->";
const END: &str = "<!-- deps:end -->";

/// The rows, in the order of the document.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) rows: Vec<Row>,
}

/// A crate and what it may use.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    /// Whether it is also, or only, built for Workers.
    pub(super) wasm: bool,
    binary: bool,
    may_use: Vec<Allowance>,
}

/// A word in the last column.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Allowance {
    Crate(String),
    Libraries,
    NativeBinaries,
    WasmCrates,
    Anything,
}

impl Table {
    /// Reads the table between its two marks.
    pub(super) fn parse(document: &str) -> Result<Self> {
        let (_, rest) = document
            .split_once(BEGIN)
            .with_context(|| format!("there is no {BEGIN}"))?;
        let (text, _) = rest
            .split_once(END)
            .with_context(|| format!("there is no {END}"))?;
        let lines = text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with('|'));
        // After the heading and the rule under it.
        let rows: Vec<Row> = lines.skip(2).map(Row::parse).collect::<Result<_>>()?;
        ensure!(!rows.is_empty(), "the table has no rows");
        Ok(Self { rows })
    }

    /// The row of a crate.
    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Whether the crate of this row may depend on another.
    pub(super) fn allows(&self, row: &Row, name: &str) -> bool {
        let Some(other) = self.row(name) else {
            return false;
        };
        let development = DEVELOPMENT.contains(&name);
        row.may_use.iter().any(|allowance| match allowance {
            Allowance::Crate(allowed) => allowed == name,
            Allowance::Libraries => !other.binary && !development,
            Allowance::NativeBinaries => other.binary && !other.wasm,
            Allowance::WasmCrates => other.wasm && !other.binary,
            Allowance::Anything => true,
        })
    }

    /// What the table says of crates that it does not list, or that contradicts itself.
    pub(super) fn inconsistencies(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for row in &self.rows {
            for allowance in &row.may_use {
                let Allowance::Crate(name) = allowance else {
                    continue;
                };
                match self.row(name) {
                    None => problems.push(format!("{} may use {name}, which has no row", row.name)),
                    Some(other) if row.wasm && !other.wasm => {
                        problems.push(format!("{} is for wasm and {name} is not", row.name));
                    }
                    Some(_) => {}
                }
            }
        }
        problems
    }
}

impl Row {
    fn parse(line: &str) -> Result<Self> {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, wasm, what, may_use] = cells[..] else {
            bail!("a row has four columns: {line}");
        };
        let wasm = match wasm {
            "yes" | "only" => true,
            "no" => false,
            other => bail!("the column wasm is yes, only or no, not `{other}`: {line}"),
        };
        let may_use = match may_use {
            "–" | "-" | "nothing in the workspace" => Vec::new(),
            words => words
                .split(',')
                .flat_map(|part| part.split(" and "))
                .map(|word| Allowance::parse(word.trim()))
                .collect::<Result<_>>()
                .with_context(|| format!("in the row {line}"))?,
        };
        Ok(Self {
            name: plain(name).to_owned(),
            wasm,
            binary: what.trim_start_matches('*').starts_with("binary"),
            may_use,
        })
    }
}

impl Allowance {
    fn parse(word: &str) -> Result<Self> {
        Ok(match word {
            "libraries" => Self::Libraries,
            "native binaries" => Self::NativeBinaries,
            "wasm crates" => Self::WasmCrates,
            "anything" => Self::Anything,
            name if plain(name)
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-') =>
            {
                Self::Crate(plain(name).to_owned())
            }
            other => bail!("`{other}` names no crate and no kind of crates"),
        })
    }
}

/// A name without the marks of code.
fn plain(name: &str) -> &str {
    name.trim_matches('`')
}
