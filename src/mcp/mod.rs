//! What the protocol means: revisions, types, the registry of tools, resources and prompts, and the seam between a
//! session and whatever answers it.
//!
//! *Scope:* JSON-RPC methods and their results, per revision. *Not in scope:* how messages travel (that is
//! [`engine`](crate::engine)), sockets, time.
//!
//! ```text
//!            initialize                 notifications/initialized or any request
//!   Fresh ───────────────▶ Initializing ──────────────────────────▶ Operating
//!     └─────────────────────────────────────────────────────────────────▲
//!        any other request: a client that lost its stream goes on without initializing again
//! ```
//!
//! ```
//! use mcp_rill::mcp::Revision;
//! assert_eq!(Revision::negotiate("2025-06-18"), Revision::V2025_06_18);
//! assert_eq!(Revision::negotiate("2031-01-01"), Revision::NEWEST);
//! ```

mod ask;
mod call;
mod calls;
mod complete;
mod content;
mod dispatch;
mod forms;
mod jobs;
mod registry;
mod reply;
mod sample;
mod server;
mod service;
mod session;
#[cfg(feature = "schemars")]
mod typed;
mod types;
pub mod uri;

pub use ask::{Elicited, Root};
pub use call::{Call, CallError};
pub use complete::{Completer, Partial};
pub use content::{
    Annotations, Content, IntoPrompt, IntoResource, IntoToolResult, Json, PromptMessage, PromptResult,
    ResourceContents, Role, ToolResult,
};
pub(crate) use dispatch::Dispatch;
pub use jobs::Jobs;
pub(crate) use reply::Mailbox;
pub use reply::{Deferred, Full, Handle, Level, Reply};
pub use sample::{Sample, Sampled, ToolChoice, ToolUse};
pub use server::{Arguments, List, Server, Settings};
pub use service::{Audience, CallKey, Incoming, Outbox, Outgoing, Service, SessionKey, Slot};
pub use session::{Capabilities, ClientInfo, Peer, Principal, Session};
#[cfg(feature = "schemars")]
pub use typed::Typed;
pub use types::{Icon, Implementation, Prompt, PromptArgument, Resource, ResourceTemplate, Tool};

/// What a handler may return: any value of [`IntoToolResult`] and its kin, or any error.
///
/// In a closure that uses `?`, write the return type as `mcp_rill::Result<_>`.
pub type Result<T = ToolResult, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// A revision of the protocol, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(non_camel_case_types)]
pub enum Revision {
    /// 2024-11-05: HTTP+SSE.
    V2024_11_05,
    /// 2025-03-26: audio, tool annotations, batches.
    V2025_03_26,
    /// 2025-06-18: structured results, resource links, elicitation, titles.
    V2025_06_18,
    /// 2025-11-25: icons, tools in sampling, url elicitation.
    V2025_11_25,
}

impl Revision {
    /// The newest revision that has sessions.
    pub const NEWEST: Revision = Revision::V2025_11_25;

    /// All revisions, oldest first.
    pub const ALL: [Revision; 4] =
        [Revision::V2024_11_05, Revision::V2025_03_26, Revision::V2025_06_18, Revision::V2025_11_25];

    /// The revision of that name, such as `2025-06-18`; `None` if it is not served.
    pub fn named(name: &str) -> Option<Revision> {
        Revision::ALL.into_iter().find(|revision| revision.name() == name)
    }

    /// What a server answers to an `initialize` that asks for `name`: the same if it is served, else its newest
    /// (MCP lifecycle, version negotiation).
    pub fn negotiate(name: &str) -> Revision {
        Revision::named(name).unwrap_or(Revision::NEWEST)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Revision::V2024_11_05 => "2024-11-05",
            Revision::V2025_03_26 => "2025-03-26",
            Revision::V2025_06_18 => "2025-06-18",
            Revision::V2025_11_25 => "2025-11-25",
        }
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
