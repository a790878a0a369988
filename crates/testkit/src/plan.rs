//! Which way to a server is taken: a decision over facts, which others find out.
//!
//! The order is: what the environment names, a container, the machine's own programs, programs that
//! `apt-get` installs, and else an error that says what to do.

use std::fmt;

/// A server that tests need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
}

impl Service {
    /// Both, in the order in which they are started.
    pub const ALL: [Self; 2] = [Self::Postgres, Self::Redis];

    /// The environment variable with the URL of a server to use.
    pub fn url_variable(self) -> &'static str {
        match self {
            Self::Postgres => "DATABASE_URL",
            Self::Redis => "REDIS_URL",
        }
    }

    /// The environment variable with the name of the image to use.
    pub fn image_variable(self) -> &'static str {
        match self {
            Self::Postgres => "PITCHEY_POSTGRES_IMAGE",
            Self::Redis => "PITCHEY_REDIS_IMAGE",
        }
    }

    /// The public image that is used unless [`Self::image_variable`] names another.
    pub fn default_image(self) -> &'static str {
        match self {
            Self::Postgres => "postgres:17-alpine",
            Self::Redis => "redis:7-alpine",
        }
    }

    /// The Debian package with the programs.
    pub fn debian_package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Redis => "redis-server",
        }
    }

    fn install_hint(self) -> &'static str {
        match self {
            Self::Postgres => {
                "install PostgreSQL 15 or later \
                 (Debian, Ubuntu: apt-get install postgresql; Fedora: dnf install \
                 postgresql-server postgresql-contrib; macOS: brew install postgresql@17)"
            }
            Self::Redis => {
                "install Redis 7 or later \
                 (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis; \
                 macOS: brew install redis)"
            }
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "Postgres",
            Self::Redis => "Redis",
        })
    }
}

/// A way to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The server that the environment names.
    Given,
    /// A container that testcontainers starts.
    Container,
    /// The programs that the machine has.
    Programs,
    /// Programs that `apt-get` installs first.
    Apt,
}

impl Way {
    /// In the order of preference.
    pub const ALL: [Self; 4] = [Self::Given, Self::Container, Self::Programs, Self::Apt];

    /// Reads the value of `PITCHEY_PROVISION`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.to_string() == name)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Given => "environment",
            Self::Container => "container",
            Self::Programs => "programs",
            Self::Apt => "apt",
        })
    }
}

/// What is asked of the machine. Each answer is `Ok` or the reason why that way is closed.
///
/// They are asked for one after the other and no further than needed: the answer about a container
/// may cost the download of an image.
pub trait Facts {
    /// Whether the environment names a server.
    fn given(&self) -> Result<(), String>;
    /// Whether a Docker daemon answers and has, or can get, the image.
    fn container(&self) -> Result<(), String>;
    /// Whether the machine has the programs.
    fn programs(&self) -> Result<(), String>;
    /// Whether packages may be installed: by root, on Debian and its kin.
    fn apt(&self) -> Result<(), String>;
}

/// No way is open.
#[derive(Debug, thiserror::Error)]
pub struct Unavailable {
    service: Service,
    reasons: Vec<(Way, String)>,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = self.service;
        writeln!(f, "there is no {service} to be had. Tried in this order:")?;
        for (way, reason) in &self.reasons {
            writeln!(f, "  {way}: {reason}")?;
        }
        writeln!(f, "One of these helps:")?;
        writeln!(f, "  - {}", service.install_hint())?;
        writeln!(
            f,
            "  - start Docker, so that the image {} can be used",
            service.default_image()
        )?;
        write!(
            f,
            "  - set {} to a server of your own",
            service.url_variable()
        )
    }
}

/// The first open way, of those that are not `closed` because they were tried and failed.
///
/// `only` leaves all but one aside.
pub fn choose(
    service: Service,
    facts: &impl Facts,
    only: Option<Way>,
    closed: &[(Way, String)],
) -> Result<Way, Unavailable> {
    let mut reasons = Vec::new();
    for way in Way::ALL {
        let known = closed.iter().find(|(failed, _)| *failed == way);
        let answer = match (known, only) {
            (Some((_, reason)), _) => Err(reason.clone()),
            (None, Some(only)) if only != way => Err("PITCHEY_PROVISION leaves it aside".into()),
            (None, _) => match way {
                Way::Given => facts.given(),
                Way::Container => facts.container(),
                Way::Programs => facts.programs(),
                Way::Apt => facts.apt(),
            },
        };
        match answer {
            Ok(()) => return Ok(way),
            Err(reason) => reasons.push((way, reason)),
        }
    }
    Err(Unavailable { service, reasons })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A machine on which these ways are open, and which remembers what it was asked.
    struct Machine {
        open: Vec<Way>,
        asked: RefCell<Vec<Way>>,
    }

    impl Machine {
        fn new(open: &[Way]) -> Self {
            Self {
                open: open.to_vec(),
                asked: RefCell::default(),
            }
        }

        fn ask(&self, way: Way) -> Result<(), String> {
            self.asked.borrow_mut().push(way);
            if self.open.contains(&way) {
                Ok(())
            } else {
                Err(format!("no {way} here"))
            }
        }
    }

    impl Facts for Machine {
        fn given(&self) -> Result<(), String> {
            self.ask(Way::Given)
        }
        fn container(&self) -> Result<(), String> {
            self.ask(Way::Container)
        }
        fn programs(&self) -> Result<(), String> {
            self.ask(Way::Programs)
        }
        fn apt(&self) -> Result<(), String> {
            self.ask(Way::Apt)
        }
    }

    #[test]
    fn the_first_open_way_is_taken_and_later_ones_are_not_asked_about() {
        for (index, way) in Way::ALL.into_iter().enumerate() {
            let machine = Machine::new(&Way::ALL[index..]);
            let chosen = choose(Service::Postgres, &machine, None, &[]).expect("one is open");
            assert_eq!(chosen, way);
            assert_eq!(*machine.asked.borrow(), Way::ALL[..=index]);
        }
    }

    #[test]
    fn a_way_that_failed_is_passed_over_without_asking_again() {
        let machine = Machine::new(&[Way::Container, Way::Programs]);
        let closed = [(Way::Container, "the container ended at once".to_owned())];
        let chosen = choose(Service::Redis, &machine, None, &closed).expect("one is open");
        assert_eq!(chosen, Way::Programs);
        assert!(!machine.asked.borrow().contains(&Way::Container));
    }

    #[test]
    fn only_the_way_that_is_asked_for_is_taken() {
        let machine = Machine::new(&[Way::Given, Way::Container, Way::Programs]);
        let chosen = choose(Service::Redis, &machine, Some(Way::Programs), &[]);
        assert_eq!(chosen.expect("it is open"), Way::Programs);
        assert_eq!(*machine.asked.borrow(), [Way::Programs]);
    }

    #[test]
    fn with_every_way_closed_the_error_says_why_and_what_to_install() {
        for service in Service::ALL {
            let error = choose(service, &Machine::new(&[]), None, &[]).expect_err("all closed");
            let text = error.to_string();
            for way in Way::ALL {
                assert!(text.contains(&format!("no {way} here")), "{text}");
            }
            assert!(text.contains(&format!("apt-get install {}", service.debian_package())));
            assert!(text.contains(service.url_variable()), "{text}");
        }
    }

    #[test]
    fn every_way_is_found_by_its_name() {
        for way in Way::ALL {
            assert_eq!(Way::from_name(&way.to_string()), Some(way));
        }
        assert_eq!(Way::from_name("luck"), None);
    }
}
