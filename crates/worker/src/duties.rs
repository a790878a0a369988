//! What the worker does besides answering: whom it asks how they are, what it counts, and what a timer has it do.

use http::Uri;
use serde::Deserialize;
use time::OffsetDateTime;

use crate::config::Reader;

/// The most targets beside those that are known by themselves.
const MOST_TARGETS: usize = 8;

/// The most paths that are warmed: each is a request, which Workers allow a timer so many of.
const MOST_PATHS: usize = 100;

/// What is said of these duties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duties {
    /// Who is asked beside the origin: each by a name.
    pub targets: Vec<(String, Uri)>,
    /// How long each may take to answer, in milliseconds.
    pub patience_ms: u32,
    /// What is asked for before anybody else does.
    pub warm: Vec<Box<str>>,
    /// How long after an answer what was counted is written, in milliseconds.
    pub write_after_ms: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    name: String,
    url: String,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    pub(crate) fn duties(&mut self) -> Duties {
        Duties {
            targets: self.targets(),
            patience_ms: self.number("HEALTH__TIMEOUT_MS", 2_000, 1..=10_000),
            warm: self.warm(),
            // Behind an answer nothing goes on for longer than half a minute.
            write_after_ms: self.number("FIGURES__WRITE_AFTER_MS", 20_000, 1..=25_000),
        }
    }

    fn targets(&mut self) -> Vec<(String, Uri)> {
        let name = "HEALTH__TARGETS";
        let Some(text) = self.look_up(name).filter(|text| !text.is_empty()) else {
            return Vec::new();
        };
        let given: Vec<Target> = match serde_json::from_str(&text) {
            Ok(given) => given,
            Err(error) => {
                self.tell(name, &format!("is no list of name and url: {error}"));
                return Vec::new();
            }
        };
        if given.len() > MOST_TARGETS {
            self.tell(name, &format!("has more than {MOST_TARGETS}"));
        }
        let mut targets = Vec::new();
        for Target { name: target, url } in given {
            match url.parse::<Uri>() {
                Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) => {
                    targets.push((target, uri));
                }
                _ => self.tell(
                    name,
                    &format!("has no http:// or https:// address for {target}"),
                ),
            }
        }
        targets
    }

    fn warm(&mut self) -> Vec<Box<str>> {
        let name = "WARM__PATHS";
        let Some(text) = self.look_up(name).filter(|text| !text.is_empty()) else {
            return Vec::new();
        };
        match serde_json::from_str::<Vec<Box<str>>>(&text) {
            Ok(paths) if paths.len() > MOST_PATHS => {
                self.tell(name, &format!("has more than {MOST_PATHS}"));
                Vec::new()
            }
            Ok(paths) => {
                for path in paths.iter().filter(|path| !path.starts_with('/')) {
                    self.tell(name, &format!("has {path:?}, which does not begin with /"));
                }
                paths
            }
            Err(error) => {
                self.tell(name, &format!("is no list of paths: {error}"));
                Vec::new()
            }
        }
    }
}

/// Whether paths are warmed by the timer that is due at this moment: it goes off every five minutes, and every third
/// time they are.
pub fn warms(at: OffsetDateTime) -> bool {
    at.minute() % 15 < 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn read(name: &str, value: &str) -> Result<Duties, String> {
        let config = Config::read(|wanted| match wanted {
            "ORIGIN__URL" => Some("https://origin.example".to_owned()),
            wanted => (wanted == name).then(|| value.to_owned()),
        });
        config.map(|config| config.duties)
    }

    #[test]
    fn lists_are_read_and_what_is_wrong_in_them_is_told() {
        let target = r#"[{"name":"mail","url":"https://mail.example/well"}]"#;
        let duties = read("HEALTH__TARGETS", target).expect("valid");
        assert_eq!(duties.targets[0].0, "mail");
        let paths = read("WARM__PATHS", r#"["/api/pitches"]"#).expect("valid");
        assert_eq!(&*paths.warm[0], "/api/pitches");
        for (name, value, told) in [
            ("HEALTH__TARGETS", "mail", "is no list"),
            (
                "HEALTH__TARGETS",
                r#"[{"name":"mail","url":"ftp://mail"}]"#,
                "for mail",
            ),
            (
                "HEALTH__TARGETS",
                r#"[{"name":"mail","url":"/","x":1}]"#,
                "is no list",
            ),
            ("WARM__PATHS", "/api", "is no list"),
            ("WARM__PATHS", r#"["api"]"#, "does not begin with /"),
            ("FIGURES__WRITE_AFTER_MS", "30000", "is no number"),
        ] {
            let problem = read(name, value).expect_err(value);
            assert!(problem.contains(told), "{problem}");
        }
        let many = serde_json::to_string(&vec!["/x"; MOST_PATHS + 1]).expect("JSON");
        read("WARM__PATHS", &many).expect_err("too many");
    }

    #[test]
    fn every_third_time_paths_are_warmed() {
        let at = |minute: i64| {
            OffsetDateTime::from_unix_timestamp(1_800_000_000 + minute * 60).expect("a time")
        };
        let warming = (0..12).map(|n| n * 5).filter(|minute| warms(at(*minute)));
        assert_eq!(warming.collect::<Vec<_>>(), [0, 15, 30, 45]);
    }
}
