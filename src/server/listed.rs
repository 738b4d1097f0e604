//! Templates whose resources are listed on demand.
//!
//! *Scope:* the setters `list` and `blocking_list`, and [`ListedTemplate`]. *Not in scope:* when the closures run, and pages
//! (`lists` of `runtime`).

use crate::protocol::content::IntoResource;
use crate::protocol::description::ResourceTemplate;
use crate::protocol::listing::{IntoResourceList, PageRequest};
use crate::protocol::uri::Vars;
use crate::server::call::Call;
use crate::server::handler::Handler;
use crate::server::item::Item;

impl ResourceTemplate {
    /// The template with a closure that lists its resources, on the loop's thread: they are part of `resources/list`, after the
    /// resources that have been added one by one. The template's handler reads them. [`IntoResourceList`] lists what the closure
    /// may return.
    ///
    /// The closure returns all resources in any order. The server puts them in the order of their URIs, and takes those of the
    /// page that the client wants. Where there are many, the closure can leave out those that are not wanted:
    /// [`PageRequest`] has an example. It cannot ask the client. Call [`Handle::resources_changed`](crate::Handle::resources_changed)
    /// when the list changes.
    ///
    /// ```
    /// use std::path::Path;
    /// use mcp_rill::{Resource, ResourceTemplate, Server};
    /// let pages = Path::new("/usr/share/manual");
    /// let manual = ResourceTemplate::new("manual:///{+page}", "page").blocking_list(move |_, _| -> std::io::Result<_> {
    ///     let names = pages.read_dir()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    ///     // A name with other characters would have to be percent-encoded.
    ///     let names = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    ///     Ok(names.map(|name| Resource::new(format!("manual:///{name}"), name)).collect())
    /// });
    /// let server = Server::new("manual", "1.0.0").offer(manual.blocking_handler(move |vars, _| {
    ///     std::fs::read_to_string(pages.join(vars.get("page").unwrap_or_default()))
    /// }));
    /// ```
    pub fn list<R: IntoResourceList>(
        self,
        mut list: impl FnMut(&PageRequest<'_>, &mut Call) -> R + Send + 'static,
    ) -> ListedTemplate {
        let list = Handler::inline(move |input, call| input.list(|page| list(page, call)));
        ListedTemplate { template: self, list }
    }

    /// As [`list`](ResourceTemplate::list), for a closure that takes a while: it runs on a worker thread, within the template's
    /// [`timeout`](ResourceTemplate::timeout).
    pub fn blocking_list<R: IntoResourceList>(
        self,
        list: impl Fn(&PageRequest<'_>, &mut Call) -> R + Send + Sync + 'static,
    ) -> ListedTemplate {
        let list = Handler::blocking(move |input, call| input.list(|page| list(page, call)));
        ListedTemplate { template: self, list }
    }

    /// As [`list`](ResourceTemplate::list), for a closure that takes the [state](crate::Server::with_state) of its server first.
    ///
    /// ```
    /// use mcp_rill::{Call, CallError, PageRequest, Resource, ResourceTemplate, Server, uri::Vars};
    /// #[derive(Default)]
    /// struct Notes(Vec<String>);
    /// impl Notes {
    ///     fn list(&mut self, _: &PageRequest, _: &mut Call) -> Vec<Resource> {
    ///         (0..self.0.len()).map(|id| Resource::new(format!("note:///{id}"), format!("Note {id}"))).collect()
    ///     }
    ///     fn read(&mut self, vars: &Vars, _: &mut Call) -> Result<String, CallError> {
    ///         let id: Option<usize> = vars.get("id").and_then(|id| id.parse().ok());
    ///         id.and_then(|id| self.0.get(id).cloned()).ok_or_else(CallError::not_found)
    ///     }
    /// }
    /// let note = ResourceTemplate::new("note:///{id}", "note").list_with_state(Notes::list);
    /// let server = Server::with_state("notes", "1.0.0", Notes::default()).offer(note.handler_with_state(Notes::read));
    /// ```
    pub fn list_with_state<S: 'static, R: IntoResourceList>(
        self,
        mut list: impl FnMut(&mut S, &PageRequest<'_>, &mut Call) -> R + Send + 'static,
    ) -> ListedTemplate {
        let list = Handler::inline_with(move |state: &mut S, input, call| {
            input.list(|page| list(state, page, call))
        });
        ListedTemplate { template: self, list }
    }

    /// As [`blocking_list`](ResourceTemplate::blocking_list), for a closure that takes the
    /// [shared state](crate::Server::shared_state) of its server first.
    pub fn blocking_list_with_state<B: 'static, R: IntoResourceList>(
        self,
        list: impl Fn(&B, &PageRequest<'_>, &mut Call) -> R + Send + Sync + 'static,
    ) -> ListedTemplate {
        let list =
            Handler::blocking_with(move |state: &B, input, call| input.list(|page| list(state, page, call)));
        ListedTemplate { template: self, list }
    }
}

/// A resource template whose resources are listed on demand: [`ResourceTemplate::list`] makes one. With the handler that reads
/// them it is an [`Item`].
#[derive(Debug)]
#[must_use = "it becomes an item by `handler` or `blocking_handler`"]
pub struct ListedTemplate {
    template: ResourceTemplate,
    list: Handler,
}

impl ListedTemplate {
    /// As [`ResourceTemplate::handler`].
    pub fn handler<R: IntoResource>(
        self,
        handler: impl FnMut(&Vars, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.template.handler(handler).listed_by(self.list)
    }

    /// As [`ResourceTemplate::blocking_handler`].
    pub fn blocking_handler<R: IntoResource>(
        self,
        handler: impl Fn(&Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.template.blocking_handler(handler).listed_by(self.list)
    }

    /// As [`ResourceTemplate::handler_with_state`].
    pub fn handler_with_state<S: 'static, R: IntoResource>(
        self,
        handler: impl FnMut(&mut S, &Vars, &mut Call) -> R + Send + 'static,
    ) -> Item {
        self.template.handler_with_state(handler).listed_by(self.list)
    }

    /// As [`ResourceTemplate::blocking_handler_with_state`].
    pub fn blocking_handler_with_state<B: 'static, R: IntoResource>(
        self,
        handler: impl Fn(&B, &Vars, &mut Call) -> R + Send + Sync + 'static,
    ) -> Item {
        self.template.blocking_handler_with_state(handler).listed_by(self.list)
    }
}
