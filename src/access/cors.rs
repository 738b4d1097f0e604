//! The header fields that let pages of allowed origins read responses (Fetch standard, CORS protocol).
//!
//! *Scope:* preflights, the fields of every response to an allowed origin. *Not in scope:* which origins are allowed (`site`).
//!
//! ```text
//!  allowed Origin ─┬─ OPTIONS + Access-Control-Request-Method ──▶ 204, without authentication
//!                  └─ anything else ──▶ as without CORS, and three more fields on the response, whatever it is
//!  other, no Origin ── as without CORS, and Vary: Origin
//!  no Origin ── Sec-Fetch-Site: cross-site, same-site ──▶ 403
//! ```
//!
//! The origin is never `*`, which would let every page read session ids. Credentials are not allowed: browsers then send
//! neither cookies nor stored passwords, and pages send tokens themselves.

use crate::access::peer::Peer;
use crate::access::settings::{self, Settings};
use crate::access::site;
use crate::http::head::Head;
use crate::http::response::{CommonFields, OwnedResponse};
use crate::limits::Limits;
use crate::text::is_token_byte;

/// The fields that clients of any revision send and that need permission.
const REQUEST_FIELDS: &str =
    "Authorization, Content-Type, Mcp-Session-Id, MCP-Protocol-Version, Last-Event-ID, Mcp-Method, Mcp-Name";
/// The fields that a page has to read in a response.
const RESPONSE_FIELDS: &str = "Mcp-Session-Id, WWW-Authenticate";
/// The arguments of tools as fields (MCP 2026-07-28), whose names are not known in advance.
const PARAMETER_PREFIX: &str = "mcp-param-";
/// How long a browser may keep the response to a preflight: the most that Chromium allows.
const PREFLIGHT_SECONDS: &str = "7200";

/// The fields of every response. For an allowed origin they let its pages read the response; for others `Vary` tells caches
/// that the response depends on the origin (Fetch standard, CORS protocol and HTTP caches).
pub(crate) fn common_fields(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Option<CommonFields> {
    if !settings.cors {
        return None;
    }
    let vary = ("Vary", "Origin");
    let Some(origin) = site::allowed_origin(head, settings, peer) else {
        return Some(CommonFields::new(&[vary]));
    };
    let fields =
        [("Access-Control-Allow-Origin", origin), vary, ("Access-Control-Expose-Headers", RESPONSE_FIELDS)];
    // The last one is of no use to a preflight.
    let count = if head.method == "OPTIONS" { 2 } else { 3 };
    Some(CommonFields::new(fields.get(..count)?))
}

/// The response to a preflight (Fetch standard, CORS-preflight request): the methods and fields that may be sent to this path.
pub(crate) fn preflight(
    head: &Head<'_>,
    settings: &Settings,
    peer: &Peer,
    limits: &Limits,
) -> Option<OwnedResponse> {
    let asks = settings.cors && head.method == "OPTIONS";
    if !asks || head.header("access-control-request-method").is_none() {
        return None;
    }
    site::allowed_origin(head, settings, peer)?;
    let path = settings::relative(head.path, settings);
    let methods = match path {
        _ if settings.is_mcp_path(path) && !settings.keeps_sessions() => "POST",
        _ if settings.is_mcp_path(path) => "GET, POST, DELETE",
        _ if path == settings.sse_path => "GET",
        _ if path == settings.message_path => "POST",
        #[cfg(feature = "auth")]
        _ if path.starts_with(crate::access::auth::resource::WELL_KNOWN) => "GET",
        _ => return None,
    };
    let answer = OwnedResponse { status: 204, ..OwnedResponse::default() }
        .header("Access-Control-Allow-Methods", methods)
        .header("Access-Control-Allow-Headers", allowed_fields(head, limits))
        .header("Access-Control-Max-Age", PREFLIGHT_SECONDS);
    // An origin that is listed may come from a public network.
    Some(match head.header("access-control-request-private-network") {
        Some(b"true") => answer.header("Access-Control-Allow-Private-Network", "true"),
        _ => answer,
    })
}

/// The fields that may be sent, with those of a tool's arguments that were asked for, at most as many as a request may have.
fn allowed_fields(head: &Head<'_>, limits: &Limits) -> String {
    let asked = head.headers_named("access-control-request-headers");
    let names = asked.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let names = names.filter(|name| name.iter().all(|byte| is_token_byte(*byte)));
    let parameters = names.filter_map(|name| std::str::from_utf8(name).ok()).filter(|name| {
        let (prefix, rest) = name.split_at_checked(PARAMETER_PREFIX.len()).unwrap_or_default();
        prefix.eq_ignore_ascii_case(PARAMETER_PREFIX) && !rest.is_empty()
    });
    let mut text = REQUEST_FIELDS.to_owned();
    parameters.take(limits.headers_max).for_each(|name| text.extend([", ", name]));
    text
}
