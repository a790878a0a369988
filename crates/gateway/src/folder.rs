//! A folder of static files, as a store of objects.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use pitchey_edge::{FetchError, Objects, Opened, Wanted};
use pitchey_runtime::SystemRuntime;
use sha2::{Digest as _, Sha256};
use tokio::task::spawn_blocking;

use crate::paced::Paced;

/// The most bytes of a file.
const MOST: u64 = 64 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    system: SystemRuntime,
}

impl Folder {
    /// A folder that is there.
    pub(crate) fn open(path: &Path, system: SystemRuntime) -> anyhow::Result<Self> {
        let there = path.metadata();
        let there = there.with_context(|| format!("assets.directory: {}", path.display()))?;
        ensure!(
            there.is_dir(),
            "assets.directory: {} is none",
            path.display()
        );
        let path = path.to_owned();
        Ok(Self { path, system })
    }
}

impl Objects for Folder {
    type Body = Paced;

    async fn open(&self, name: &str, wanted: Wanted<'_>) -> Result<Opened<Paced>, FetchError> {
        let path = self.path.join(name);
        let file = spawn_blocking(move || read(&path)).await;
        let file = file.map_err(|error| FetchError::Failed(error.into()))?;
        let content = match file {
            Ok(content) => Bytes::from(content),
            Err(error) if is_missing(&error) => return Ok(Opened::Missing),
            Err(error) => {
                tracing::error!(name, %error, "a static file cannot be read");
                return Err(FetchError::Failed(error.into()));
            }
        };
        // Alike at every gateway that has the same file.
        let digest = Sha256::digest(&content);
        let tag = URL_SAFE_NO_PAD.encode(&digest[..16]);
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let sent = match wanted {
            Wanted::Head => Bytes::new(),
            Wanted::Whole { known } if known == Some(&*tag) => return Ok(Opened::Unwanted),
            Wanted::Whole { .. } => content,
            Wanted::Part { tag: only, .. } if only != tag => return Ok(Opened::Unwanted),
            Wanted::Part { first, length, .. } => {
                let index = |number| usize::try_from(number).unwrap_or(usize::MAX);
                content.slice(index(first)..index(first.saturating_add(length)))
            }
        };
        let body = Paced::ready(sent, self.system);
        Ok(Opened::Found { tag, length, body })
    }
}

/// Also below what is a file.
fn is_missing(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let there = path.metadata()?;
    if there.is_dir() {
        return Err(ErrorKind::NotFound.into());
    }
    if there.len() > MOST {
        return Err(std::io::Error::other(format!("more than {MOST} bytes")));
    }
    std::fs::read(path)
}
