//! Whether a call still goes on, for its handler and for other threads that work for it.
//!
//! *Scope:* [`Flags`]: cancelling, and what is called then. *Not in scope:* when a call is cancelled (the runtime decides).

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::protocol::panics::guarded;

/// What a call's handler, and other threads that work for it, can see of its state.
#[derive(Default)]
pub(crate) struct Flags {
    state: AtomicU8,
    /// What is called when the state changes. It is taken out before it is called or dropped: it may look at the flags itself.
    acts: Mutex<Vec<Act>>,
}

/// The server shuts down: what comes within its grace is still sent.
const ENDING: u8 = 1;
/// Nobody waits for the result any more.
const ABANDONED: u8 = 2;

struct Act {
    /// The number of the run that it belongs to.
    run: u32,
    /// The state from which on it is called.
    from: u8,
    act: Box<dyn FnOnce() + Send>,
}

impl Flags {
    /// Nobody waits for the result any more.
    pub(crate) fn cancel(&self) {
        self.advance(ABANDONED);
    }

    /// The server shuts down.
    pub(crate) fn end(&self) {
        self.advance(ENDING);
    }

    /// Sets the state, unless it is further, and calls what waits for that.
    fn advance(&self, state: u8) {
        self.state.fetch_max(state, Ordering::SeqCst);
        let due = {
            // What is not due stays in the list at all times: another thread may look for it.
            let mut acts = self.acts();
            let state = self.state.load(Ordering::SeqCst);
            let (due, others) =
                std::mem::take(&mut *acts).into_iter().partition::<Vec<_>, _>(|act| act.from <= state);
            *acts = others;
            due
        };
        for Act { act, .. } in due {
            // A panic ends that closure alone.
            let _ = guarded("on_cancel", "", || {
                act();
                Ok(())
            });
        }
    }

    /// Calls this when the call is cancelled or the server shuts down: at once if one of these holds.
    pub(crate) fn on_cancel(&self, run: u32, act: Box<dyn FnOnce() + Send>) {
        self.add(Act { run, from: ENDING, act });
    }

    /// Calls this when nobody waits for the result any more: at once if that holds.
    pub(crate) fn on_abandon(&self, run: u32, act: Box<dyn FnOnce() + Send>) {
        self.add(Act { run, from: ABANDONED, act });
    }

    fn add(&self, act: Act) {
        self.acts().push(act);
        // The state is set before the list is read, and the list is written before the state is read: one of the two finds it.
        self.advance(0);
    }

    /// That run is over: nothing of it is called any more.
    pub(crate) fn forget(&self, run: u32) {
        let mut acts = self.acts();
        let (over, others) =
            std::mem::take(&mut *acts).into_iter().partition::<Vec<_>, _>(|act| act.run == run);
        *acts = others;
        drop(acts);
        drop(over);
    }

    fn acts(&self) -> MutexGuard<'_, Vec<Act>> {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::SeqCst) >= ENDING
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.load(Ordering::SeqCst) == ABANDONED
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
