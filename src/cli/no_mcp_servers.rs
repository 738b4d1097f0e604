//! The twin of `mcp_servers` for builds without the feature `bridge`: a manifest is one server, and names no others.

use super::Failure;
use super::manifest::mcp_server::McpServerEntry;
use super::serve::{Answering, Setup};
use crate::server::builder::Server;

pub(super) fn served(_: &[McpServerEntry], _: bool, _: bool) -> Result<Vec<McpServerEntry>, Failure> {
    Ok(Vec::new())
}

pub(super) fn serve_with(
    _: &[McpServerEntry],
    setup: Setup,
    server: Server,
    _: bool,
) -> Result<Answering, Failure> {
    setup.server(server)
}

pub(super) fn processes_max(_: &[McpServerEntry]) -> usize {
    0
}
