//! A manifest as a server.
//!
//! *Scope:* from entries of a manifest to the items of a [`Server`]: tools and resources that run commands, files, folders,
//! prompts; who sees them. *Not in scope:* reading a manifest (`manifest`), running commands (`process`).

pub(crate) mod commands;
mod confirm;
mod describe;
mod directory;
mod files;
mod media_type;
mod output;
mod prompt;
mod resource;
mod tool;
mod watch;

use crate::cli::manifest::Manifest;
use crate::cli::process::Processes;
use crate::limits::Limits;
use crate::server::builder::Server;
use commands::Commands;
use resource::Files;
use watch::Watch;

/// What serves a manifest and outlives each version of it. Clones share it.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) commands: Commands,
    pub(crate) watch: Watch,
}

impl Provider {
    /// One that runs commands by `processes`.
    pub(crate) fn new(processes: Processes) -> Provider {
        Provider { commands: Commands::new(processes), watch: Watch::default() }
    }

    /// The server of a manifest. From now on its files are the ones that are watched.
    pub(crate) fn server(&self, manifest: &Manifest, limits: &Limits) -> Server {
        let section = &manifest.server;
        let name = section.name.as_deref().unwrap_or("mcp-rill");
        let version = section.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"));
        let mut server = Server::new(name, version);
        if let Some(title) = &section.title {
            server = server.title(title);
        }
        if let Some(instructions) = &section.instructions {
            server = server.instructions(instructions);
        }
        let wait_max = limits.worker_wait_timeout;
        for entry in &manifest.tools {
            server = server.offer(tool::tool(entry, &self.commands, wait_max));
        }
        let mut files = Files::default();
        for entry in &manifest.resources {
            server = resource::add(server, entry, &self.commands, wait_max, &mut files);
        }
        for entry in &manifest.prompts {
            server = prompt::add(server, entry);
        }
        self.watch.set_files(files);
        let watch = self.watch.clone();
        server.on_subscribe(move |uri, _| {
            watch.add(uri);
            true
        })
    }
}
