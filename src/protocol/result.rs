//! The results of handlers.
//!
//! *Scope:* the alias [`Result`], and [`Made`]: the result of a handler of any kind. *Not in scope:* conversions into results
//! (`content`, `prompt`, `into`).

use crate::protocol::content::{ResourceContents, ToolResult};
use crate::protocol::description::Resource;
use crate::protocol::prompt::PromptResult;

/// A result that a handler may return: any type of [`IntoToolResult`](crate::IntoToolResult),
/// [`IntoResource`](crate::IntoResource) or [`IntoPrompt`](crate::IntoPrompt), or any error.
///
/// In a closure that uses `?`, write the return type as `mcp_rill::Result<_>`.
///
/// ```
/// use mcp_rill::{Result, Server};
/// let server = Server::new("machine", "1.0.0").tool("name", "The machine's name", |(), _| -> Result<_> {
///     Ok(std::fs::read_to_string("/etc/hostname")?)
/// });
/// ```
pub type Result<T = ToolResult, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

/// The result of a handler of any kind.
#[derive(Debug)]
pub enum Made {
    Tool(ToolResult),
    Contents(Vec<ResourceContents>),
    Prompt(PromptResult),
    Listed(Vec<Resource>),
}

impl Made {
    /// Returns about what it holds: its texts and bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        match self {
            Made::Tool(result) => result.held_bytes(),
            Made::Contents(contents) => contents.iter().map(ResourceContents::held_bytes).sum(),
            Made::Prompt(result) => result.held_bytes(),
            Made::Listed(resources) => resources.iter().map(Resource::held_bytes).sum(),
        }
    }
}
