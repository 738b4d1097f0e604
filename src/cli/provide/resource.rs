//! Resources: files, folders and the output of commands.
//!
//! *Scope:* their items, and where each file is. *Not in scope:* opening files (`files`), noticing changes (`watch`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::commands::{Commands, Places};
use super::describe::described;
use super::directory::{self, PATH, VARIABLE};
use super::files::Place;
use super::output;
use super::tool::{call_timeout, spec};
use crate::cli::manifest::entries::{CommandEntry, ResourceContent, ResourceEntry, ResourceUri};
use crate::json::write::Object;
use crate::protocol::content::ResourceContents;
use crate::protocol::description::{Resource, ResourceTemplate};
use crate::protocol::result::Result;
use crate::protocol::uri::normal::normalize;
use crate::protocol::uri::{UriTemplate, Vars};
use crate::server::builder::Server;
use crate::server::call::Call;
use crate::server::item::Item;
use crate::server::reply::{Deferred, Reply};

/// Where the files of a manifest's resources are.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By URI in normal form.
    single: HashMap<String, Place>,
    folders: Vec<(UriTemplate, PathBuf)>,
}

impl Files {
    #[cfg(test)]
    pub(super) fn add_folder(&mut self, uri: &str, folder: &str) {
        self.folders.push((UriTemplate::new(&format!("{uri}{VARIABLE}")).unwrap(), folder.into()));
    }

    /// The file that a URI in normal form means.
    pub(super) fn place(&self, uri: &str) -> Option<Place> {
        self.single.get(uri).cloned().or_else(|| {
            self.folders.iter().find_map(|(template, folder)| {
                let path = template.matches(uri)?.get(PATH)?.to_owned();
                Some(Place::Below(folder.clone(), path))
            })
        })
    }
}

/// Adds a resource, and to `files` where it is.
pub(super) fn add(
    server: Server,
    entry: &ResourceEntry,
    commands: &Commands,
    wait_max: Duration,
    files: &mut Files,
) -> Server {
    match (&entry.uri, &entry.content) {
        (ResourceUri::Fixed(uri), ResourceContent::File(path)) => {
            let place = Place::Path(path.clone());
            files.single.insert(normalize(uri).into_owned(), place.clone());
            server.offer(file(uri, entry, place))
        }
        (ResourceUri::Fixed(uri), ResourceContent::Directory(path)) => {
            // What takes its place later is not served, unless a reload says so.
            let folder = path.canonicalize().unwrap_or_else(|_| path.clone());
            // A URI has no braces, so this is always a template.
            let Ok(template) = UriTemplate::new(&format!("{uri}{VARIABLE}")) else { return server };
            files.folders.push((template.clone(), folder.clone()));
            directory::add(server, entry, &template, folder)
        }
        (ResourceUri::Fixed(uri), ResourceContent::Command(command)) => {
            let resource = Resource::new(uri, &entry.name).timeout(call_timeout(command, wait_max));
            let (run, places) = (CommandResource::new(entry, command), commands.places(command.concurrency));
            server.offer(
                described!(resource, entry).handler(move |call| run.start(&places, &Vars::default(), call)),
            )
        }
        (ResourceUri::Template(template), ResourceContent::Command(command)) => {
            let resource = ResourceTemplate::new(template.as_str(), &entry.name)
                .timeout(call_timeout(command, wait_max));
            let (run, places) = (CommandResource::new(entry, command), commands.places(command.concurrency));
            server
                .offer(described!(resource, entry).handler(move |vars, call| run.start(&places, vars, call)))
        }
        // Such an entry is not read.
        (ResourceUri::Template(_), ResourceContent::File(_) | ResourceContent::Directory(_)) => server,
    }
}

fn file(uri: &str, entry: &ResourceEntry, place: Place) -> Item {
    let bytes_max = entry.bytes_max;
    described!(Resource::new(uri, &entry.name), entry).blocking_handler(
        move |_| -> Result<ResourceContents> { Ok(output::text_or_blob(place.read(bytes_max)?)) },
    )
}

/// The command behind a resource.
struct CommandResource {
    name: String,
    command: CommandEntry,
}

impl CommandResource {
    fn new(entry: &ResourceEntry, command: &CommandEntry) -> Arc<CommandResource> {
        Arc::new(CommandResource { name: entry.name.clone(), command: command.clone() })
    }

    fn start(
        self: &Arc<CommandResource>,
        places: &Places,
        vars: &Vars,
        call: &mut Call,
    ) -> Result<Deferred<Vec<ResourceContents>>> {
        let mut arguments = Vec::new();
        let mut object = Object::new(&mut arguments);
        for (name, value) in vars.iter() {
            object.str(name, value);
        }
        object.end();
        let prepared = self.command.prepare(String::from_utf8(arguments)?)?;
        let spec = spec(&self.command, prepared, false, call);
        let (resource, places) = (self.clone(), places.clone());
        Ok(call.defer(move |reply: Reply<Vec<ResourceContents>>| {
            let ticket = places.ticket();
            let cancelled = ticket.clone();
            reply.on_abandon(move || cancelled.cancel());
            let done = Box::new(move |finished| {
                reply.finish(output::contents(&resource.name, &resource.command, finished));
            });
            places.run(&ticket, spec, None, done);
        }))
    }
}
