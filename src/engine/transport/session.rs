//! Which session of Streamable HTTP a request names.
//!
//! *Scope:* `Mcp-Session-Id`, whether its revision fits what `MCP-Protocol-Version` says, and refusals of Streamable HTTP.
//! *Not in scope:* the owner of the session, which is checked by `find_session` in `core::sessions`; what the request does
//! with the session.

use std::borrow::Cow;

use crate::engine::core::Core;
use crate::engine::negotiate::Version;
use crate::engine::refusals::{NO_SESSION, REFUSED, Refused};
use crate::engine::state::ids::owner_hint;
use crate::http::head::{Head, Single};
use crate::http::response::OwnedResponse;
use crate::jsonrpc::Error;
use crate::protocol::revision::Revision;
use crate::slab::Key;
use crate::text::shown;

/// Returns the session that the header fields name; `None` if the server keeps no sessions and they name none.
pub(crate) fn named_session(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    version: &Version<'_>,
) -> Result<Option<Key>, Refused> {
    if !core.settings.sessionless || head.header("mcp-session-id").is_some() {
        return required_session(core, conn, head, version).map(Some);
    }
    version.fault(head, false).map_or(Ok(None), |fault| Err(bad_request(&fault)))
}

/// Returns the session that the header fields name.
pub(crate) fn required_session(
    core: &Core,
    conn: Key,
    head: &Head<'_>,
    version: &Version<'_>,
) -> Result<Key, Refused> {
    let id = match head.usual("mcp-session-id") {
        Single::One(id) => id,
        Single::Absent => {
            // A client of another revision may not know sessions, so the error about the revision comes first.
            let fault = version.fault(head, false);
            let text =
                fault.as_deref().unwrap_or("the Mcp-Session-Id header is required; `initialize` gives it");
            return Err(bad_request(text));
        }
        Single::Several => return Err(bad_request("Mcp-Session-Id is sent more than once")),
    };
    let found = core.find_session(conn, head, id).filter(|(_, entry)| entry.streamable.is_some());
    let (key, entry) = found.ok_or_else(|| {
        let hint = owner_hint(std::str::from_utf8(id).unwrap_or_default(), &core.settings.node_id);
        Refused::new(404, Error::new(NO_SESSION, format!("Session not found{hint}")))
    })?;
    let fault = match version {
        Version::Modern(name) => Some(format!(
            "MCP-Protocol-Version is `{name}`, which has no sessions, and this session speaks {0}; send {0}",
            entry.session.revision().name()
        )),
        _ => version.fault(head, true),
    };
    match fault {
        Some(fault) => Err(bad_request(&fault)),
        None => Ok(key),
    }
}

impl Version<'_> {
    /// Returns why the request cannot be served because of its revision; `None` if it can. A session (`in_session`) can only
    /// have a revision with sessions.
    pub(crate) fn fault(&self, head: &Head<'_>, in_session: bool) -> Option<String> {
        let name = match self {
            Version::Absent | Version::Served => return None,
            Version::Modern(_) if !in_session && cfg!(feature = "stateless") => return None,
            Version::Several => return Some("MCP-Protocol-Version is sent more than once".to_owned()),
            Version::Modern(_) | Version::Unknown => {
                shown(head.header("mcp-protocol-version").unwrap_or_default())
            }
        };
        let revisions = Revision::ALL.iter().rev();
        let served: Vec<&str> = revisions
            .filter(|revision| !in_session || revision.has_sessions())
            .map(|revision| revision.name())
            .collect();
        let served = served.join(", ");
        Some(format!("unsupported MCP-Protocol-Version `{name}`; supported are {served}"))
    }
}

/// Returns the revision of a request that belongs to no session although its revision has them.
pub(crate) fn revision_of(head: &Head<'_>) -> Revision {
    let named = head.header_str("mcp-protocol-version").and_then(Revision::named);
    named.filter(|revision| revision.has_sessions()).unwrap_or(Revision::V2025_03_26)
}

/// Returns a refusal in the form of Streamable HTTP, before any message is read.
pub(crate) fn refusal(status: u16, code: i64, text: impl Into<Cow<'static, str>>) -> OwnedResponse {
    Refused::new(status, Error::new(code, text)).into()
}

/// Returns the refusal of an answer, where the server asks nothing.
pub(crate) fn no_question() -> Refused {
    bad_request("this server keeps no sessions, so it asks its clients nothing that could be answered")
}

pub(crate) fn bad_request(text: &str) -> Refused {
    Refused::new(400, Error::new(REFUSED, format!("Bad request: {text}")))
}
