//! What the kernel knows of a process.

use std::time::Duration;

use anyhow::Context as _;

/// The unit of the kernel's figures: `USER_HZ`, which is 100 on every architecture that Rust's standard library
/// runs on (`proc_pid_stat(5)`).
const TICK: Duration = Duration::from_millis(10);

/// How long all threads of a process have computed, in the program and in the kernel for it.
pub(super) fn computed(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The second field is the name, which may hold anything, and ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(')').context("no name in the figures")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Fields 14 and 15, of which the first two are gone.
    let field = |number: usize| -> anyhow::Result<u32> {
        Ok(fields
            .get(number - 3)
            .context("a figure is missing")?
            .parse()?)
    };
    Ok(TICK * (field(14)? + field(15)?))
}

/// How many bytes of memory a process holds.
pub(super) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.context("no resident memory in the figures")?;
    let kib: u64 = kib.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024)
}
