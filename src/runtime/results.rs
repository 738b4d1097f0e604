//! The part that all results share.
//!
//! *Scope:* the `_meta` of results without a session (MCP 2026-07-28). *Not in scope:* the results themselves.

use crate::json::write::Object;
use crate::protocol::description::Implementation;
use crate::protocol::meta::SERVER_INFO;

/// The `_meta` of every result.
pub(crate) fn result_meta(info: &Implementation) -> String {
    let mut meta = Vec::new();
    Object::new(&mut meta).field(SERVER_INFO, |out| info.write(out));
    String::from_utf8(meta).unwrap_or_default()
}
