//! The syntax of URIs (RFC 3986).
//!
//! *Scope:* the characters, the scheme and the authority, which clients check. *Not in scope:* templates, and comparing URIs
//! (`uri`).
//!
//! Some clients parse every URI of a list, and refuse the whole list if one is not valid.

use crate::protocol::uri::escape;
use crate::protocol::uri::normal::is_of_uri;
use crate::text::is_scheme;

/// Checks an absolute URI.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence about it.
pub(crate) fn check(uri: &str) -> Result<(), String> {
    let scheme = check_scheme(uri)?;
    let rest = uri.get(scheme.len() + 1..).unwrap_or_default();
    check_characters(rest)?;
    let authority =
        rest.strip_prefix("//").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    let after = rest.get(authority.map_or(0, |authority| authority.len() + 2)..).unwrap_or_default();
    if let Some(bracket) = after.chars().find(|character| matches!(character, '[' | ']')) {
        return Err(misplaced(bracket, "only around an IPv6 address"));
    }
    if after.matches('#').count() > 1 {
        return Err(misplaced('#', "only once"));
    }
    let needs_host = ["http", "https"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    match authority {
        Some(authority) => check_authority(authority, needs_host),
        None if needs_host => Err("has no host".to_owned()),
        None => Ok(()),
    }
}

/// RFC 3986, section 3.1.
fn check_scheme(uri: &str) -> Result<&str, String> {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    match is_scheme(scheme) {
        true => Ok(scheme),
        false => Err("a URI begins with a scheme, such as `file:`".to_owned()),
    }
}

/// RFC 3986, section 2.
fn check_characters(text: &str) -> Result<(), String> {
    for (at, character) in text.char_indices() {
        match character {
            '%' if escape(text.as_bytes().get(at..).unwrap_or_default()).is_some() => {}
            '%' => return Err("`%` is not followed by two hexadecimal digits".to_owned()),
            _ if u8::try_from(character).is_ok_and(is_of_uri) => {}
            _ => {
                let mut bytes = [0; 4];
                let bytes = character.encode_utf8(&mut bytes).bytes();
                let escaped: String = bytes.map(|byte| format!("%{byte:02X}")).collect();
                let shown = match character {
                    '"' | '\\' => character.to_string(),
                    _ => character.escape_debug().to_string(),
                };
                return Err(format!("`{shown}` cannot stand in a URI; write {escaped}"));
            }
        }
    }
    Ok(())
}

/// RFC 3986, section 3.2; `http` and `https` need a host (RFC 9110, section 4.2).
fn check_authority(authority: &str, needs_host: bool) -> Result<(), String> {
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (address, port) = inner.split_once(']').ok_or_else(|| misplaced('[', "only with a `]`"))?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("`[{address}]` is not an IPv6 address"));
            }
            (address, port)
        }
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    if let Some(bracket) = [host, port].concat().chars().find(|character| matches!(character, '[' | ']')) {
        return Err(misplaced(bracket, "only around an IPv6 address"));
    }
    let number = port.strip_prefix(':').unwrap_or(port);
    let is_port = number.is_empty() || number.parse::<u16>().is_ok();
    if !is_port || (port.len() == number.len() && !port.is_empty()) {
        return Err(format!("`{port}` after the host is not a port"));
    }
    if needs_host && host.is_empty() { Err("has no host".to_owned()) } else { Ok(()) }
}

fn misplaced(character: char, place: &str) -> String {
    format!("`{character}` may stand there {place}; elsewhere write %{:02X}", u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_of_all_kinds() {
        for uri in [
            "calc:///pi",
            "urn:isbn:0-395-36341-1",
            "svn+ssh.2-a:x",
            "memo:",
            "file:///home/ada/caf%C3%A9%20(1).txt",
            "http://example.com",
            "https://ada:pw@example.com:8443/a;b=1?q=x",
            "https://[2001:db8::1]:443/",
            "https://[::1]",
            "x://host:/p",
            "data:image/png;base64,iVBORw0KGgo=",
            "mailto:ada@example.com",
            "x:a?b?c#d/e?f",
        ] {
            assert_eq!(check(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn what_is_none() {
        let scheme = "a URI begins with a scheme, such as `file:`";
        for (uri, problem) in [
            ("", scheme),
            ("pi", scheme),
            ("/etc/motd", scheme),
            (":x", scheme),
            ("1x:y", scheme),
            ("a/b:c", scheme),
            ("caf\u{e9}:x", scheme),
            (" memo:x", scheme),
            ("memo://x y", "` ` cannot stand in a URI; write %20"),
            ("memo:///caf\u{e9}", "`\u{e9}` cannot stand in a URI; write %C3%A9"),
            ("memo:///a\nb", "`\\n` cannot stand in a URI; write %0A"),
            ("memo:///{id}", "`{` cannot stand in a URI; write %7B"),
            ("file:///C:\\x", "`\\` cannot stand in a URI; write %5C"),
            ("memo:///100%", "`%` is not followed by two hexadecimal digits"),
            ("memo:///%2", "`%` is not followed by two hexadecimal digits"),
            ("memo:///%g0", "`%` is not followed by two hexadecimal digits"),
            ("memo:///%\u{e9}", "`%` is not followed by two hexadecimal digits"),
            ("memo:///a[1]", "`[` may stand there only around an IPv6 address; elsewhere write %5B"),
            ("x:a#b#c", "`#` may stand there only once; elsewhere write %23"),
            ("http://", "has no host"),
            ("http:x", "has no host"),
            ("HTTPS:///x", "has no host"),
            ("memo://x:y/z", "`:y` after the host is not a port"),
            ("http://a:99999/", "`:99999` after the host is not a port"),
            ("http://[::1/", "`[` may stand there only with a `]`; elsewhere write %5B"),
            ("http://[x]/", "`[x]` is not an IPv6 address"),
            ("http://[::1]x/", "`x` after the host is not a port"),
            ("http://a]/", "`]` may stand there only around an IPv6 address; elsewhere write %5D"),
        ] {
            assert_eq!(check(uri), Err(problem.to_owned()), "{uri}");
        }
    }
}
