//! Installs server programs on Debian and its kin, without letting their services start.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::guard::Guard;
use crate::service_user::is_root;

/// Debian's packages ask this program whether they may start the service that they install.
/// Ours says no: the tests start servers of their own and want nothing to run beside them.
const POLICY: &str = "/usr/sbin/policy-rc.d";
const DENY: &str =
    "#!/bin/sh\n# Put here by Pitchey's testkit while it installs packages.\nexit 101\n";

/// Whether [`install`] can work here, or why not.
pub(crate) fn possible() -> Result<(), String> {
    let debian = Path::new("/etc/debian_version").exists();
    let apt_get = Path::new("/usr/bin/apt-get").exists();
    decide(is_root(), debian && apt_get)
}

fn decide(root: bool, debian: bool) -> Result<(), String> {
    match (root, debian) {
        (true, true) => Ok(()),
        (false, true) => Err("installing packages takes root".into()),
        (_, false) => Err("this is not Debian, nor of its kin".into()),
    }
}

/// The commands that install these packages.
fn commands(packages: &[&str]) -> [Vec<String>; 2] {
    // Another test process may be at it already: then wait for it rather than fail.
    let command = ["apt-get", "--yes", "-o", "DPkg::Lock::Timeout=300"];
    [
        [&command[..], &["update"]].concat(),
        [
            &command[..],
            &["install", "--no-install-recommends"],
            packages,
        ]
        .concat(),
    ]
    .map(|words| words.into_iter().map(str::to_owned).collect())
}

/// Installs the packages; their output goes to this process's standard error.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    let guard = Guard::start(Duration::ZERO)?;
    let policy = Path::new(POLICY);
    // A policy that is there already is the machine's own.
    if !policy.exists() {
        guard.remove(policy)?;
        fs::write(policy, DENY).with_context(|| format!("cannot write {POLICY}"))?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))?;
    }
    for words in commands(packages) {
        eprintln!("testkit: {}", words.join(" "));
        let status = Command::new(&words[0])
            .args(&words[1..])
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::io::stderr())
            .status()
            .context("cannot start apt-get")?;
        ensure!(status.success(), "`{}` failed ({status})", words.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_root_on_debian() {
        decide(true, true).expect("root on Debian may install");
        for (root, debian, reason) in [
            (false, true, "root"),
            (true, false, "Debian"),
            (false, false, "Debian"),
        ] {
            let said = decide(root, debian).expect_err("not there");
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn the_lists_are_refreshed_before_anything_is_installed() {
        let [update, install] = commands(&["postgresql", "redis-server"]);
        assert_eq!(
            update.join(" "),
            "apt-get --yes -o DPkg::Lock::Timeout=300 update"
        );
        assert_eq!(
            install.join(" "),
            "apt-get --yes -o DPkg::Lock::Timeout=300 install --no-install-recommends \
             postgresql redis-server"
        );
    }
}
