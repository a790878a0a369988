//! What makes connections private.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The `tls` section. Without files connections are not private, and something in front must see to that.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The certificate and, behind it, those that vouch for it: PEM.
    pub certificate: PathBuf,
    /// Its key: PEM.
    pub key: PathBuf,
    /// How often it is looked whether the files are others.
    pub reload_ms: u64,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            reload_ms: 60_000,
        }
    }
}

impl TlsConfig {
    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    pub(super) fn validate(&self, problems: &mut Vec<String>) {
        if self.is_on() == self.key.as_os_str().is_empty() {
            problems.push("tls: certificate and key belong together".to_owned());
        }
    }
}
