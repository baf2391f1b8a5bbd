//! What the operating system knows about this process, from `/proc`; empty where there is none.

use std::fs;

use super::exposition::Exposition;

/// Clock ticks per second in `/proc/self/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// The value of a line such as `VmRSS:   1234 kB`.
fn status_value(status: &str, key: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.strip_prefix(':')?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// User and system time in seconds. The command's name stands in parentheses and may hold anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn open_files_max(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Threads of this process.
pub(super) fn thread_count() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status_value(&status, "Threads").map_or(0, |threads| threads as usize)
}

/// The machine's name, "" where it is unknown.
pub(super) fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// The `process_*` metrics by the names that all of Prometheus's clients use.
pub(super) fn write_metrics(exposition: &mut Exposition<'_>, start_time_ms: i64) {
    let read = |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
    let (status, stat, limits) = (read("status"), read("stat"), read("limits"));
    if let Some(seconds) = cpu_seconds(&stat) {
        let help = "Total user and system CPU time spent in seconds.";
        exposition.family(
            "process_cpu_seconds_total",
            "counter",
            help,
            &[(&[], seconds)],
        );
    }
    let kibibytes = |key: &str| status_value(&status, key).map(|value| value * 1024.0);
    let open_files = fs::read_dir("/proc/self/fd").map(|files| files.count() as f64);
    for (name, help, value) in [
        (
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            kibibytes("VmRSS"),
        ),
        (
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            kibibytes("VmSize"),
        ),
        (
            "process_threads",
            "Number of operating system threads.",
            status_value(&status, "Threads"),
        ),
        (
            "process_open_fds",
            "Number of open file descriptors.",
            open_files.ok(),
        ),
        (
            "process_max_fds",
            "Maximum number of open file descriptors.",
            open_files_max(&limits),
        ),
        (
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            Some(start_time_ms as f64 / 1000.0),
        ),
    ] {
        if let Some(value) = value {
            exposition.gauge(name, help, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 4 0 12 1 2";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        let status = "Name:\tvarve\nVmRSS:\t    1234 kB\nThreads:\t4\n";
        assert_eq!(status_value(status, "VmRSS"), Some(1234.0));
        assert_eq!(status_value(status, "VmSize"), None);
        let limits = "Max open files            1024                 4096                 files\n";
        assert_eq!(open_files_max(limits), Some(1024.0));
    }
}
