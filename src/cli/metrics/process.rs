//! What Linux says of this process, under the names that all Prometheus clients use.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::page::{Kind, Page};

/// Clock ticks of a second in `/proc`: 100 for every architecture that has a Rust compiler.
const TICKS_PER_SECOND: f64 = 100.0;

/// Writes what can be read now; what cannot be read is left out.
pub(super) fn write(page: &mut Page) {
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
        let help = "Processor time of all its threads.";
        page.single("process_cpu_seconds_total", Kind::Counter, help, seconds);
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    for (name, help, field, unit) in [
        ("process_resident_memory_bytes", "Memory that is resident.", "VmRSS:", 1024),
        ("process_virtual_memory_bytes", "Memory that is mapped.", "VmSize:", 1024),
        ("process_threads", "Its threads.", "Threads:", 1),
    ] {
        if let Some(value) = field_of(&status, field) {
            page.single(name, Kind::Gauge, help, value.saturating_mul(unit));
        }
    }
    if let Some(count) = open_files() {
        page.single("process_open_fds", Kind::Gauge, "Descriptors that are open.", count);
    }
    if let Some(max) = getrlimit(Resource::Nofile).current {
        page.single("process_max_fds", Kind::Gauge, "Descriptors that may be open.", max);
    }
}

/// User and system time: the fields 14 and 15 of `stat` (proc_pid_stat(5)). The second field is a name, which may have anything in it.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn field_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Since Linux 6.2 the folder's size is their number, which spares the loop from listing thousands.
fn open_files() -> Option<u64> {
    const FOLDER: &str = "/proc/self/fd";
    match fs::metadata(FOLDER).ok()?.len() {
        // The listing itself has one open.
        0 => Some(u64::try_from(fs::read_dir(FOLDER).ok()?.count()).ok()?.saturating_sub(1)),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_program_hides_no_field() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (a) S 1"), None);
        assert_eq!(field_of("Name:\tx\nVmRSS:\t   12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(field_of("Name:\tx\n", "VmRSS:"), None);
    }

    #[test]
    fn this_process_has_all_of_them() {
        let mut page = Page::default();
        write(&mut page);
        let text = String::from_utf8(page.finish()).unwrap();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
            line.parse::<f64>().unwrap()
        };
        assert!(value("process_cpu_seconds_total") >= 0.0);
        assert!(value("process_resident_memory_bytes") > 1_000_000.0);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"));
        assert!(value("process_threads") >= 1.0);
    }
}
