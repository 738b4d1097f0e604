//! The line of a call: who called what, how it ended, how long it took.
//!
//! *Scope:* its members, the same as text (`name=value`) and as JSON. What a peer or an author may choose is written as a JSON string in
//! both forms, so that nothing in it ends a value or a line. *Not in scope:* which arguments are secret (the engine replaces those).

use std::time::Duration;

use super::options::Format;
use super::time::stamp;
use crate::engine::observe::{Event, Transport};
use crate::json::write_str;
use crate::service::ended::{CallKind, CallOutcome};

/// Returns the line for a call that has ended at a time since 1970; `None` for another event.
pub(super) fn line(event: &Event<'_>, time: Duration, format: Format) -> Option<String> {
    let Event::CallEnded { kind, name, peer, principal, session, transport, revision, .. } = event else {
        return None;
    };
    let Event::CallEnded { queued, ran, outcome, bytes, request_bytes, trace, arguments, .. } = event else {
        return None;
    };
    let mut line = Line { format, out: Vec::with_capacity(384) };
    line.begin(time);
    line.text("principal", principal.map(|principal| principal.name()));
    line.word("peer", peer.address.map(|address| address.to_string()).as_deref());
    line.word("transport", Some(transport_name(*transport)));
    line.word("revision", Some(revision.name()));
    line.word("session", session.map(|id| id.to_string()).as_deref().map(|id| id.trim_end_matches('.')));
    line.word("method", Some(method_of(*kind)));
    line.text("name", Some(name));
    line.word("outcome", Some(outcome_name(*outcome)));
    if let CallOutcome::Error(code) = outcome {
        line.raw("code", code);
    }
    line.raw("seconds", format_args!("{:.6}", ran.as_secs_f64()));
    line.raw("queued_seconds", format_args!("{:.6}", queued.as_secs_f64()));
    line.raw("bytes_in", request_bytes);
    line.raw("bytes_out", bytes);
    line.word("trace", trace.map(|trace| trace.trace_id()));
    if let Some(arguments) = arguments {
        line.raw("arguments", arguments);
    }
    Some(line.end())
}

/// A line that grows by a member at a time. A member without a value is left out.
struct Line {
    format: Format,
    out: Vec<u8>,
}

impl Line {
    fn begin(&mut self, time: Duration) {
        let start = match self.format {
            Format::Text => format!("call time={}", stamp(time)),
            Format::Json => format!(r#"{{"time":"{}","level":"info","event":"call""#, stamp(time)),
        };
        self.out.extend_from_slice(start.as_bytes());
    }

    /// A value that is JSON.
    fn raw(&mut self, name: &str, value: impl std::fmt::Display) {
        let member = match self.format {
            Format::Text => format!(" {name}={value}"),
            Format::Json => format!(r#","{name}":{value}"#),
        };
        self.out.extend_from_slice(member.as_bytes());
    }

    /// A value without spaces and quotes.
    fn word(&mut self, name: &str, value: Option<&str>) {
        match (value, self.format) {
            (None, _) => {}
            (Some(value), Format::Text) => self.raw(name, value),
            (Some(value), Format::Json) => self.text(name, Some(value)),
        }
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.raw(name, "");
            write_str(&mut self.out, value);
        }
    }

    fn end(mut self) -> String {
        if self.format == Format::Json {
            self.out.push(b'}');
        }
        String::from_utf8(self.out).unwrap_or_default()
    }
}

pub(crate) fn transport_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Sse => "sse",
        Transport::Streamable => "streamable",
        Transport::Lines => "stdio",
    }
}

pub(crate) fn method_of(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Tool => "tools/call",
        CallKind::Resource => "resources/read",
        CallKind::ResourceList => "resources/list",
        CallKind::Prompt => "prompts/get",
        CallKind::Completion => "completion/complete",
    }
}

fn outcome_name(outcome: CallOutcome) -> &'static str {
    match outcome {
        CallOutcome::Result => "result",
        CallOutcome::ToolError => "tool_error",
        CallOutcome::Error(_) => "error",
        CallOutcome::Asked => "asked",
        CallOutcome::Cancelled => "cancelled",
        CallOutcome::TimedOut => "timeout",
        CallOutcome::Busy => "busy",
    }
}
