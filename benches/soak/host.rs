//! The server's side of a part: the loop on the main thread, where the binary has it, its figures, what the process takes of the
//! system, and the clients.

use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

use mcp_rill::Server;
use mcp_rill::engine::Stats;
use mcp_rill::net::{Handle, Listening};

use crate::parts::Scale;

/// How long is waited for what must happen; nothing is decided by it except failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// What the loop said last, and the most that it held at the end of a turn.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) stats: Stats,
    pub(crate) buffered_max: usize,
    /// When it wants to run again without an event: never, if there is no timer.
    pub(crate) wants: Option<Duration>,
}

type Loop = Box<dyn FnOnce() + Send>;

/// What the main thread is to run.
static LOOPS: OnceLock<Sender<Loop>> = OnceLock::new();

/// Runs a part on a thread of its own, and the loops of its servers, one after the other, on this one: what is allocated on another
/// thread than the first has a heap of its own. Ends the process with the part.
pub(crate) fn run_loops_for(part: impl FnOnce() + Send + 'static) {
    let (sender, loops) = mpsc::channel();
    LOOPS.set(sender).unwrap();
    std::thread::spawn(move || {
        let passed = catch_unwind(AssertUnwindSafe(part)).is_ok();
        std::process::exit(i32::from(!passed));
    });
    loops.into_iter().for_each(|run| run());
}

/// A server whose loop the main thread runs.
pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    seen: Arc<(Mutex<Seen>, Condvar)>,
    ended: Receiver<Stats>,
}

impl Host {
    pub(crate) fn start(server: Server) -> Host {
        Host::of(server.listen("127.0.0.1:0").unwrap())
    }

    pub(crate) fn of(mut listening: Listening) -> Host {
        let address = listening.local_addrs().next().unwrap();
        let handle = listening.handle();
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let publish = seen.clone();
        let (end, ended) = mpsc::channel();
        let run = move || {
            while !listening.is_finished() {
                let wants = listening.poll(None).unwrap();
                let mut seen = publish.0.lock().unwrap();
                seen.stats = listening.stats();
                seen.buffered_max = seen.buffered_max.max(seen.stats.buffered_bytes);
                seen.wants = wants;
                publish.1.notify_all();
            }
            let _ = end.send(listening.stats());
        };
        LOOPS.get().unwrap().send(Box::new(run)).unwrap();
        Host { address, handle, seen, ended }
    }

    pub(crate) fn seen(&self) -> Seen {
        *self.seen.0.lock().unwrap()
    }

    /// Waits until the figures are so.
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Seen) -> bool) -> Seen {
        let seen = self.seen.0.lock().unwrap();
        let (seen, waited) = self.seen.1.wait_timeout_while(seen, PATIENCE, |seen| !is_so(seen)).unwrap();
        assert!(!waited.timed_out(), "waited for {what}: {:?}", seen.stats);
        *seen
    }

    /// Waits until nobody is left, and no timer.
    pub(crate) fn until_empty(&self) -> Stats {
        self.until("nothing to be left", |seen| {
            let Stats { connections, sessions, calls, buffered_bytes, .. } = seen.stats;
            (connections, sessions, calls, buffered_bytes) == (0, 0, 0, 0) && seen.wants.is_none()
        })
        .stats
    }

    pub(crate) fn stop(self) -> Stats {
        self.handle.shutdown(Duration::ZERO);
        self.ended.recv().unwrap()
    }
}

/// A child that does not outlive its parent's interest.
pub(crate) struct Guard(pub(crate) Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The clients of a part, in a process of their own.
pub(crate) struct Clients {
    child: Guard,
    tell: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Clients {
    pub(crate) fn start(part: &str, address: SocketAddr, scale: Scale) -> Clients {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--clients", part, "--address", &address.to_string()]);
        command.args(scale.full.then_some("--full"));
        let mut child = Guard(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let tell = child.0.stdin.take().unwrap();
        let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        Clients { child, tell, lines }
    }

    /// Waits for the clients to say that they are so far.
    pub(crate) fn said(&mut self, what: &str) -> String {
        let line = self.lines.next().expect("the clients ended").unwrap();
        assert!(line.starts_with(what), "`{line}` instead of `{what}`");
        line
    }

    /// Lets them go on.
    pub(crate) fn go(&mut self) {
        self.tell.write_all(b"go\n").unwrap();
    }

    /// Waits for the clients' end.
    pub(crate) fn end(mut self) {
        assert!(self.child.0.wait().unwrap().success());
    }
}

/// The clients' part of that: says how far they are, and waits for word to go on.
pub(crate) fn so_far(what: impl std::fmt::Display) {
    println!("{what}");
    let mut line = String::new();
    assert_ne!(std::io::stdin().read_line(&mut line).unwrap(), 0, "the server is gone");
}

/// A line of /proc/self/status that is a number of KiB: `VmRSS` is what is resident, `VmHWM` the most that ever was.
pub(crate) fn status_kib(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Fails if more was resident than is stated, and says by how much.
pub(crate) fn assert_resident(what: &str, most: u64, stated: u64) {
    assert!(
        most <= stated,
        "{what}: {most} KiB resident, {} KiB more than the {stated} stated",
        most - stated
    );
}

/// Begins to count anew what `VmHWM` is the most of.
pub(crate) fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Descriptors that this process has open.
pub(crate) fn descriptors() -> usize {
    // One is open to count them.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Descriptors that this process may have open.
pub(crate) fn descriptors_max() -> usize {
    let text = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// As many as wanted, or as there are descriptors for in one process.
pub(crate) fn fitting(wanted: usize, of: &str) -> usize {
    let room = descriptors_max().saturating_sub(512);
    if wanted > room {
        println!("note: the limit of open files allows {room} {of}, not {wanted} (ulimit -n raises it)");
    }
    wanted.min(room)
}

/// Processor time that a process has used.
pub(crate) fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // The 14th and 15th field of the whole line, in hundredths of a second.
    let hundredths = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(10 * hundredths)
}

/// The binary of this package, serving its demo under a shell's limits.
pub(crate) struct Binary {
    pub(crate) guard: Guard,
    pub(crate) address: SocketAddr,
}

impl Binary {
    /// `ulimit` is for the shell, such as `ulimit -n 64;`.
    pub(crate) fn start(ulimit: &str, arguments: &[&str]) -> Binary {
        let program = env!("CARGO_BIN_EXE_mcp-rill");
        let script = format!("{ulimit} exec '{program}' --listen 127.0.0.1:0 \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut guard = Guard(command.spawn().unwrap());
        let (mut said, mut lines) = (String::new(), BufReader::new(guard.0.stdout.take().unwrap()));
        while !said.contains("Ctrl-C") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "it ended after saying {said:?}");
        }
        let url = said.split_whitespace().find_map(|word| word.strip_prefix("http://")).unwrap();
        let address = url.split('/').next().unwrap().parse().unwrap();
        Binary { guard, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.guard.0.id()
    }

    pub(crate) fn terminate(&self) {
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid())]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end and gives its exit code.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.guard.0.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the program did not end");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What `docs/memory.md` states, in KiB: peers' data, entries of connections and sessions, buffers kept for reuse; half of that,
/// because memory comes in pages, buffers that grow leave holes behind that nothing else fits in, and the allocator keeps a
/// part of what was freed; and what the heaps of other threads keep of results that were handed over. All clients here say the
/// same of themselves.
pub(crate) fn stated_kib(limits: &mcp_rill::Limits, connections: usize, sessions: usize) -> u64 {
    let entries = connections as f64 * 0.3 + sessions as f64 * 0.4;
    let handed_over = (limits.buffered_bytes_max / 4).max(2 * limits.message_bytes_max);
    ((limits.buffered_bytes_max >> 10) as u64 + entries as u64 + REUSED_KIB) * 3 / 2
        + (handed_over >> 10) as u64
}

/// The program, and what it does once.
pub(crate) const REST_KIB: u64 = 4 << 10;

/// Buffers kept for reuse, and the one for reading.
const REUSED_KIB: u64 = 1127;
