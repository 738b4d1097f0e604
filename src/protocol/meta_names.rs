//! What requests and results of 2026-07-28 have in `_meta`, and what header fields repeat (MCP 2026-07-28, basic).
//!
//! *Scope:* the names of members, and the parameter that a request is about. *Not in scope:* reading a whole `_meta` (`envelope`).

#[cfg(feature = "stateless")]
use crate::json::value::JsonRef;

/// In a request: the revision. With it the request is one without a session.
pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// In a request: the client's name and version.
pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// In a request: the client's capabilities.
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// In a request: the level of logs that are wanted.
pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// In a result: the server's name and version.
pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// In notifications and the result of a `subscriptions/listen`: its id.
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The parameter that names what a request is about, which `Mcp-Name` repeats. The methods that have one are those whose
/// results may ask for input.
pub(crate) fn named_by(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        _ => None,
    }
}

/// True if the parameters name their revision.
#[cfg(feature = "stateless")]
pub(crate) fn names_revision(params: JsonRef<'_>) -> bool {
    let meta = params.member("_meta").ok().flatten();
    meta.is_some_and(|meta| meta.member(PROTOCOL_VERSION).is_ok_and(|version| version.is_some()))
}
