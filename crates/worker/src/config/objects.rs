//! What the worker is told of static files and of what the isolates of a data centre share.

use http::Uri;
use http::uri::Authority;

use super::{Config, MOST_MEMORY_MIB, Reader};

/// Static files, by the binding `ASSETS` of R2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assets {
    /// How much of them an isolate keeps, in MiB.
    pub memory_mib: u64,
    /// How long a call may take, until its answer begins, in milliseconds.
    pub timeout_ms: u32,
}

/// What the isolates of a data centre share, by the Cache API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The host under which it is kept: the worker's own.
    pub host: String,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u32,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(super) fn assets(&mut self) -> Option<Assets> {
        let memory_mib = self.number("ASSETS__MEMORY_MIB", 8, 1..=MOST_MEMORY_MIB);
        let timeout_ms = self.number("ASSETS__TIMEOUT_MS", 5_000, 1..=60_000);
        self.switch("ASSETS__ENABLED", false).then_some(Assets {
            memory_mib,
            timeout_ms,
        })
    }

    pub(super) fn shared(&mut self) -> Option<Shared> {
        let timeout_ms = self.number("CACHE__TIMEOUT_MS", 250, 1..=10_000);
        let host = self.look_up("CACHE__HOST");
        let host = host.filter(|host| !host.is_empty())?;
        let is_host = |authority: &Authority| authority.host() == host;
        let uri = format!("https://{host}/").parse::<Uri>().ok();
        if !uri.is_some_and(|uri| uri.authority().is_some_and(is_host)) {
            self.tell("CACHE__HOST", "is no name of a host");
        }
        Some(Shared { host, timeout_ms })
    }

    pub(super) fn check_assets(&mut self, config: &Config) {
        let Some(assets) = config.assets else { return };
        if config.pitchey.is_none() {
            let problem = "is for the edge of Pitchey alone (PITCHEY__SECRET)";
            self.tell("ASSETS__ENABLED", problem);
        }
        if assets.memory_mib.saturating_add(config.memory_mib) > MOST_MEMORY_MIB {
            let problem = format!("and STORE__MEMORY_MIB are more than {MOST_MEMORY_MIB} together");
            self.tell("ASSETS__MEMORY_MIB", &problem);
        }
        if config.largest_body_kib > assets.memory_mib << 10 {
            self.tell("STORE__LARGEST_BODY_KIB", "is more than ASSETS__MEMORY_MIB");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGE: [(&str, &str); 2] = [
        ("ORIGIN__URL", "https://origin.example"),
        ("PITCHEY__SECRET", "what edges show to origins in this test"),
    ];

    fn read(more: &[(&str, &str)]) -> Result<Config, String> {
        let all = [&EDGE, more].concat();
        Config::read(|wanted| {
            let mut found = all.iter().filter(|(name, _)| *name == wanted);
            found.next().map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn neither_is_there_unless_it_is_asked_for() {
        let config = read(&[]).expect("valid");
        assert_eq!((config.assets, config.shared), (None, None));
        let more = [
            ("ASSETS__ENABLED", "true"),
            ("CACHE__HOST", "pitchey.example"),
        ];
        let config = read(&more).expect("valid");
        assert_eq!(config.assets.map(|assets| assets.memory_mib), Some(8));
        assert_eq!(
            config.shared.expect("it has a host").host,
            "pitchey.example"
        );
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let told = read(&[
            ("ASSETS__ENABLED", "true"),
            ("ASSETS__MEMORY_MIB", "33"),
            ("STORE__LARGEST_BODY_KIB", "16384"),
        ]);
        assert_eq!(
            told.expect_err("a problem"),
            "ASSETS__MEMORY_MIB and STORE__MEMORY_MIB are more than 64 together"
        );
        let told = read(&[
            ("ASSETS__ENABLED", "true"),
            ("STORE__LARGEST_BODY_KIB", "16384"),
        ]);
        assert_eq!(
            told.expect_err("a problem"),
            "STORE__LARGEST_BODY_KIB is more than ASSETS__MEMORY_MIB"
        );
        for host in [
            "https://a.example",
            "a.example/x",
            "a b",
            "a.example:443",
            "me@a",
        ] {
            read(&[("CACHE__HOST", host)]).expect_err(host);
        }
        let alone = [EDGE[0], ("ASSETS__ENABLED", "true")];
        let told = Config::read(|wanted| {
            let mut found = alone.iter().filter(|(name, _)| *name == wanted);
            found.next().map(|(_, value)| (*value).to_owned())
        });
        told.expect_err("it is not the edge of Pitchey");
    }
}
