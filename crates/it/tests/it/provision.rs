//! Every way to a Postgres and a Redis, for real, as far as one machine can show them all.
//!
//! Which way is taken when is decided by a pure function, which is tested beside it in `testkit`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use pitchey_testkit::plan::{Service, Way};
use pitchey_testkit::postgres_server::query_bool;
use pitchey_testkit::process::Process;
use pitchey_testkit::provision::{Server, Wishes, provision};
use pitchey_testkit::{OwnedPostgres, OwnedRedis, Program, wait};

/// Long enough for `initdb` on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_mins(1);

fn by(way: Way) -> Wishes {
    Wishes {
        only: Some(way),
        ..Wishes::default()
    }
}

/// Fails unless the server does what tests rely on.
fn assert_usable(server: &Server) -> Result<()> {
    match server.service() {
        Service::Postgres => {
            for condition in [
                "current_setting('max_connections')::int >= 200",
                "current_setting('shared_preload_libraries') = 'pg_stat_statements'",
                "current_setting('fsync') = 'off'",
                "current_setting('server_encoding') = 'UTF8'",
                "current_setting('server_version_num')::int >= 150000",
                "lower('ÄÉ') = 'äé'",
            ] {
                let holds = query_bool(server.url(), &format!("SELECT {condition}"))?;
                ensure!(holds, "{condition} does not hold");
            }
        }
        Service::Redis => {
            let mut connection = redis::Client::open(server.url())?.get_connection()?;
            redis::cmd("SET").arg("a").arg(1).exec(&mut connection)?;
            let (_, databases): (String, u16) = redis::cmd("CONFIG")
                .arg("GET")
                .arg("databases")
                .query(&mut connection)?;
            ensure!(databases >= 64, "{databases} logical databases are too few");
        }
    }
    Ok(())
}

/// The process ids and directories that a server of our own has.
fn directory_of(pid: u32) -> Result<String> {
    let link = std::fs::read_link(format!("/proc/{pid}/cwd"))?;
    Ok(link.to_string_lossy().into_owned())
}

fn is_alive(pid: u32) -> bool {
    // A zombie that nobody waits for is dead all the same.
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !state.is_empty() && !state.contains(") Z ")
}

#[test]
fn the_server_that_the_environment_names_is_used_and_left_alone() -> Result<()> {
    let mut own = OwnedRedis::start()?;
    let wishes = Wishes {
        url: Some(own.url()),
        ..Wishes::default()
    };
    let server = provision(Service::Redis, &wishes)?;
    assert_eq!(
        (server.way(), server.url()),
        (Way::Given, own.url().as_str())
    );
    assert_usable(&server)?;
    drop(server);
    let process = own.process_mut().context("it runs")?;
    assert!(
        process.exited()?.is_none(),
        "somebody else's server was stopped"
    );
    Ok(())
}

#[test]
fn a_server_that_the_environment_names_and_that_is_down_is_an_error_without_its_password()
-> Result<()> {
    let mut own = OwnedRedis::start()?;
    let url = own.url();
    own.stop()?;
    for (service, url) in [
        (Service::Redis, url.clone()),
        (Service::Postgres, url.replace("redis://:", "postgres://x:")),
    ] {
        let wishes = Wishes {
            url: Some(url.clone()),
            ..Wishes::default()
        };
        let error = provision(service, &wishes)
            .err()
            .context("nobody listens there")?;
        let text = format!("{error:?}");
        assert!(text.contains(service.url_variable()), "{text}");
        let password = url.split(['@', ':']).nth(3).context("the URL has one")?;
        assert!(!text.contains(password), "{text}");
    }
    Ok(())
}

#[test]
fn the_programs_of_the_machine_are_started_and_leave_nothing_behind() -> Result<()> {
    for service in Service::ALL {
        let server = provision(service, &by(Way::Programs))?;
        assert_eq!(server.way(), Way::Programs);
        assert_usable(&server)?;
        let pid: u32 = server.description().replace("process ", "").parse()?;
        let directory = directory_of(pid)?;
        assert!(std::fs::exists(&directory)?);

        drop(server);
        assert!(!is_alive(pid), "{service} still runs");
        assert!(!std::fs::exists(&directory)?, "{directory} is left over");
    }
    Ok(())
}

#[test]
fn a_server_of_our_own_is_not_roots() -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let server = OwnedPostgres::start()?;
    let pid = server.pid().context("it runs")?;
    let owner = std::fs::metadata(format!("/proc/{pid}"))?.uid();
    assert_ne!(owner, 0);
    Ok(())
}

#[test]
fn a_killed_server_comes_back_on_the_same_port_with_its_data() -> Result<()> {
    use pitchey_testkit::postgres_server::execute;
    let mut server = OwnedPostgres::start()?;
    let url = server.url();
    execute(
        &url,
        "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)",
    )?;

    server.kill()?;
    assert!(execute(&url, "SELECT 1").is_err(), "a dead server answered");

    server.restart()?;
    assert_eq!(server.url(), url);
    assert!(query_bool(&url, "SELECT EXISTS (SELECT FROM kept)")?);
    Ok(())
}

#[test]
fn servers_outlive_neither_the_end_nor_the_kill_of_who_started_them() -> Result<()> {
    // `with-services` stands for a test process: same code, and a process that may be killed.
    for (signal, script) in [("ends", "exit 0"), ("KILL", "exec sleep 600")] {
        let mut holder = Program::new("pitchey-testkit", "with-services")
            .env("PITCHEY_PROVISION", "programs")
            .args(["--", "sh", "-c", &format!("echo child $$ >&2; {script}")])
            .start()?;
        let lines = wait::until("the servers to start", PATIENCE, || {
            let log = holder.log();
            Ok(log.contains("child ").then_some(log))
        })?;
        let pids: Vec<u32> = lines
            .split_whitespace()
            .zip(lines.split_whitespace().skip(1))
            .filter(|(word, _)| ["process", "child"].contains(word))
            .map(|(_, pid)| pid.parse())
            .collect::<Result<_, _>>()?;
        assert_eq!(pids.len(), 3, "{lines}");
        let process: &mut Process = holder.process();
        let directories = if signal == "KILL" {
            let directories = pids[..2].iter().map(|pid| directory_of(*pid));
            let directories: Vec<String> = directories.collect::<Result<_>>()?;
            process.kill()?;
            directories
        } else {
            assert!(process.wait(PATIENCE)?.success());
            Vec::new()
        };
        wait::until("everything to be gone", PATIENCE, || {
            let gone = !pids.iter().any(|pid| is_alive(*pid))
                && !directories
                    .iter()
                    .any(|path| std::fs::exists(path).unwrap_or(true));
            Ok(gone.then_some(()))
        })
        .with_context(|| format!("after {signal}: processes {pids:?}, {directories:?}"))?;
    }
    Ok(())
}

#[test]
fn a_command_with_services_ends_as_the_command_does() -> Result<()> {
    let output = Program::new("pitchey-testkit", "with-services")
        .env("PITCHEY_PROVISION", "programs")
        .args(["--", "sh", "-c", "echo $DATABASE_URL $REDIS_URL; exit 7"])
        .run(PATIENCE)?;
    assert_eq!(output.status.code(), Some(7), "{}", output.stderr);
    assert!(
        output.stdout.starts_with("postgres://"),
        "{}",
        output.stdout
    );
    assert!(output.stdout.contains(" redis://"), "{}", output.stdout);
    Ok(())
}

#[test]
fn without_programs_and_packages_the_error_says_what_to_install() -> Result<()> {
    // An empty search path hides the programs of the machine but for those in well-known places.
    let output = Program::new("pitchey-testkit", "with-services")
        .env("PITCHEY_PROVISION", "environment")
        .run(PATIENCE)?;
    assert!(!output.status.success());
    for part in [
        "DATABASE_URL is not set",
        "apt-get install postgresql",
        "brew install",
    ] {
        assert!(output.stderr.contains(part), "{part}: {}", output.stderr);
    }
    Ok(())
}

#[test]
fn a_container_is_started_by_testcontainers_and_removed() -> Result<()> {
    if let Err(reason) = docker() {
        // CI sets this where Docker is expected to work, so that the test cannot fall asleep there.
        let required = std::env::var_os("PITCHEY_REQUIRE_DOCKER").is_some();
        assert!(!required, "Docker is expected to work here: {reason}");
        eprintln!("SKIPPED, the way through Docker was not tested: {reason}");
        return Ok(());
    }
    for service in Service::ALL {
        let image = std::env::var(service.image_variable()).ok();
        let wishes = Wishes {
            image,
            ..by(Way::Container)
        };
        let server = provision(service, &wishes)?;
        assert_eq!(server.way(), Way::Container);
        assert_usable(&server)?;
        let id = server.description().replace("container ", "");
        assert!(listed(&id)?, "{id} is not a container");
        drop(server);
        assert!(!listed(&id)?, "{id} is left over");
    }
    Ok(())
}

/// Whether Docker can be used, or why not.
fn docker() -> Result<(), String> {
    let mut missing = Vec::new();
    for service in Service::ALL {
        let variable = service.image_variable();
        if std::env::var_os(variable).is_none() {
            missing.push(variable);
        }
    }
    let version = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .output();
    match version {
        Err(error) => Err(format!("the docker command does not start: {error}")),
        Ok(output) if !output.status.success() => {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
        // The public images may be out of reach: `cargo xtask docker-image` makes local ones.
        Ok(_) if !missing.is_empty() => Err(format!("{} name no images", missing.join(" and "))),
        Ok(_) => Ok(()),
    }
}

fn listed(id: &str) -> Result<bool> {
    let output = Command::new("docker")
        .args(["ps", "--all", "--quiet", "--filter", &format!("id={id}")])
        .output()?;
    ensure!(output.status.success(), "docker ps failed");
    Ok(!output.stdout.trim_ascii().is_empty())
}
