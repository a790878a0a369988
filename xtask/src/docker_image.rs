//! `cargo xtask docker-image`: local images of Postgres and Redis, for where none can be pulled.
//!
//! They behave as the public images do as far as the tests use them, so that testcontainers runs for
//! real on a machine that reaches a Debian mirror and no image registry. Root on Debian only: the
//! files come from `debootstrap`, and the daemon is started when none answers.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::setup::is_installed;
use crate::steps::{self, Steps};
use crate::workspace::{Workspace, error_text};

/// The images, with the program that each runs.
const IMAGES: [(&str, &str); 2] = [
    ("pitchey-test/postgres:local", "postgres"),
    ("pitchey-test/redis:local", "redis"),
];
const BASE: &str = "pitchey-test/base:local";

/// Does what the entry point of the public Postgres image does with the variables that we set.
const POSTGRES_ENTRY: &str = r#"#!/bin/sh
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/container
install -d -o postgres -g postgres -m 700 "$data"
echo "$POSTGRES_PASSWORD" > /tmp/password
chmod 644 /tmp/password
setpriv --reuid=postgres --regid=postgres --init-groups "$bin/initdb" --pgdata "$data" \
    --username "$POSTGRES_USER" --pwfile /tmp/password --auth "$POSTGRES_HOST_AUTH_METHOD" \
    $POSTGRES_INITDB_ARGS
rm /tmp/password
echo "host all all all $POSTGRES_HOST_AUTH_METHOD" >> "$data/pg_hba.conf"
shift # The word `postgres`, which the public image takes as the program's name.
exec setpriv --reuid=postgres --regid=postgres --init-groups "$bin/postgres" -D "$data" \
    -c 'listen_addresses=*' "$@"
"#;

/// The public Redis image accepts connections from outside its container too.
const REDIS_ENTRY: &str = r#"#!/bin/sh
exec "$@" --bind 0.0.0.0
"#;

/// Makes the images that are not there yet.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut steps = Steps::new();
    for program in ["docker", "debootstrap"] {
        ensure!(
            is_installed(program),
            "{program} is needed (Debian: apt-get install docker.io debootstrap)"
        );
    }
    steps.step("Docker daemon", || start_daemon(&workspace.target))?;
    let missing = IMAGES.iter().any(|(image, _)| !has_image(image));
    if missing {
        let directory = workspace.target.join("docker-image");
        let outcome = make(&directory, &mut steps);
        let _ = fs::remove_dir_all(&directory);
        outcome?;
    }
    for (image, _) in IMAGES {
        println!("{image}");
    }
    Ok(())
}

/// Starts `dockerd` unless a daemon answers. It stays; its process id is in `target/dockerd.pid`.
fn start_daemon(target: &Path) -> Result<()> {
    if answers() {
        return Ok(());
    }
    fs::create_dir_all(target)?;
    let log_path = target.join("dockerd.log");
    let log = File::create(&log_path)?;
    let mut daemon = Command::new("dockerd")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start dockerd")?;
    fs::write(target.join("dockerd.pid"), daemon.id().to_string())?;
    let started = Instant::now();
    while !answers() {
        let ended = daemon.try_wait()?;
        if ended.is_some() || started.elapsed() > Duration::from_mins(1) {
            let log = fs::read_to_string(&log_path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(20)..].join("\n");
            bail!("dockerd does not run here:\n{tail}");
        }
        thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn answers() -> bool {
    let mut command = Command::new("docker");
    command.args(["version", "--format", "{{.Server.Version}}"]);
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn has_image(image: &str) -> bool {
    let mut command = Command::new("docker");
    command
        .args(["image", "inspect", image])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn make(directory: &Path, steps: &mut Steps) -> Result<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    let root = directory.join("root");
    steps.step("Debian with Postgres and Redis", || {
        let mut command = Command::new("debootstrap");
        command
            .args([
                "--variant=minbase",
                "--include=postgresql,redis-server",
                "bookworm",
            ])
            .arg(&root);
        steps::run_quietly("debootstrap", &mut command)
    })?;
    for (name, text) in [("postgres", POSTGRES_ENTRY), ("redis", REDIS_ENTRY)] {
        let entry = root.join(format!("entry-{name}"));
        fs::write(&entry, text)?;
        fs::set_permissions(&entry, fs::Permissions::from_mode(0o755))?;
    }
    steps.step("images", || {
        let archive = directory.join("root.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".");
        steps::run_quietly("tar", &mut tar)?;
        let mut import = Command::new("docker");
        import.arg("import").arg(&archive).arg(BASE);
        steps::run_quietly("docker import", &mut import)?;
        IMAGES
            .iter()
            .try_for_each(|(image, name)| build(image, name))
    })
}

/// An image on top of the base, from a Dockerfile that needs no other file.
fn build(image: &str, name: &str) -> Result<()> {
    let mut docker = Command::new("docker")
        .args(["build", "--quiet", "--tag", image, "-"])
        // Without its successor, which is a download.
        .env("DOCKER_BUILDKIT", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = docker.stdin.take().context("its input is piped")?;
    write!(input, "FROM {BASE}\nENTRYPOINT [\"/entry-{name}\"]\n")?;
    drop(input);
    let output = docker.wait_with_output()?;
    ensure!(
        output.status.success(),
        "docker does not build {image}: {}",
        error_text(&output)
    );
    Ok(())
}
