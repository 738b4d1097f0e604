//! The normal form in which URIs are compared.
//!
//! *Scope:* syntax-based and scheme-based normalization (RFC 3986 §6.2.2, §6.2.3) of URIs and of templates' literals.
//! *Not in scope:* whether a text is a URI, and internationalized host names.
//!
//! ```text
//!   KBInfo://ada@Wiki:/a/%7Ex/../%c3%a9?Q=1
//!   scheme    user host port  path  rest
//!     │        │    │    │      └─ without dot segments; `/` if there is an authority and no path
//!     │        │    │    └─ left out if empty or the scheme's default
//!     ▼        ▼    ▼
//!   kbinfo://ada@wiki/a/%C3%A9?Q=1      everywhere: %XX in upper case, and only where it is needed
//! ```

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::protocol::uri::escape;

/// Returns the normal form of a URI, in which this library compares URIs (RFC 3986 §6.2.2 and §6.2.3): clients parse the URIs
/// that they get, and write them in forms of their own.
///
/// - The scheme and the host are in lower case.
/// - Letters, digits and `-._~` are not percent-encoded, and the digits of what is are in upper case.
/// - A path that begins with `/` has no segments `.` and `..`; one that is empty after an authority is `/`.
/// - An empty port, and the default port of `http`, `https`, `ws`, `wss` and `ftp`, is left out.
/// - Characters that cannot stand in a URI, such as spaces and `é`, are percent-encoded (RFC 3987 §3.1).
///
/// A text with control characters, or with a `%` that is not followed by two hexadecimal digits, is not a URI and is returned
/// as it is. A text that is in normal form already is borrowed.
///
/// ```
/// use mcp_rill::uri::normalize;
/// assert_eq!(normalize("KBInfo://Summary"), "kbinfo://summary/");
/// assert_eq!(normalize("http://Example.com:80/%7eada/./x/../é"), "http://example.com/~ada/%C3%A9");
/// assert_eq!(normalize("note:///Milk"), "note:///Milk"); // paths are compared with their case
/// ```
pub fn normalize(uri: &str) -> Cow<'_, str> {
    if is_malformed(uri) {
        return Cow::Borrowed(uri);
    }
    let encoded = encoded_once(uri, false);
    let parts = Parts::of(&encoded, false);
    if !parts.are_normal() {
        return Cow::Owned(parts.write(true, "/"));
    }
    encoded
}

/// The two forms of a URI that templates are matched with: normal, but with an empty path in the place of `/`, so that the
/// value of the last variable does not end in a slash that was not in the URI.
pub(crate) struct Forms<'a> {
    /// For the literals.
    pub(crate) folded: Cow<'a, str>,
    /// For the values: the same, byte for byte, but with the scheme and the host in their original case.
    pub(crate) kept: Cow<'a, str>,
}

impl<'a> Forms<'a> {
    pub(crate) fn of(uri: &'a str) -> Forms<'a> {
        if is_malformed(uri) {
            return Forms { folded: Cow::Borrowed(uri), kept: Cow::Borrowed(uri) };
        }
        let encoded = encoded_once(uri, false);
        let parts = Parts::of(&encoded, false);
        if parts.are_normal() && !(parts.authority.is_some() && parts.path == "/") {
            return Forms { folded: encoded.clone(), kept: encoded };
        }
        Forms { folded: Cow::Owned(parts.write(true, "")), kept: Cow::Owned(parts.write(false, "")) }
    }
}

/// The form of a template whose literals occur in [`Forms`]; of any other text, some form of it.
pub(crate) fn normalize_template(template: &str) -> String {
    let encoded = encoded_once(template, true);
    let (known, open) = encoded.split_at(open_at(&encoded));
    let mut parts = Parts::of(known, true);
    if let Some(authority) = parts.authority.as_mut().filter(|_| !open.is_empty()) {
        // It goes on, so what the known text ends with is no port.
        authority.is_default = false;
    }
    parts.write(true, "") + open
}

/// The place of a template's first `{+name}`, if its value may have the end of the host: then it is unknown to which part of the
/// URI the text after it belongs. Otherwise the end of the text.
pub(crate) fn open_at(template: &str) -> usize {
    let is_open = |before: &str| {
        let Parts { path, rest, .. } = Parts::of(before, true);
        path.is_empty() && rest.is_empty()
    };
    let first = template.find("{+").filter(|at| is_open(template.get(..*at).unwrap_or_default()));
    first.unwrap_or(template.len())
}

/// The byte offset of a segment of a template's path that no URI in normal form has, and the segment.
pub(crate) fn dot_segment(template: &str) -> Option<(usize, &str)> {
    let encoded = encoded_once(template, true);
    let Parts { path, rest, .. } = Parts::of(&encoded, true);
    let dots = path.strip_prefix('/')?.split('/').position(|segment| matches!(segment, "." | ".."))?;
    // To encode something makes no slashes and takes none.
    let before = encoded.get(..encoded.len() - rest.len() - path.len())?.matches('/').count();
    let (slash, _) = template.match_indices('/').nth(before + dots)?;
    Some((slash + 1, split_before(template.get(slash + 1..)?, &['/', '?', '#']).0))
}

/// True for control characters and for a `%` outside of an escape. Decoding the rest could make new escapes.
fn is_malformed(text: &str) -> bool {
    let bytes = text.as_bytes();
    let broken = |(at, byte): (usize, &u8)| match byte {
        b'%' => escape(bytes.get(at..).unwrap_or_default()).is_none(),
        byte => byte.is_ascii_control(),
    };
    bytes.iter().enumerate().any(broken)
}

/// A URI, taken apart (RFC 3986 §3).
struct Parts<'a> {
    /// With its colon; empty if the text has none.
    scheme: &'a str,
    authority: Option<Authority<'a>>,
    path: &'a str,
    /// The query and the fragment, with their marks; all of a text without a scheme.
    rest: &'a str,
}

struct Authority<'a> {
    /// With its `@`.
    user: &'a str,
    host: &'a str,
    /// With its colon.
    port: &'a str,
    /// True if the port is the default of the scheme.
    is_default: bool,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str, template: bool) -> Parts<'a> {
        let (scheme, after) = text.split_at(text.find(':').map_or(0, |colon| colon + 1));
        if !is_scheme(scheme.trim_end_matches(':'), template) {
            return Parts { scheme: "", authority: None, path: "", rest: text };
        }
        let (hierarchy, rest) = split_before(after, &['?', '#']);
        let Some(text) = hierarchy.strip_prefix("//") else {
            return Parts { scheme, authority: None, path: hierarchy, rest };
        };
        let (authority, path) = split_before(text, &['/']);
        Parts { scheme, authority: Some(Authority::of(authority, scheme)), path, rest }
    }

    /// True if a text that is encoded once is in normal form.
    fn are_normal(&self) -> bool {
        let of_host = |authority: &Authority<'_>| !has_upper_case(authority.host) && !authority.is_default;
        let guard = self.authority.is_none() && self.path.starts_with("/.//");
        let mut segments = self.path.split('/').skip(if guard { 2 } else { 0 });
        !has_upper_case(self.scheme)
            && self.authority.as_ref().is_none_or(|authority| of_host(authority) && !self.path.is_empty())
            && !(self.path.starts_with('/') && segments.any(|segment| matches!(segment, "." | "..")))
    }

    /// The text of these parts; `root` is what an empty path after an authority is written as.
    fn write(&self, fold: bool, root: &str) -> String {
        let mut out = String::new();
        write_folded(self.scheme, fold, &mut out);
        if let Some(Authority { user, host, port, is_default }) = self.authority {
            out.extend(["//", user]);
            write_folded(host, fold, &mut out);
            out.push_str(if is_default { "" } else { port });
        }
        let path = match self.path.starts_with('/') {
            true => Cow::Owned(without_dot_segments(self.path)),
            false => Cow::Borrowed(self.path),
        };
        match &*path {
            "" | "/" if self.authority.is_some() => out.push_str(root),
            // What begins with two slashes would be an authority (RFC 3986 §3.3).
            path if self.authority.is_none() && path.starts_with("//") => out.extend(["/.", path]),
            path => out.push_str(path),
        }
        out.push_str(self.rest);
        out
    }
}

impl<'a> Authority<'a> {
    fn of(text: &'a str, scheme: &str) -> Authority<'a> {
        let (user, place) = text.split_at(text.rfind('@').map_or(0, |at| at + 1));
        let digits = place.len() - place.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (before, digits) = place.split_at(place.len() - digits);
        // What has another colon, and is no IPv6 address, has no port.
        let is_host = |host: &&str| !host.contains(':') || host.starts_with('[') && host.ends_with(']');
        let host = before.strip_suffix(':').filter(is_host).unwrap_or(place);
        let port = place.get(host.len()..).unwrap_or_default();
        let is_default = match digits {
            "80" => ["http:", "ws:"].iter().any(|known| scheme.eq_ignore_ascii_case(known)),
            "443" => ["https:", "wss:"].iter().any(|known| scheme.eq_ignore_ascii_case(known)),
            "21" => scheme.eq_ignore_ascii_case("ftp:"),
            _ => port == ":",
        };
        Authority { user, host, port, is_default: is_default && !port.is_empty() }
    }
}

fn split_before<'a>(text: &'a str, marks: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(marks).unwrap_or(text.len()))
}

fn is_scheme(scheme: &str, template: bool) -> bool {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins = |first: char| first.is_ascii_alphabetic() || template && first == '{';
    let is_expression = |kept: &str| kept.is_empty() || template && kept.starts_with('{');
    scheme.starts_with(begins)
        && cased(scheme).all(|(piece, kept)| piece.bytes().all(lawful) && is_expression(kept))
}

/// The text with `%XX` in upper case, and only for what is not unreserved or not of a URI; braces and what is between them
/// are left as they are in a template.
fn encoded_once(text: &str, template: bool) -> Cow<'_, str> {
    if is_encoded_once(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, ..] = rest {
        let length = match (byte, escape(rest)) {
            (_, Some(decoded)) => {
                write_byte(decoded, is_unreserved(decoded), &mut out);
                3
            }
            (b'{', _) if template => {
                let name = rest.split_inclusive(|byte| *byte == b'}').next().unwrap_or_default();
                out.extend(name.iter().copied().map(char::from));
                name.len()
            }
            (byte, _) => {
                write_byte(*byte, is_of_uri(*byte), &mut out);
                1
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    Cow::Owned(out)
}

fn is_encoded_once(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'%' => {
                let (digits, decoded) = (after.get(..2).unwrap_or_default(), escape(rest));
                let is_needed = decoded.is_some_and(|byte| !is_unreserved(byte));
                if !is_needed || digits.iter().any(u8::is_ascii_lowercase) {
                    return false;
                }
                after.get(2..).unwrap_or_default()
            }
            byte if is_of_uri(*byte) => after,
            _ => return false,
        };
    }
    true
}

pub(crate) fn write_byte(byte: u8, literally: bool, out: &mut String) {
    match literally {
        true => out.push(char::from(byte)),
        // Writing to a string does not fail.
        false => drop(write!(out, "%{byte:02X}")),
    }
}

/// The pieces of a text between escapes and template expressions, which keep their case, and these.
fn cased(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, other) = (!rest.is_empty()).then(|| split_before(rest, &['%', '{']))?;
        let length =
            if other.starts_with('%') { 3 } else { other.find('}').map_or(other.len(), |at| at + 1) };
        let (kept, after) = other.split_at_checked(length).unwrap_or((other, ""));
        rest = after;
        Some((piece, kept))
    })
}

fn has_upper_case(text: &str) -> bool {
    cased(text).any(|(piece, _)| piece.bytes().any(|byte| byte.is_ascii_uppercase()))
}

fn write_folded(text: &str, fold: bool, out: &mut String) {
    for (piece, kept) in cased(text) {
        out.push_str(piece);
        if fold {
            let start = out.len() - piece.len();
            out.get_mut(start..).into_iter().for_each(str::make_ascii_lowercase);
        }
        out.push_str(kept);
    }
}

/// RFC 3986 §2.3.
pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// RFC 3986 §2.2.
pub(crate) fn is_reserved(byte: u8) -> bool {
    b":/?#[]@!$&'()*+,;=".contains(&byte)
}

pub(crate) fn is_of_uri(byte: u8) -> bool {
    is_unreserved(byte) || is_reserved(byte)
}

/// RFC 3986 §5.2.4, for a path that begins with a slash.
fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_dots = match segment {
            ".." => {
                kept.pop();
                true
            }
            segment => segment == ".",
        };
        match is_dots {
            false => kept.push(segment),
            // What is left is a folder.
            true if segments.peek().is_none() => kept.push(""),
            true => {}
        }
    }
    kept.iter().flat_map(|segment| ["/", segment]).collect()
}
