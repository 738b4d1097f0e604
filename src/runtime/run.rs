//! Calls from their first run to their last: handlers on this thread and on others, questions, deadlines.
//!
//! *Scope:* running a tool's, resource's or prompt's handler, keeping unfinished calls, matching a client's answer to its question
//! (`take_answer`), and finishing them. *Not in scope:* methods (`handler_service`), calls that wait for worker threads
//! (`workers`), threads and clocks.
//!
//! ```text
//!              ┌────────── all answered, no way to the client, or question_timeout ◀────┐
//!              ▼                                                                        │
//!  request ─▶ run ─┬─ value, error, panic ─────────────────────────▶ answered           │
//!              │   ├─ questions ─▶ requests to the client ─▶ Asking ────────────────────┘
//!              │   └─ deferred ──▶ Elsewhere ─┬─ Reply::finish ────▶ answered
//!              └─ blocking ─▶ Elsewhere       ├─ result ───────────▶ answered
//!                                             ├─ questions ────────▶ Asking
//!                                             └─ timeout ──────────▶ answered with an error
//!  cancelled, or the session ends: forgotten from any state, and its handler is told to stop
//! ```

use std::time::Duration;

use crate::json::value::{JsonBuf, JsonCow};
use crate::json::write::{Array, Object};
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Error, Response};
use crate::protocol::content::ToolResult;
use crate::protocol::error::{CallError, Failure};
use crate::protocol::panics::guarded;
use crate::runtime::calls::{Purpose, Run, UnfinishedCall};
use crate::runtime::conclusion::{Conclusion, conclusion_of};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::{Produced, Started, Target, Work, produce};
use crate::runtime::updates::emit;
use crate::server::call::{Call, CallHandle, Updates};
use crate::server::context::Context;
use crate::server::mailbox::{Ask, Finished, Update, WorkerResult};
use crate::server::questions::{Label, QuestionOutcome, Questions};
use crate::service::ended::CallOutcome;
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::{Outbox, Outgoing};
use crate::text::printable;
use crate::timers::Now;

const RESULTS_FULL: &str = "the results of other calls fill the server's memory (limit buffered_bytes_max)";

/// What is to be done with a run whose call is not answered.
pub(crate) enum Next {
    /// Its work is for a worker thread, which may take this time.
    Work(Work, Duration),
    /// It is kept for this time: its `Reply` answers the call.
    Deferred(Duration),
    /// Its questions are sent.
    Ask,
}

impl HandlerService {
    /// Runs the handler, for the first time or again.
    pub(crate) fn run(&mut self, mut run: Run<'_>, now: Now, out: &mut Outbox) {
        if let Some(next) = self.run_handler(&mut run, out) {
            self.go_on(run, next, now, out);
        }
    }

    /// Runs the handler. Returns what is to be done with the run, if the call is not answered. It is not moved before that is known:
    /// it is large, and most end here.
    pub(crate) fn run_handler(&mut self, run: &mut Run<'_>, out: &mut Outbox) -> Option<Next> {
        self.begin_run(run);
        let begun = self.measured_time();
        self.lend_session_data(run.session, &mut run.call);
        let Run { target, item, arguments, call, admitted, .. } = &mut *run;
        let arguments = arguments.as_ref().map(JsonCow::as_ref);
        let (about, outcome) = produce(&mut self.server, *target, item, arguments, call, *admitted);
        (run.about, run.admitted) = (about, true);
        self.take_session_data(run.session, &mut run.call);
        let updates = run.call.updates.take();
        let time = run.time_left.unwrap_or_else(|| self.timeout_of(run));
        let made = match outcome {
            Started::Elsewhere(work) => return Some(Next::Work(work, time)),
            Started::Here(made) => made,
        };
        run.times.ran += self.measured_time().saturating_sub(begun);
        self.announce_changes(out);
        updates.into_iter().for_each(|update| emit(run, update, out));
        let is_content = run.call.questions.is_content();
        if is_content && run.call.deferred && matches!(made, Err(CallError(Failure::Deferred))) {
            return Some(Next::Deferred(time));
        }
        let produced = made.map(|made| run.about.complete(made));
        self.conclude(run, produced, out)
    }

    /// Goes on with a call that is not answered.
    #[cold]
    pub(crate) fn go_on(&mut self, run: Run<'_>, next: Next, now: Now, out: &mut Outbox) {
        match next {
            Next::Work(work, time) => self.run_on_worker(run.into_owned(), work, time, now, out),
            Next::Deferred(time) => self.keep(run.into_owned(), Vec::new(), 0, now, time),
            Next::Ask => self.ask(run, now, out),
        }
    }

    /// Makes what a handler gets.
    pub(crate) fn call_of<'a>(&self, call: CallKey, context: Context<'a>) -> Call<'a> {
        let handle = CallHandle { call, run: 0, flags: None, mailbox: self.mailbox.clone() };
        let updates = Updates::Kept(Vec::new());
        let questions = Questions::default();
        Call { context, questions, updates, handle, deferred: false, session_data: None }
    }

    /// Prepares the next run. During a shutdown it is cancelled from the start: there is no time for long work.
    fn begin_run(&self, run: &mut Run<'_>) {
        run.runs += 1;
        run.call.handle.run = run.runs;
        run.call.deferred = false;
        if self.stopping {
            run.call.handle.flags().end();
        }
    }

    /// Keeps a call until its answers come, or its result from another thread, which holds `elsewhere_bytes` for it.
    pub(crate) fn keep(
        &mut self,
        mut run: Run<'static>,
        asking: Vec<(i64, Label)>,
        elsewhere_bytes: usize,
        now: Now,
        time: Duration,
    ) {
        if asking.is_empty() {
            run.time_left = Some(time);
        }
        run.times.since = self.measured_time();
        let deadline = now.mono.saturating_add(time);
        self.calls.keep(Box::new(UnfinishedCall::new(run, asking, elsewhere_bytes, deadline)));
    }

    /// The handler has returned: the call is answered, or it has questions.
    #[inline]
    fn conclude(
        &mut self,
        run: &mut Run<'_>,
        produced: Result<Produced, CallError>,
        out: &mut Outbox,
    ) -> Option<Next> {
        let deferred = matches!(produced, Err(CallError(Failure::Deferred)));
        if let Conclusion::Answer(answer, fault) =
            conclusion_of(&mut run.call.questions, run.target, &run.item, produced)
        {
            if let Some(flags) = run.call.handle.flags.as_ref().filter(|_| deferred) {
                flags.cancel();
            }
            fault.into_iter().for_each(|fault| out.fault(fault));
            self.answer_call(run, answer, out);
            return None;
        }
        Some(Next::Ask)
    }

    /// The same, for a run that has gone on elsewhere.
    fn conclude_late(
        &mut self,
        mut run: Run<'_>,
        produced: Result<Produced, CallError>,
        now: Now,
        out: &mut Outbox,
    ) {
        if let Some(next) = self.conclude(&mut run, produced, out) {
            self.go_on(run, next, now, out);
        }
    }

    /// Sends the questions of a run, or answers the call if they cannot be asked.
    fn ask(&mut self, mut run: Run<'_>, now: Now, out: &mut Outbox) {
        // During subscriptions/listen nothing can be asked.
        if run.purpose == Purpose::Listen {
            return self.answer_call(&run, Err(CallError::not_found()), out);
        }
        if run.target == Target::List {
            let error = CallError::internal("a list of resources cannot ask the client");
            return self.answer_call(&run, Err(error), out);
        }
        run.call.questions.rounds += 1;
        if run.call.questions.rounds > self.server.limits.rounds_max {
            let rounds = self.server.limits.rounds_max;
            let error = CallError::for_model(format!(
                "the {} asked the client in more than {rounds} rounds (limit rounds_max)",
                run.target.name()
            ));
            return self.answer_call(&run, Err(error), out);
        }
        if let Err(problem) = run.call.questions.check_questions(self.server.limits.message_bytes_max) {
            return self.answer_call(&run, Err(CallError::for_model(problem)), out);
        }
        if !run.revision().has_sessions() {
            let before = out.bytes();
            self.ask_in_result(&run, now, out);
            return self.report_end(&run, CallOutcome::Asked, out.bytes() - before, out);
        }
        if self.stopping {
            let error = CallError::for_model("the server is shutting down, so its client cannot be asked");
            return self.answer_call(&run, Err(error), out);
        }
        let mut asking = Vec::new();
        for question in std::mem::take(&mut run.call.questions.pending) {
            self.calls.last_question += 1;
            let id = self.calls.last_question;
            out.request(run.audience(), id, question.method, &question.params);
            asking.push((id, question.label));
        }
        self.keep(run.into_owned(), asking, 0, now, self.server.limits.question_timeout);
    }

    pub(crate) fn answer_call(
        &mut self,
        run: &Run<'_>,
        produced: Result<Produced, CallError>,
        out: &mut Outbox,
    ) {
        if self.take_probe(run, produced.is_ok(), out) {
            return;
        }
        let before = out.bytes();
        let outcome = self.write_answer(run, produced, out);
        self.report_end(run, outcome, out.bytes() - before, out);
    }

    /// Answers a call whose time is over.
    pub(crate) fn answer_late(&mut self, run: &Run<'_>, error: CallError, out: &mut Outbox) {
        if self.take_probe(run, false, out) {
            return;
        }
        let before = out.bytes();
        self.write_answer(run, Err(error), out);
        self.report_end(run, CallOutcome::TimedOut, out.bytes() - before, out);
    }

    fn write_answer(
        &mut self,
        run: &Run<'_>,
        produced: Result<Produced, CallError>,
        out: &mut Outbox,
    ) -> CallOutcome {
        let revision = run.revision();
        let produced = match produced {
            Err(CallError(Failure::ForModel(text))) if run.target == Target::Tool => {
                Ok(Produced::Tool(ToolResult::error(text)))
            }
            Err(CallError(Failure::MissingCapability(why)))
                if run.target == Target::Tool && !why.is_for_the_client(revision) =>
            {
                Ok(Produced::Tool(ToolResult::error(why.to_string())))
            }
            other => other,
        };
        let produced = produced.and_then(|produced| {
            produced.check().map_err(|problem| {
                let (kind, name) = (run.target.name(), &run.item);
                CallError::internal(format!(
                    "the {kind} `{name}` returned something that clients refuse: {problem}"
                ))
            })
        });
        match produced {
            Ok(Produced::Tool(mut result)) => match HandlerService::check_result(run, &mut result) {
                Ok(()) => {
                    self.result_with(run.key, revision, None, &result.meta, out, |out| {
                        result.write(out, revision)
                    });
                    if result.is_error() {
                        return CallOutcome::ToolError;
                    }
                }
                Err(error) => {
                    out.error(run.key, &error);
                    return CallOutcome::Error(error.code);
                }
            },
            Ok(Produced::Contents(contents, mime_type, cache)) => {
                self.result(run.key, revision, Some(cache), out, |out| {
                    Object::new(out).field("contents", |out| {
                        let mut items = Array::new(out);
                        contents.iter().for_each(|contents| {
                            items.item(|out| contents.write(out, &run.item, mime_type.as_deref()));
                        });
                    });
                })
            }
            Ok(Produced::Prompt(result, description)) => {
                self.result_with(run.key, revision, None, &result.meta, out, |out| {
                    result.write(out, description.as_deref(), revision)
                });
            }
            Ok(Produced::Listed(resources)) => self.answer_list(run, &resources, out),
            Err(error) => {
                let uri = matches!(run.target, Target::Resource | Target::List).then_some(&*run.item);
                let error = error.into_error(uri, revision);
                out.error(run.key, &error);
                return CallOutcome::Error(error.code);
            }
        }
        CallOutcome::Result
    }

    /// Checks that a tool returns what its output schema declares (MCP tools, output schema).
    fn check_result(run: &Run<'_>, result: &mut ToolResult) -> Result<(), Error> {
        result
            .check(run.about.output_rules.as_deref().map(JsonBuf::as_ref), run.revision())
            .map_err(|problem| Error::internal(format_args!("the tool `{}` {problem}", run.item)))
    }

    /// Takes an answer of the client. Returns true if a call of this session waited for it.
    pub(crate) fn take_answer(
        &mut self,
        session: SessionKey,
        answer: &Response<'_>,
        now: Now,
        out: &mut Outbox,
    ) -> bool {
        let Some(id) = answer.id.as_ref().and_then(IdRef::as_int) else { return false };
        let Some(key) = self.calls.questions.get(&id).copied() else { return false };
        if self.calls.session_of(key) != Some(session) {
            return false;
        }
        let Some(mut kept) = self.calls.take(key) else { return false };
        let at = kept.asking.iter().position(|(asked, _)| *asked == id);
        if let Some((_, question)) = at.map(|at| kept.asking.swap_remove(at)) {
            let answer = match answer.outcome {
                Ok(result) => QuestionOutcome::Result(result.into()),
                Err(error) => QuestionOutcome::Error(
                    Error::read(error).unwrap_or_else(|_| Error::internal("an error of unknown form")),
                ),
            };
            kept.run.call.questions.answer(question, answer);
        }
        if kept.asking.is_empty() {
            self.run_again(kept.run, now, out);
        } else {
            self.calls.keep(kept);
        }
        true
    }

    fn run_again(&mut self, mut run: Run<'static>, now: Now, out: &mut Outbox) {
        run.call.questions.rewind();
        self.run(run, now, out);
    }

    /// Cancels a call, for its client or because its session ends. Its handler is told to stop, and the client is told which
    /// questions need no answer any more.
    pub(crate) fn cancel_call(&mut self, key: CallKey, out: &mut Outbox) {
        if let Some(mut kept) = self.calls.take(key) {
            self.abandon(&kept, "the request was cancelled", out);
            kept.count_time(self.measured_time());
            self.report_end(&kept.run, CallOutcome::Cancelled, 0, out);
            // Its result may have come already, and would hold memory until its turn.
            let late = self.mailbox.forget_results(key) + self.announcing.forget_results(key);
            (0..late).for_each(|_| out.late());
            self.mailbox.note_room();
        }
    }

    pub(crate) fn abandon(&mut self, kept: &UnfinishedCall, reason: &str, out: &mut Outbox) {
        if let Some(flags) = &kept.run.call.handle.flags {
            flags.cancel();
        }
        self.jobs.give_up(kept.run.key);
        for (id, _) in &kept.asking {
            out.notify(Outgoing::Message(kept.run.audience()), "notifications/cancelled", |params| {
                params.int("requestId", *id).str("reason", reason);
            });
        }
    }

    /// Ends the calls whose deadlines have passed, or runs their handlers again without answers.
    pub(crate) fn expire_calls(&mut self, now: Now, out: &mut Outbox) {
        self.expire_outrun(now);
        // Those that are left are due at once.
        while !out.is_full()
            && let Some((_, key)) =
                self.calls.deadlines.first().copied().filter(|(deadline, _)| *deadline <= now.mono)
        {
            let Some(kept) = self.calls.take(key) else { return };
            if kept.asking.is_empty() {
                self.expire_elsewhere(kept, now, out);
            } else {
                self.abandon(&kept, "it took too long", out);
                self.stop_asking(kept, || QuestionOutcome::Late, now, out);
            }
        }
    }

    fn stop_asking(
        &mut self,
        mut kept: Box<UnfinishedCall>,
        outcome: fn() -> QuestionOutcome,
        now: Now,
        out: &mut Outbox,
    ) {
        for (_, question) in kept.asking.drain(..) {
            kept.run.call.questions.answer(question, outcome());
        }
        // The flags were cancelled with the questions. The handler goes on with new ones.
        kept.run.call.handle.flags = None;
        self.run_again(kept.run, now, out);
    }

    /// A question of the call could not be sent to its client.
    pub(crate) fn give_up_asking(&mut self, key: CallKey, now: Now, out: &mut Outbox) {
        // It may have been the cancellation of an older question, and the call may run on another thread by now.
        let is_asking = self.calls.kept.get(&key).is_some_and(|kept| !kept.asking.is_empty());
        if let Some(kept) = is_asking.then(|| self.calls.take(key)).flatten() {
            self.stop_asking(kept, || QuestionOutcome::Unreached, now, out);
        }
    }

    /// The server shuts down: calls that wait for answers end in an error, since no answer can come any more. Those for which the
    /// outbox has no room are left for the next turn.
    pub(crate) fn stop_all_asking(&mut self, out: &mut Outbox) {
        let asking = self.calls.kept.values().filter(|kept| !kept.asking.is_empty());
        let keys: Vec<CallKey> = asking.map(|kept| kept.run.key).collect();
        for key in keys {
            if out.is_full() {
                return;
            }
            if let Some(kept) = self.calls.take(key) {
                self.abandon(&kept, "the server is shutting down", out);
                let keys: Vec<String> =
                    kept.asking.iter().map(|(_, label)| format!("`{}`", label.key)).collect();
                let keys = keys.join(", ");
                let error = CallError::for_model(format!(
                    "the client did not answer {keys} before the server shut down"
                ));
                self.answer_call(&kept.run, Err(error), out);
            }
        }
    }

    /// A result came from another thread.
    pub(crate) fn take_finished(&mut self, result: WorkerResult, now: Now, out: &mut Outbox) {
        let WorkerResult { call: key, run, finished, charge } = result;
        let is_elsewhere = self.calls.is_elsewhere(key, run);
        let Some(mut kept) = is_elsewhere.then(|| self.calls.take(key)).flatten() else {
            out.late();
            return;
        };
        kept.count_time(self.measured_time());
        let elsewhere = kept.is_on_worker();
        let mut run = kept.run;
        if !kept.waits {
            run.time_left = Some(kept.deadline.saturating_sub(now.mono));
        }
        let result = match finished {
            Finished::Deferred(result) => {
                self.watch_outrun(&run, now);
                result
            }
            Finished::Asked(ask) if elsewhere => {
                drop(ask);
                self.watch_outrun(&run, now);
                let problem =
                    "the reply of a blocking handler cannot ask: ask by `Call::elicit` before `Call::defer`";
                out.fault(format!("the {} `{}`: {problem}", run.target.name(), printable(&run.item)));
                Err(CallError::internal(problem))
            }
            Finished::Asked(ask) => return self.ask_for_reply(run, ask, now, out),
            Finished::Ran(result, questions) => {
                run.call.questions = questions;
                result
            }
            Finished::NoRoom => {
                self.watch_outrun(&run, now);
                if !self.take_probe(&run, false, out) {
                    out.busy(key, RESULTS_FULL);
                    self.report_end(&run, CallOutcome::Busy, 0, out);
                }
                return;
            }
        };
        let produced = result.map(|made| run.about.complete(made));
        self.conclude_late(run, produced, now, out);
        drop(charge);
    }

    /// A `Reply` asks the client. If it cannot be asked, its handler learns that at once.
    fn ask_for_reply(&mut self, mut run: Run<'static>, ask: Ask, now: Now, out: &mut Outbox) {
        run.call.questions.rewind();
        let call = &mut run.call;
        let asked = guarded(run.target.name(), &run.item, || ask(call));
        let (key, why) = match asked {
            Ok(unavailable) => unavailable,
            Err(error) => return self.conclude_late(run, Err(error), now, out),
        };
        run.call.questions.rounds += 1;
        let rounds = self.server.limits.rounds_max;
        if run.call.questions.rounds > rounds {
            let text = format!("its client cannot be asked, and was in {rounds} rounds (limit rounds_max)");
            return self.answer_call(&run, Err(CallError::for_model(text)), out);
        }
        let label = Label { key: key.into(), fingerprint: 0 };
        run.call.questions.answer(label, QuestionOutcome::Unavailable(why));
        self.run_again(run, now, out);
    }

    /// Progress or a log of a call that runs on another thread.
    pub(crate) fn take_update(&mut self, key: CallKey, update: Update, out: &mut Outbox) {
        if let Some(kept) = self.calls.kept.get_mut(&key) {
            emit(&mut kept.run, update, out);
        }
    }
}
