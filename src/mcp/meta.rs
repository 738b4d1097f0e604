//! What both sides of a request without a session write and read (MCP 2026-07-28, basic).
//!
//! *Scope:* names of `_meta` members, and what a request is about. *Not in scope:* reading and writing them.

/// In a request: the revision. Its presence makes the request one that stands alone.
pub(crate) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// In a request: who asks.
pub(crate) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// In a request: what the client can do.
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// In a request: which logs are wanted.
pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// In a result: who answers.
pub(crate) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// In what a `subscriptions/listen` brings: its id.
pub(crate) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// The parameter that names what a request is about: what `Mcp-Name` repeats. The methods that have one are those whose
/// results may ask for input.
pub(crate) fn named_by(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        _ => None,
    }
}
