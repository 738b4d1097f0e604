//! What reaches the loop from other threads: late results, progress, logs, and what a `Handle` asks for.
//!
//! *Scope:* the mailbox that `Reply`, blocking handlers and `Handle` write to. *Not in scope:* threads (`runtime::jobs`
//! queues their work, and the driver starts them), and what becomes of the mail (`runtime::mail`).
//!
//! ```text
//!  handler ─ call.defer(…) ─▶ Reply ─ progress, log, finish or Drop ─┐
//!  blocking handler on a worker ─ begun, progress, log, its result ──┼─▶ mailbox ─ wakes ─▶ loop ─▶ streams
//!  Handle ─ updated, changed, log, add, remove, shutdown ────────────┘
//! ```
//!
//! Nothing here blocks but a worker thread with a long result while many wait: the final reply of a call always has its place, if
//! need be as an error, progress is only the latest value, logs are dropped and counted when the loop does not keep up, and several
//! updates of one URI are sent as one.

use std::any::Any;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::access::peer::Principal;
use crate::key_map::KeyMap;
use crate::limits::Limits;
use crate::memory::{Account, Charge};
use crate::protocol::check::is_widely_taken;
use crate::protocol::elicitation::Unavailable;
use crate::protocol::error::CallError;
use crate::protocol::kinds::ListKind;
use crate::protocol::level::Level;
use crate::protocol::panics::contained;
use crate::protocol::result::Made;
#[cfg(feature = "stateless")]
use crate::protocol::state_key::Seal;
use crate::server::questions::Questions;
use crate::server::state::StateTypes;
use crate::server::stats::Stats;
use crate::service::ended::CallDetails;
use crate::service::keys::CallKey;
use crate::service::outbox::Audience;

/// Results up to this size always have room.
const SHORT_BYTES_MAX: usize = 16 << 10;

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

/// How a run of a call ended on another thread.
#[derive(Debug)]
pub(crate) struct WorkerResult {
    pub(crate) call: CallKey,
    /// The number that tells the runs of one call apart.
    pub(crate) run: u32,
    pub(crate) finished: Finished,
    /// What the result holds.
    pub(crate) charge: Charge,
}

/// What a `Reply` asks of its client, in the place of a result: it gets the call, whose type the mailbox does not know, and returns the
/// key of a question that the client cannot be asked, and why.
pub(crate) type Ask = Box<dyn FnOnce(&mut dyn Any) -> Result<(String, Unavailable), CallError> + Send>;

/// How a run of a call ended on another thread.
pub(crate) enum Finished {
    /// Through a `Reply`.
    Deferred(Result<Made, CallError>),
    /// Through a `Reply` that has a question first.
    Asked(Ask),
    /// A blocking handler returned, with its result or with questions.
    Ran(Result<Made, CallError>, Questions),
    /// There was no room for the result, which was dropped.
    NoRoom,
}

impl Finished {
    /// Returns what its result holds.
    fn held_bytes(&self) -> usize {
        match self {
            Finished::Deferred(Ok(made)) | Finished::Ran(Ok(made), _) => made.held_bytes(),
            _ => 0,
        }
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finished::Deferred(_) => "Deferred",
            Finished::Asked(_) => "Asked",
            Finished::Ran(..) => "Ran",
            Finished::NoRoom => "NoRoom",
        })
    }
}

/// A change that a `Handle` makes to the registry of handlers. The mailbox does not know the registry's type.
pub(crate) type Change = Box<dyn FnOnce(&mut dyn Any) + Send>;

/// What other threads have left for the loop.
#[derive(Default)]
pub(crate) struct Inbox {
    /// Calls that waited for a worker thread and that one has taken, each with the number of its run.
    pub(crate) begun: Vec<(CallKey, u32)>,
    /// Calls that waited for a worker thread and had to give way to another call, perhaps one of another server.
    pub(crate) gave_way: Vec<(CallKey, u32)>,
    pub(crate) finished: Vec<WorkerResult>,
    pub(crate) progress: KeyMap<CallKey, Progress>,
    /// Of one call, or of the server; among them [`Update::Disconnect`] of a call.
    pub(crate) logs: Vec<(Option<CallKey>, Update)>,
    pub(crate) updated: BTreeSet<String>,
    /// More URIs were updated than are kept: any may have been.
    pub(crate) all_updated: bool,
    /// Updates that are for the clients of one principal.
    pub(crate) updated_for: BTreeSet<(String, Principal)>,
    /// Lists that changed for everybody, or for the clients of one principal.
    pub(crate) changed: BTreeSet<(ListKind, Option<Principal>)>,
    pub(crate) changes: Vec<Change>,
    /// The keys that seal from now on.
    #[cfg(feature = "stateless")]
    pub(crate) seal: Option<Seal>,
}

/// The part of the mail that the engine takes itself, whatever its service is.
#[derive(Default)]
pub(crate) struct ForEngine {
    /// The grace of a shutdown that was asked for.
    pub(crate) shutdown: Option<Duration>,
    /// The delay and the grace of a shutdown that is announced first.
    pub(crate) drain: Option<(Duration, Duration)>,
    /// True if the hook of `Server::authorize` is to be asked again.
    #[cfg(feature = "auth")]
    pub(crate) reauthorize: bool,
    /// Answers to requests that wait for their authorization, by their numbers.
    #[cfg(feature = "auth")]
    pub(crate) admissions: Vec<(u64, std::result::Result<Principal, crate::access::auth::hook::Denied>)>,
    /// Names of tools that have been added and that large model APIs refuse, for the observer.
    pub(crate) odd_names: Vec<String>,
}

/// The inboxes of all servers that one loop runs.
#[derive(Default)]
struct Inboxes {
    root: Inbox,
    mounted: Vec<Inbox>,
}

impl Inboxes {
    /// The inbox of one server: 0 for that at the root, and one more than the number of its mount for another one.
    fn of(&mut self, at: usize) -> &mut Inbox {
        let Inboxes { root, mounted } = self;
        at.checked_sub(1).and_then(|at| mounted.get_mut(at)).unwrap_or(root)
    }
}

/// Where other threads leave messages for the loop. Each server that the loop runs has one; what they share is here.
pub(crate) struct Mailbox {
    shared: Arc<Shared>,
    /// Which inbox is this server's, as in [`Inboxes::of`].
    at: usize,
    /// The types of the server's states, which never change.
    pub(crate) states: StateTypes,
}

/// What the mailboxes of all servers of one loop have in common.
struct Shared {
    mail: Mutex<Inboxes>,
    /// The names of the mounts, and the types of the states of the servers there.
    mounts: Vec<(String, StateTypes)>,
    /// The loop reads it in every turn, so that an empty mailbox costs no lock.
    has_mail: AtomicBool,
    for_engine: Mutex<ForEngine>,
    /// Clients are not to come yet.
    unready: AtomicBool,
    /// The loop is gone. Set under the lock of the mail.
    ended: AtomicBool,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    queue_max: usize,
    /// Bytes that results hold while they wait for the loop.
    results: Account,
    /// How many of these bytes are counted as held by the service.
    results_counted: AtomicUsize,
    /// Told when there may be room for another result. The lock is that of the mail.
    room: Condvar,
    /// How many bytes of results may wait, whatever is held besides.
    results_bytes_min: usize,
    bytes_max: usize,
    /// What was held besides results at the end of the loop's last turn.
    held_bytes: AtomicUsize,
    logs_dropped: AtomicU64,
    /// True if an observer wants to know how calls end.
    observed: AtomicBool,
    traced: AtomicBool,
    arguments_bytes_max: AtomicUsize,
    clock: OnceLock<Box<dyn Fn() -> Duration + Send + Sync>>,
    /// As they were at the end of the loop's last turn.
    stats: Mutex<Stats>,
}

impl Mailbox {
    /// The mailbox of the server at the root. `mounts` are the names of those below it, with the types of their states.
    pub(crate) fn new(limits: &Limits, states: StateTypes, mounts: Vec<(String, StateTypes)>) -> Mailbox {
        let mounted = mounts.iter().map(|_| Inbox::default()).collect();
        let shared = Shared {
            mail: Mutex::new(Inboxes { root: Inbox::default(), mounted }),
            mounts,
            unready: AtomicBool::new(false),
            has_mail: AtomicBool::new(false),
            for_engine: Mutex::default(),
            ended: AtomicBool::new(false),
            waker: OnceLock::new(),
            queue_max: limits.mailbox_max,
            results: Account::default(),
            results_counted: AtomicUsize::new(0),
            room: Condvar::new(),
            results_bytes_min: limits.message_bytes_max.saturating_mul(2),
            bytes_max: limits.buffered_bytes_max,
            held_bytes: AtomicUsize::new(0),
            logs_dropped: AtomicU64::new(0),
            observed: AtomicBool::new(false),
            traced: AtomicBool::new(false),
            arguments_bytes_max: AtomicUsize::new(0),
            clock: OnceLock::new(),
            stats: Mutex::default(),
        };
        Mailbox { shared: Arc::new(shared), at: 0, states }
    }

    /// The mailbox of the server that is mounted under this name.
    pub(crate) fn mounted(&self, name: &str) -> Option<Mailbox> {
        let at = self.shared.mounts.iter().position(|(mount, _)| mount == name)?;
        let states = self.shared.mounts.get(at)?.1;
        Some(Mailbox { shared: self.shared.clone(), at: at + 1, states })
    }

    /// The name under which this server is mounted.
    #[cfg(feature = "stateless")]
    pub(crate) fn mount(&self) -> Option<&str> {
        self.shared.mounts.get(self.at.checked_sub(1)?).map(|(name, _)| &**name)
    }

    /// The number before that of this server's first question: no two servers of a loop ask under the same one.
    pub(crate) fn questions_before(&self) -> i64 {
        i64::try_from(self.at).unwrap_or_default() << 40
    }

    /// All clients of this server.
    pub(crate) fn everyone(&self) -> Audience {
        self.at.checked_sub(1).map_or(Audience::All, Audience::Below)
    }

    /// Says whether clients are to come.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.shared.unready.store(!ready, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.shared.unready.load(Ordering::Acquire)
    }

    /// Sets the function that wakes the loop. Only the first call has an effect.
    pub(crate) fn set_waker(&self, waker: Box<dyn Fn() + Send + Sync>) {
        let _ = self.shared.waker.set(waker);
    }

    pub(crate) fn set_observed(&self) {
        self.shared.observed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_observed(&self) -> bool {
        self.shared.observed.load(Ordering::Relaxed)
    }

    pub(crate) fn set_call_details(&self, details: CallDetails) {
        self.shared.traced.store(details.trace, Ordering::Relaxed);
        self.shared.arguments_bytes_max.store(details.arguments_bytes_max, Ordering::Relaxed);
    }

    pub(crate) fn call_details(&self) -> CallDetails {
        CallDetails {
            trace: self.shared.traced.load(Ordering::Relaxed),
            arguments_bytes_max: self.shared.arguments_bytes_max.load(Ordering::Relaxed),
        }
    }

    /// Sets the clock. Only the first call has an effect.
    pub(crate) fn set_clock(&self, clock: Box<dyn Fn() -> Duration + Send + Sync>) {
        let _ = self.shared.clock.set(clock);
    }

    /// The time within a turn of the loop, if there is a clock and it does not panic.
    pub(crate) fn time(&self) -> Option<Duration> {
        self.shared.clock.get().and_then(contained)
    }

    /// Publishes the statistics, which `write` writes in their place.
    pub(crate) fn publish(&self, write: impl FnOnce(&mut Stats)) {
        let mut stats = self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner);
        write(&mut stats);
        let besides =
            stats.buffered_bytes.saturating_sub(self.shared.results_counted.load(Ordering::Relaxed));
        self.shared.held_bytes.store(besides, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> Stats {
        *self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.shared.has_mail.load(Ordering::Acquire)
    }

    /// True if the loop was woken since the last call. Call it before looking into the mailbox, so that what comes later wakes
    /// the loop again.
    pub(crate) fn take_wake(&self) -> bool {
        // To look costs less, and there is none in most turns.
        self.has_mail() && self.shared.has_mail.swap(false, Ordering::AcqRel)
    }

    /// As [`wake`](Mailbox::wake), on the loop's own thread, which does not sleep.
    #[cfg(all(unix, feature = "net"))]
    pub(crate) fn note_wake(&self) {
        self.shared.has_mail.store(true, Ordering::Release);
    }

    /// Takes everything.
    pub(crate) fn take(&self) -> Inbox {
        std::mem::take(self.lock().of(self.at))
    }

    /// Takes the changes and leaves the rest.
    pub(crate) fn take_changes(&self) -> Inbox {
        let mut inboxes = self.lock();
        let mail = inboxes.of(self.at);
        Inbox {
            updated: std::mem::take(&mut mail.updated),
            all_updated: std::mem::take(&mut mail.all_updated),
            updated_for: std::mem::take(&mut mail.updated_for),
            changed: std::mem::take(&mut mail.changed),
            changes: std::mem::take(&mut mail.changes),
            ..Inbox::default()
        }
    }

    /// Puts back the rest of what was taken, before what has come meanwhile.
    pub(crate) fn put_back(&self, rest: Inbox) {
        let mut inboxes = self.lock();
        let mail = inboxes.of(self.at);
        let newer = std::mem::replace(mail, rest);
        mail.begun.extend(newer.begun);
        mail.gave_way.extend(newer.gave_way);
        mail.finished.extend(newer.finished);
        mail.progress.extend(newer.progress.into_entries());
        mail.logs.extend(newer.logs);
        mail.updated.extend(newer.updated);
        mail.all_updated |= newer.all_updated;
        mail.updated_for.extend(newer.updated_for);
        mail.changed.extend(newer.changed);
        mail.changes.extend(newer.changes);
        #[cfg(feature = "stateless")]
        {
            mail.seal = newer.seal.or(mail.seal);
        }
        self.shared.has_mail.store(true, Ordering::Release);
    }

    /// Returns what was left for the engine since the last call.
    pub(crate) fn take_for_engine(&self) -> ForEngine {
        std::mem::take(&mut *self.shared.for_engine.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Leaves something for the engine itself.
    pub(crate) fn ask_engine(&self, ask: impl FnOnce(&mut ForEngine)) {
        ask(&mut self.shared.for_engine.lock().unwrap_or_else(PoisonError::into_inner));
        self.wake();
    }

    /// A tool was added. A name that large model APIs refuse is reported by an event.
    pub(crate) fn note_tool_name(&self, name: &str) {
        if !is_widely_taken(name) {
            self.ask_engine(|mail| mail.odd_names.push(name.to_owned()));
        }
    }

    /// The loop is gone. What it has not taken is dropped here, without the lock: a handler in it may own a `Handle`.
    pub(crate) fn end(&self) {
        let mut mail = self.lock();
        self.shared.ended.store(true, Ordering::Release);
        let left = std::mem::take(&mut *mail);
        drop(mail);
        drop(left);
        self.shared.room.notify_all();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// A worker thread has taken a call that had to wait for it.
    pub(crate) fn begin(&self, call: (CallKey, u32)) {
        self.lock().of(self.at).begun.push(call);
        self.wake();
    }

    /// A call that waited for a worker thread has given way to another one.
    pub(crate) fn give_way(&self, call: (CallKey, u32)) {
        self.lock().of(self.at).gave_way.push(call);
        self.wake();
    }

    /// A run of a call has ended on another thread. A long result for which there is no room is dropped: the loop takes results one
    /// after the other, and nothing may block here.
    pub(crate) fn finish(&self, call: (CallKey, u32), finished: Finished) {
        self.leave(self.lock(), call, finished);
    }

    /// The same from a worker thread, which waits until there is room for the result.
    pub(crate) fn finish_on_worker(&self, call: (CallKey, u32), finished: Finished) {
        let bytes = finished.held_bytes();
        let waits = |_: &mut Inboxes| !self.has_room_for(bytes) && !self.has_ended();
        let mail = self.shared.room.wait_while(self.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        self.leave(mail, call, finished);
    }

    fn leave(&self, mut mail: MutexGuard<'_, Inboxes>, (call, run): (CallKey, u32), finished: Finished) {
        let bytes = finished.held_bytes();
        let (finished, bytes, dropped) = match self.has_room_for(bytes) {
            true => (finished, bytes, None),
            false => (Finished::NoRoom, 0, Some(finished)),
        };
        let charge = self.shared.results.charge(bytes);
        mail.of(self.at).finished.push(WorkerResult { call, run, finished, charge });
        drop(mail);
        // Without the lock.
        drop(dropped);
        self.wake();
    }

    /// True if a result of that many bytes may wait for the loop: a short one in any case, and a long one alone.
    fn has_room_for(&self, bytes: usize) -> bool {
        let waiting = self.shared.results.bytes();
        let besides = self.shared.bytes_max.saturating_sub(self.shared.held_bytes.load(Ordering::Relaxed));
        let max = besides.min(self.shared.bytes_max / 4).max(self.shared.results_bytes_min);
        bytes <= SHORT_BYTES_MAX || waiting == 0 || waiting.saturating_add(bytes) <= max
    }

    /// The loop has taken a result: there may be room for another one.
    pub(crate) fn note_room(&self) {
        // A thread that has just found none is waiting once it has given up the lock.
        drop(self.lock());
        self.shared.room.notify_all();
    }

    /// Returns how many bytes the waiting results hold. From then on they count as held.
    pub(crate) fn count_results(&self) -> usize {
        // Those of all servers are counted once, with the server at the root.
        if self.at > 0 {
            return 0;
        }
        let bytes = self.shared.results.bytes();
        self.shared.results_counted.store(bytes, Ordering::Relaxed);
        bytes
    }

    /// Returns the calls whose results wait, with the bytes that each result holds.
    pub(crate) fn waiting_results(&self) -> Vec<(CallKey, usize)> {
        let mut mail = self.lock();
        mail.of(self.at).finished.iter().map(|result| (result.call, result.charge.bytes())).collect()
    }

    /// Drops the results of a call that is over, and returns how many there were.
    pub(crate) fn forget_results(&self, call: CallKey) -> usize {
        if self.shared.results.bytes() == 0 {
            return 0;
        }
        let mut inboxes = self.lock();
        let mail = inboxes.of(self.at);
        let (gone, rest) = std::mem::take(&mut mail.finished)
            .into_iter()
            .partition::<Vec<_>, _>(|result| result.call == call);
        mail.finished = rest;
        drop(inboxes);
        gone.len()
    }

    pub(crate) fn update(&self, call: CallKey, update: Update) {
        match update {
            // Compared here, since the loop sees only the last one: less than before is not the latest.
            Update::Progress(progress) if progress.done.is_finite() => {
                let mut inboxes = self.lock();
                let mail = inboxes.of(self.at);
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
        act(self.lock().of(self.at), self.shared.queue_max);
        self.wake();
    }

    /// Leaves the keys that seal from now on, for all servers.
    #[cfg(feature = "stateless")]
    pub(crate) fn post_seal(&self, seal: Seal) {
        let mut mail = self.lock();
        let Inboxes { root, mounted } = &mut *mail;
        mounted.iter_mut().chain([root]).for_each(|mail| mail.seal = Some(seal));
        drop(mail);
        self.wake();
    }

    /// Asks for a shutdown. Of several graces the shortest counts.
    pub(crate) fn ask_shutdown(&self, grace: Duration) {
        self.ask_engine(|mail| mail.shutdown = Some(mail.shutdown.map_or(grace, |before| before.min(grace))));
    }

    /// Asks for a shutdown that is announced first. Of several the first one counts.
    pub(crate) fn ask_drain(&self, delay: Duration, grace: Duration) {
        self.ask_engine(|mail| {
            mail.drain.get_or_insert((delay, grace));
        });
    }

    /// A log of the server itself.
    pub(crate) fn log_to_all(&self, level: Level, logger: Option<&str>, data: Value) {
        self.log(None, Update::Log { level, logger: logger.map(str::to_owned), data });
        self.wake();
    }

    fn log(&self, call: Option<CallKey>, log: Update) {
        let mut inboxes = self.lock();
        let mail = inboxes.of(self.at);
        if mail.logs.len() < self.shared.queue_max {
            mail.logs.push((call, log));
        } else {
            self.shared.logs_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many logs were dropped because the mailbox was full.
    pub(crate) fn logs_dropped(&self) -> u64 {
        self.shared.logs_dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inboxes> {
        self.shared.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the loop: call it after leaving something. A loop that was woken and has not read the mailbox yet is not woken
    /// again. It clears the flag before it takes the lock, so whatever was left before this call is taken in that turn or wakes
    /// it again.
    pub(crate) fn wake(&self) {
        if !self.shared.has_mail.swap(true, Ordering::AcqRel)
            && let Some(waker) = self.shared.waker.get()
        {
            // A panic of it must not end the thread that leaves something: that may be a worker's.
            let _ = contained(waker);
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
        let mailbox = Mailbox::new(&Limits::DEFAULT, StateTypes::default(), Vec::new());
        let say = |text: &str| {
            mailbox.log_to_all(Level::Info, None, text.into());
            mailbox.post(|mail, _| {
                mail.updated.insert(text.to_owned());
                let list = if text == "old" { ListKind::Tools } else { ListKind::Prompts };
                mail.changed.insert((list, None));
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
