//! Which arguments of tools are repeated in header fields, asked of the server itself.
//!
//! A client of standard input and output may call a tool that it knows from before, without listing any. Over HTTP the server refuses
//! the call then, if its arguments have to be in header fields as well (MCP 2026-07-28, transports, "Custom Headers").

use std::borrow::Cow;
use std::cell::RefCell;

use super::drive::{Ended, drive};
use super::message::{Incoming, read_incoming};
use super::remote::{Remote, within};
use super::wire::answer;
use crate::cli::bounds::CONNECT_TOOL_PAGES_MAX;
use crate::client::transport::{Outgoing, Transport, limits};
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::Object;
use crate::protocol::routing;

/// The error code of a server whose header fields do not repeat the message (MCP 2026-07-28, schema, HeaderMismatchError).
const HEADER_MISMATCH: &str = "-32020";
/// An id that no client uses.
const ID: &str = "mcp-rill: which arguments are header fields?";
const METHOD: &str = "tools/list";

/// True if a refusal says that header fields are missing.
pub(super) fn is_mismatch(body: &str) -> bool {
    let mut tape = Tape::new();
    let json = tape.read_within(body, &limits()).unwrap_or(JsonRef::NULL);
    json.at(&["error", "code"]).is_some_and(|code| code.text() == HEADER_MISMATCH)
}

/// Lists the tools in the name of the client whose call of this text was refused. Returns false if that fails.
pub(super) fn learn(remote: &Remote, call: &str, revision: &str) -> bool {
    let mut tape = Tape::new();
    let json = tape.read_within(call, &limits()).unwrap_or(JsonRef::NULL);
    let Some(meta) = json.at(&["params", "_meta"]) else { return false };
    let mut cursor = None::<String>;
    for _ in 0..CONNECT_TOOL_PAGES_MAX {
        match page(remote, meta.text(), revision, cursor.as_deref()) {
            Some(None) => return true,
            Some(next) => cursor = next,
            None => return false,
        }
    }
    false
}

/// Asks for one page. Returns the cursor of the next one, if there is one; `None` if there is no answer.
fn page(remote: &Remote, meta: &str, revision: &str, cursor: Option<&str>) -> Option<Option<String>> {
    let mut text = Vec::new();
    let mut message = Object::new(&mut text);
    message.str("jsonrpc", "2.0").str("id", ID).str("method", METHOD);
    message.field("params", |out| {
        Object::new(out).opt_str("cursor", cursor).raw("_meta", meta);
    });
    message.end();
    let target = remote.wire.target(Transport::Stateless);
    let fields = routing::fields(revision, METHOD, &Members::default(), &routing::Params::default());
    let message = Outgoing { text: &text, request: None, fields: &fields };
    let post = target.post(&target.defaults.url.target, message);
    let mut exchange = remote.wire.send(answer(), post, within(remote.options.timeout)).ok()?;
    let response = RefCell::new(None);
    let ended = drive(
        remote,
        &mut exchange,
        &target,
        Some(remote.options.timeout),
        || response.borrow().is_some(),
        |text| {
            let mut tape = Tape::new();
            let json = tape.read_within(&text, &limits()).unwrap_or(JsonRef::NULL);
            if let Ok(Incoming::Response { is_error, .. }) = read_incoming(json) {
                remote.learn(json);
                let next = json.at(&["result", "nextCursor"]).and_then(JsonRef::as_str).map(Cow::into_owned);
                *response.borrow_mut() = Some(Some(next).filter(|_| !is_error));
            }
        },
    );
    match ended {
        Ended::Done => response.into_inner().flatten(),
        Ended::Refused(..) | Ended::Failed(_) => None,
    }
}
