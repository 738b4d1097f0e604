//! The twin of `mcp_server` for builds without the feature `bridge`: what would be an entry is an error.

use crate::cli::manifest::definitions::Definitions;
use crate::cli::manifest::reader::{Reader, Value};
use crate::cli::messages::left_out;

/// There is none.
#[derive(Clone, Debug)]
pub(crate) enum McpServerEntry {}

/// The JSON Schema of the section: nothing is allowed.
pub(super) const JSON_SCHEMA: &str = "false";

/// Reports the section.
pub(super) fn mcp_servers(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    _: &mut Definitions,
) -> Option<Vec<McpServerEntry>> {
    reader.problem(value, left_out("bridge", "serves no `mcpServers`"));
    None
}
