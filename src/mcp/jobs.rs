//! Work for a bounded number of threads.
//!
//! *Scope:* [`Jobs`], a queue that knows how many threads there should be. *Not in scope:* the threads: a driver makes
//! one whenever [`Jobs::wants_thread`] says so, and lets it [`work`](Jobs::work).
//!
//! ```text
//!  push ──▶ queued ──▶ running ──▶ done
//!             │           └─ given up ──▶ stuck ──▶ done late: the thread ends, or is not replaced
//!             └─ given up ──▶ gone
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::Limits;
use crate::mcp::CallKey;

/// The queue of blocking tools' calls (limits `workers`, `worker_queue_max`, `workers_stuck_max`).
///
/// What a driver of your own does after each turn, so that blocking tools run:
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
    state: Mutex<State>,
    ready: Condvar,
    workers: usize,
    queue_max: usize,
    stuck_max: usize,
}

/// Gives what tells the loop of its result, if there is any: by then its thread is free for the next one, which a client
/// may send as soon as it has the result.
type Job = Box<dyn FnOnce() -> Option<Tell> + Send>;
pub(crate) type Tell = Box<dyn FnOnce()>;

#[derive(Default)]
struct State {
    queue: VecDeque<(CallKey, Job)>,
    running: BTreeSet<CallKey>,
    /// Running jobs that nobody waits for any more.
    stuck: BTreeSet<CallKey>,
    threads: usize,
    /// Threads that were counted and do not work yet.
    starting: usize,
    idle: usize,
    closed: bool,
}

impl Jobs {
    pub(crate) fn new(limits: &Limits) -> Jobs {
        Jobs {
            state: Mutex::default(),
            ready: Condvar::new(),
            workers: limits.workers,
            queue_max: limits.worker_queue_max,
            stuck_max: limits.workers_stuck_max,
        }
    }

    /// Queues a job; says no if the queue is full or every thread is stuck. Jobs that a thread is free for do not count
    /// as waiting, whether or not that thread has got to it yet.
    pub(crate) fn push(&self, call: CallKey, job: Job) -> bool {
        let mut state = self.lock();
        let live = self.live(&state);
        let unfinished = state.queue.len() + state.running.len() - state.stuck.len();
        let room = unfinished < live.saturating_add(self.queue_max) && live > 0 && !state.closed;
        if room {
            state.queue.push_back((call, job));
            self.ready.notify_one();
        }
        room
    }

    /// Nobody waits for this call any more: it is taken out of the queue, or its thread counts as stuck.
    pub(crate) fn give_up(&self, call: CallKey) {
        let mut state = self.lock();
        let at = state.queue.iter().position(|(queued, _)| *queued == call);
        // Dropped when the lock is free again: it may own the last of a handler, and that anything.
        let given_up = at.and_then(|at| state.queue.remove(at));
        if state.running.contains(&call) {
            state.stuck.insert(call);
        }
        drop(state);
        drop(given_up);
    }

    /// Whether another thread is to be made for the jobs that wait. If so it is counted, and must call
    /// [`work`](Jobs::work).
    pub fn wants_thread(&self) -> bool {
        let mut state = self.lock();
        let coming = state.idle + state.starting;
        let wants = state.queue.len() > coming && state.threads < self.allowed(&state) && !state.closed;
        state.threads += usize::from(wants);
        state.starting += usize::from(wants);
        wants
    }

    /// The thread that was counted could not be made.
    pub fn thread_failed(&self) {
        let mut state = self.lock();
        state.threads = state.threads.saturating_sub(1);
        state.starting = state.starting.saturating_sub(1);
    }

    /// Does jobs until there are too many threads or the queue is closed: all that a worker thread has to call. It blocks
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
            let Some((call, job)) = state.queue.pop_front() else { break };
            state.running.insert(call);
            drop(state);
            let tell = job();
            state = self.lock();
            state.running.remove(&call);
            state.stuck.remove(&call);
            if let Some(tell) = tell {
                drop(state);
                tell();
                state = self.lock();
            }
            if state.threads > self.allowed(&state) {
                break;
            }
        }
        state.threads = state.threads.saturating_sub(1);
    }

    /// Lets no more jobs in and the threads end when they are done.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let given_up = std::mem::take(&mut state.queue);
        self.ready.notify_all();
        drop(state);
        drop(given_up);
    }

    /// Threads that are written off, for a health check.
    pub(crate) fn stuck(&self) -> usize {
        self.lock().stuck.len()
    }

    /// Stuck threads are replaced, up to a limit.
    fn allowed(&self, state: &State) -> usize {
        self.workers + state.stuck.len().min(self.stuck_max)
    }

    fn live(&self, state: &State) -> usize {
        self.allowed(state).saturating_sub(state.stuck.len())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("queued", &self.queue.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::slab::Slab;

    /// What a job may own: something that looks at the queue when it goes.
    struct Looks(Arc<Jobs>);

    impl Drop for Looks {
        fn drop(&mut self) {
            assert!(self.0.state.try_lock().is_ok(), "dropped under the lock");
        }
    }

    #[test]
    fn what_a_job_owns_is_dropped_without_the_lock() {
        let jobs = Arc::new(Jobs::new(&Limits::DEFAULT));
        let mut keys = Slab::default();
        let mut push = || {
            let (looks, key) = (Looks(jobs.clone()), CallKey(keys.insert(())));
            assert!(jobs.push(
                key,
                Box::new(move || {
                    drop(looks);
                    None
                })
            ));
            key
        };
        let first = push();
        push();
        jobs.give_up(first);
        jobs.close();
        assert!(!jobs.wants_thread());
    }

    #[test]
    fn a_thread_is_free_before_anybody_hears_of_its_result() {
        let limits = Limits { workers: 1, worker_queue_max: 0, ..Limits::DEFAULT };
        let jobs = Arc::new(Jobs::new(&limits));
        let mut keys = Slab::default();
        let [first, next] = [(); 2].map(|()| CallKey(keys.insert(())));
        let (told, queue) = (jobs.clone(), jobs.clone());
        let tell = move || {
            let close = queue.clone();
            let job = move || Some(Box::new(move || close.close()) as Tell);
            assert!(queue.push(next, Box::new(job)), "there is no room for the next one");
        };
        assert!(told.push(first, Box::new(move || Some(Box::new(tell) as Tell))));
        assert!(jobs.wants_thread());
        jobs.work();
    }
}
