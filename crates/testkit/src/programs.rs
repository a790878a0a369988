//! Finds the server programs that the machine has.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// The oldest PostgreSQL that the statements are written for.
const OLDEST_POSTGRES: u32 = 15;

/// Where packages put PostgreSQL's server programs, beside the search path.
/// A `*` stands for one path component, a version.
const POSTGRES_PLACES: [&str; 4] = [
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
];

/// PostgreSQL's programs, both of one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresPrograms {
    /// Creates a data directory.
    pub initdb: PathBuf,
    /// The server.
    pub postgres: PathBuf,
    /// The major version, as in 17.
    pub version: u32,
}

impl PostgresPrograms {
    /// The newest that the machine has, or what is missing.
    pub fn find() -> Result<Self> {
        Self::find_all().into_iter().next().map_or_else(
            || bail!("PostgreSQL {OLDEST_POSTGRES} or later: `initdb` and `postgres` not found"),
            Ok,
        )
    }

    /// The ones of this major version: a data directory is readable to its own version alone.
    pub fn find_version(version: u32) -> Result<Self> {
        let found = Self::find_all()
            .into_iter()
            .find(|one| one.version == version);
        found.map_or_else(|| bail!("PostgreSQL {version}: `postgres` not found"), Ok)
    }

    /// All that the machine has, the newest first.
    fn find_all() -> Vec<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found: Vec<Self> = directories(&path)
            .into_iter()
            .filter_map(|directory| Self::in_directory(&directory))
            .filter(|programs| programs.version >= OLDEST_POSTGRES)
            .collect();
        found.sort_by_key(|programs| std::cmp::Reverse(programs.version));
        found
    }

    /// The path of `pg_basebackup`, which makes replicas: with the others, where their links lead, or on
    /// the search path.
    pub(crate) fn basebackup(&self) -> Result<PathBuf> {
        let beside = [Some(self.initdb.clone()), self.initdb.canonicalize().ok()];
        let beside = beside.into_iter().flatten();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let searched = std::env::split_paths(&path).map(|directory| directory.join("initdb"));
        beside
            .chain(searched)
            .map(|program| program.with_file_name("pg_basebackup"))
            .find(|program| program.is_file())
            .map_or_else(|| bail!("PostgreSQL: `pg_basebackup` not found"), Ok)
    }

    fn in_directory(directory: &Path) -> Option<Self> {
        let [initdb, postgres] = ["initdb", "postgres"].map(|name| directory.join(name));
        if !(initdb.is_file() && postgres.is_file()) {
            return None;
        }
        let output = Command::new(&postgres).arg("--version").output().ok()?;
        let version = major_version(&String::from_utf8_lossy(&output.stdout))?;
        Some(Self {
            initdb,
            postgres,
            version,
        })
    }
}

/// The path of `redis-server`, or of its successor under another name.
pub fn find_redis() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = ["redis-server", "valkey-server"].iter().find_map(|name| {
        std::env::split_paths(&path)
            .map(|directory| directory.join(name))
            .find(|program| program.is_file())
    });
    found.map_or_else(|| bail!("Redis: `redis-server` not found"), Ok)
}

/// The directories of the search path, then those of [`POSTGRES_PLACES`] that exist.
fn directories(path: &OsStr) -> Vec<PathBuf> {
    let places = POSTGRES_PLACES.iter().flat_map(|place| expand(place));
    std::env::split_paths(path).chain(places).collect()
}

/// Expands the one `*` of a pattern against the file system.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![pattern.into()];
    };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let Ok(entries) = std::fs::read_dir(format!("{parent}/")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .map(|name| format!("{parent}/{name}{after}").into())
        .collect()
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian …)`.
fn major_version(output: &str) -> Option<u32> {
    let number = output.split_whitespace().nth(2)?;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version_of_releases_and_betas() {
        for (text, version) in [
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
                Some(15),
            ),
            ("postgres (PostgreSQL) 18beta1\n", Some(18)),
            ("postgres: command not found\n", None),
            ("", None),
        ] {
            assert_eq!(major_version(text), version, "{text}");
        }
    }

    #[test]
    fn a_pattern_expands_to_what_exists() {
        let root = tempfile::tempdir().expect("a temporary directory");
        for name in ["postgresql@15/bin", "postgresql@17/bin", "other/bin"] {
            std::fs::create_dir_all(root.path().join(name)).expect("writable");
        }
        let root = root.path().display();
        let mut found = expand(&format!("{root}/postgresql@*/bin"));
        found.sort();
        let expected: Vec<PathBuf> = ["15", "17"]
            .map(|version| format!("{root}/postgresql@{version}/bin").into())
            .into();
        assert_eq!(found, expected);
        assert!(expand(&format!("{root}/missing/*/bin")).is_empty());
    }
}
