//! What is told of rooms, by variables that begin with `REALTIME__`.

use http::Uri;
use pitchey_lobby::{PlaceLimits, Secret};
use pitchey_model::ticket::TicketKeys;

use crate::config::{Reader, is_origin};

/// The most connections that one object holds, by the limits of the platform.
const MOST_CONNECTIONS: usize = 32_768;

/// Where rooms are.
#[derive(Clone, PartialEq, Eq)]
pub enum Realtime {
    /// At a hub: scheme and authority.
    Elsewhere(Uri),
    /// In a Durable Object.
    Here(Here),
}

/// What the rooms in a Durable Object are told.
#[derive(Clone, PartialEq, Eq)]
pub struct Here {
    ticket_key: String,
    previous_ticket_key: Option<String>,
    publish_secret: String,
    /// The origins whose pages may connect.
    pub allowed_origins: Vec<String>,
    /// How many connections there may be.
    pub places: PlaceLimits,
    /// For so long an update waits for others to go with it, in milliseconds.
    pub window_ms: u32,
}

impl std::fmt::Debug for Realtime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Elsewhere(uri) => formatter.debug_tuple("Elsewhere").field(uri).finish(),
            Self::Here(here) => formatter.debug_tuple("Here").field(here).finish(),
        }
    }
}

impl std::fmt::Debug for Here {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Here")
            .field("allowed_origins", &self.allowed_origins)
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Here {
    /// The keys that tickets are read with. They were looked at when the configuration was read.
    pub fn keys(&self) -> Option<TicketKeys> {
        let previous = self.previous_ticket_key.as_ref();
        TicketKeys::new(self.ticket_key.as_bytes(), previous.map(String::as_bytes)).ok()
    }

    /// What publications are authorized by, if there are any.
    pub fn secret(&self) -> Secret {
        Secret::new(&self.publish_secret)
    }
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// There are rooms if there is a key for tickets, or a hub.
    pub(crate) fn realtime(&mut self) -> Option<Realtime> {
        let places = PlaceLimits {
            all: self.number("REALTIME__MAX_CONNECTIONS", 20_000, 1..=MOST_CONNECTIONS),
            per_user: self.number("REALTIME__MAX_PER_USER", 32, 1..=MOST_CONNECTIONS),
            per_address: self.number("REALTIME__MAX_PER_ADDRESS", 1_000, 1..=MOST_CONNECTIONS),
        };
        let window_ms = self.number("REALTIME__WINDOW_MS", 50, 0..=1_000);
        let allowed_origins = self.origins();
        let publish_secret = self.look_up("REALTIME__PUBLISH_SECRET").unwrap_or_default();
        if (1..Secret::MIN_BYTES).contains(&publish_secret.len()) {
            let problem = format!("has fewer than {} bytes", Secret::MIN_BYTES);
            self.tell("REALTIME__PUBLISH_SECRET", &problem);
        }
        let hub = self.look_up("REALTIME__URL");
        let Some(ticket_key) = self.look_up("REALTIME__TICKET_KEY") else {
            let hub = hub?.parse::<Uri>().ok().filter(is_origin);
            if hub.is_none() {
                self.tell(
                    "REALTIME__URL",
                    "is no http:// or https:// address of a host",
                );
            }
            return hub.map(Realtime::Elsewhere);
        };
        if hub.is_some() {
            self.tell("REALTIME__URL", "is set beside REALTIME__TICKET_KEY");
        }
        let here = Here {
            ticket_key,
            previous_ticket_key: self.look_up("REALTIME__PREVIOUS_TICKET_KEY"),
            publish_secret,
            allowed_origins,
            places,
            window_ms,
        };
        if here.keys().is_none() {
            let problem = format!("has fewer than {} bytes", TicketKeys::MIN_BYTES);
            self.tell("REALTIME__TICKET_KEY", &problem);
        }
        Some(Realtime::Here(here))
    }

    fn origins(&mut self) -> Vec<String> {
        let listed = self.look_up("REALTIME__ALLOWED_ORIGINS");
        let listed = listed.unwrap_or_else(|| "[]".to_owned());
        let origins = serde_json::from_str::<Vec<String>>(&listed).unwrap_or_default();
        let is_page = |origin: &String| {
            let uri = origin.parse::<Uri>();
            !origin.ends_with('/') && uri.is_ok_and(|uri| is_origin(&uri))
        };
        if listed.trim() == "[]" || (!origins.is_empty() && origins.iter().all(is_page)) {
            return origins;
        }
        self.tell(
            "REALTIME__ALLOWED_ORIGINS",
            "is not like [\"https://pitchey.example\"]",
        );
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const KEY: (&str, &str) = (
        "REALTIME__TICKET_KEY",
        "a key for tickets in this test, long enough",
    );

    fn read(variables: &[(&str, &str)]) -> Result<Option<Realtime>, String> {
        let config = Config::read(|wanted| {
            let origin = ("ORIGIN__URL", "https://origin.example");
            let mut found = variables.iter().chain([&origin]);
            found
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| (*value).to_owned())
        });
        config.map(|config| config.realtime)
    }

    #[test]
    fn rooms_are_here_with_a_key_elsewhere_with_a_hub_and_nowhere_without() {
        assert_eq!(read(&[]), Ok(None));
        let hub = ("REALTIME__URL", "http://127.0.0.1:8789");
        let elsewhere = read(&[hub]).expect("valid").expect("there is a hub");
        assert!(matches!(elsewhere, Realtime::Elsewhere(_)));
        let origins = (
            "REALTIME__ALLOWED_ORIGINS",
            r#"["https://pitchey.example"]"#,
        );
        let here = read(&[KEY, origins])
            .expect("valid")
            .expect("there is a key");
        assert!(!format!("{here:?}").contains("for tickets"), "{here:?}");
        let Realtime::Here(here) = here else {
            panic!("{here:?}");
        };
        assert_eq!(here.allowed_origins, ["https://pitchey.example"]);
        read(&[KEY, hub]).expect_err("one of them");
    }

    #[test]
    fn every_problem_of_rooms_is_told() {
        let told = read(&[
            ("REALTIME__TICKET_KEY", "short"),
            ("REALTIME__PUBLISH_SECRET", "short"),
            ("REALTIME__ALLOWED_ORIGINS", "https://pitchey.example"),
            ("REALTIME__MAX_CONNECTIONS", "40000"),
        ]);
        assert_eq!(
            told.expect_err("four problems"),
            "REALTIME__MAX_CONNECTIONS is no number from 1 to 32768; \
             REALTIME__ALLOWED_ORIGINS is not like [\"https://pitchey.example\"]; \
             REALTIME__PUBLISH_SECRET has fewer than 32 bytes; \
             REALTIME__TICKET_KEY has fewer than 32 bytes"
        );
        for origin in [
            "[\"https://pitchey.example/\"]",
            "[\"pitchey.example\"]",
            "[1]",
        ] {
            read(&[KEY, ("REALTIME__ALLOWED_ORIGINS", origin)]).expect_err(origin);
        }
        read(&[("REALTIME__URL", "hub.example")]).expect_err("no scheme");
    }
}
