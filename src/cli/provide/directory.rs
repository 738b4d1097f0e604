//! Folders as resources: their files are listed in pages, and read by URIs below that of the folder.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::describe::described;
use super::files::{self, Listed, Place};
use super::{media_type, output};
use crate::cli::manifest::entries::ResourceEntry;
use crate::cli::messages::say_aside;
use crate::protocol::content::ResourceContents;
use crate::protocol::description::{Resource, ResourceTemplate};
use crate::protocol::listing::PageRequest;
use crate::protocol::result::Result;
use crate::protocol::uri::{UriTemplate, Vars};
use crate::server::builder::Server;
use crate::server::call::Call;

/// The variable of a folder's template, and how it stands there.
pub(super) const PATH: &str = "path";
pub(super) const VARIABLE: &str = "{+path}";

/// Adds a folder.
pub(super) fn add(server: Server, entry: &ResourceEntry, template: &UriTemplate, folder: PathBuf) -> Server {
    let (bytes_max, root, of_all) = (entry.bytes_max, folder.clone(), entry.about.mime_type.is_some());
    let read = move |vars: &Vars, _: &mut Call| -> Result<ResourceContents> {
        let path = vars.get(PATH).unwrap_or_default();
        let bytes = Place::Below(root.clone(), path.to_owned()).read(bytes_max)?;
        let media_type = media_type::of_name(path).unwrap_or_else(|| media_type::of_content(&bytes));
        let contents = output::text_or_blob(bytes);
        Ok(if of_all { contents } else { contents.mime_type(media_type) })
    };
    let listed = template.clone();
    let (root, base) = (folder, template.as_str().strip_suffix(VARIABLE).unwrap_or_default().to_owned());
    let is_told = AtomicBool::new(false);
    let list = move |page: &PageRequest<'_>, _: &mut Call| -> Vec<Resource> {
        let after = page.after().unwrap_or_default();
        // All files of the folder come after what comes before it.
        let after = after.strip_prefix(base.as_str()).unwrap_or_default();
        // Another resource is still listed if this folder cannot be.
        let Listed { paths, cut } = files::list(&root, after, page.max()).unwrap_or_default();
        if let Some((bound, below)) = cut
            && !is_told.swap(true, Ordering::Relaxed)
        {
            say_aside(format!("{}: not all files are listed: {bound}", root.join(below).display()));
        }
        paths.iter().filter_map(|path| resource(&listed, &format!("{base}{path}"))).collect()
    };
    let item = described!(ResourceTemplate::new(template.as_str(), &entry.name), entry);
    server.offer(item.blocking_list(list).blocking_handler(read))
}

/// A file in the list of resources; `None` if it could not be read by this URI.
fn resource(template: &UriTemplate, uri: &str) -> Option<Resource> {
    let vars = template.matches(uri)?;
    let path = vars.get(PATH)?;
    let resource = Resource::new(uri, path);
    Some(match media_type::of_name(path) {
        Some(media_type) => resource.mime_type(media_type),
        None => resource,
    })
}
