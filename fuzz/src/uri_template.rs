//! URIs and templates of them: the text before the first LF is a template, the text after it a URI.

use mcp_rill::uri::{UriTemplate, normalize};

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, uri) = text.split_once('\n').unwrap_or((&text, ""));
    for uri in [uri, template] {
        let ours = normalize(uri);
        assert_eq!(ours, normal(uri, true, "/"), "{uri:?}");
        assert_eq!(normalize(&ours), ours, "the normal form of {uri:?} has another one");
        assert!(ours != uri || matches!(ours, std::borrow::Cow::Borrowed(_)), "{uri:?} takes memory");
    }
    match UriTemplate::new(template) {
        Err(error) => {
            assert!(split(template).is_none(), "a lawful template is refused: {error}");
            let message = error.to_string();
            let offset = message.rsplit_once(" at byte ").map(|(_, rest)| rest.split(':').next());
            let offset: Option<usize> = offset.flatten().and_then(|digits| digits.parse().ok());
            assert!(
                offset.is_some_and(|at| template.is_char_boundary(at) && at < template.len()),
                "{message}"
            );
        }
        Ok(parsed) => {
            assert_eq!(parsed.to_string(), template);
            let (prefix, parts) = split(template).expect("RFC 6570 does not allow this template");
            let names: Vec<&str> = parts.iter().map(|part| part.name).collect();
            assert_eq!(parsed.variables().collect::<Vec<_>>(), names);
            check_match(&parsed, &prefix, &parts, uri);
            check_match(&parsed, &prefix, &parts, &normalize(uri));
            check_expanded(&parsed, template, &prefix, &parts, uri);
        }
    }
}

/// What we read, and what is read by trying every end of every variable.
fn check_match(template: &UriTemplate, prefix: &str, parts: &[Part<'_>], uri: &str) {
    let ours = template.matches(uri);
    let ours = ours.as_ref().map(|vars| vars.iter().map(|(_, value)| value).collect::<Vec<_>>());
    let naive = matches(prefix, parts, uri);
    let naive = naive.as_ref().map(|values| values.iter().map(String::as_str).collect());
    assert_eq!(ours, naive, "{template} on {uri:?}");
    for (part, value) in parts.iter().zip(ours.unwrap_or_default()) {
        let below = std::path::Path::new(value).components().map(|part| part.as_os_str().to_str());
        let is_below = below.eq(value.split('/').map(Some)) && !value.contains(['\0', '\\']);
        assert!(is_below || !part.is_path, "{value:?} is no path below a folder");
    }
}

/// A variable, with the text after it in normal form.
struct Part<'a> {
    name: &'a str,
    is_path: bool,
    text: String,
    /// After a `{+name}` that may hold the end of the host.
    is_open: bool,
}

/// The text before the first variable in normal form, and the variables (RFC 6570, levels 1 and 2).
fn split(template: &str) -> Option<(String, Vec<Part<'_>>)> {
    let mut pieces = template.split('{');
    pieces.next().filter(|prefix| literal(prefix))?;
    let mut names: Vec<(&str, bool)> = Vec::new();
    let mut adjacent = false;
    for piece in pieces {
        let (expression, text) = piece.split_once('}')?;
        let name = expression.strip_prefix('+').unwrap_or(expression);
        let part = |part: &str| !part.is_empty() && escaped(part, |c| c.is_ascii_alphanumeric() || c == '_');
        let unique = names.iter().all(|(other, _)| *other != name);
        if !name.split('.').all(part) || !literal(text) || !unique || adjacent {
            return None;
        }
        adjacent = text.is_empty();
        names.push((name, expression != name));
    }
    let (whole, open) = normal_template(template)?;
    let mut pieces = whole.split('{');
    let prefix = pieces.next().unwrap_or_default().to_owned();
    let mut is_open = false;
    let parts = names.into_iter().zip(pieces).map(|((name, is_path), piece)| {
        is_open |= open && is_path;
        Part { name, is_path, text: piece.split_once('}').unwrap().1.to_owned(), is_open }
    });
    Some((prefix, parts.collect()))
}

fn literal(text: &str) -> bool {
    escaped(text, |c| c.is_ascii_graphic() && !"\"<>\\^`{|}%".contains(c))
}

/// Whether a text consists of `allowed` and of escapes.
fn escaped(text: &str, allowed: impl Fn(char) -> bool) -> bool {
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        let escape = next == '%' && (0..2).all(|_| rest.next().is_some_and(|c| c.is_ascii_hexdigit()));
        if !escape && (next == '%' || !allowed(next)) {
            return false;
        }
    }
    true
}

/// The letters of a URI: characters, escapes that are needed, and expressions of a template. `None`: it is no URI.
fn letters(text: &str, template: bool) -> Option<Vec<String>> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let mut letters = Vec::new();
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '%' => {
                let digits =
                    rest.as_str().get(..2).filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()))?;
                let byte = u8::from_str_radix(digits, 16).ok()?;
                letters.push(if unreserved(byte) { char::from(byte).into() } else { format!("%{byte:02X}") });
                rest = rest.as_str()[2..].chars();
            }
            '{' if template => {
                let (name, after) = rest.as_str().split_once('}')?;
                letters.push(format!("{{{name}}}"));
                rest = after.chars();
            }
            next if next.is_ascii_control() => return None,
            next if next.is_ascii() && (unreserved(next as u8) || ":/?#[]@!$&'()*+,;=".contains(next)) => {
                letters.push(next.into());
            }
            next => letters.extend(next.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("%{byte:02X}"))),
        }
    }
    Some(letters)
}

/// RFC 3986 §6.2.2 and §6.2.3.
fn normal(uri: &str, fold: bool, root: &str) -> String {
    letters(uri, false).map_or_else(|| uri.to_owned(), |letters| normal_of(&letters, fold, root, false))
}

/// And whether a variable may hold the end of the host. `None`: it has segments that no URI has.
fn normal_template(template: &str) -> Option<(String, bool)> {
    let letters = letters(template, true)?;
    let (_, _, path, _) = parted(&letters);
    if path.starts_with(&["/".to_owned()])
        && path.split(|l| l == "/").any(|segment| matches!(&*segment.concat(), "." | ".."))
    {
        return None;
    }
    let first = letters.iter().position(|letter| letter.starts_with("{+"));
    if let Some(first) = first {
        let (_, _, path, rest) = parted(&letters[..first]);
        if path.is_empty() && rest.is_empty() {
            return Some((normal_of(&letters[..first], true, "", true) + &letters[first..].concat(), true));
        }
    }
    Some((normal_of(&letters, true, "", false), false))
}

type Parted<'a> = (&'a [String], Option<&'a [String]>, &'a [String], &'a [String]);

/// Scheme with colon, authority, path, rest.
fn parted(letters: &[String]) -> Parted<'_> {
    let at = |marks: &str, from: &[String]| {
        from.iter().position(|l| marks.contains(l.as_str())).unwrap_or(from.len())
    };
    let colon = at(":", letters);
    let of_scheme = |letter: &String| {
        letter.starts_with('{')
            || letter.len() == 1 && letter.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    let begins = |letter: &String| letter.starts_with(|c: char| c.is_ascii_alphabetic() || c == '{');
    if colon == letters.len() || colon == 0 || !begins(&letters[0]) || !letters[..colon].iter().all(of_scheme)
    {
        return (&[], None, &[], letters);
    }
    let (scheme, after) = letters.split_at(colon + 1);
    let (hierarchy, rest) = after.split_at(at("?#", after));
    match hierarchy {
        [one, two, more @ ..] if one == "/" && two == "/" => {
            let (authority, path) = more.split_at(at("/", more));
            (scheme, Some(authority), path, rest)
        }
        path => (scheme, None, path, rest),
    }
}

fn normal_of(letters: &[String], fold: bool, root: &str, open: bool) -> String {
    let folded = |letters: &[String]| -> String {
        let fold =
            |letter: &String| if fold && letter.len() == 1 { letter.to_lowercase() } else { letter.clone() };
        letters.iter().map(fold).collect()
    };
    let (scheme, authority, path, rest) = parted(letters);
    let (scheme, rest) = (folded(scheme), rest.concat());
    let path = if path.starts_with(&["/".to_owned()]) { without_dots(path.concat()) } else { path.concat() };
    let Some(authority) = authority else {
        return format!("{scheme}{}{path}{rest}", if path.starts_with("//") { "/." } else { "" });
    };
    let (user, place) = authority.split_at(authority.iter().rposition(|l| l == "@").map_or(0, |at| at + 1));
    let digit = |letter: &String| letter.len() == 1 && letter.as_bytes()[0].is_ascii_digit();
    let is_host = |host: &[String]| {
        let host = host.concat();
        !host.contains(':') || host.starts_with('[') && host.ends_with(']')
    };
    let colon = place.iter().rposition(|l| l == ":");
    let colon = colon.filter(|at| place[at + 1..].iter().all(digit) && is_host(&place[..*at]));
    let (host, port) = place.split_at(colon.unwrap_or(place.len()));
    let default = [("http", "80"), ("ws", "80"), ("https", "443"), ("wss", "443"), ("ftp", "21")];
    let is_default = |port: &str| {
        port == ":"
            || default.iter().any(|(name, of_it)| {
                scheme.eq_ignore_ascii_case(&format!("{name}:")) && port == format!(":{of_it}")
            })
    };
    let port = Some(port.concat()).filter(|port| open || !is_default(port)).unwrap_or_default();
    let path = if path.is_empty() || path == "/" { root } else { &path };
    format!("{scheme}//{}{}{port}{path}{rest}", user.concat(), folded(host))
}

/// RFC 3986 §5.2.4, as it is written there, for a path that begins with a slash.
fn without_dots(mut input: String) -> String {
    let mut output = String::new();
    while !input.is_empty() {
        if input.starts_with("/./") || input == "/." {
            input = format!("/{}", input.get(3..).unwrap_or_default());
        } else if input.starts_with("/../") || input == "/.." {
            input = format!("/{}", input.get(4..).unwrap_or_default());
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.extend(input.drain(..end));
        }
    }
    output
}

/// The rules of the module's documentation, by trying every end of every variable.
fn matches(prefix: &str, parts: &[Part<'_>], uri: &str) -> Option<Vec<String>> {
    let (folded, kept) = (normal(uri, true, ""), normal(uri, false, ""));
    assert_eq!(folded.len(), kept.len());
    let text = |part: &Part<'_>| if part.is_open { &kept } else { &folded };
    let mut at = folded.starts_with(prefix).then_some(prefix.len())?;
    let Some((last, earlier)) = parts.split_last() else { return (at == folded.len()).then(Vec::new) };
    let end = text(last).len().checked_sub(last.text.len()).filter(|end| *end >= at)?;
    if !text(last).ends_with(&last.text) {
        return None;
    }
    let mut values = Vec::new();
    for part in earlier {
        let rest = text(part).get(at..end)?;
        let ends = rest.char_indices().map(|(at, _)| at).skip(1);
        let length = ends.into_iter().find(|at| rest[*at..].starts_with(&part.text))?;
        values.push(value(&kept[at..at + length], part.is_path)?);
        at += length + part.text.len();
    }
    values.push(value(kept.get(at..end)?, last.is_path)?);
    Some(values)
}

fn value(raw: &str, is_path: bool) -> Option<String> {
    let ends = if is_path { "?#" } else { "/?#" };
    if raw.is_empty() || raw.chars().any(|c| ends.contains(c) || c.is_ascii_control()) {
        return None;
    }
    let lower = raw.to_lowercase();
    if is_path && (lower.contains("%2f") || lower.contains("%5c") || raw.contains('\\')) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut pieces = raw.split('%');
    bytes.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    let value = String::from_utf8(bytes).ok()?;
    let is_bad = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    let drive = value.chars().next()?.is_ascii_alphabetic() && value[1..].starts_with(':');
    let below = !drive && !value.chars().any(char::is_control) && !value.split('/').any(is_bad);
    (below || !is_path).then_some(value)
}

/// Values that are put in come out again, unless one could be taken for the text after it, or for another part of the URI.
fn check_expanded(template: &UriTemplate, source: &str, prefix: &str, parts: &[Part<'_>], text: &str) {
    let chosen =
        |at: usize| -> String { text.chars().skip(at).step_by(parts.len().max(1)).chain(['x']).collect() };
    let values: Vec<String> = (0..parts.len()).map(chosen).collect();
    let uri = template.expand(|name| parts.iter().position(|part| part.name == name).map(|at| &values[at]));
    let mut pieces = source.split('{');
    let mut expected = pieces.next().unwrap_or_default().to_owned();
    let mut plain = true;
    for ((part, value), piece) in parts.iter().zip(&values).zip(pieces) {
        let encoded = encoded(value, part.is_path);
        let lower = format!("{encoded}{}", part.text).to_ascii_lowercase();
        let found = lower[1..].find(&part.text.to_ascii_lowercase());
        plain &= part.text.is_empty() || found == Some(encoded.len() - 1);
        plain &= value.starts_with(|c: char| c.is_ascii_alphabetic());
        plain &= value.chars().all(|c| c.is_ascii_alphanumeric());
        plain &= !part.is_open || !part.text.contains(['/', '@', ':']);
        expected.extend([encoded.as_str(), piece.split_once('}').unwrap().1]);
    }
    assert_eq!(uri, expected);
    check_match(template, prefix, parts, &uri);
    if plain {
        let vars = template.matches(&uri).expect("an expansion that does not match its template");
        assert_eq!(vars.iter().map(|(_, value)| value.to_owned()).collect::<Vec<_>>(), values);
    }
}

/// RFC 6570 §3.2.2 and §3.2.3.
fn encoded(value: &str, is_path: bool) -> String {
    let mut encoded = String::new();
    for (at, byte) in value.bytes().enumerate() {
        let escape =
            value.as_bytes().get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
        let reserved = b":/?#[]@!$&'()*+,;=".contains(&byte) || byte == b'%' && escape;
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || is_path && reserved {
            true => encoded.push(char::from(byte)),
            false => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}
