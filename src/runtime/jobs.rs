//! Work for a bounded number of threads.
//!
//! *Scope:* [`Jobs`], a queue that knows how many threads there should be. *Not in scope:* the threads: a driver starts
//! one whenever [`Jobs::wants_thread`] returns true, and lets it [`work`](Jobs::work).
//!
//! ```text
//!  push ──▶ queued ──▶ running ──▶ done
//!             │           └─ given up ──▶ stuck ──▶ done late: the thread ends, or is not replaced
//!             └─ given up ──▶ gone
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::key_map::KeyMap;
use crate::limits::Limits;
use crate::runtime::turns::{Party, Turns};
use crate::server::mailbox::Mailbox;
use crate::service::keys::CallKey;

/// The queue of calls of blocking handlers (limits `workers`, `worker_queue_max`, `workers_stuck_max`).
///
/// A driver of your own does this after each turn, so that blocking handlers run:
///
/// ```
/// # use mcp_rill::{Server, engine::Engine};
/// let engine = Engine::new(Server::new("slow", "1.0.0").blocking_tool("nap", "Sleep", |(), _| "awake"), || 1)?;
/// let jobs = engine.jobs();
/// while jobs.wants_thread() {
///     let worker = jobs.clone();
///     if std::thread::Builder::new().spawn(move || worker.work()).is_err() {
///         jobs.thread_failed();
///         break;
///     }
/// }
/// # Ok::<(), String>(())
/// ```
#[derive(Debug)]
pub struct Jobs {
    state: Mutex<Workload>,
    /// True once there was a job: until then a turn of the loop costs no lock.
    is_used: AtomicBool,
    mailbox: Arc<Mailbox>,
    ready: Condvar,
    workers: usize,
    queue_max: usize,
    stuck_max: usize,
}

/// Returns a closure that announces its result to the loop, if there is one. It is called when the thread is already free for the
/// next job: a client may send one as soon as it has the result.
type Job = Box<dyn FnOnce(Turn) -> Option<Announce> + Send>;
pub(crate) type Announce = Box<dyn FnOnce()>;

/// How a job's time in the queue has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// A thread runs it, and was free for it when it was pushed.
    Free,
    /// A thread runs it, for which it has waited.
    Waited,
    /// It gives way to another job, and is not to run.
    GivesWay,
}

/// What happens to a job that is pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A thread is free for it, even if it has not started yet.
    Free,
    /// It has to wait, and is told so when a thread takes it. Another one may have given way to it, and was told too.
    Waits,
    /// There is no room for it.
    None,
}

struct Queued {
    waits: bool,
    job: Job,
}

#[derive(Default)]
struct Workload {
    queue: Turns<Queued>,
    running: KeyMap<CallKey, ()>,
    /// Running jobs whose calls were given up.
    stuck: KeyMap<CallKey, ()>,
    threads: usize,
    /// Threads that were counted and have not started working.
    starting: usize,
    idle: usize,
    closed: bool,
}

impl Jobs {
    pub(crate) fn new(limits: &Limits, mailbox: Arc<Mailbox>) -> Jobs {
        Jobs {
            state: Mutex::default(),
            is_used: AtomicBool::new(false),
            mailbox,
            ready: Condvar::new(),
            workers: limits.workers,
            queue_max: limits.worker_queue_max,
            stuck_max: limits.workers_stuck_max,
        }
    }

    /// Queues a job of that party. If the queue is full, the newest job of those who wait with most gives way, or if that is this
    /// one, or every thread is stuck, there is [`Place::None`]. Jobs that a thread is free for do not count as waiting.
    pub(crate) fn push(&self, party: Party, call: CallKey, job: Job) -> Place {
        let mut state = self.lock();
        let live = self.live(&state);
        let unfinished = state.queue.len() + state.running.len() - state.stuck.len();
        if live == 0 || state.closed {
            return Place::None;
        }
        let mut given_up = None;
        if unfinished >= live.saturating_add(self.queue_max) {
            let first = state.queue.first_to_give_way(&party).filter(|_| self.queue_max > 0);
            given_up = first.and_then(|first| state.queue.remove(first));
            if given_up.is_none() {
                return Place::None;
            }
        }
        let waits = unfinished >= live;
        self.is_used.store(true, Ordering::Release);
        state.queue.push(party, call, Queued { waits, job });
        self.ready.notify_one();
        // The job that was given up is told and dropped without the lock.
        drop(state);
        if let Some(Queued { job, .. }) = given_up {
            job(Turn::GivesWay);
        }
        if waits { Place::Waits } else { Place::Free }
    }

    /// True if another job would make one give way, or would have no place itself.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.lock();
        let live = self.live(&state);
        let unfinished = state.queue.len() + state.running.len() - state.stuck.len();
        live == 0 || unfinished >= live.saturating_add(self.queue_max)
    }

    /// Takes a job out of the queue. Returns true if it was there.
    pub(crate) fn take_back(&self, call: CallKey) -> bool {
        let taken = self.lock().queue.remove(call);
        // Dropped without the lock: it may own the last copy of a handler, whose captures run their own destructors.
        taken.is_some()
    }

    /// The call was given up: its job is taken out of the queue, or its thread counts as stuck.
    pub(crate) fn give_up(&self, call: CallKey) {
        if self.take_back(call) {
            return;
        }
        let mut state = self.lock();
        if state.running.get(&call).is_some() {
            state.stuck.insert(call, ());
        }
    }

    /// True if a thread works on that call, even if it was given up.
    pub(crate) fn is_running(&self, call: CallKey) -> bool {
        self.lock().running.get(&call).is_some()
    }

    /// True if the driver is to start another thread for the jobs that wait. The thread is then counted, and must call
    /// [`work`](Jobs::work).
    pub fn wants_thread(&self) -> bool {
        if !self.is_used.load(Ordering::Acquire) {
            return false;
        }
        let mut state = self.lock();
        let coming = state.idle + state.starting;
        let wants = state.queue.len() > coming && state.threads < self.allowed(&state) && !state.closed;
        state.threads += usize::from(wants);
        state.starting += usize::from(wants);
        wants
    }

    /// The counted thread could not be started.
    pub fn thread_failed(&self) {
        let mut state = self.lock();
        state.threads = state.threads.saturating_sub(1);
        state.starting = state.starting.saturating_sub(1);
    }

    /// Does jobs until there are too many threads or the queue is closed. A worker thread calls this and nothing else. It blocks
    /// while there is nothing to do.
    pub fn work(&self) {
        let mut state = self.lock();
        state.starting = state.starting.saturating_sub(1);
        loop {
            while state.queue.is_empty() && !state.closed {
                state.idle += 1;
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                state.idle -= 1;
            }
            let Some((call, Queued { waits, job })) = state.queue.pop() else { break };
            state.running.insert(call, ());
            drop(state);
            let announce = job(if waits { Turn::Waited } else { Turn::Free });
            state = self.lock();
            state.running.remove(&call);
            state.stuck.remove(&call);
            drop(state);
            match announce {
                Some(announce) => announce(),
                None => self.mailbox.wake(),
            }
            state = self.lock();
            if state.threads > self.allowed(&state) {
                break;
            }
        }
        state.threads = state.threads.saturating_sub(1);
    }

    /// Takes no more jobs, and lets the threads end when they are done.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let given_up = std::mem::take(&mut state.queue);
        self.ready.notify_all();
        drop(state);
        drop(given_up);
    }

    /// How many handlers run now, those of calls that were given up included.
    pub(crate) fn running(&self) -> usize {
        self.lock().running.len()
    }

    /// How many handlers run now, how many threads are stuck, and how many calls wait for one.
    pub(crate) fn gauges(&self) -> (usize, usize, usize) {
        if !self.is_used.load(Ordering::Acquire) {
            return (0, 0, 0);
        }
        let state = self.lock();
        (state.running.len(), state.stuck.len(), state.queue.len())
    }

    /// Stuck threads are replaced, up to a limit.
    fn allowed(&self, state: &Workload) -> usize {
        self.workers + state.stuck.len().min(self.stuck_max)
    }

    fn live(&self, state: &Workload) -> usize {
        self.allowed(state).saturating_sub(state.stuck.len())
    }

    fn lock(&self) -> MutexGuard<'_, Workload> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workload")
            .field("queued", &self.queue.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::state::StateTypes;
    use crate::slab::Slab;

    fn party() -> Party {
        Party { peer: Default::default(), session: None }
    }

    /// What a job may own: something that looks at the queue when it goes.
    struct Looks(Arc<Jobs>);

    impl Drop for Looks {
        fn drop(&mut self) {
            assert!(self.0.state.try_lock().is_ok(), "dropped under the lock");
        }
    }

    #[test]
    fn what_a_job_owns_is_dropped_without_the_lock() {
        let jobs = Arc::new(Jobs::new(
            &Limits::DEFAULT,
            Arc::new(Mailbox::new(&Limits::DEFAULT, StateTypes::default(), Vec::new())),
        ));
        let mut keys = Slab::default();
        let mut push = || {
            let (looks, key) = (Looks(jobs.clone()), CallKey(keys.insert(())));
            let job = move |_| {
                drop(looks);
                None
            };
            assert_eq!(jobs.push(party(), key, Box::new(job)), Place::Free);
            key
        };
        let first = push();
        push();
        jobs.give_up(first);
        jobs.close();
        assert!(!jobs.wants_thread());
    }

    #[test]
    fn a_thread_is_free_before_its_result_is_sent() {
        let limits = Limits { workers: 1, worker_queue_max: 0, ..Limits::DEFAULT };
        let jobs = Arc::new(Jobs::new(
            &limits,
            Arc::new(Mailbox::new(&Limits::DEFAULT, StateTypes::default(), Vec::new())),
        ));
        let mut keys = Slab::default();
        let [first, next] = [(); 2].map(|()| CallKey(keys.insert(())));
        let (told, queue) = (jobs.clone(), jobs.clone());
        let announce = move || {
            let close = queue.clone();
            let job = move |_| Some(Box::new(move || close.close()) as Announce);
            assert_eq!(
                queue.push(party(), next, Box::new(job)),
                Place::Free,
                "there is no room for the next one"
            );
        };
        assert_eq!(
            told.push(party(), first, Box::new(move |_| Some(Box::new(announce) as Announce))),
            Place::Free
        );
        assert!(jobs.wants_thread());
        jobs.work();
    }
}
