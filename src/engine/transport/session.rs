//! Which session of Streamable HTTP a request names.
//!
//! *Scope:* `Mcp-Session-Id`, and whether its revision fits what `MCP-Protocol-Version` says. *Not in scope:* what the request
//! does with the session.

use crate::engine::core::Core;
use crate::engine::negotiate::Version;
use crate::engine::refusals::{NO_SESSION, Refused, bad_request};
use crate::engine::state::ids::owner_hint;
use crate::http::head::{Head, Single};
use crate::jsonrpc::Error;
use crate::slab::Key;

/// The session that the header fields name; `None` where the server keeps none, and they name none.
pub(crate) fn session_for(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    version: &Version,
) -> Result<Option<Key>, Refused> {
    if !core.settings.sessionless || head.header("mcp-session-id").is_some() {
        return session_of(core, conn, head, version).map(Some);
    }
    version.fault(false).map_or(Ok(None), |fault| Err(bad_request(&fault)))
}

/// The session that the header fields name.
pub(crate) fn session_of(core: &Core, conn: Key, head: &Head<'_>, version: &Version) -> Result<Key, Refused> {
    let id = match head.single("mcp-session-id") {
        Single::One(id) => std::str::from_utf8(id).unwrap_or_default(),
        Single::Absent => {
            // Whoever speaks another revision may know no sessions, and has to learn of the revision first.
            let fault = version.fault(false);
            let text =
                fault.as_deref().unwrap_or("the Mcp-Session-Id header is required; `initialize` gives it");
            return Err(bad_request(text));
        }
        Single::Several => return Err(bad_request("Mcp-Session-Id is sent more than once")),
    };
    let found = core.find_session(conn, id).filter(|(_, entry)| entry.streamable.is_some());
    let (key, entry) = found.ok_or_else(|| {
        let hint = owner_hint(id, &core.settings.node_id);
        Refused::new(404, Error::new(NO_SESSION, format!("Session not found{hint}")))
    })?;
    let fault = match version {
        Version::Modern(name) => Some(format!(
            "MCP-Protocol-Version is `{name}`, which has no sessions, and this session speaks {0}; send {0}",
            entry.session.revision().name()
        )),
        _ => version.fault(true),
    };
    match fault {
        Some(fault) => Err(bad_request(&fault)),
        None => Ok(key),
    }
}
