//! What browsers want to hear before a page of another origin may read an answer (Fetch standard, CORS protocol), and what
//! they tell of the page by themselves (Fetch Metadata).
//!
//! *Scope:* preflights, the fields of every response to an allowed origin, `Sec-Fetch-Site`. *Not in scope:* which origins are
//! allowed (`routes`); this only lets their pages read what they may ask for.
//!
//! ```text
//!  allowed Origin ─┬─ OPTIONS + Access-Control-Request-Method ──▶ 204, before anybody is authenticated
//!                  └─ anything else ──▶ as without CORS, and three more fields on the response, whatever it is
//!  other, no Origin ── as without CORS, and Vary: Origin
//!  no Origin ── Sec-Fetch-Site: cross-site, same-site ──▶ 403
//! ```
//!
//! Never `*`, which would let every page read session ids, and no credentials: browsers then send neither cookies nor stored
//! passwords, and tokens are sent by the page itself.

use super::routes;
use crate::Limits;
use crate::http::conn::Answer;
use crate::http::head::{Head, Single};
use crate::http::response::Extra;
use crate::http::{is_token_byte, shown};
use crate::mcp::{Peer, Settings, WELL_KNOWN};

/// What clients of any revision send, besides what needs no permission.
const REQUEST_FIELDS: &str =
    "Authorization, Content-Type, Mcp-Session-Id, MCP-Protocol-Version, Last-Event-ID, Mcp-Method, Mcp-Name";
/// What a page has to read in an answer.
const RESPONSE_FIELDS: &str = "Mcp-Session-Id, WWW-Authenticate";
/// A tool's arguments as fields (MCP 2026-07-28): their names are not known beforehand.
const PARAMETER_PREFIX: &str = "mcp-param-";
/// How long a browser may remember the answer to a preflight: what Chromium allows at most.
const PREFLIGHT_SECONDS: &str = "7200";

/// The fields of every response: for an allowed origin what lets its pages read it, and else that it would be another one for
/// them, which a cache has to know (Fetch standard, CORS protocol and HTTP caches).
pub(super) fn extra(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Option<Box<Extra>> {
    if !settings.cors {
        return None;
    }
    let vary = ("Vary", "Origin");
    let Some(origin) = routes::allowed_origin(head, settings, peer) else {
        return Some(Box::new(Extra::new(&[vary])));
    };
    let fields =
        [("Access-Control-Allow-Origin", origin), vary, ("Access-Control-Expose-Headers", RESPONSE_FIELDS)];
    // Of no use to a preflight, and no method but that asks for one.
    let count = if head.method == "OPTIONS" { 2 } else { 3 };
    Some(Box::new(Extra::new(fields.get(..count)?)))
}

/// The answer to a preflight (Fetch standard, CORS-preflight request): what may be sent to this path, whatever was asked for.
pub(super) fn preflight(
    head: &Head<'_>,
    settings: &Settings,
    peer: &Peer,
    limits: &Limits,
) -> Option<Answer> {
    let asks = settings.cors && head.method == "OPTIONS";
    if !asks || head.header("access-control-request-method").is_none() {
        return None;
    }
    routes::allowed_origin(head, settings, peer)?;
    let path = routes::relative(head.path, settings);
    let methods = match path {
        _ if path == settings.mcp_path && settings.sessionless => "POST",
        _ if path == settings.mcp_path => "GET, POST, DELETE",
        _ if path == settings.sse_path => "GET",
        _ if path == settings.message_path => "POST",
        _ if path.starts_with(WELL_KNOWN) => "GET",
        _ => return None,
    };
    let answer = Answer { status: 204, ..Answer::default() }
        .header("Access-Control-Allow-Methods", methods)
        .header("Access-Control-Allow-Headers", allowed_fields(head, limits))
        .header("Access-Control-Max-Age", PREFLIGHT_SECONDS);
    // Who lists an origin means it, wherever its pages come from.
    Some(match head.header("access-control-request-private-network") {
        Some(b"true") => answer.header("Access-Control-Allow-Private-Network", "true"),
        _ => answer,
    })
}

/// The fields that may be sent, and those of a tool's arguments that were asked for, as many as a request may have.
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

/// A request without `Origin` of which the browser says that another site made it: an image, a link, a form of a page that
/// nobody allowed (W3C Fetch Metadata §2.4, which also says to pass over values that are not known).
pub(super) fn check_site(head: &Head<'_>) -> Result<(), Answer> {
    let site = match head.single("sec-fetch-site") {
        Single::One(site @ (b"cross-site" | b"same-site")) => shown(site),
        Single::Absent | Single::One(_) => return Ok(()),
        Single::Several => {
            return Err(Answer::text(403, "Sec-Fetch-Site is sent more than once; send it once"));
        }
    };
    Err(Answer::text(
        403,
        format!(
            "Sec-Fetch-Site is `{site}` and there is no Origin: a page elsewhere has sent this; to allow its origin: \
             --allow-origin or Server::allow_origin, and use fetch or EventSource in the page"
        ),
    ))
}
