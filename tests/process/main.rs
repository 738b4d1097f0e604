//! Commands run as a manifest's server runs them, and nothing of them is left: counted from `/proc`.
//!
//! The module is compiled into this program, and starts its guards as the binary.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// Real processes go with real time.
#![allow(clippy::disallowed_methods)]

#[path = "../../src/threads.rs"]
mod threads;

#[path = "../../src/cli/process/mod.rs"]
#[allow(dead_code, reason = "the tests use what they test")]
mod process;

mod ends;
mod left;
mod runs;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use process::{CommandSpec, Finished, OnLine, ProcessLimits, Processes, Rlimits, Running};

/// How long a test waits for what must happen; nothing is decided by it except failure.
const PATIENCE: Duration = Duration::from_secs(60);
/// A timeout that no test waits for.
const LONG: Duration = Duration::from_secs(600);

/// Tests that count what the whole process has do so alone.
static COUNTED: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    COUNTED.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    COUNTED.write().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn binary() -> PathBuf {
    env!("CARGO_BIN_EXE_mcp-rill").into()
}

/// KILL follows soon after TERM.
fn quick() -> ProcessLimits {
    ProcessLimits { kill_delay: Duration::from_millis(100), ..ProcessLimits::default() }
}

fn processes(limits: ProcessLimits) -> Processes {
    Processes::start_with(binary(), limits).unwrap()
}

fn command(argv: &[&str]) -> CommandSpec {
    CommandSpec {
        argv: argv.iter().map(OsString::from).collect(),
        env: vec![("PATH".into(), "/usr/bin:/bin".into())],
        cwd: "/".into(),
        stdin: None,
        rlimits: Rlimits::default(),
        timeout: LONG,
        output_bytes_max: 64 << 10,
        lines: false,
    }
}

fn sh(script: &str) -> CommandSpec {
    command(&["/bin/sh", "-c", script])
}

/// A command that has been started, and the result that will come.
struct Started {
    running: Running,
    finished: mpsc::Receiver<Finished>,
}

impl Started {
    fn result(&self) -> Finished {
        let finished = self.finished.recv_timeout(PATIENCE).expect("the command has no result");
        assert!(self.finished.try_recv().is_err(), "it has two results");
        finished
    }
}

fn start(processes: &Processes, spec: CommandSpec) -> Started {
    start_with(processes, spec, None)
}

fn start_with(processes: &Processes, spec: CommandSpec, on_line: Option<OnLine>) -> Started {
    let (sender, finished) = mpsc::channel();
    let done = Box::new(move |result| drop(sender.send(result)));
    Started { running: processes.run(spec, on_line, done), finished }
}

fn run(spec: CommandSpec) -> Finished {
    let processes = processes(quick());
    start(&processes, spec).result()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A command can wait here until the test lets it go on.
struct Gate {
    path: PathBuf,
    pipe: File,
}

impl Gate {
    fn new() -> Gate {
        let path = std::env::temp_dir().join(format!("rill-gate-{}", mark()));
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        // To open it for reading too does not wait for a reader.
        let pipe = File::options().read(true).write(true).open(&path).unwrap();
        Gate { path, pipe }
    }

    /// What a script does to wait.
    fn wait(&self) -> String {
        format!("read -r gate <{}", self.path.display())
    }

    fn open(&self) {
        (&self.pipe).write_all(b"open\n").unwrap();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Waits until it is true.
fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "{what}: in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A number of seconds that no other process sleeps, to find processes by.
fn mark() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("9{:07}{:03}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn all_processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// The processes whose last argument is that.
fn marked(mark: &str) -> Vec<u32> {
    let ends = format!("\0{mark}\0");
    let has_it = |pid: &u32| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(ends.as_bytes()))
    };
    all_processes().filter(has_it).collect()
}

/// The parent of a process; `None` if there is no such process.
fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// The children of a process, zombies included.
fn children(of: u32) -> Vec<u32> {
    all_processes().filter(|pid| parent(*pid) == Some(of)).collect()
}

/// What this process has: children, descriptors, supervising threads.
fn counted() -> (usize, usize, usize) {
    let threads = fs::read_dir("/proc/self/task").unwrap().filter(|task| {
        let comm = task.as_ref().unwrap().path().join("comm");
        fs::read_to_string(comm).is_ok_and(|name| name == "commands\n")
    });
    (children(std::process::id()).len(), fs::read_dir("/proc/self/fd").unwrap().count(), threads.count())
}
