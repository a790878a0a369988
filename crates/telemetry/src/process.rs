//! The figures every Prometheus client gives about its process, read from `/proc` when asked.
//!
//! They are rendered here and not recorded through `metrics`, which knows no counter of fractions.
//! Where there is no `/proc` they are left out.

use std::fmt::Write as _;
use std::fs;

/// Linux shows times to user space in hundredths of a second, whatever the kernel's own tick is
/// (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the figures of this process to `text`.
pub(crate) fn render(text: &mut String) {
    let read = |path: &str| fs::read_to_string(path).ok();
    if let Some(stat) = read("/proc/self/stat").as_deref().and_then(parse_stat) {
        metric(
            text,
            "process_cpu_seconds_total",
            "counter",
            "Time spent on processors, by the program and by the kernel for it.",
            stat.cpu_seconds,
        );
        metric(
            text,
            "process_threads",
            "gauge",
            "Threads of the process.",
            stat.threads,
        );
        let boot = read("/proc/stat").as_deref().and_then(parse_boot_time);
        if let Some(boot) = boot {
            metric(
                text,
                "process_start_time_seconds",
                "gauge",
                "When the process started, in seconds since 1970.",
                boot + stat.started_after_boot,
            );
        }
    }
    if let Some(status) = read("/proc/self/status") {
        for (name, help, field) in [
            (
                "process_resident_memory_bytes",
                "Memory that is held in RAM.",
                "VmRSS:",
            ),
            (
                "process_virtual_memory_bytes",
                "Memory that is mapped.",
                "VmSize:",
            ),
        ] {
            if let Some(bytes) = parse_status_bytes(&status, field) {
                metric(text, name, "gauge", help, bytes);
            }
        }
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        // The listing itself holds one open.
        let open = entries.count().saturating_sub(1);
        metric(
            text,
            "process_open_fds",
            "gauge",
            "Open file descriptors.",
            open as f64,
        );
    }
    if let Some(max) = read("/proc/self/limits").as_deref().and_then(parse_max_fds) {
        metric(
            text,
            "process_max_fds",
            "gauge",
            "File descriptors the process may open.",
            max,
        );
    }
}

fn metric(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    write!(
        text,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
    )
    .expect("a String takes everything");
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    started_after_boot: f64,
}

/// `/proc/self/stat`, see `proc_pid_stat(5)`. The second field is the program's name in brackets,
/// and may itself hold spaces and brackets.
fn parse_stat(stat: &str) -> Option<Stat> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // The manual counts from 1, and two fields are cut off.
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Stat {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        threads: field(20)?,
        started_after_boot: field(22)? / TICKS_PER_SECOND,
    })
}

/// The `btime` line of `/proc/stat`: when the machine started, in seconds since 1970.
fn parse_boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    line.trim().parse().ok()
}

/// A line such as `VmRSS:      2164 kB` of `/proc/self/status`, in bytes.
fn parse_status_bytes(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// The soft limit of open files in `/proc/self/limits`; none if it is unlimited.
fn parse_max_fds(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "5075 (a) b (c)) R 5073 5073 2958 0 -1 4194304 104 0 0 0 250 50 0 0 20 0 3 0 \
                    100582 3133440 390";
        let expected = Stat {
            cpu_seconds: 3.0,
            threads: 3.0,
            started_after_boot: 1005.82,
        };
        assert_eq!(parse_stat(stat), Some(expected));
    }

    #[test]
    fn lines_of_other_shapes_give_nothing() {
        assert_eq!(parse_stat("5075 (cat) R 1 2"), None);
        assert_eq!(parse_boot_time("cpu 1 2 3\n"), None);
        assert_eq!(parse_status_bytes("VmRSS: lots\n", "VmRSS:"), None);
        assert_eq!(
            parse_max_fds("Max open files            unlimited            unlimited files\n"),
            None
        );
    }

    #[test]
    fn lines_of_the_known_shape_give_their_figures() {
        assert_eq!(
            parse_boot_time("cpu 1 2\nbtime 1795176918\nprocesses 5\n"),
            Some(1_795_176_918.0)
        );
        assert_eq!(
            parse_status_bytes("VmSize:\t    3760 kB\nVmRSS:\t    2164 kB\n", "VmRSS:"),
            Some(2_215_936.0)
        );
        assert_eq!(
            parse_max_fds("Max open files            20000                30000 files\n"),
            Some(20_000.0)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_all_figures() {
        let mut text = String::new();
        render(&mut text);
        for name in [
            "process_cpu_seconds_total",
            "process_threads",
            "process_start_time_seconds",
            "process_resident_memory_bytes",
            "process_virtual_memory_bytes",
            "process_open_fds",
            "process_max_fds",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
            assert!(value.is_some(), "{name} in {text}");
        }
    }
}
