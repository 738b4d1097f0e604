//! What an observer is told of each call when it ends.
//!
//! *Scope:* measuring the time of calls, and the report. *Not in scope:* the event that is made of it (the engine's `report`).
//!
//! ```text
//!  inline:    |──ran──|   question, not counted   |──ran──|
//!  blocking:  |──queued──|──ran──|   question     |──queued──|──ran──|
//!  deferred:  |──ran, until the Reply is finished──|
//! ```
//!
//! Nothing is measured without an observer.

use std::time::Duration;

use crate::json::tape::Tape;
use crate::protocol::trace::TraceContext;
use crate::runtime::calls::{Purpose, Run, Times};
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::schema::secrets::masked;
use crate::server::context::Context;
use crate::service::ended::{CallEnd, CallKind, CallOutcome};
use crate::service::keys::CallKey;
use crate::service::outbox::Outbox;
use crate::service::session::SessionId;
use crate::text::printable;

impl HandlerService {
    /// The time, if it is measured; otherwise 0.
    pub(crate) fn measured_time(&self) -> Duration {
        match self.mailbox.is_observed() {
            true => self.mailbox.time().unwrap_or(self.now.mono),
            false => Duration::ZERO,
        }
    }

    /// Reports a call that has ended. `bytes` is the length of its result.
    pub(crate) fn report_end(&self, run: &Run<'_>, outcome: CallOutcome, bytes: usize, out: &mut Outbox) {
        if run.purpose == Purpose::Answer {
            let arguments = self.shown_arguments(run);
            let about = (run.target.kind(), &*run.item, run.about.is_found);
            let subject = (run.key, &run.call.context, arguments);
            self.report(subject, about, outcome, (bytes, run.runs), run.times, out);
        }
    }

    /// The arguments without secrets, if they are to be reported.
    fn shown_arguments(&self, run: &Run<'_>) -> Option<String> {
        let bytes_max = self.mailbox.call_details().arguments_bytes_max;
        let arguments = run.arguments.as_ref().filter(|_| bytes_max > 0)?.as_ref();
        if arguments.text().len() > bytes_max {
            return None;
        }
        if run.target != Target::Tool {
            return Some(arguments.text().to_owned());
        }
        let mut tape = Tape::new();
        let tool = self.server.registry.tools.get(&run.item).filter(|_| run.about.is_found);
        let schema = tool.map(|(tool, _)| tool.input_schema.as_deref().unwrap_or("{}"));
        Some(masked(arguments, schema.and_then(|schema| tape.read(schema).ok())))
    }

    /// Reports a completion.
    pub(crate) fn report_completion(
        &self,
        (call, context): (CallKey, &Context<'_>),
        (name, is_known): (&str, bool),
        (outcome, bytes): (CallOutcome, usize),
        begun: Duration,
        out: &mut Outbox,
    ) {
        let ran = self.measured_time().saturating_sub(begun);
        let times = Times { ran, ..Times::default() };
        self.report(
            (call, context, None),
            (CallKind::Completion, name, is_known),
            outcome,
            (bytes, 1),
            times,
            out,
        );
    }

    fn report(
        &self,
        (call, context, arguments): (CallKey, &Context<'_>, Option<String>),
        (kind, name, is_known): (CallKind, &str, bool),
        outcome: CallOutcome,
        (bytes, runs): (usize, u32),
        times: Times,
        out: &mut Outbox,
    ) {
        if self.mailbox.is_observed() {
            out.ended(CallEnd {
                call,
                kind,
                name: printable(name),
                is_known,
                peer: context.peer.clone().into_owned(),
                principal: context.principal.clone(),
                session: context.session_id.map(SessionId),
                revision: context.revision,
                queued: times.queued,
                ran: times.ran,
                outcome,
                runs,
                bytes,
                request_bytes: context.request_bytes,
                trace: match self.mailbox.call_details().trace {
                    true => context.trace().map(TraceContext::into_owned),
                    false => None,
                },
                arguments,
            });
        }
    }
}
