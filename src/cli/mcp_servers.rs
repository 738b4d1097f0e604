//! Servers of others that a manifest names in `mcpServers`, beside the one that it is itself.
//!
//! *Scope:* which of them are served, and where. *Not in scope:* their entries (`manifest`), and what stands before each (`bridge`).

use super::bridge::{self, OwnService};
use super::manifest::mcp_server::McpServerEntry;
use super::process::guards::Guards;
use super::serve::{Answering, Setup};
use super::{Failure, NAME, say};
use crate::server::builder::Server;
use crate::service::Service;
use crate::service::router::Router;

/// Those that are served. Standard input and output have one server: that of the manifest itself, or the only one that it names.
pub(super) fn served(
    entries: &[McpServerEntry],
    stdio: bool,
    has_own: bool,
) -> Result<Vec<McpServerEntry>, Failure> {
    match entries {
        [first, ..] if stdio && has_own => {
            let McpServerEntry { position, name, .. } = first;
            let text = "on standard input and output there is one server, that of the manifest itself; its mcpServers are left out";
            say(NAME, &format!("warning: {position}: {text}, `{name}` among them"));
            Ok(Vec::new())
        }
        [first, _, ..] if stdio => Err(Failure::usage(format!(
            "{}: on standard input and output there is one server, and the manifest names {}: use --listen, or name one",
            first.position,
            entries.len()
        ))),
        entries => Ok(entries.to_vec()),
    }
}

/// The manifest's own server at the root, and each that it names below its name; a single one at the root too.
pub(super) fn serve_with(
    entries: &[McpServerEntry],
    mut setup: Setup,
    server: Server,
    has_own: bool,
) -> Result<Answering, Failure> {
    let (limits, lines, ready, details) =
        (setup.limits.clone(), setup.lines.clone(), setup.ready.clone(), setup.details);
    setup.settings.mounts = entries.iter().map(|entry| entry.name.clone()).collect();
    setup.settings.serves_root = has_own || entries.len() < 2;
    let mut answering = setup.server(server)?;
    if entries.is_empty() {
        return Ok(answering);
    }
    let guards = Guards::start()?;
    let mut services: Vec<Box<dyn Service>> = Vec::new();
    for entry in entries {
        let OwnService { service, processes } =
            bridge::of_entry(entry, &limits, lines.clone(), ready.of_service()?, guards.clone(), details)?;
        services.push(service);
        answering.processes += processes;
    }
    let root = if has_own { services.len() } else { 0 };
    services.push(answering.service);
    answering.service = Box::new(Router::new(services, root));
    Ok(answering)
}

/// How many processes they may have at once.
pub(super) fn processes_max(entries: &[McpServerEntry]) -> usize {
    entries.iter().fold(0, |sum, entry| sum.saturating_add(entry.bridge.children_max))
}
