//! Reports of the calls that a bridge passes on, as the service of handlers reports its own.
//!
//! *Scope:* when a call began, and how it ended, as far as its answer shows. *Not in scope:* what is made of the reports: metrics and
//! the log. Without either there is none of this.

use std::time::Duration;

use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::jsonrpc::{Notification, Response};
use crate::key_map::KeyMap;
use crate::memory::{Account, Charge};
use crate::protocol::trace::TraceContext;
use crate::schema::secrets::masked;
use crate::service::ended::{CallDetails, CallEnd, CallKind, CallOutcome};
use crate::service::keys::{CallKey, SessionKey};
use crate::service::outbox::{Outbox, Outgoing};
use crate::service::session::{Session, SessionId};
use crate::service::{Service, ServiceRequest};
use crate::text::printable;
use crate::timers::Now;

/// Has the calls of a service reported with these details, if they are to be reported.
pub(crate) fn reported(service: Box<dyn Service>, details: Option<CallDetails>) -> Box<dyn Service> {
    match details {
        Some(details) => Box::new(Reported::new(service, details)),
        None => service,
    }
}

/// A service whose calls are reported.
struct Reported {
    service: Box<dyn Service>,
    details: CallDetails,
    open: KeyMap<CallKey, Begun>,
    account: Account,
    tape: Tape,
    now: Duration,
}

/// A call that has not ended. Its end is filled in when it has.
struct Begun {
    end: CallEnd,
    at: Duration,
    _charge: Charge,
}

impl Reported {
    fn new(service: Box<dyn Service>, details: CallDetails) -> Reported {
        let (open, account, tape) = (KeyMap::new(), Account::default(), Tape::new());
        Reported { service, details, open, account, tape, now: Duration::ZERO }
    }

    fn begin(&mut self, request: &ServiceRequest<'_>, session: &Session) {
        let Some((kind, name)) = subject_of(request) else { return };
        let member = |name: &str| request.member(name).ok().flatten();
        let trace = member("_meta").filter(|_| self.details.trace).and_then(TraceContext::read);
        let bytes_max = self.details.arguments_bytes_max;
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
        let charge = self.account.charge(size_of::<(CallKey, Begun)>() + bytes);
        self.open.insert(request.call, Begun { end, at: self.now, _charge: charge });
    }

    /// Runs a part of the service, and reports the calls that it has answered.
    fn watched<R>(&mut self, out: &mut Outbox, run: impl FnOnce(&mut dyn Service, &mut Outbox) -> R) -> R {
        let before = out.iter().count();
        let result = run(&mut *self.service, out);
        let mut ended = Vec::new();
        for (kind, text) in out.iter().skip(before) {
            let (call, outcome) = match kind {
                Outgoing::Result(call) => (call, None),
                Outgoing::Error(call, code) => (call, Some(CallOutcome::Error(*code))),
                Outgoing::Busy(call) => (call, Some(CallOutcome::Busy)),
                _ => continue,
            };
            let Some(Begun { mut end, at, .. }) = self.open.remove(call) else { continue };
            end.outcome = outcome.unwrap_or_else(|| outcome_of(end.kind, text, &mut self.tape));
            // The child alone knows what it has. That it has served the call shows it.
            end.is_known = matches!(end.outcome, CallOutcome::Result | CallOutcome::Asked);
            (end.ran, end.bytes) = (self.now.saturating_sub(at), text.len());
            ended.push(end);
        }
        ended.into_iter().for_each(|end| out.ended(end));
        result
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

fn outcome_of(kind: CallKind, result: &[u8], tape: &mut Tape) -> CallOutcome {
    let text = std::str::from_utf8(result).unwrap_or_default();
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

impl Service for Reported {
    fn opened(&mut self, key: SessionKey, session: &mut Session) {
        self.service.opened(key, session);
    }

    fn request(&mut self, request: &ServiceRequest<'_>, session: &mut Session, out: &mut Outbox) {
        self.now = request.now.mono;
        self.begin(request, session);
        self.watched(out, |service, out| service.request(request, session, out));
    }

    fn notification(
        &mut self,
        key: SessionKey,
        session: &mut Session,
        notification: &Notification<'_>,
        out: &mut Outbox,
    ) {
        self.watched(out, |service, out| service.notification(key, session, notification, out));
    }

    fn answer(&mut self, key: SessionKey, answer: &Response<'_>, now: Now, out: &mut Outbox) -> bool {
        self.now = now.mono;
        self.watched(out, |service, out| service.answer(key, answer, now, out))
    }

    fn cancelled(&mut self, key: SessionKey, call: CallKey, out: &mut Outbox) {
        self.watched(out, |service, out| service.cancelled(key, call, out));
        if let Some(Begun { mut end, at, .. }) = self.open.remove(&call) {
            (end.outcome, end.ran) = (CallOutcome::Cancelled, self.now.saturating_sub(at));
            out.ended(end);
        }
    }

    fn unreached(
        &mut self,
        key: SessionKey,
        call: Option<CallKey>,
        message: &[u8],
        now: Now,
        out: &mut Outbox,
    ) {
        self.now = now.mono;
        self.watched(out, |service, out| service.unreached(key, call, message, now, out));
    }

    fn closed(&mut self, key: SessionKey) {
        self.service.closed(key);
    }

    fn stopping(&mut self, now: Now, out: &mut Outbox) {
        self.now = now.mono;
        self.watched(out, |service, out| service.stopping(now, out));
    }

    fn tick(&mut self, now: Now, out: &mut Outbox) {
        self.now = now.mono;
        self.watched(out, |service, out| service.tick(now, out));
    }

    fn due(&self) -> Option<Duration> {
        self.service.due()
    }

    fn held_bytes(&self) -> usize {
        self.service.held_bytes().saturating_add(self.account.bytes())
    }

    fn held_by_session(&self) -> Vec<(SessionKey, usize)> {
        self.service.held_by_session()
    }
}
