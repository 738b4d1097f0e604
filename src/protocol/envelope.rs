//! How a request without a session describes its client (MCP 2026-07-28, basic, `_meta`).
//!
//! *Scope:* [`Envelope`], read from `_meta`. *Not in scope:* answering the request.

use std::borrow::Cow;

use crate::json::value::{JsonRef, Members};
use crate::jsonrpc::Error;
use crate::protocol::client_info::{Capabilities, ClientInfo};
use crate::protocol::level::{Level, read_level};
use crate::protocol::meta_names::{CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION};
use crate::text::cut;

/// The client of a request, as the request describes it.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(crate) params: Members<'a>,
    pub(crate) version: Cow<'a, str>,
    pub(crate) client: ClientInfo,
    /// `None` if it wants no logs.
    pub(crate) log_level: Option<Level>,
}

impl<'a> Envelope<'a> {
    /// Reads `params._meta`.
    ///
    /// # Errors
    /// −32602 names the member that is missing or of the wrong type.
    pub(crate) fn read(params: Option<JsonRef<'a>>) -> Result<Envelope<'a>, Error> {
        let wrong = |name: &str| {
            Error::invalid_params(format_args!("`params._meta` must have `{name}`, and of the right type"))
        };
        let params = params.map(Members::of).transpose()?.unwrap_or_default();
        let meta = params.get("_meta").ok_or_else(|| wrong(PROTOCOL_VERSION))?;
        let meta = Members::of_member(meta, "_meta")?;
        let [version, capabilities, info, log_level] =
            meta.pick([PROTOCOL_VERSION, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL]);
        let version = version.and_then(JsonRef::as_str).ok_or_else(|| wrong(PROTOCOL_VERSION))?;
        let capabilities = capabilities.ok_or_else(|| wrong(CLIENT_CAPABILITIES))?;
        let capabilities = Capabilities::read(capabilities, CLIENT_CAPABILITIES)?;
        let info = info.map(|info| Members::of_member(info, CLIENT_INFO)).transpose()?;
        let text = |name| {
            let text = info.as_ref().and_then(|info| info.text(name));
            text.map(|text| cut(&text).into()).unwrap_or_default()
        };
        let log_level = log_level.map(|level| read_level(Some(level))).transpose()?;
        let client = ClientInfo { name: text("name"), version: text("version"), capabilities };
        Ok(Envelope { params, version, client, log_level })
    }
}
