//! A manifest's server in this process, for one client: no socket has a name, and no other program is started but the commands
//! of tools and resources.
//!
//! *Scope:* starting and ending it. *Not in scope:* what it serves (`provide`), and the client at the other end (`session`).
//!
//! ```text
//!  main thread: client ◀── socket pair ──▶ server: a thread ──▶ commands: processes, each with its guard
//! ```
//!
//! A signal that ends this process ends the commands too: their guards see that it has gone.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::cli::process::Processes;
use crate::cli::provide::Provider;
use crate::cli::provide::commands::Commands;
use crate::cli::{Failure, NAME, say, serve_manifest};
use crate::engine::Engine;
use crate::net::{Listening, random_id};
use crate::server::handle::Handle;
use crate::threads;

/// Dropping it ends the server and its commands.
pub(super) struct InProcess {
    handle: Handle,
    commands: Commands,
    grace: Duration,
    server: Option<JoinHandle<()>>,
}

impl InProcess {
    /// Serves the manifest at a path. Returns the client's end of the connection. Warnings are written to standard error unless
    /// the caller is `quiet`.
    pub(super) fn start(path: &Path, quiet: bool) -> Result<(UnixStream, InProcess), Failure> {
        let (manifest, warnings) =
            serve_manifest::read(path).map_err(|problems| serve_manifest::failure(path, &problems))?;
        if !quiet {
            serve_manifest::say_warnings(path, &warnings);
            serve_manifest::restrictions(&manifest).iter().for_each(|warning| say(NAME, warning));
        }
        let limits = manifest.server.limits.clone();
        limits.check().map_err(Failure::system)?;
        let provider = Provider::new(Processes::start()?);
        let server = provider.server(&manifest, &limits).limits(limits.clone());
        let mut listening = Listening::new(Engine::new(server, random_id).map_err(Failure::system)?)?;
        let (ours, theirs) = UnixStream::pair()?;
        listening.serve_socket(theirs)?;
        let Provider { watch, commands } = provider;
        let handle = listening.handle();
        watch.start(handle.clone())?;
        let server = threads::start("server", move || drop(listening.run()))?;
        Ok((ours, InProcess { handle, commands, grace: limits.shutdown_grace, server: Some(server) }))
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.handle.shutdown(Duration::ZERO);
        let left = self.commands.shut_down(self.grace);
        if left > 0 {
            say(NAME, &format!("commands that have not ended: {left}; their guards go on ending them"));
        }
        if let Some(server) = self.server.take() {
            // The client has seen what became of its requests; a panic of a handler is caught by the server.
            let _ = server.join();
        }
    }
}
