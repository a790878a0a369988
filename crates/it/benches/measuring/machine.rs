//! The machine that figures are of.

use anyhow::Result;
use serde_json::{Value, json};

/// What this runs on.
pub(crate) fn machine() -> Result<Value> {
    let read = std::fs::read_to_string;
    let processors = read("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "model name").then(|| value.trim().to_owned())
    });
    let averages = read("/proc/loadavg")?;
    Ok(json!({
        "cpu": model.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        "cores": std::thread::available_parallelism()?.get(),
        "kernel": read("/proc/sys/kernel/osrelease")?.trim(),
        "load_average": averages.split(' ').next().unwrap_or_default(),
    }))
}
