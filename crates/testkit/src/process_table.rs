//! What the kernel says of processes, from `/proc`.

use std::fs;

use anyhow::{Context as _, Result};

/// Whether the process stands still, or has ended and is not waited for yet.
pub(crate) fn stands_still(pid: u32) -> Result<bool> {
    let (state, _) = state_and_parent(pid)?;
    Ok(matches!(state, 'T' | 't' | 'Z' | 'X'))
}

/// The children of a process at this moment.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").context("this needs /proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // One that has ended since has no parent any more.
        if state_and_parent(id).is_ok_and(|(_, parent)| parent == pid) {
            children.push(id);
        }
    }
    Ok(children)
}

fn state_and_parent(pid: u32) -> Result<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("/proc does not know process {pid}"))?;
    parse(&stat).with_context(|| format!("{stat:?} is not what /proc says of a process"))
}

/// State and parent from a line like `42 (name) S 1 …`. The name may have any characters in it.
fn parse(stat: &str) -> Option<(char, u32)> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    let mut fields = after_name.split(' ');
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_fields_behind_it() {
        assert_eq!(parse("42 (sh) S 7 42 42"), Some(('S', 7)));
        assert_eq!(parse("42 (a) T 9) T 7 42 42"), Some(('T', 7)));
        assert_eq!(parse("42"), None);
    }

    #[test]
    fn a_process_that_runs_does_not_stand_still() {
        assert!(!stands_still(std::process::id()).expect("it is there"));
        stands_still(u32::MAX).expect_err("there is none");
    }
}
