//! What a development run keeps: the servers' directories, what was loaded, the secrets.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use pitchey_testkit::plan::{Service, Way};
use pitchey_testkit::postgres_server::{execute, query_bool};
use pitchey_testkit::provision::require_programs;
use pitchey_testkit::{OwnedPostgres, net, service_user};

/// The database of a development run.
pub(crate) const DATABASE: &str = "pitchey";

/// Where Postgres keeps its data, after its programs have been found or installed.
pub(crate) fn postgres_home(directory: &Path) -> Result<PathBuf> {
    home(directory, Service::Postgres, "postgres")
}

/// Where Redis keeps its data, after its program has been found or installed.
pub(crate) fn redis_home(directory: &Path) -> Result<PathBuf> {
    home(directory, Service::Redis, "redis")
}

fn home(directory: &Path, service: Service, name: &str) -> Result<PathBuf> {
    if require_programs(service)? == Way::Apt {
        crate::say(&format!("{service} was installed"));
    }
    service_user::kept_directory(&directory.join(name))
}

/// Removes all that earlier runs have kept.
pub(crate) fn forget(directory: &Path) -> Result<()> {
    for name in ["postgres", "redis"] {
        service_user::remove_kept_directory(&directory.join(name))?;
    }
    let loaded = directory.join("loaded");
    if loaded.exists() {
        fs::remove_file(loaded)?;
    }
    Ok(())
}

/// The small files beside the servers' data.
pub(crate) struct Kept {
    directory: PathBuf,
    /// Whether the database is this run's own.
    own: bool,
}

impl Kept {
    pub(crate) fn open(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            own: false,
        }
    }

    /// Makes the database, anew if loading it was cut off.
    pub(crate) fn prepare_database(&mut self, server: &OwnedPostgres) -> Result<()> {
        self.own = true;
        let url = server.url();
        let exists =
            format!("SELECT EXISTS (SELECT FROM pg_database WHERE datname = '{DATABASE}')");
        let mut exists = query_bool(&url, &exists)?;
        if exists && !self.file("loaded").exists() {
            execute(&url, &format!("DROP DATABASE {DATABASE} WITH (FORCE)"))?;
            exists = false;
        }
        if !exists {
            execute(&url, &format!("CREATE DATABASE {DATABASE}"))?;
        }
        Ok(())
    }

    /// What the database was filled with, if it was.
    pub(crate) fn loaded(&self, database_url: &str) -> Result<Option<String>> {
        if self.own {
            return Ok(fs::read_to_string(self.file("loaded")).ok());
        }
        let filled = query_bool(database_url, "SELECT EXISTS (SELECT FROM pitches)")?;
        Ok(filled.then(|| "what the database of DATABASE_URL has".to_owned()))
    }

    /// Remembers that the database was filled, to the end.
    pub(crate) fn set_loaded(&self, what: &str) -> Result<()> {
        if self.own {
            fs::write(self.file("loaded"), what)?;
        }
        Ok(())
    }

    /// Leaves the URLs for other programs, in the form that a shell reads.
    pub(crate) fn write_environment(&self, database_url: &str, redis_url: &str) -> Result<()> {
        let text = format!("DATABASE_URL={database_url}\nREDIS_URL={redis_url}\n");
        self.write_private("env", &text)
    }

    /// The key that cursors are signed with: the same for each run, so that they stay valid.
    pub(crate) fn cursor_key(&self) -> Result<String> {
        if let Ok(key) = fs::read_to_string(self.file("cursor-key")) {
            return Ok(key);
        }
        let key = net::random_hex(32)?;
        self.write_private("cursor-key", &key)?;
        Ok(key)
    }

    fn write_private(&self, name: &str, text: &str) -> Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut options = fs::File::options();
        let file = options.create(true).write(true).truncate(true).mode(0o600);
        file.open(self.file(name))
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| anyhow!("cannot write {}: {error}", self.file(name).display()))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
