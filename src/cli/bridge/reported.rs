//! Reports of the calls that a bridge passes on, as the service of handlers reports its own.
//!
//! *Scope:* when a call began, and how it ended, as far as its answer shows. *Not in scope:* what is made of the reports: metrics and
//! the log. Without either there is none of this.

use std::time::Duration;

use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::key_map::KeyMap;
use crate::memory::{Account, Charge};
use crate::protocol::trace::TraceContext;
use crate::schema::secrets::masked;
use crate::service::ServiceRequest;
use crate::service::ended::{CallDetails, CallEnd, CallKind, CallOutcome};
use crate::service::keys::CallKey;
use crate::service::outbox::{Outbox, Outgoing};
use crate::service::session::{Session, SessionId};
use crate::text::printable;

/// The calls that are to be reported.
pub(super) struct Reports {
    /// `None` if none is.
    details: Option<CallDetails>,
    open: KeyMap<CallKey, Begun>,
}

/// A call that has not ended. Its end is filled in when it has.
struct Begun {
    end: CallEnd,
    at: Duration,
    _charge: Charge,
}

impl Reports {
    pub(super) fn new(details: Option<CallDetails>) -> Reports {
        Reports { details, open: KeyMap::new() }
    }

    pub(super) fn begin(&mut self, request: &ServiceRequest<'_>, session: &Session, account: &Account) {
        let Some(details) = self.details else { return };
        let Some((kind, name)) = subject_of(request) else { return };
        let member = |name: &str| request.member(name).ok().flatten();
        let trace = member("_meta").filter(|_| details.trace).and_then(TraceContext::read);
        let bytes_max = details.arguments_bytes_max;
        let arguments = member("arguments").filter(|arguments| arguments.text().len() <= bytes_max);
        let end = CallEnd {
            call: request.call,
            kind,
            name: printable(&name),
            is_known: false,
            peer: request.peer.clone(),
            principal: session.principal().cloned(),
            session: session.is_kept().then_some(SessionId(session.id)),
            revision: session.revision(),
            queued: Duration::ZERO,
            ran: Duration::ZERO,
            outcome: CallOutcome::Result,
            runs: 1,
            bytes: 0,
            request_bytes: request.params.map_or(0, |params| params.text().len()),
            trace: trace.map(TraceContext::into_owned),
            // The child knows the schema, so no value can be told from a secret.
            arguments: arguments.map(|arguments| masked(arguments, None)),
        };
        let bytes = end.name.len() + end.arguments.as_ref().map_or(0, String::len);
        let charge = account.charge(size_of::<(CallKey, Begun)>() + bytes);
        self.open.insert(request.call, Begun { end, at: request.now.mono, _charge: charge });
    }

    /// Reports the calls whose answers are in the outbox.
    pub(super) fn end(&mut self, now: Duration, out: &mut Outbox) {
        if self.open.is_empty() {
            return;
        }
        let mut ended = Vec::new();
        for (kind, text) in out.iter() {
            let (call, outcome) = match kind {
                Outgoing::Result(call) => (call, None),
                Outgoing::Error(call, code) => (call, Some(CallOutcome::Error(*code))),
                Outgoing::Busy(call) => (call, Some(CallOutcome::Busy)),
                _ => continue,
            };
            let Some(Begun { mut end, at, .. }) = self.open.remove(call) else { continue };
            end.outcome = outcome.unwrap_or_else(|| outcome_of(end.kind, text));
            // The child alone knows what it has. That it has served the call shows it.
            end.is_known = matches!(end.outcome, CallOutcome::Result | CallOutcome::Asked);
            (end.ran, end.bytes) = (now.saturating_sub(at), text.len());
            ended.push(end);
        }
        ended.into_iter().for_each(|end| out.ended(end));
    }

    /// Reports a call that was cancelled.
    pub(super) fn cancelled(&mut self, call: CallKey, now: Duration, out: &mut Outbox) {
        if let Some(Begun { mut end, at, .. }) = self.open.remove(&call) {
            (end.outcome, end.ran) = (CallOutcome::Cancelled, now.saturating_sub(at));
            out.ended(end);
        }
    }
}

/// What a request calls; `None` for requests that call nothing.
fn subject_of(request: &ServiceRequest<'_>) -> Option<(CallKind, String)> {
    let text = |of: Option<JsonRef<'_>>| {
        of.and_then(JsonRef::as_str).map_or_else(String::new, |text| text.into_owned())
    };
    let member = |name: &str| request.member(name).ok().flatten();
    Some(match request.method {
        "tools/call" => (CallKind::Tool, text(member("name"))),
        "prompts/get" => (CallKind::Prompt, text(member("name"))),
        "resources/read" => (CallKind::Resource, text(member("uri"))),
        "completion/complete" => {
            let of = |name: &str| member("ref").and_then(|reference| reference.member(name).ok().flatten());
            (CallKind::Completion, text(of("name").or_else(|| of("uri"))))
        }
        _ => return None,
    })
}

fn outcome_of(kind: CallKind, result: &[u8]) -> CallOutcome {
    let text = std::str::from_utf8(result).unwrap_or_default();
    let mut tape = Tape::new();
    let Ok(result) = tape.read(text) else { return CallOutcome::Result };
    let is = |name: &str, value: &str| {
        result.member(name).ok().flatten().is_some_and(|member| member.text() == value)
    };
    if kind == CallKind::Tool && is("isError", "true") {
        CallOutcome::ToolError
    } else if is("resultType", "\"input_required\"") {
        CallOutcome::Asked
    } else {
        CallOutcome::Result
    }
}
