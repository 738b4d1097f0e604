//! The one thread that supervises all commands.
//!
//! *Scope:* orders from other threads, and whose turn it is. *Not in scope:* what a turn of one command does (`run`).
//!
//! ```text
//!   ┌─▶ orders: run, cancel, shut down ─▶ steps that are due ─▶ wait for pipes, sockets, orders ─▶ go on with what is ready ─┐
//!   └────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::io::{self, PipeReader, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::run::{Part, READ_BYTES, Run, bytes_max};
use super::{CommandSpec, End, Finished, NewRun, Order, ProcessLimits};
use crate::threads;

pub(super) struct Supervisor {
    program: PathBuf,
    limits: ProcessLimits,
    orders: Receiver<Order>,
    /// Readable when there are orders. At its end all handles are gone.
    woken: PipeReader,
    running: Arc<AtomicUsize>,
    /// Those that run, at most `running_max`, each with its key.
    runs: Vec<(u64, Box<Run>)>,
    /// Those that wait for a shutdown. No command is started any more if there is one.
    shutting_down: Vec<Sender<()>>,
    stopping: bool,
    scratch: Vec<u8>,
}

impl Supervisor {
    pub(super) fn start(
        program: PathBuf,
        limits: ProcessLimits,
        orders: Receiver<Order>,
        woken: PipeReader,
        running: Arc<AtomicUsize>,
    ) -> io::Result<()> {
        let (runs, shutting_down, scratch) = (Vec::new(), Vec::new(), vec![0; READ_BYTES]);
        let stopping = false;
        let supervisor =
            Supervisor { program, limits, orders, woken, running, runs, shutting_down, stopping, scratch };
        threads::start("commands", move || supervisor.run())?;
        Ok(())
    }

    fn run(mut self) {
        loop {
            let handles_left = self.take_orders();
            if !handles_left {
                self.stop();
            }
            self.take_due_steps();
            if self.runs.is_empty() {
                self.shutting_down.clear();
                if !handles_left {
                    return;
                }
            }
            self.wait(handles_left);
        }
    }

    /// Follows the orders. Returns false if no handle is left to give more.
    fn take_orders(&mut self) -> bool {
        loop {
            match self.orders.try_recv() {
                Ok(Order::Run(new)) => self.begin(*new),
                Ok(Order::Cancel(key)) => {
                    if let Some((_, run)) = self.runs.iter_mut().find(|(of, _)| *of == key) {
                        run.end(End::Cancelled, &self.limits, now());
                    }
                }
                Ok(Order::ShutDown(ended)) => {
                    self.stop();
                    self.shutting_down.push(ended);
                }
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn begin(&mut self, new: NewRun) {
        let key = new.key;
        let started = match self.refusal(&new.spec) {
            Some(text) => Err((text, new.done)),
            None => Run::start(&self.program, new, &self.limits, now()),
        };
        match started {
            Ok(run) => self.runs.push((key, Box::new(run))),
            Err((text, done)) => {
                self.running.fetch_sub(1, Ordering::Relaxed);
                done(Finished::not_started(text));
            }
        }
    }

    fn refusal(&self, spec: &CommandSpec) -> Option<String> {
        let ProcessLimits { running_max, captured_bytes_max, .. } = self.limits;
        let captured = self.runs.iter().fold(0, |sum: usize, (_, run)| sum.saturating_add(run.bytes_max()));
        let bytes = bytes_max(spec, &self.limits);
        if self.stopping {
            Some("the server is shutting down".to_owned())
        } else if self.runs.len() >= running_max {
            Some(format!("{running_max} commands are running already (running_max): try again later"))
        } else if captured.saturating_add(bytes) > captured_bytes_max {
            Some(format!(
                "it may need {bytes} bytes for its input and output, beside {captured} for commands that are running, and \
                 {captured_bytes_max} are allowed in all (captured_bytes_max): try again later, or lower outputBytesMax"
            ))
        } else {
            None
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        for (_, run) in &mut self.runs {
            run.end(End::Cancelled, &self.limits, now());
        }
    }

    fn take_due_steps(&mut self) {
        for (_, run) in &mut self.runs {
            let now = now();
            if run.due.is_some_and(|due| due <= now) {
                run.take_due_step(&self.limits, &mut self.scratch, now);
            }
        }
    }

    /// Waits until something is ready or due, and goes on with it.
    fn wait(&mut self, handles_left: bool) {
        let mut parts: Vec<(u64, Part)> = Vec::new();
        let mut fds = Vec::new();
        for (key, run) in &self.runs {
            for (part, fd, flags) in run.awaited() {
                parts.push((*key, part));
                fds.push(PollFd::from_borrowed_fd(fd, flags));
            }
        }
        if handles_left {
            fds.push(PollFd::new(&self.woken, PollFlags::IN));
        }
        let due = self.runs.iter().filter_map(|(_, run)| run.due).min();
        let timeout = due.map(|due| due.saturating_duration_since(now()));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        if poll(&mut fds, timeout.as_ref()).is_err() {
            // It was interrupted, or memory is short: what is ready is found in the next round.
            return;
        }
        let ready: Vec<(u64, Part)> = parts
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(part, _)| part)
            .collect();
        drop(fds);
        while matches!(self.woken.read(&mut self.scratch), Ok(1..)) {}
        for (key, part) in ready {
            let Some(at) = self.runs.iter().position(|(of, _)| *of == key) else { continue };
            if self.runs.get_mut(at).is_some_and(|(_, run)| run.proceed(part, &mut self.scratch)) {
                let (_, run) = self.runs.swap_remove(at);
                self.running.fetch_sub(1, Ordering::Relaxed);
                run.conclude(&mut self.scratch, now());
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "commands go with real time")]
fn now() -> Instant {
    Instant::now()
}
