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
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::guarded::{GuardProcess, Starter};
use crate::threads;

/// How often it is looked whether a guard has ended that is to be reaped.
const REAP_AGAIN: Duration = Duration::from_millis(50);

/// What the thread is to do.
#[derive(Default)]
struct Orders {
    start: Vec<Starter>,
    reap: Vec<GuardProcess>,
    /// True if there is no handle any more.
    is_over: bool,
}

/// Shared with the thread. A channel would take 10 KiB of machine code.
#[derive(Default)]
struct Shared {
    orders: Mutex<Orders>,
    given: Condvar,
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of the thread, which ends with the last one.
#[derive(Clone)]
pub(crate) struct Guards(Arc<Handle>);

struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.orders().is_over = true;
        self.0.given.notify_one();
    }
}

impl Guards {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub(crate) fn start() -> io::Result<Guards> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        threads::start("guards", move || follow(&of_thread))?;
        Ok(Guards(Arc::new(Handle(shared))))
    }

    pub(super) fn start_guard(&self, starter: Starter) {
        self.give(|orders| orders.start.push(starter));
    }

    pub(super) fn reap(&self, guard: GuardProcess) {
        self.give(|orders| orders.reap.push(guard));
    }

    fn give(&self, order: impl FnOnce(&mut Orders)) {
        let Handle(shared) = &*self.0;
        order(&mut shared.orders());
        shared.given.notify_one();
    }
}

/// Follows the orders until no handle is left. Guards that have not ended then are reaped by the system.
fn follow(shared: &Shared) {
    let mut ending: Vec<GuardProcess> = Vec::new();
    loop {
        let Orders { start, reap, is_over } = next_orders(shared, ending.is_empty());
        start.into_iter().for_each(Starter::start);
        if is_over {
            return;
        }
        ending.extend(reap);
        ending.retain(|guard| !guard.try_reap());
    }
}

/// Waits for orders, if `is_idle` for as long as it takes.
fn next_orders(shared: &Shared, is_idle: bool) -> Orders {
    let none = |orders: &mut Orders| orders.start.is_empty() && orders.reap.is_empty() && !orders.is_over;
    let orders = shared.orders();
    let mut orders = match is_idle {
        true => shared.given.wait_while(orders, none).unwrap_or_else(PoisonError::into_inner),
        false => {
            let waited = shared.given.wait_timeout_while(orders, REAP_AGAIN, none);
            waited.unwrap_or_else(PoisonError::into_inner).0
        }
    };
    let is_over = orders.is_over;
    Orders { is_over, ..std::mem::take(&mut *orders) }
}
