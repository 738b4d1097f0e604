//! How long calls and other requests took, by what was called, how it ended, and who asked in which way.
//!
//! *Scope:* their labels, and their bound. A client can make up names and a server error codes: neither makes a series of its
//! own, unless the server has an item of that name and MCP or JSON-RPC the code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::histogram::{Histogram, OPERATION_SECONDS};
use super::page::{Kind, Page};
use crate::access::peer::Peer;
use crate::cli::bounds::METRIC_SERIES_MAX;
use crate::cli::log::call::method_of;
use crate::engine::observe::{Event, Transport};
use crate::service::ended::{CallKind, CallOutcome};

/// What stands for all values that have no series of their own.
const OTHER: &str = "_other";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Labels {
    method: &'static str,
    /// Empty but for tools.
    tool: Arc<str>,
    /// Empty where the call succeeded.
    error: ErrorType,
    network: &'static str,
    version: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ErrorType {
    Word(&'static str),
    Code(i64),
}

/// The calls so far.
#[derive(Default)]
pub(super) struct Calls {
    series: BTreeMap<Labels, Histogram>,
    /// Tools that the server has, or had.
    tools: BTreeSet<Arc<str>>,
}

impl Calls {
    /// Counts a call or another request that has ended.
    pub(super) fn add(&mut self, event: &Event<'_>) {
        let (method, tool, peer, transport, revision, took, outcome) = match event {
            Event::CallEnded {
                kind,
                name,
                is_known,
                peer,
                transport,
                revision,
                queued,
                ran,
                outcome,
                ..
            } => {
                let tool = match kind {
                    CallKind::Tool => self.tool(name, *is_known),
                    _ => Arc::default(),
                };
                let took = queued.saturating_add(*ran);
                (method_of(*kind), tool, peer, transport, revision, took, outcome)
            }
            Event::RequestEnded { method, peer, transport, revision, ran, outcome } => {
                (*method, Arc::default(), peer, transport, revision, *ran, outcome)
            }
            _ => return,
        };
        let mut labels = Labels {
            method,
            tool,
            error: error_of(*outcome),
            network: network_of(*transport, peer),
            version: revision.name(),
        };
        if self.series.len() >= METRIC_SERIES_MAX && !self.series.contains_key(&labels) {
            // One for each method, whatever else there would be to tell.
            labels = Labels {
                tool: OTHER.into(),
                error: ErrorType::Word(OTHER),
                network: OTHER,
                version: OTHER,
                ..labels
            };
        }
        let histogram = self.series.entry(labels).or_insert_with(|| Histogram::new(OPERATION_SECONDS));
        histogram.add(took);
    }

    /// The label of a tool. One that has succeeded before keeps its name when it fails.
    fn tool(&mut self, name: &str, is_known: bool) -> Arc<str> {
        match self.tools.get(name) {
            Some(tool) => tool.clone(),
            None if is_known && self.tools.len() < METRIC_SERIES_MAX => {
                let tool = Arc::from(name);
                self.tools.insert(Arc::clone(&tool));
                tool
            }
            None => OTHER.into(),
        }
    }

    pub(super) fn write(&self, page: &mut Page) {
        let name = "mcp_server_operation_duration_seconds";
        page.family(name, Kind::Histogram, "How long requests took, questions to their clients left out.");
        for (labels, durations) in &self.series {
            let error = match labels.error {
                ErrorType::Word(word) => word.to_owned(),
                ErrorType::Code(code) => code.to_string(),
            };
            let labels = [
                ("mcp_method_name", labels.method),
                ("gen_ai_tool_name", &labels.tool),
                ("error_type", &error),
                ("network_transport", labels.network),
                ("mcp_protocol_version", labels.version),
            ];
            page.histogram(name, &labels, durations);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> u64 {
        self.series.values().map(Histogram::total).sum()
    }
}

/// The value of OpenTelemetry's attribute `network.transport`.
pub(super) fn network_of(transport: Transport, peer: &Peer) -> &'static str {
    match transport {
        Transport::Lines => "pipe",
        Transport::Sse | Transport::Streamable if peer.unix => "unix",
        Transport::Sse | Transport::Streamable => "tcp",
    }
}

/// The value of OpenTelemetry's attribute `error.type`: a word, or the code of a JSON-RPC error.
fn error_of(outcome: CallOutcome) -> ErrorType {
    match outcome {
        CallOutcome::Result | CallOutcome::Asked => ErrorType::Word(""),
        CallOutcome::ToolError => ErrorType::Word("tool_error"),
        CallOutcome::Cancelled => ErrorType::Word("cancelled"),
        CallOutcome::TimedOut => ErrorType::Word("timeout"),
        CallOutcome::Busy => ErrorType::Word("busy"),
        CallOutcome::Error(code @ (-32700 | -32603..=-32600 | -32099..=-32000)) => ErrorType::Code(code),
        CallOutcome::Error(_) => ErrorType::Word(OTHER),
    }
}
