//! Whom a database server runs as.
//!
//! `initdb` and `postgres` refuse to run as root, so under root the servers run as an unprivileged
//! user of the machine, in directories that this user can reach.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use sha2::{Digest as _, Sha256};

use crate::net;

/// Tried in this order; `nobody` is everywhere.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The user that the servers run as, when it is not the one who runs the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceUser {
    name: String,
    uid: u32,
    gid: u32,
}

impl ServiceUser {
    /// An unprivileged user if this process is root's, and `None` if it is unprivileged itself.
    pub(crate) fn needed() -> Result<Option<Self>> {
        if !is_root() {
            return Ok(None);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        match Self::from_accounts(&accounts) {
            Some(user) => Ok(Some(user)),
            None => bail!(
                "Postgres does not run as root, and /etc/passwd has neither of the users {}",
                CANDIDATES.join(", ")
            ),
        }
    }

    /// The first candidate that the text of `/etc/passwd` knows.
    fn from_accounts(accounts: &str) -> Option<Self> {
        CANDIDATES.iter().find_map(|name| {
            accounts.lines().find_map(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                let [found, _, uid, gid, ..] = fields[..] else {
                    return None;
                };
                (found == *name).then_some(())?;
                Some(Self {
                    name: found.to_owned(),
                    uid: uid.parse().ok().filter(|uid| *uid != 0)?,
                    gid: gid.parse().ok()?,
                })
            })
        })
    }
}

/// Whether this process is root's.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes `command` run as the service user, if one is needed.
pub(crate) fn run_as(command: &mut Command, user: Option<&ServiceUser>) {
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
}

/// Gives a file or a directory to the service user, and to nobody else.
pub(crate) fn hand_over(path: &Path, user: Option<&ServiceUser>) -> Result<()> {
    let mode = if path.is_dir() { 0o700 } else { 0o600 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .and_then(|()| match user {
            Some(user) => chown(path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        })
        .with_context(|| format!("cannot hand over {}", path.display()))
}

/// A new temporary directory that belongs to the service user and that it can reach.
///
/// The caller has it removed.
pub(crate) fn temporary_directory(prefix: &str, user: Option<&ServiceUser>) -> Result<PathBuf> {
    let parents = [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()];
    for parent in &parents {
        let Ok(directory) = tempfile::Builder::new().prefix(prefix).tempdir_in(parent) else {
            continue;
        };
        hand_over(directory.path(), user)?;
        if reaches(user, directory.path()) {
            return Ok(directory.keep());
        }
    }
    bail!("no temporary directory that the servers can use: tried {parents:?}")
}

/// The directory at `wanted` for data that stays, made if need be, which belongs to the service user.
///
/// Under root, `wanted` may be below a directory that nobody else can enter, as root's home is. Then
/// the data is below `/var/tmp` and `wanted` is a link to it.
pub fn kept_directory(wanted: &Path) -> Result<PathBuf> {
    let user = ServiceUser::needed()?;
    let parent = wanted.parent().context("the directory is a root")?;
    fs::create_dir_all(parent)?;
    if !wanted.is_symlink() {
        fs::create_dir_all(wanted)?;
        hand_over(wanted, user.as_ref())?;
        let real = wanted.canonicalize()?;
        if reaches(user.as_ref(), &real) {
            return Ok(real);
        }
        let digest = Sha256::digest(real.as_os_str().as_encoded_bytes());
        let name = format!("pitchey-{}", net::hex(&digest[..8]));
        fs::remove_dir(wanted)
            .context("there is data in a directory that the server cannot reach")?;
        symlink(Path::new("/var/tmp").join(name), wanted)?;
    }
    let real = fs::read_link(wanted)?;
    fs::create_dir_all(&real)?;
    let owner = fs::symlink_metadata(&real)?;
    // Everybody may write to /var/tmp, so somebody else may have put something there.
    let trusted = owner.is_dir()
        && [Some(0), user.as_ref().map(|user| user.uid)].contains(&Some(owner.uid()));
    ensure!(trusted, "{} is not ours", real.display());
    hand_over(&real, user.as_ref())?;
    ensure!(
        reaches(user.as_ref(), &real),
        "the server cannot reach {}",
        real.display()
    );
    Ok(real)
}

/// Removes a directory of [`kept_directory`] with all its data.
pub fn remove_kept_directory(wanted: &Path) -> Result<()> {
    if wanted.is_symlink() {
        let real = fs::read_link(wanted)?;
        if real.exists() {
            fs::remove_dir_all(&real)?;
        }
        fs::remove_file(wanted)?;
    } else if wanted.exists() {
        fs::remove_dir_all(wanted)?;
    }
    Ok(())
}

/// Whether the service user can enter the directory: every one above it must let it pass.
pub(crate) fn reaches(user: Option<&ServiceUser>, directory: &Path) -> bool {
    let mut command = Command::new("sh");
    command
        .args(["-c", "cd \"$1\"", "sh"])
        .arg(directory)
        .current_dir("/")
        .stderr(Stdio::null());
    run_as(&mut command, user);
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/bash\n\
        nobody:x:65534:65533:nobody:/nonexistent:/usr/sbin/nologin\n\
        postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn the_database_user_is_preferred() {
        let user = ServiceUser::from_accounts(ACCOUNTS).expect("there is one");
        assert_eq!(
            (user.name.as_str(), user.uid, user.gid),
            ("postgres", 101, 104)
        );
    }

    #[test]
    fn nobody_serves_where_there_is_no_database_user() {
        let accounts = ACCOUNTS.replace("postgres:", "other:");
        let user = ServiceUser::from_accounts(&accounts).expect("there is one");
        assert_eq!(
            (user.name.as_str(), user.uid, user.gid),
            ("nobody", 65534, 65533)
        );
    }

    #[test]
    fn a_candidate_that_is_root_in_disguise_is_not_taken() {
        assert_eq!(
            ServiceUser::from_accounts("nobody:x:0:0::/:/bin/sh\n"),
            None
        );
    }

    #[test]
    fn kept_data_below_a_closed_directory_is_elsewhere_and_found_again() {
        let outer = tempfile::tempdir().expect("a temporary directory");
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(outer.path(), closed).expect("it is ours");
        let wanted = outer.path().join("dev/postgres");

        let real = kept_directory(&wanted).expect("there is a place");
        fs::write(real.join("file"), "x").expect("writable");
        assert!(wanted.join("file").exists());
        assert_eq!(kept_directory(&wanted).expect("the same place"), real);
        let user = ServiceUser::needed().expect("a readable /etc/passwd");
        assert!(reaches(user.as_ref(), &real));

        remove_kept_directory(&wanted).expect("it is ours");
        assert!(!real.exists() && !wanted.is_symlink());
        remove_kept_directory(&wanted).expect("nothing is left to remove");
    }

    #[test]
    fn a_directory_below_a_closed_one_is_out_of_reach() {
        let outer = tempfile::tempdir().expect("a temporary directory");
        let closed = fs::Permissions::from_mode(0o700);
        fs::set_permissions(outer.path(), closed).expect("it is ours");
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).expect("writable");
        let user = ServiceUser::needed().expect("a readable /etc/passwd");
        hand_over(&inner, user.as_ref()).expect("handed over");
        // The outer one is root's alone. Without root there is no other user and all is reached.
        assert_eq!(reaches(user.as_ref(), &inner), !is_root());
    }
}
