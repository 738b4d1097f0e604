//! Arguments that clients of 2026-07-28 repeat in header fields (MCP 2026-07-28, tools).
//!
//! *Scope:* which tools of a child have such arguments, as it has listed them: a client knows no others. *Not in scope:* comparing
//! them ([`check_arguments`]).

use super::service::Bridge;
use crate::cli::bounds::ANNOTATED_TOOLS_MAX;
use crate::json::value::JsonRef;
use crate::jsonrpc::Error;
use crate::protocol::param_headers::annotations;
use crate::runtime::stateless::headers::check_arguments;
use crate::service::ServiceRequest;

impl Bridge {
    /// Notes the annotations of listed tools.
    pub(super) fn note_headers(&mut self, list: JsonRef<'_>) {
        let tools = list.get("tools").and_then(JsonRef::items).unwrap_or_default();
        for tool in tools {
            let Some(name) = tool.get("name").and_then(JsonRef::as_str) else { continue };
            let schema = tool.get("inputSchema").map_or("", JsonRef::text);
            match annotations(schema) {
                Ok(found)
                    if !found.is_empty()
                        && (self.headers.len() < ANNOTATED_TOOLS_MAX
                            || self.headers.contains_key(&*name)) =>
                {
                    self.headers.insert(name.into_owned(), found);
                }
                // Clients drop a tool whose annotations are wrong.
                _ => drop(self.headers.remove(&*name)),
            }
        }
    }

    /// Checks the header fields of a call.
    ///
    /// # Errors
    /// −32020 names the field that differs.
    pub(super) fn check_headers(&self, request: &ServiceRequest<'_>) -> Result<(), Error> {
        if request.method != "tools/call" || self.headers.is_empty() || request.head.is_none() {
            return Ok(());
        }
        let name = request.member("name")?.and_then(JsonRef::as_str).unwrap_or_default();
        let Some(annotations) = self.headers.get(&*name) else { return Ok(()) };
        check_arguments(annotations, request.member("arguments")?, request.head)
    }
}
