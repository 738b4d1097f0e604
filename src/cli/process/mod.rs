//! Runs commands, each so that nothing of it is left behind.
//!
//! *Scope:* [`Processes`] starts commands, captures their output, and ends them on a timeout, when they are cancelled, when the
//! server shuts down, and when the server is killed. *Not in scope:* which command runs with which arguments, and what its
//! output means. What a command asks another service to start (cron, a container daemon, systemd) is not its descendant and
//! is not ended with it.
//!
//! ```text
//!   server            one thread supervises all commands: pipes, timeouts, results; another one starts and reaps
//!     │               the guards of bridged processes
//!     │ starts
//!     ▼
//!   guard             this program again, in a session of its own; adopts what the command leaves behind
//!     │ starts
//!     ▼
//!   launch            this program again, in a process group of its own: limits, privileges, folder, environment …
//!     │ becomes
//!     ▼
//!   the command ────▶ whatever it starts
//! ```
//!
//! A cancelled command is ended by a chain: `Running::cancel` ─▶ `supervisor` ─▶ `run` ─▶ `guarded` asks the guard ─▶ `guard`: TERM, KILL.
//!
//! The guard is what makes it certain. Every process that a command starts stays a descendant of its guard, even one that
//! detaches itself: an orphan gets the guard as its parent (`PR_SET_CHILD_SUBREAPER`). So the guard is done exactly when it
//! has no children left, and it outlives the server to get there: it notices by its socket that the server has gone.
//! If the guard itself is killed, the command goes with it (`PR_SET_PDEATHSIG`), but not what that has started. A command can
//! do this to its own guard on purpose, having the same user: run a command that must not be able to do this as another user.
//!
//! Three messages pass over one socket between the server and the two:
//!
//! | | |
//! |---|---|
//! | request, from the server to `launch` | arguments, environment, folder, limits, and the descriptor of standard input |
//! | failure, from `launch` to the server | why the command could not start |
//! | status, from the guard to the server | how the command ended, once all of its processes have ended |

mod guard;
mod guarded;
#[cfg(feature = "bridge")]
pub(crate) mod guards;
mod launch;
mod output;
#[cfg(feature = "bridge")]
pub(crate) mod piped;
mod run;
mod supervisor;
mod system;
mod wire;

use std::ffi::OsString;
use std::io::{self, PipeWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use rustix::process::{Pid, Resource, getrlimit};

use self::supervisor::Supervisor;

/// The first argument of this program as a guard. The second one is the time between TERM and KILL in milliseconds.
const GUARD: &str = "__guard";
/// The first argument of this program before it becomes the command. The second one is the process id of the guard.
const LAUNCH: &str = "__launch";

/// Bounds on all commands together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessLimits {
    /// Commands that run at a time. One more is refused. Each takes two processes, one of them a guard with about 1 MiB of memory,
    /// and four descriptors of the server.
    pub(crate) running_max: usize,
    /// Bytes that all running commands may have captured and not yet written: their `output_bytes_max`, standard input,
    /// arguments and environment, and the bounds below. A command that would exceed it is refused.
    pub(crate) captured_bytes_max: usize,
    /// Bytes of a line that are passed on where lines are; the rest of a longer one is dropped.
    pub(crate) line_bytes_max: usize,
    /// Bytes of standard error that are kept: the last ones.
    pub(crate) stderr_bytes_max: usize,
    /// Time between TERM and KILL.
    pub(crate) kill_delay: Duration,
    /// Time after KILL until the result is reported although some process has not ended: one that waits for a dead network
    /// file system cannot be killed before that answers. It goes on counting towards `running_max`.
    pub(crate) abandon_delay: Duration,
}

impl Default for ProcessLimits {
    fn default() -> ProcessLimits {
        ProcessLimits {
            running_max: 64,
            captured_bytes_max: 32 << 20,
            line_bytes_max: 8 << 10,
            stderr_bytes_max: 4 << 10,
            kill_delay: Duration::from_secs(2),
            abandon_delay: Duration::from_secs(3),
        }
    }
}

/// Limits that the kernel enforces on a command: `setrlimit`. `None` leaves what the server has, except that a command can
/// open 1,024 files at most unless it raises that itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rlimits {
    /// Seconds of processor time, for each process. After them it is sent XCPU, and KILL a second later.
    pub(crate) cpu_seconds: Option<u64>,
    /// Bytes of address space, for each process.
    pub(crate) memory_bytes: Option<u64>,
    /// Open files, for each process.
    pub(crate) files: Option<u64>,
    /// Processes and threads of the user in all, the server's own ones included. The kernel does not apply it to root.
    pub(crate) processes: Option<u64>,
}

impl Rlimits {
    /// Each limit with its name in a manifest. Address space is the last one: little can be done once it is in force.
    fn all(&self) -> [(&'static str, Resource, Option<u64>); 4] {
        [
            ("cpuSeconds", Resource::Cpu, self.cpu_seconds),
            ("files", Resource::Nofile, self.files),
            ("processes", Resource::Nproc, self.processes),
            ("memoryBytes", Resource::As, self.memory_bytes),
        ]
    }

    /// Returns a sentence for each limit that the kernel would refuse, because it is above the hard limit of the server.
    pub(crate) fn refused(&self) -> Vec<String> {
        let above = |(name, resource, value): (&str, Resource, Option<u64>)| {
            let (value, hard) = (value?, getrlimit(resource).maximum?);
            (value > hard).then(|| {
                format!("{name} is {value}, but the hard limit of the system is {hard}: lower it, or raise the system's")
            })
        };
        self.all().into_iter().filter_map(above).collect()
    }
}

/// A command to run.
#[derive(Debug)]
pub(crate) struct CommandSpec {
    /// The program and its arguments. The program is a path.
    pub(crate) argv: Vec<OsString>,
    /// The whole environment.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// The working folder.
    pub(crate) cwd: PathBuf,
    /// Standard input; `None` is `/dev/null`.
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) rlimits: Rlimits,
    /// How long it may run.
    pub(crate) timeout: Duration,
    /// Bytes of standard output that are kept: the first ones, or the last ones if `lines`. The rest is read and dropped.
    pub(crate) output_bytes_max: usize,
    /// True if the output is lines of progress: the last ones are the result.
    pub(crate) lines: bool,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With an exit code.
    Exited(i32),
    /// By a signal that the server did not send.
    Signalled(i32),
    /// It ran for longer than its timeout.
    TimedOut,
    /// By [`Running::cancel`] or [`Processes::shut_down`].
    Cancelled,
    /// It did not run. The text names the program, the cause and the remedy.
    NotStarted(String),
}

/// What is left of a command.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) end: End,
    pub(crate) stdout: Vec<u8>,
    /// True if `stdout` is not all that the command wrote.
    pub(crate) stdout_cut: bool,
    /// The last bytes of standard error.
    pub(crate) stderr: Vec<u8>,
    /// The time from the start to the end of the last of its processes.
    pub(crate) ran: Duration,
}

impl Finished {
    fn not_started(text: String) -> Finished {
        let (stdout, stderr) = (Vec::new(), Vec::new());
        Finished { end: End::NotStarted(text), stdout, stdout_cut: false, stderr, ran: Duration::ZERO }
    }
}

/// Called with each line of output, without its end.
pub(crate) type OnLine = Box<dyn FnMut(&str) + Send>;
/// Called with the result.
pub(crate) type Done = Box<dyn FnOnce(Finished) + Send>;

/// What the supervising thread is asked to do.
enum Order {
    Run(Box<NewRun>),
    Cancel(u64),
    /// The sender is dropped when all commands have ended.
    ShutDown(Sender<()>),
}

/// A command that is to be started.
struct NewRun {
    key: u64,
    spec: CommandSpec,
    on_line: Option<OnLine>,
    done: Done,
}

/// The handle of the thread that supervises all commands. When the last handle and the last [`Running`] have been dropped,
/// the thread ends what still runs, and then itself.
#[derive(Clone)]
pub(crate) struct Processes(Arc<Link>);

/// The way to the supervising thread. That thread notices by the end of the pipe that all links are gone.
struct Link {
    orders: Sender<Order>,
    wake: PipeWriter,
    running: Arc<AtomicUsize>,
    next_key: AtomicU64,
}

impl Link {
    /// Returns the order if the thread has ended.
    fn send(&self, order: Order) -> Result<(), Order> {
        self.orders.send(order).map_err(|refused| refused.0)?;
        // A full pipe wakes the thread too.
        let _ = (&self.wake).write(&[0]);
        Ok(())
    }
}

impl Processes {
    /// Starts the supervising thread.
    pub(crate) fn start() -> io::Result<Processes> {
        Processes::start_with(system::own_program()?, ProcessLimits::default())
    }

    /// Starts it with a program whose `main` begins with [`trampoline`].
    pub(crate) fn start_with(program: PathBuf, limits: ProcessLimits) -> io::Result<Processes> {
        let (orders, incoming) = mpsc::channel();
        let (woken, wake) = io::pipe()?;
        rustix::io::ioctl_fionbio(&wake, true)?;
        rustix::io::ioctl_fionbio(&woken, true)?;
        let running = Arc::new(AtomicUsize::new(0));
        Supervisor::start(program, limits, incoming, woken, Arc::clone(&running))?;
        Ok(Processes(Arc::new(Link { orders, wake, running, next_key: AtomicU64::new(0) })))
    }

    /// Runs a command. Returns at once. `on_line` and `done` are called on the supervising thread, which waits for them; `done`
    /// exactly once, after the last line, when no process of the command is left.
    pub(crate) fn run(&self, spec: CommandSpec, on_line: Option<OnLine>, done: Done) -> Running {
        let key = self.0.next_key.fetch_add(1, Ordering::Relaxed);
        self.0.running.fetch_add(1, Ordering::Relaxed);
        if let Err(Order::Run(run)) = self.0.send(Order::Run(Box::new(NewRun { key, spec, on_line, done }))) {
            self.0.running.fetch_sub(1, Ordering::Relaxed);
            (run.done)(Finished::not_started(
                "the thread that runs commands has ended: restart the server".to_owned(),
            ));
        }
        Running { key, link: Arc::clone(&self.0) }
    }

    /// Ends all commands and refuses new ones. Returns true once all have ended, and false if some have not after `grace`.
    pub(crate) fn shut_down(&self, grace: Duration) -> bool {
        let (ended, waiting) = mpsc::channel();
        // The thread drops its end when all have ended.
        let _ = self.0.send(Order::ShutDown(ended));
        !matches!(waiting.recv_timeout(grace), Err(mpsc::RecvTimeoutError::Timeout))
    }

    /// Returns the number of commands that run, those included whose result has been abandoned.
    pub(crate) fn running(&self) -> usize {
        self.0.running.load(Ordering::Relaxed)
    }
}

/// A command that was given to [`Processes::run`].
#[derive(Clone)]
pub(crate) struct Running {
    key: u64,
    link: Arc<Link>,
}

impl Running {
    /// Ends the command: TERM to its process group, and KILL to what is left after [`ProcessLimits::kill_delay`]. Does
    /// nothing if it has ended.
    pub(crate) fn cancel(&self) {
        // A thread that has ended has ended its commands.
        let _ = self.link.send(Order::Cancel(self.key));
    }
}

/// Returns what this system lacks, a sentence each, so that the user hears of it when the server starts.
pub(crate) fn missing() -> &'static [&'static str] {
    system::MISSING
}

/// Does the work of a guard, or of `launch`, if the program was started as one; must be the first thing that `main` does.
/// Returns `None` if the program was started by another one.
pub(crate) fn trampoline() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let stage = arguments.next()?;
    if stage != GUARD && stage != LAUNCH {
        return None;
    }
    let number = arguments.next().and_then(|text| text.to_str()?.parse::<i32>().ok());
    let ended = match number.and_then(Pid::from_raw) {
        Some(guard) if stage == LAUNCH => launch::launch(guard),
        _ => guard::guard(Duration::from_millis(number.unwrap_or(0).unsigned_abs().into())),
    };
    Some(ended.unwrap_or_else(|error| {
        // It is read by the server as standard error of the command; or by a person who tries this out by hand.
        let _ = writeln!(
            io::stderr(),
            "{} is an internal command of this program, and failed: {error}",
            stage.display()
        );
        ExitCode::from(125)
    }))
}
