//! When commands run: at most so many of one item at once, the others in a queue.
//!
//! *Scope:* [`Commands`], which gives each command a place, and [`Ticket`], by which it is cancelled. *Not in scope:* running one (`process`), what is run and what
//! becomes of its output.
//!
//! ```text
//!   call ──▶ a place of its item is free? ─ yes ─▶ Processes ─▶ done ─▶ the next of the item that waits
//!                     │                               └─ (cancelled: Running::cancel ends it)
//!                     └ no ─▶ waits ─▶ (cancelled: leaves the queue)
//!                        └ no room: refused as busy
//! ```

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cli::bounds::{WAITING_BYTES_MAX, WAITING_CALLS_MAX};
use crate::cli::process::{CommandSpec, Done, End, Finished, OnLine, Processes, Running};

/// The commands of all items, those of a manifest that a reload has replaced included. Clones share them.
#[derive(Clone)]
pub(crate) struct Commands(Arc<Shared>);

struct Shared {
    processes: Processes,
    lines: Mutex<HashMap<u64, Line>>,
    next_key: AtomicU64,
}

/// The commands of one item.
#[derive(Default)]
struct Line {
    running: usize,
    waiting: VecDeque<Job>,
}

/// A command that waits for its place.
struct Job {
    key: u64,
    spec: CommandSpec,
    on_line: Option<OnLine>,
    done: Done,
    slot: Slot,
}

/// Where the command is found once it runs.
type Slot = Arc<Mutex<Started>>;

#[derive(Default)]
struct Started {
    cancelled: bool,
    running: Option<Running>,
}

/// One command, from before it waits until it has ended. Clones mean the same one.
#[derive(Clone)]
pub(crate) struct Ticket {
    commands: Commands,
    line: u64,
    key: u64,
    slot: Slot,
}

/// The places of one item.
#[derive(Clone)]
pub(crate) struct Places {
    commands: Commands,
    line: u64,
    /// How many of its commands run at once.
    concurrency: usize,
}

impl Commands {
    /// The commands that `processes` will run.
    pub(crate) fn new(processes: Processes) -> Commands {
        Commands(Arc::new(Shared { processes, lines: Mutex::default(), next_key: AtomicU64::new(0) }))
    }

    /// Places for one more item.
    pub(crate) fn places(&self, concurrency: usize) -> Places {
        Places { commands: self.clone(), line: self.next_key(), concurrency }
    }

    /// Ends all commands, those that wait too, and does not wait for that.
    pub(crate) fn abandon(&self) {
        self.shut_down(Duration::ZERO);
    }

    /// Ends all commands, those that wait too. Returns how many have not ended after `grace`.
    pub(crate) fn shut_down(&self, grace: Duration) -> usize {
        let waiting: Vec<Job> = self.lines().values_mut().flat_map(|line| line.waiting.drain(..)).collect();
        waiting.into_iter().for_each(|job| (job.done)(ended(End::Cancelled)));
        match self.0.processes.shut_down(grace) {
            true => 0,
            false => self.0.processes.running(),
        }
    }

    fn next_key(&self) -> u64 {
        self.0.next_key.fetch_add(1, Ordering::Relaxed)
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<u64, Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command in the place that it has.
    fn launch(&self, line: u64, job: Job) {
        let Job { spec, on_line, done, slot, .. } = job;
        let commands = self.clone();
        let done = Box::new(move |finished| {
            commands.free_place(line);
            done(finished);
        });
        let running = self.0.processes.run(spec, on_line, done);
        let mut started = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if started.cancelled {
            running.cancel();
        }
        started.running = Some(running);
    }

    /// A command of the item has ended: its place goes to the one that has waited longest.
    fn free_place(&self, line: u64) {
        let mut lines = self.lines();
        let Some(found) = lines.get_mut(&line) else { return };
        let next = found.waiting.pop_front();
        if next.is_none() {
            found.running = found.running.saturating_sub(1);
            if found.running == 0 {
                lines.remove(&line);
            }
        }
        drop(lines);
        if let Some(next) = next {
            self.launch(line, next);
        }
    }
}

impl Places {
    /// A ticket for a command, by which it can be cancelled from now on.
    pub(crate) fn ticket(&self) -> Ticket {
        let (commands, line, key) = (self.commands.clone(), self.line, self.commands.next_key());
        Ticket { commands, line, key, slot: Slot::default() }
    }

    /// Runs a command as soon as a place is free. `done` is called exactly once: on another thread, or at once if there is no
    /// room to wait or the ticket is cancelled already.
    pub(crate) fn run(&self, ticket: &Ticket, spec: CommandSpec, on_line: Option<OnLine>, done: Done) {
        let line = self.line;
        let job = Job { key: ticket.key, spec, on_line, done, slot: ticket.slot.clone() };
        let mut lines = self.commands.lines();
        if ticket.slot.lock().unwrap_or_else(PoisonError::into_inner).cancelled {
            drop(lines);
            return (job.done)(ended(End::Cancelled));
        }
        let no_room = no_room(&lines, &job);
        let own = lines.entry(line).or_default();
        let launched = if own.running < self.concurrency {
            own.running += 1;
            Some(job)
        } else if let Some(reason) = no_room {
            drop(lines);
            let text = format!(
                "busy: only {} of it may run at once (concurrency), and {reason}; call again later",
                self.concurrency
            );
            return (job.done)(ended(End::NotStarted(text)));
        } else {
            own.waiting.push_back(job);
            None
        };
        drop(lines);
        if let Some(job) = launched {
            self.commands.launch(line, job);
        }
    }
}

impl Ticket {
    /// Ends the command if it runs, takes it out of the queue if it waits, and lets it not begin otherwise.
    pub(crate) fn cancel(&self) {
        let running = {
            let mut started = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
            started.cancelled = true;
            started.running.clone()
        };
        if let Some(running) = running {
            return running.cancel();
        }
        let mut lines = self.commands.lines();
        let waiting = lines.get_mut(&self.line).and_then(|line| {
            let at = line.waiting.iter().position(|job| job.key == self.key)?;
            line.waiting.remove(at)
        });
        drop(lines);
        if let Some(job) = waiting {
            (job.done)(ended(End::Cancelled));
        }
    }
}

/// Returns why one more may not wait; `None` if it may.
fn no_room(lines: &HashMap<u64, Line>, job: &Job) -> Option<String> {
    let waiting = || lines.values().flat_map(|line| &line.waiting);
    if waiting().count() >= WAITING_CALLS_MAX {
        return Some(format!("{WAITING_CALLS_MAX} calls wait already (waiting_calls_max)"));
    }
    let bytes: usize = waiting().chain([job]).map(|job| held_bytes(&job.spec)).sum();
    (bytes > WAITING_BYTES_MAX).then(|| {
        format!("with this one the arguments of calls that wait would have more than {WAITING_BYTES_MAX} bytes (waiting_bytes_max)")
    })
}

fn held_bytes(spec: &CommandSpec) -> usize {
    let arguments: usize = spec.argv.iter().map(|argument| argument.len()).sum();
    let variables: usize = spec.env.iter().map(|(name, value)| name.len() + value.len()).sum();
    arguments + variables + spec.stdin.as_ref().map_or(0, Vec::len)
}

fn ended(end: End) -> Finished {
    Finished { end, stdout: Vec::new(), stdout_cut: false, stderr: Vec::new(), ran: Duration::ZERO }
}
