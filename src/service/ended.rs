//! How a call ended, for the observer.
//!
//! *Scope:* the kinds of calls and their outcomes, which parts of a request are reported, and what a service reports of each call.
//! *Not in scope:* the event that is made of it (`observe`).

use std::time::Duration;

use crate::access::peer::{Peer, Principal};
use crate::protocol::revision::Revision;
use crate::protocol::trace::TraceContext;
use crate::service::keys::CallKey;
use crate::service::session::SessionId;

/// What a call is for: the kind of item that answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CallKind {
    /// `tools/call`, by the tool's name.
    Tool,
    /// `resources/read`, by the URI.
    Resource,
    /// `resources/list`, where a template lists its resources on demand: by the template.
    ResourceList,
    /// `prompts/get`, by the prompt's name.
    Prompt,
    /// `completion/complete`, by the name of the prompt or the template.
    Completion,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// With a result.
    Result,
    /// With a tool's result that the model reads as an error (`isError`).
    ToolError,
    /// With a JSON-RPC error of this code.
    Error(i64),
    /// With questions in the place of a result: the client answers them in another request (MCP 2026-07-28).
    Asked,
    /// Its client cancelled it or is gone, or its session has ended.
    Cancelled,
    /// Its handler took longer than its timeout.
    TimedOut,
    /// No worker thread was free for it.
    Busy,
}

/// The parts of a request that [`Event::CallEnded`](crate::engine::Event::CallEnded) repeats. All are left out by default, because
/// each costs time with every call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallDetails {
    /// The trace context in `_meta`.
    pub trace: bool,
    /// The arguments, if they have at most this many bytes; with 0 none. What the tool's input schema marks `"writeOnly": true` or
    /// `"format": "password"` is replaced by `***`, and all values if the schema is not known.
    pub arguments_bytes_max: usize,
}

/// A call that has ended.
#[derive(Debug)]
pub(crate) struct CallEnd {
    pub(crate) call: CallKey,
    pub(crate) kind: CallKind,
    pub(crate) name: String,
    pub(crate) is_known: bool,
    pub(crate) peer: Peer,
    pub(crate) principal: Option<Principal>,
    pub(crate) session: Option<SessionId>,
    pub(crate) revision: Revision,
    pub(crate) queued: Duration,
    pub(crate) ran: Duration,
    pub(crate) outcome: CallOutcome,
    pub(crate) runs: u32,
    pub(crate) bytes: usize,
    pub(crate) request_bytes: usize,
    pub(crate) trace: Option<TraceContext<'static>>,
    pub(crate) arguments: Option<String>,
}
