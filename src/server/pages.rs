//! Lists page by page (MCP pagination).
//!
//! *Scope:* the form of cursors and pages. *Not in scope:* which items are on a page (`items`).

use std::fmt;

use crate::json::value::JsonRef;
use crate::json::write::{Object, ToJson};
use crate::jsonrpc;
use crate::limits::Limits;
use crate::text::printable;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cursor<'a> {
    /// After the item of this serial number, or the one of this name that follows it without a number.
    After(u64, Option<&'a str>),
    /// After the resource of the second URI in what the first template, in normal form, lists.
    Listed(&'a str, &'a str),
}

impl fmt::Display for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cursor::After(serial, None) => write!(f, "after-{serial}"),
            Cursor::After(serial, Some(name)) => write!(f, "after-{serial} {name}"),
            // There is no space in a template.
            Cursor::Listed(template, uri) => write!(f, "of {template} {uri}"),
        }
    }
}

impl Cursor<'_> {
    fn read(text: &str) -> Option<Cursor<'_>> {
        if let Some(listed) = text.strip_prefix("of ") {
            let (template, uri) = listed.split_once(' ')?;
            return Some(Cursor::Listed(template, uri));
        }
        let rest = text.strip_prefix("after-")?;
        let (serial, name) = rest.split_once(' ').map_or((rest, None), |(serial, name)| (serial, Some(name)));
        Some(Cursor::After(serial.parse().ok()?, name))
    }
}

/// One item of a list.
pub(crate) struct Row<'a> {
    /// Where the page after it begins.
    pub(crate) cursor: Cursor<'a>,
    /// True if not every client sees it.
    pub(crate) is_restricted: bool,
    pub(crate) description: &'a dyn ToJson,
}

/// The URI after which a template's resources are wanted; `None` at their beginning.
pub(crate) fn listed_after(cursor: Option<&str>) -> Option<&str> {
    match Cursor::read(cursor?)? {
        Cursor::Listed(_, uri) if !uri.is_empty() => Some(uri),
        _ => None,
    }
}

/// Calls `list` with the cursor of a request, or that of the beginning. It returns `None` for a cursor of another list.
///
/// # Errors
/// −32602 names a cursor that does not come from this list.
pub(crate) fn with_cursor<T>(
    params: Option<JsonRef<'_>>,
    list: impl FnOnce(Cursor<'_>) -> Option<T>,
) -> Result<T, jsonrpc::Error> {
    let raw = params.map(|params| params.member("cursor")).transpose()?.flatten();
    let text = raw.map(JsonRef::as_str);
    let cursor = match &text {
        None => Some(Cursor::After(0, None)),
        Some(text) => text.as_deref().and_then(Cursor::read),
    };
    cursor.and_then(list).ok_or_else(|| {
        let cursor = printable(raw.map_or("", JsonRef::text));
        jsonrpc::Error::invalid_params(format_args!(
            "`cursor` {cursor} does not come from this list; leave it out to begin again"
        ))
    })
}

/// Appends one page as the result of a list method: `{"<member>":[…],"nextCursor":"…"}`. `next` is the cursor after the last
/// row. Returns true if every client sees everything on the page.
pub(crate) fn write_page(
    out: &mut Vec<u8>,
    member: &str,
    rows: &mut dyn Iterator<Item = Row<'_>>,
    limits: &Limits,
    next: Option<String>,
) -> bool {
    let mut rows = rows.peekable();
    let (mut last, mut is_public) = (None, true);
    let mut result = Object::new(out);
    result.field(member, |out| {
        let start = out.len();
        out.push(b'[');
        for _ in 0..limits.page_items_max {
            let Some(row) = rows.peek() else { break };
            let before = out.len();
            if last.is_some() {
                out.push(b',');
            }
            row.description.write(out);
            if out.len() - start > limits.page_bytes_max && last.is_some() {
                out.truncate(before);
                break;
            }
            is_public &= !row.is_restricted;
            last = rows.next();
        }
        out.push(b']');
    });
    let next = match (last, rows.peek()) {
        (Some(last), Some(_)) => Some(last.cursor.to_string()),
        _ => next,
    };
    result.opt_str("nextCursor", next.as_deref());
    is_public
}
