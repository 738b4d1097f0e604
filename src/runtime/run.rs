//! Calls from their first run to their last: handlers on this thread and on others, questions, deadlines.
//!
//! *Scope:* running a tool's, resource's or prompt's handler, keeping unfinished calls, and finishing them.
//! *Not in scope:* methods (`handler_service`), calls that wait for worker threads (`workers`), threads and clocks.
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

use crate::json::value::JsonCow;
use crate::json::write::{Array, Object};
use crate::jsonrpc::id::IdRef;
use crate::jsonrpc::{Error, Response};
use crate::protocol::content::ToolResult;
use crate::protocol::error::{CallError, Failure};
#[cfg(feature = "stateless")]
use crate::runtime::calls::Purpose;
use crate::runtime::calls::{Run, UnfinishedCall};
use crate::runtime::conclusion::{Conclusion, conclusion_of};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::{Produced, Started, Target, produce};
use crate::runtime::updates::emit;
use crate::server::call::{Call, CallHandle, Updates};
use crate::server::context::Context;
use crate::server::mailbox::{Finished, Update, WorkerResult};
use crate::server::questions::{Label, QuestionOutcome, Questions};
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::{Outbox, Outgoing};
use crate::timers::Now;

impl HandlerService {
    /// Runs the handler, for the first time or again.
    pub(crate) fn run(&mut self, mut run: Run<'_>, now: Now, out: &mut Outbox) {
        self.begin_run(&mut run);
        let Run { target, item, arguments, call, .. } = &mut run;
        let arguments = arguments.as_ref().map(JsonCow::as_ref);
        let (about, outcome) = produce(&mut self.server.registry, *target, item, arguments, call);
        run.about = about;
        let updates = run.call.updates.take();
        let time = run.time_left.unwrap_or_else(|| self.timeout_of(&run));
        let made = match outcome {
            Started::Elsewhere(work) => return self.run_on_worker(run.into_owned(), work, time, now, out),
            Started::Here(made) => made,
        };
        self.announce_changes(out);
        updates.into_iter().for_each(|update| emit(&mut run, update, out));
        if run.call.questions.is_content()
            && run.call.deferred
            && matches!(made, Err(CallError(Failure::Deferred)))
        {
            self.keep(run.into_owned(), Vec::new(), 0, now, time);
        } else {
            let produced = made.map(|made| run.about.complete(made));
            self.conclude(run, produced, now, out);
        }
    }

    /// Makes what a handler gets.
    pub(crate) fn call_of<'a>(&self, call: CallKey, context: Context<'a>) -> Call<'a> {
        let handle = CallHandle { call, run: 0, flags: None, mailbox: self.mailbox.clone() };
        let updates = Updates::Kept(Vec::new());
        Call { context, questions: Questions::default(), updates, handle, deferred: false }
    }

    /// Prepares the next run. During a shutdown it is cancelled from the start: there is no time for long work.
    fn begin_run(&self, run: &mut Run<'_>) {
        run.runs += 1;
        run.call.handle.run = run.runs;
        run.call.deferred = false;
        if self.stopping {
            run.call.handle.flags().cancel();
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
        let deadline = now.mono.saturating_add(time);
        self.calls.keep(Box::new(UnfinishedCall::new(run, asking, elsewhere_bytes, deadline)));
    }

    /// The handler has returned: its questions are sent, or the call is answered.
    fn conclude(
        &mut self,
        mut run: Run<'_>,
        produced: Result<Produced, CallError>,
        now: Now,
        out: &mut Outbox,
    ) {
        let deferred = matches!(produced, Err(CallError(Failure::Deferred)));
        if let Conclusion::Answer(answer, fault) =
            conclusion_of(&mut run.call.questions, run.target, &run.item, produced)
        {
            if let Some(flags) = run.call.handle.flags.as_ref().filter(|_| deferred) {
                flags.cancel();
            }
            fault.into_iter().for_each(|fault| out.fault(fault));
            return self.answer_call(&run, answer, out);
        }
        // During subscriptions/listen nothing can be asked.
        #[cfg(feature = "stateless")]
        if run.purpose == Purpose::Listen {
            return self.answer_call(&run, Err(CallError::not_found()), out);
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
        #[cfg(feature = "stateless")]
        if !run.revision().has_sessions() {
            return self.ask_in_result(&run, now, out);
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
            Ok(Produced::Tool(mut result)) => match self.check_result(run, &mut result) {
                Ok(()) => {
                    self.result_with(run.key, revision, None, &result.meta, out, |out| {
                        result.write(out, revision)
                    });
                }
                Err(error) => out.error(run.key, &error),
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
            Err(error) => {
                let uri = (run.target == Target::Resource).then_some(&*run.item);
                out.error(run.key, &error.into_error(uri, revision));
            }
        }
    }

    /// Checks that a tool returns what its output schema declares (MCP tools, output schema).
    fn check_result(&mut self, run: &Run<'_>, result: &mut ToolResult) -> Result<(), Error> {
        let tool = &*run.item;
        let found = if run.about.has_rules { self.server.registry.tools.find(tool) } else { None };
        result
            .check(found.and_then(|(tool, _)| tool.output_rules()), run.revision())
            .map_err(|problem| Error::internal(format_args!("the tool `{tool}` {problem}")))
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
        if let Some(kept) = self.calls.take(key) {
            self.abandon(&kept, "the request was cancelled", out);
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
        while let Some((_, key)) =
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

    /// The server shuts down: calls that wait for answers end in an error, since no answer can come any more.
    pub(crate) fn stop_all_asking(&mut self, out: &mut Outbox) {
        let asking = self.calls.kept.values().filter(|kept| !kept.asking.is_empty());
        let keys: Vec<CallKey> = asking.map(|kept| kept.run.key).collect();
        for key in keys {
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
    pub(crate) fn take_finished(&mut self, (key, run, finished): WorkerResult, now: Now, out: &mut Outbox) {
        let is_elsewhere = self.calls.is_elsewhere(key, run);
        let Some(kept) = is_elsewhere.then(|| self.calls.take(key)).flatten() else {
            out.late();
            return;
        };
        let mut run = kept.run;
        if !kept.waits {
            run.time_left = Some(kept.deadline.saturating_sub(now.mono));
        }
        let result = match finished {
            Finished::Deferred(result) => {
                self.watch_outrun(&run, now);
                result
            }
            Finished::Ran(result, questions) => {
                run.call.questions = questions;
                result
            }
        };
        let produced = result.map(|made| run.about.complete(made));
        self.conclude(run, produced, now, out);
    }

    /// Progress or a log of a call that runs on another thread.
    pub(crate) fn take_update(&mut self, key: CallKey, update: Update, out: &mut Outbox) {
        if let Some(kept) = self.calls.kept.get_mut(&key) {
            emit(&mut kept.run, update, out);
        }
    }
}
