//! What stands in for sessions of the revisions that have them, where the server keeps none
//! ([`Settings::sessionless`](crate::Settings)).
//!
//! *Scope:* a session of one request. *Not in scope:* revisions without sessions (`stateless`).

use crate::engine::core::Core;
use crate::engine::transport::session::revision_of;
use crate::http::head::Head;
use crate::service::session::Session;
use crate::slab::Key;

/// What stands in for the session of a POST, where the server keeps none. A client that names no revision has to be taken
/// for one of 2025-03-26 (MCP 2025-11-25, transports, "Protocol Version Header").
pub(crate) fn stand_in(core: &mut Core, conn: Key, head: &Head<'_>) -> Key {
    let principal = core.connections.get(conn).and_then(|conn| conn.peer.principal.clone());
    core.report_sessionless(conn);
    core.begin_request(Session::of_post(principal, revision_of(head)))
}
