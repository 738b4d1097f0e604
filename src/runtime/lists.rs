//! The list methods.
//!
//! *Scope:* pages of what is registered, and of resources that are listed on demand. *Not in scope:* the form of a page
//! (`pages`), and running the closures that list (`run`).
//!
//! ```text
//!  resources/list ─▶ registered resources, page by page ─▶ the first template that lists, page by page ─▶ the next one …
//! ```

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::iter;

use crate::json::value::JsonCow;
use crate::jsonrpc::Error;
use crate::protocol::cache::{CacheHint, CacheScope};
use crate::protocol::description::Resource;
use crate::runtime::calls::Run;
use crate::runtime::handler_service::HandlerService;
use crate::runtime::handlers::Target;
use crate::server::context::Context;
use crate::server::pages::{Cursor, Row, listed_after, with_cursor, write_page};
use crate::service::ServiceRequest;
use crate::service::outbox::Outbox;
use crate::service::session::Session;

/// Where a page comes from.
enum Page {
    /// It is written; true if all clients see everything on it.
    Written(bool),
    /// The template of this name, in normal form, lists it.
    Listed(String),
}

impl HandlerService {
    pub(crate) fn list(
        &mut self,
        request: &ServiceRequest<'_>,
        session: &Session,
        out: &mut Outbox,
    ) -> Result<(), Error> {
        let (registry, limits, viewer) = (&self.server.registry, &self.server.limits, session.viewer());
        let is_offered = match request.method {
            "tools/list" => registry.tools.is_offered(),
            "prompts/list" => registry.prompts.is_offered(),
            _ => registry.offers_resources(),
        };
        if !is_offered {
            return Err(Error::method_not_found(request.method));
        }
        let mut page = Vec::new();
        let source = with_cursor(request.params, |cursor| {
            let mut write = |member: &str, rows: &mut dyn Iterator<Item = Row<'_>>, next: Option<String>| {
                Some(Page::Written(write_page(&mut page, member, rows, limits, next)))
            };
            match (request.method, cursor) {
                ("tools/list", Cursor::After(serial, name)) => {
                    write("tools", &mut registry.tools.rows((serial, name), &viewer, |item| &item.0), None)
                }
                ("prompts/list", Cursor::After(serial, name)) => write(
                    "prompts",
                    &mut registry.prompts.rows((serial, name), &viewer, |item| &item.0),
                    None,
                ),
                ("resources/templates/list", Cursor::After(serial, name)) => {
                    let mut rows = registry.templates.rows((serial, name), &viewer, |item| &item.0);
                    write("resourceTemplates", &mut rows, None)
                }
                ("resources/list", Cursor::After(serial, name)) => {
                    let rows = || registry.resources.rows((serial, name), &viewer, |item| &item.0);
                    match registry.next_lister(None, &viewer) {
                        Some(first) if rows().next().is_none() => Some(Page::Listed(first.to_owned())),
                        first => {
                            let next = first.map(|first| Cursor::Listed(first, "").to_string());
                            write("resources", &mut rows(), next)
                        }
                    }
                }
                ("resources/list", Cursor::Listed(template, _)) => {
                    let lists = registry.is_lister(template, &viewer);
                    lists.then(|| Page::Listed(template.to_owned()))
                }
                _ => None,
            }
        })?;
        match source {
            Page::Written(is_public) => {
                let cache = self.list_cache(is_public);
                self.result(request.call, session.revision(), Some(cache), out, |out| out.append(&mut page));
            }
            Page::Listed(template) => {
                let call =
                    self.call_of(request.call, Context::of(request, session, request.member("_meta")?));
                let mut run = Run::new(call, request.session, Target::List, Cow::Owned(template));
                run.arguments = request.member("cursor")?.map(JsonCow::Borrowed);
                self.run(run, request.now, out);
            }
        }
        Ok(())
    }

    /// Answers a request with the page that begins after its cursor. It may depend on who asks, so caches must not share it.
    pub(crate) fn answer_list(&self, run: &Run<'_>, resources: &[Resource], out: &mut Outbox) {
        let (registry, limits) = (&self.server.registry, &self.server.limits);
        let cursor = run.arguments.as_ref().and_then(|cursor| cursor.as_ref().as_str());
        let after = listed_after(cursor.as_deref()).unwrap_or_default();
        // A heap puts only those in order that are on the page.
        let later = resources.iter().enumerate().filter(|(_, resource)| *resource.uri > *after);
        let later: Vec<_> = later.map(|(at, resource)| Reverse((&*resource.uri, at))).collect();
        let mut later = BinaryHeap::from(later);
        let next = registry.next_lister(Some(&run.item), &run.call.context.viewer());
        let next = next.map(|next| Cursor::Listed(next, "").to_string());
        let mut rows = iter::from_fn(|| {
            let Reverse((uri, at)) = later.pop()?;
            let cursor = Cursor::Listed(&run.item, uri);
            Some(Row { cursor, is_restricted: true, description: resources.get(at)? })
        });
        let cache = self.list_cache(false);
        self.result(run.key, run.revision(), Some(cache), out, |out| {
            write_page(out, "resources", &mut rows, limits, next);
        });
    }

    fn list_cache(&self, is_public: bool) -> CacheHint {
        let CacheHint { ttl, scope } = self.server.list_cache;
        CacheHint { ttl, scope: if is_public { scope } else { CacheScope::Private } }
    }
}
