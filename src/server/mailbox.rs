//! What reaches the loop from other threads: late results, progress, logs, and what a `Handle` asks for.
//!
//! *Scope:* the mailbox that `Reply`, blocking handlers and `Handle` write to. *Not in scope:* threads (a pool of them is in
//! `net`), and what becomes of the mail (that is `mail`).
//!
//! ```text
//!  handler ─ call.defer(…) ─▶ Reply ─ progress, log, finish or Drop ─┐
//!  blocking handler on a worker ─ begun, progress, log, its result ──┼─▶ mailbox ─ wakes ─▶ loop ─▶ streams
//!  Handle ─ updated, changed, log, add, remove, shutdown ────────────┘
//! ```
//!
//! Nothing here blocks: the final reply of a call always has its place, progress is only the latest value, logs are
//! dropped and counted when the loop does not keep up, updates of one URI are one.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::protocol::check::is_widely_taken;
use crate::protocol::error::CallError;
use crate::protocol::kinds::ListKind;
use crate::protocol::level::Level;
use crate::protocol::result::Made;
#[cfg(feature = "stateless")]
use crate::protocol::state_key::Seal;
use crate::server::questions::Questions;
use crate::service::keys::CallKey;

/// What a call sends besides its result.
#[derive(Debug)]
pub(crate) enum Update {
    Progress(Progress),
    Log {
        level: Level,
        logger: Option<String>,
        data: Value,
    },
    /// The client is to come back after this time.
    Disconnect(Duration),
}

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) done: f64,
    pub(crate) total: Option<f64>,
    pub(crate) message: Option<String>,
}

/// What a call's handler, and other threads that work for it, can see of its state.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    cancelled: AtomicBool,
}

impl Flags {
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// How a run of a call ended on another thread. The number tells the runs of one call apart.
pub(crate) type WorkerResult = (CallKey, u32, Finished);

/// How a run of a call ended on another thread.
#[derive(Debug)]
pub(crate) enum Finished {
    /// Through a `Reply`.
    Deferred(Result<Made, CallError>),
    /// A blocking handler returned, with its result or with questions.
    Ran(Result<Made, CallError>, Questions),
}

/// A change that a `Handle` makes to the registry of handlers. The mailbox does not know the registry's type.
pub(crate) type Change = Box<dyn FnOnce(&mut dyn Any) + Send>;

/// What other threads have left for the loop.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Calls that waited for a worker thread and that one has taken, each with the number of its run.
    pub(crate) begun: Vec<(CallKey, u32)>,
    pub(crate) finished: Vec<WorkerResult>,
    pub(crate) progress: BTreeMap<CallKey, Progress>,
    /// Of one call, or of the server; among them [`Update::Disconnect`] of a call.
    pub(crate) logs: Vec<(Option<CallKey>, Update)>,
    pub(crate) updated: BTreeSet<String>,
    /// More URIs were updated than are kept: any may have been.
    pub(crate) all_updated: bool,
    pub(crate) changed: BTreeSet<ListKind>,
    pub(crate) changes: Vec<Change>,
    /// The keys that seal from now on.
    #[cfg(feature = "stateless")]
    pub(crate) seal: Option<Seal>,
}

/// Where other threads leave messages for the loop.
pub(crate) struct Mailbox {
    mail: Mutex<Inbox>,
    /// The loop reads it in every turn, so that an empty mailbox costs no lock.
    has_mail: AtomicBool,
    /// The grace of a shutdown that was asked for.
    shutdown: Mutex<Option<Duration>>,
    /// True if the hook of `Server::authorize` is to be asked again.
    #[cfg(feature = "auth")]
    pub(super) reauthorize: AtomicBool,
    /// Names of tools that have been added and that large model APIs refuse, for the observer.
    odd_names: Mutex<Vec<String>>,
    /// The loop is gone. Set under the lock of the mail.
    ended: AtomicBool,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    queue_max: usize,
    logs_dropped: AtomicU64,
}

impl Mailbox {
    pub(crate) fn new(queue_max: usize) -> Mailbox {
        Mailbox {
            mail: Mutex::default(),
            has_mail: AtomicBool::new(false),
            shutdown: Mutex::default(),
            #[cfg(feature = "auth")]
            reauthorize: AtomicBool::new(false),
            odd_names: Mutex::default(),
            ended: AtomicBool::new(false),
            waker: OnceLock::new(),
            queue_max,
            logs_dropped: AtomicU64::new(0),
        }
    }

    /// Sets the function that wakes the loop. Only the first call has an effect.
    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        let _ = self.waker.set(waker);
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Ordering::Acquire)
    }

    /// True if the loop was woken since the last call. Call it before looking into the mailbox, so that what comes later wakes
    /// the loop again.
    pub(crate) fn take_wake(&self) -> bool {
        self.has_mail.swap(false, Ordering::AcqRel)
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Inbox {
        std::mem::take(&mut *self.lock())
    }

    /// Takes the changes and leaves the rest.
    pub(crate) fn take_changes(&self) -> Inbox {
        let mut mail = self.lock();
        Inbox {
            updated: std::mem::take(&mut mail.updated),
            all_updated: std::mem::take(&mut mail.all_updated),
            changed: std::mem::take(&mut mail.changed),
            changes: std::mem::take(&mut mail.changes),
            ..Inbox::default()
        }
    }

    /// Puts back the rest of what was taken, before what has come meanwhile.
    pub(crate) fn put_back(&self, rest: Inbox) {
        let mut mail = self.lock();
        let newer = std::mem::replace(&mut *mail, rest);
        mail.begun.extend(newer.begun);
        mail.finished.extend(newer.finished);
        mail.progress.extend(newer.progress);
        mail.logs.extend(newer.logs);
        mail.updated.extend(newer.updated);
        mail.all_updated |= newer.all_updated;
        mail.changed.extend(newer.changed);
        mail.changes.extend(newer.changes);
        #[cfg(feature = "stateless")]
        {
            mail.seal = newer.seal.or(mail.seal);
        }
        self.has_mail.store(true, Ordering::Release);
    }

    /// The grace of a shutdown that was asked for since the last call.
    pub(crate) fn take_shutdown(&self) -> Option<Duration> {
        self.shutdown.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A tool was added. A name that large model APIs refuse is reported by an event.
    pub(crate) fn note_tool_name(&self, name: &str) {
        if !is_widely_taken(name) {
            self.odd_names.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
            self.wake();
        }
    }

    /// The names noted since the last call.
    pub(crate) fn take_odd_names(&self) -> Vec<String> {
        std::mem::take(&mut *self.odd_names.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The loop is gone. What it has not taken is dropped here, without the lock: a handler in it may own a `Handle`.
    pub(crate) fn end(&self) {
        let mut mail = self.lock();
        self.ended.store(true, Ordering::Release);
        let left = std::mem::take(&mut *mail);
        drop(mail);
        drop(left);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// A worker thread has taken a call that had to wait for it.
    pub(crate) fn begin(&self, call: (CallKey, u32)) {
        self.lock().begun.push(call);
        self.wake();
    }

    pub(crate) fn finish(&self, (call, run): (CallKey, u32), finished: Finished) {
        self.lock().finished.push((call, run, finished));
        self.wake();
    }

    pub(crate) fn update(&self, call: CallKey, update: Update) {
        match update {
            // Compared here, since the loop sees only the last one: less than before is not the latest.
            Update::Progress(progress) if progress.done.is_finite() => {
                let mut mail = self.lock();
                if mail.progress.get(&call).is_none_or(|before| progress.done > before.done) {
                    mail.progress.insert(call, progress);
                }
            }
            Update::Progress(_) => return,
            log => self.log(Some(call), log),
        }
        self.wake();
    }

    /// Leaves something: `act` gets the inbox, and how many messages of a kind may wait.
    pub(crate) fn post(&self, act: impl FnOnce(&mut Inbox, usize)) {
        act(&mut self.lock(), self.queue_max);
        self.wake();
    }

    /// Asks for a shutdown. Of several graces the shortest counts.
    pub(crate) fn ask_shutdown(&self, grace: Duration) {
        let mut shutdown = self.shutdown.lock().unwrap_or_else(PoisonError::into_inner);
        *shutdown = Some(shutdown.map_or(grace, |before| before.min(grace)));
        drop(shutdown);
        self.wake();
    }

    /// A log of the server itself.
    pub(crate) fn log_to_all(&self, level: Level, logger: Option<&str>, data: Value) {
        self.log(None, Update::Log { level, logger: logger.map(str::to_owned), data });
        self.wake();
    }

    fn log(&self, call: Option<CallKey>, log: Update) {
        let mut mail = self.lock();
        if mail.logs.len() < self.queue_max {
            mail.logs.push((call, log));
        } else {
            self.logs_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many logs were dropped because the mailbox was full.
    pub(crate) fn logs_dropped(&self) -> u64 {
        self.logs_dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the loop; call it after leaving something. A loop that was woken and has not looked yet is not woken again: it
    /// clears the flag before it takes the lock, so what was left before this is either taken or wakes it.
    pub(crate) fn wake(&self) {
        if !self.has_mail.swap(true, Ordering::AcqRel)
            && let Some(waker) = self.waker.get()
        {
            waker();
        }
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_comes_before_what_has_come_meanwhile() {
        let mailbox = Mailbox::new(10);
        let say = |text: &str| {
            mailbox.log_to_all(Level::Info, None, text.into());
            mailbox.post(|mail, _| {
                mail.updated.insert(text.to_owned());
                mail.changed.insert(if text == "old" { ListKind::Tools } else { ListKind::Prompts });
                mail.changes.push(Box::new(|_| {}));
                mail.all_updated |= text == "new";
            });
        };
        say("old");
        let rest = mailbox.take();
        say("new");
        mailbox.put_back(rest);
        assert!(mailbox.take_wake());
        let mail = mailbox.take();
        let logged = mail.logs.iter().map(|(_, update)| match update {
            Update::Log { data, .. } => data.as_str().unwrap_or_default(),
            _ => "",
        });
        assert_eq!(logged.collect::<Vec<_>>(), ["old", "new"]);
        assert_eq!((mail.updated.len(), mail.changed.len(), mail.changes.len()), (2, 2, 2));
        assert!(mail.all_updated && !mailbox.has_mail());
    }
}
