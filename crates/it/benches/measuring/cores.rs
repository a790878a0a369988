//! Which core a process runs on, and how long it has computed.

use anyhow::{Context as _, Result};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::time::Duration;

/// Where servers run. They are there one at a time: the others wait for requests.
pub(crate) const SERVERS: usize = 0;
/// Where the load runs.
pub(crate) const LOAD: usize = 1;

/// The unit of the kernel's figures: `USER_HZ`, which is 100 on every architecture that Rust's standard library
/// runs on, whatever the kernel's own ticks are (`proc_pid_stat(5)`).
const TICK: Duration = Duration::from_millis(10);

/// Runs `start` so that the processes it starts have this core alone, from their first instruction: runtimes size
/// themselves by the cores they have.
pub(crate) fn on_core<T: Send>(core: usize, start: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let starter = scope.spawn(move || {
            let mut cores = CpuSet::new();
            cores.set(core);
            // Of this thread alone, which is gone afterwards.
            sched_setaffinity(None, &cores).with_context(|| format!("there is no core {core}"))?;
            start()
        });
        starter
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How long all threads of a process have computed, in the program and in the kernel for it.
pub(crate) fn computed(process: u32) -> Result<Duration> {
    let stat = stat(&process.to_string())?;
    ticks(&stat, 14, 15)
}

/// How long the children of this process have computed that have ended and were waited for.
pub(crate) fn computed_by_children() -> Result<Duration> {
    ticks(&stat("self")?, 16, 17)
}

fn stat(process: &str) -> Result<String> {
    let path = format!("/proc/{process}/stat");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

/// The sum of two fields, numbered from 1 as in `proc_pid_stat(5)`.
fn ticks(stat: &str, user: usize, system: usize) -> Result<Duration> {
    // The second field is the name, which may hold anything, and ends with the last parenthesis.
    let (_, rest) = stat.rsplit_once(')').context("no name in the figures")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| -> Result<u32> {
        let text = fields.get(number - 3).context("a figure is missing")?;
        Ok(text.parse()?)
    };
    Ok(TICK * (field(user)? + field(system)?))
}
