//! Where static files lie.

use std::path::{Path, PathBuf};

use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::{bare, redacted};

/// The `assets` section: a folder, or a bucket. With neither the origin is asked for static files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssetsConfig {
    /// The folder whose files are served under `/assets/`.
    pub directory: PathBuf,
    /// The bucket whose objects are.
    pub s3: S3Config,
    /// Memory for them, in MiB.
    pub memory_mib: u64,
}

/// The `assets.s3` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// Scheme, host and port of what speaks S3.
    pub endpoint: String,
    /// The name of the bucket.
    pub bucket: String,
    /// Its region, as requests are signed for it.
    pub region: String,
    /// Whether the bucket is named in the path, and not in the host.
    pub path_style: bool,
    /// The name of a key that may read and list the bucket.
    pub access_key: String,
    /// The key itself.
    #[serde(serialize_with = "redacted")]
    pub secret_key: SecretString,
    /// How long an answer may take until it begins, all attempts together.
    pub timeout_ms: u64,
}

impl Default for AssetsConfig {
    fn default() -> Self {
        Self {
            directory: PathBuf::new(),
            s3: S3Config::default(),
            memory_mib: 64,
        }
    }
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            bucket: String::new(),
            region: "us-east-1".to_owned(),
            path_style: true,
            access_key: String::new(),
            secret_key: SecretString::default(),
            timeout_ms: 5_000,
        }
    }
}

impl S3Config {
    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        !self.endpoint.is_empty()
    }
}

impl AssetsConfig {
    /// The folder, if there is one.
    pub fn directory(&self) -> Option<&Path> {
        (!self.directory.as_os_str().is_empty()).then_some(&self.directory)
    }

    pub(super) fn validate(&self, is_pitchey: bool, problems: &mut Vec<String>) {
        let mut tell = |problem: &str| problems.push(problem.to_owned());
        let s3 = &self.s3;
        match (self.directory(), s3.is_on()) {
            (Some(_), true) => tell("assets: directory and s3 exclude each other"),
            (Some(_), _) if !is_pitchey => {
                tell("assets.directory: is for the edge of Pitchey alone (--pitchey)");
            }
            (_, true) if !is_pitchey => {
                tell("assets.s3: is for the edge of Pitchey alone (--pitchey)");
            }
            _ => {}
        }
        let secret = s3.secret_key.expose_secret();
        if !s3.is_on() {
            if !(s3.bucket.is_empty() && s3.access_key.is_empty() && secret.is_empty()) {
                tell("assets.s3.endpoint: is not set");
            }
            return;
        }
        for (name, value) in [
            ("bucket", &*s3.bucket),
            ("region", &*s3.region),
            ("access_key", &*s3.access_key),
            ("secret_key", secret),
        ] {
            if value.is_empty() {
                tell(&format!("assets.s3.{name}: is not set"));
            }
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !s3.bucket.bytes().all(is_plain) {
            tell("assets.s3.bucket: is no name of a bucket");
        }
        if let Err(problem) = bare(&s3.endpoint) {
            tell(&format!("assets.s3.endpoint: {problem}"));
        }
        if !s3.path_style && !has_name(&s3.endpoint) {
            tell("assets.s3.path_style: is needed where the endpoint has no name");
        }
    }
}

/// Whether the host of an address is a name, before which the bucket's could stand.
fn has_name(url: &str) -> bool {
    let host = url.parse::<Uri>().ok();
    let host = host.as_ref().and_then(Uri::host).unwrap_or_default();
    host.trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &AssetsConfig) -> Vec<String> {
        let mut problems = Vec::new();
        config.validate(true, &mut problems);
        problems
    }

    #[test]
    fn a_bucket_is_named_whole_or_not_at_all_and_excludes_a_folder() {
        let mut config = AssetsConfig::default();
        assert_eq!(problems(&config), [""; 0]);
        config.s3.bucket = "files".to_owned();
        assert_eq!(problems(&config), ["assets.s3.endpoint: is not set"]);
        config.s3.endpoint = "http://127.0.0.1:9000".to_owned();
        config.s3.access_key = "a key".to_owned();
        assert_eq!(problems(&config), ["assets.s3.secret_key: is not set"]);
        config.s3.secret_key = "secret".into();
        assert_eq!(problems(&config), [""; 0]);
        config.s3.path_style = false;
        config.directory = "/srv/files".into();
        assert_eq!(
            problems(&config),
            [
                "assets: directory and s3 exclude each other",
                "assets.s3.path_style: is needed where the endpoint has no name"
            ]
        );
    }
}
