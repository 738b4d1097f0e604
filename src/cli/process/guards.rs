//! The thread that starts and reaps the guards of commands that serve for long.
//!
//! *Scope:* what waits for the system: for a program to be loaded, and for a process to have ended. Each takes milliseconds on a busy
//! machine, in which a loop would serve nobody. *Not in scope:* the guards of commands that run to their end, whose own thread
//! (`supervisor`) may wait.
//!
//! ```text
//!  Piped::start ──▶ the guard is started, or it is noted why it cannot be, and its socket ends
//!  Piped is dropped ──▶ has the guard ended? ── yes ──▶ reaped
//!                         ▲     │ no
//!                         └─────┘ every 50 ms
//! ```

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::guarded::{GuardProcess, Starter};
use crate::threads;

/// How often it is looked whether a guard has ended that is to be reaped.
const REAP_AGAIN: Duration = Duration::from_millis(50);

enum Order {
    Start(Box<Starter>),
    Reap(GuardProcess),
}

/// The handle of the thread, which ends with the last one.
#[derive(Clone)]
pub(crate) struct Guards(Sender<Order>);

impl Guards {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub(crate) fn start() -> io::Result<Guards> {
        let (orders, incoming) = mpsc::channel();
        threads::start("guards", move || follow(&incoming))?;
        Ok(Guards(orders))
    }

    pub(super) fn start_guard(&self, starter: Starter) {
        // If the thread has ended, the guard's socket ends with the order, by which that is noticed.
        let _ = self.0.send(Order::Start(Box::new(starter)));
    }

    pub(super) fn reap(&self, guard: GuardProcess) {
        let _ = self.0.send(Order::Reap(guard));
    }
}

/// Follows the orders until no handle is left. Guards that have not ended then are reaped by the system.
fn follow(orders: &Receiver<Order>) {
    let mut ending: Vec<GuardProcess> = Vec::new();
    loop {
        let order = match ending.is_empty() {
            true => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            false => orders.recv_timeout(REAP_AGAIN),
        };
        match order {
            Ok(Order::Start(starter)) => starter.start(),
            Ok(Order::Reap(guard)) => ending.push(guard),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        ending.retain(|guard| !guard.try_reap());
    }
}
