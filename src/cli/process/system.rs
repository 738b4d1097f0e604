//! What differs between systems, and what some lack: each function for Linux, and below it for others.

#[cfg(target_os = "linux")]
use std::fs::{self, File};
use std::io;
#[cfg(target_os = "linux")]
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
#[cfg(target_os = "linux")]
use rustix::process::{Signal, getpid, set_child_subreaper, set_parent_process_death_signal};

/// A child of this process.
pub(super) struct Child {
    pub(super) pid: Pid,
    /// Its process group.
    pub(super) group: i32,
}

/// True if orphans among the descendants of a process become its children.
pub(super) const ADOPTS_ORPHANS: bool = cfg!(target_os = "linux");

/// What this system lacks.
#[cfg(target_os = "linux")]
pub(super) const MISSING: &[&str] = &[];
#[cfg(not(target_os = "linux"))]
pub(super) const MISSING: &[&str] = &[
    "this system cannot end what a command starts and detaches from its process group (Linux can: PR_SET_CHILD_SUBREAPER)",
    "this system cannot keep commands from gaining privileges by setuid programs (Linux can: no_new_privs)",
    "this system cannot tie a command to its guard: it goes on if that is killed (Linux can: PR_SET_PDEATHSIG)",
];

/// Follows the name of a file that the kernel does not execute.
pub(super) const NO_PROGRAM: &str =
    "is no program for this machine, and no script whose first line names its interpreter (#!)";

/// The running program, even if its file has been replaced or removed.
#[cfg(target_os = "linux")]
pub(super) fn own_program() -> io::Result<PathBuf> {
    // Under valgrind that link leads to valgrind. What is shipped is built without this.
    #[cfg(feature = "testing")]
    if let Some(program) = std::env::var_os("MCP_RILL_OWN_PROGRAM") {
        return Ok(program.into());
    }
    Ok(PathBuf::from("/proc/self/exe"))
}

/// The file that the program was started from.
#[cfg(not(target_os = "linux"))]
pub(super) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Makes this process the parent of all orphans among its descendants, where it can.
pub(super) fn adopt_orphans() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    set_child_subreaper(Some(getpid()))?;
    Ok(())
}

/// Asks for KILL when the parent ends, where that is possible.
pub(super) fn end_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

/// What runs from now on gains nothing by setuid, setgid or file capabilities, where that can be asked for.
pub(super) fn forbid_privileges() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::thread::set_no_new_privs(true)?;
    Ok(())
}

/// The children of this process, those included that have ended and not been waited for.
#[cfg(target_os = "linux")]
pub(super) fn children() -> io::Result<Vec<Child>> {
    let own = getpid().as_raw_pid();
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw) else {
            continue;
        };
        // One that has ended meanwhile is no child.
        let Ok(stat) = fs::read(format!("/proc/{}/stat", pid.as_raw_pid())) else { continue };
        if let Some((parent, group)) = parent_and_group(&stat)
            && parent == own
        {
            children.push(Child { pid, group });
        }
    }
    Ok(children)
}

/// Orphans have another parent here, so a guard has no child but its command, which its process group covers.
#[cfg(not(target_os = "linux"))]
pub(super) fn children() -> io::Result<Vec<Child>> {
    Ok(Vec::new())
}

/// Reads `/proc/PID/stat`: `PID (NAME) STATE PARENT GROUP …`. The name may contain anything, `)` included.
#[cfg(target_os = "linux")]
fn parent_and_group(stat: &[u8]) -> Option<(i32, i32)> {
    let after = stat.rsplitn(2, |byte| *byte == b')').next()?;
    let mut words = std::str::from_utf8(after).ok()?.split_ascii_whitespace().skip(1);
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// Machines whose programs one kernel may execute: those of x86, Arm, POWER and SPARC with 32 and 64 bits.
#[cfg(target_os = "linux")]
const RELATED_MACHINES: [[u16; 2]; 4] = [[3, 62], [40, 183], [20, 21], [2, 43]];

/// Refuses what the kernel does not execute. The C library would have `/bin/sh` run such a file as a script (`execvp`), and a
/// shell runs only what names one.
#[cfg(target_os = "linux")]
pub(super) fn check_format(program: &Path) -> Result<(), &'static str> {
    // What is no file is refused by the kernel. What cannot be read may be executed nevertheless.
    let beginning = |path: &Path| fs::metadata(path)?.is_file().then(|| read_beginning(path)).transpose();
    let (Ok(Some(file)), Ok(Some(own))) = (beginning(program), beginning(Path::new("/proc/self/exe"))) else {
        return Ok(());
    };
    let fits = match (machine(&file), machine(&own)) {
        (Some(machine), Some(own)) => {
            let related = RELATED_MACHINES.iter().any(|all| all.contains(&machine) && all.contains(&own));
            machine == own || related || emulators_are_registered()
        }
        _ => file.starts_with(b"#!"),
    };
    if fits { Ok(()) } else { Err(NO_PROGRAM) }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn check_format(_: &Path) -> Result<(), &'static str> {
    Ok(())
}

#[cfg(target_os = "linux")]
fn read_beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    File::open(path)?.take(20).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// The machine that a program is for, as the header of its ELF file says (`e_machine`).
#[cfg(target_os = "linux")]
fn machine(beginning: &[u8]) -> Option<u16> {
    let rest = beginning.strip_prefix(b"\x7fELF")?;
    let number = [*rest.get(14)?, *rest.get(15)?];
    match rest.get(1)? {
        1 => Some(u16::from_le_bytes(number)),
        2 => Some(u16::from_be_bytes(number)),
        _ => None,
    }
}

/// True if the system may execute programs for other machines, by an emulator (`binfmt_misc`).
#[cfg(target_os = "linux")]
fn emulators_are_registered() -> bool {
    // Two entries are those by which emulators are registered.
    fs::read_dir("/proc/sys/fs/binfmt_misc").is_ok_and(|entries| entries.count() > 2)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_machine_of_a_program_is_read() {
        let little = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0";
        assert_eq!(machine(little), Some(62));
        let big = b"\x7fELF\x01\x02\x01\0\0\0\0\0\0\0\0\0\0\x02\0\x08";
        assert_eq!(machine(big), Some(8));
        assert_eq!(machine(&little[..19]), None);
        assert_eq!(machine(b"#!/bin/sh\n12345678901234567890"), None);
        assert_eq!(check_format(Path::new("/proc/self/exe")), Ok(()));
    }

    #[test]
    fn a_name_does_not_hide_the_parent() {
        assert_eq!(parent_and_group(b"12 (sh) S 7 12 9 0 -1"), Some((7, 12)));
        assert_eq!(parent_and_group(b"12 (a) S 1 (b) R 7 12 9 0"), Some((7, 12)));
        assert_eq!(parent_and_group(b"12 (\xff\n) Z 7 12 9 0"), Some((7, 12)));
        assert_eq!(parent_and_group(b"12 (sh) S"), None);
        assert_eq!(parent_and_group(b""), None);
    }
}
