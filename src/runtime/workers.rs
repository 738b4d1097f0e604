//! Calls on worker threads: from the queue to the handler, and what time each may take.
//!
//! *Scope:* queueing a call, and its time. *Not in scope:* the queue and its threads (`jobs`), and finishing a call (`run`).
//!
//! ```text
//!             a thread is free ────────────────────────────────┐
//!  run ─▶ push ─┬─ none is ──▶ Waiting ─▶ a worker takes it ───┴─▶ Working ─▶ result, or the item's timeout
//!               │                 └─ worker_wait_timeout ─▶ busy
//!               └─ no room ─▶ busy: it, or the newest call of those who wait with most
//! ```
//!
//! A worker has no clock: it leaves a message in the mailbox when it takes a call that has waited, and the loop starts the
//! call's time when it reads that.

use std::time::Duration;

use crate::json::value::JsonCow;
use crate::protocol::error::{CallError, Failure};
use crate::protocol::panics::guarded;
use crate::runtime::calls::{Purpose, Run, UnfinishedCall};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Work;
use crate::runtime::jobs::{Announce, Place, Turn};
use crate::runtime::turns::Party;
use crate::server::call::{Call, Updates};
use crate::server::mailbox::Finished;
use crate::service::ended::CallOutcome;
use crate::service::keys::CallKey;
use crate::service::outbox::Outbox;
use crate::timers::Now;

const QUEUE_FULL: &str =
    "all worker threads are busy and the queue is full (limits workers, worker_queue_max)";

impl HandlerService {
    /// Gives a call to the worker threads. `time` is what its handler may take.
    pub(crate) fn run_on_worker(
        &mut self,
        mut run: Run<'static>,
        work: Work,
        time: Duration,
        now: Now,
        out: &mut Outbox,
    ) {
        // The thread has its own copy.
        let elsewhere_bytes = size_of::<UnfinishedCall>() + run.held_bytes();
        // They see the same flags.
        run.call.handle.flags();
        let handle = run.call.handle.clone();
        run.time_left = Some(time);
        let mut context = run.call.context.clone();
        context.timeout = Some(time);
        let questions = std::mem::take(&mut run.call.questions);
        let (arguments, kind, name) = (run.arguments.clone(), run.target.name(), run.item.clone());
        let key = run.key;
        let job = move |turn| {
            let (call, mailbox) = ((handle.call, handle.run), handle.mailbox.clone());
            match turn {
                Turn::Free => {}
                Turn::Waited => mailbox.begin(call),
                Turn::GivesWay => {
                    mailbox.give_way(call);
                    return None;
                }
            }
            let mut call_at_hand = Call {
                context,
                questions,
                updates: Updates::Mailed,
                handle,
                deferred: false,
                session_data: None,
            };
            let result =
                guarded(kind, &name, || work(arguments.as_ref().map(JsonCow::as_ref), &mut call_at_hand));
            // The `Reply` of a deferring handler finishes the call.
            let others = call_at_hand.deferred
                && call_at_hand.questions.is_content()
                && matches!(result, Err(CallError(Failure::Deferred)));
            let finished = Finished::Ran(result, call_at_hand.questions);
            (!others).then(|| Box::new(move || mailbox.finish_on_worker(call, finished)) as Announce)
        };
        let session = run.call.context.session_id.map(|_| run.session);
        let party = Party { peer: run.call.context.peer.clone().into_owned(), session };
        match self.jobs.push(party, key, Box::new(job)) {
            Place::Free => self.keep(run, Vec::new(), elsewhere_bytes, now, time),
            Place::Waits => {
                let deadline = now.mono.saturating_add(self.server.limits.worker_wait_timeout);
                run.times.since = self.measured_time();
                let mut kept = UnfinishedCall::new(run, Vec::new(), elsewhere_bytes, deadline);
                kept.waits = true;
                self.calls.keep(Box::new(kept));
            }
            // This URI alone is not promised.
            Place::None if run.purpose == Purpose::Listen => {
                self.take_probe(&run, false, out);
            }
            Place::None => {
                out.busy(key, QUEUE_FULL);
                self.report_end(&run, CallOutcome::Busy, 0, out);
            }
        }
    }

    /// A call that waited for a thread has given way to another one, which may be of another server: all have the same threads.
    pub(crate) fn refuse_queued(&mut self, (key, run): (CallKey, u32), out: &mut Outbox) {
        let waits = self.calls.is_elsewhere(key, run);
        let Some(mut kept) = waits.then(|| self.calls.take(key)).flatten() else { return };
        if kept.run.purpose == Purpose::Listen {
            self.take_probe(&kept.run, false, out);
        } else {
            out.busy(key, QUEUE_FULL);
            kept.count_time(self.measured_time());
            self.report_end(&kept.run, CallOutcome::Busy, 0, out);
        }
    }

    /// A worker has taken a call that had waited for it: its time begins.
    pub(crate) fn take_begun(&mut self, (key, run): (CallKey, u32), now: Now) {
        let waits = self.calls.is_elsewhere(key, run);
        if let Some(kept) = waits.then(|| self.calls.take(key)).flatten() {
            self.begin(kept, now);
        }
    }

    fn begin(&mut self, mut kept: Box<UnfinishedCall>, now: Now) {
        kept.count_time(self.measured_time());
        if std::mem::take(&mut kept.waits) {
            kept.deadline = now.mono.saturating_add(kept.run.time_left.unwrap_or_default());
        }
        self.calls.keep(kept);
    }

    /// The time of a call on another thread is over, or its wait for one.
    pub(crate) fn expire_elsewhere(&mut self, mut kept: Box<UnfinishedCall>, now: Now, out: &mut Outbox) {
        kept.count_time(self.measured_time());
        let (key, kind, name) = (kept.run.key, kept.run.target.name(), &kept.run.item);
        if self.jobs.take_back(key) {
            if kept.run.purpose == Purpose::Listen {
                self.take_probe(&kept.run, false, out);
                return;
            }
            let (time, whose) = match kept.waits {
                true => (self.server.limits.worker_wait_timeout, "limit worker_wait_timeout"),
                // A thread could not be started.
                false => (self.timeout_of(&kept.run), "its timeout"),
            };
            let what =
                format!("no worker thread was free for {kind} `{name}` within {} s", time.as_secs_f64());
            out.busy(key, &format!("{what} ({whose}); it was not run"));
            return self.report_end(&kept.run, CallOutcome::Busy, 0, out);
        }
        if kept.waits {
            // Its worker has just taken it, and its message is on the way.
            return self.begin(kept, now);
        }
        self.abandon(&kept, "it took too long", out);
        let time = self.timeout_of(&kept.run).as_secs_f64();
        let text = format!("the {kind} `{name}` did not finish within {time} s (its timeout)");
        self.answer_late(&kept.run, CallError::for_model(text), out);
    }

    /// A `Reply` has finished a call. A blocking handler that still runs has the rest of its time to return.
    pub(crate) fn watch_outrun(&mut self, run: &Run<'_>, now: Now) {
        if self.jobs.is_running(run.key) {
            let jobs = &self.jobs;
            // Keeps no more entries than threads run.
            self.calls.outrun.retain(|(_, key)| jobs.is_running(*key));
            let deadline = now.mono.saturating_add(run.time_left.unwrap_or_default());
            self.calls.outrun.insert((deadline, run.key));
        }
    }

    /// The threads of handlers that have not returned in time, although their calls are answered, count as stuck.
    pub(crate) fn expire_outrun(&mut self, now: Now) {
        while self.calls.outrun.first().is_some_and(|(deadline, _)| *deadline <= now.mono) {
            if let Some((_, key)) = self.calls.outrun.pop_first() {
                self.jobs.give_up(key);
            }
        }
    }

    /// How long the handler may take on other threads, in all its runs together.
    pub(crate) fn timeout_of(&self, run: &Run<'_>) -> Duration {
        run.about.timeout.unwrap_or(self.server.limits.tool_timeout)
    }

    /// The server shuts down: handlers on other threads are told to stop, but results that come in time are still sent.
    pub(crate) fn cancel_handlers(&self) {
        self.calls.all_flags().for_each(|flags| flags.end());
    }
}
