//! URI templates: the text before the first LF is a template, the text after it a URI.

use mcp_rill::mcp::uri::UriTemplate;

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (template, uri) = text.split_once('\n').unwrap_or((&text, ""));
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
            let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
            assert_eq!(parsed.variables().collect::<Vec<_>>(), names);
            let ours = parsed.matches(uri);
            let ours = ours.as_ref().map(|vars| vars.iter().collect::<Vec<_>>());
            let naive = matches(prefix, &parts, uri);
            let naive =
                naive.as_ref().map(|values| names.iter().copied().zip(values.iter().map(String::as_str)));
            assert_eq!(ours, naive.map(Iterator::collect), "{template} on {uri:?}");
            check_expanded(&parsed, prefix, &parts, uri);
        }
    }
}

type Parts<'a> = Vec<(&'a str, &'a str)>;

/// The text before the first variable, and each variable with the text after it (RFC 6570, level 1).
fn split(template: &str) -> Option<(&str, Parts<'_>)> {
    let mut pieces = template.split('{');
    let prefix = pieces.next().filter(|prefix| literal(prefix))?;
    let mut parts: Parts<'_> = Vec::new();
    for piece in pieces {
        let (name, text) = piece.split_once('}')?;
        let part = |part: &str| !part.is_empty() && escaped(part, |c| c.is_ascii_alphanumeric() || c == '_');
        let unique = parts.iter().all(|(other, _)| *other != name);
        let apart = parts.last().is_none_or(|(_, before)| !before.is_empty());
        if !name.split('.').all(part) || !literal(text) || !unique || !apart {
            return None;
        }
        parts.push((name, text));
    }
    Some((prefix, parts))
}

fn literal(text: &str) -> bool {
    escaped(text, |c| c.is_ascii_graphic() && !"\"'<>\\^`{|}%".contains(c))
        || escaped(text, |c| c.is_ascii_graphic() && !"\"<>\\^`{|}%".contains(c))
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

/// The rules of the module's documentation, by trying every end of every variable.
fn matches(prefix: &str, parts: &Parts<'_>, uri: &str) -> Option<Vec<String>> {
    let mut rest = uri.strip_prefix(prefix)?;
    let Some(((_, last), earlier)) = parts.split_last() else { return rest.is_empty().then(Vec::new) };
    rest = rest.strip_suffix(last)?;
    let mut values = Vec::new();
    for (_, text) in earlier {
        let ends = rest.char_indices().map(|(at, _)| at).skip(1);
        let end = ends.into_iter().find(|at| rest[*at..].starts_with(text))?;
        values.push(value(&rest[..end])?);
        rest = &rest[end + text.len()..];
    }
    values.push(value(rest)?);
    Some(values)
}

fn value(raw: &str) -> Option<String> {
    if raw.is_empty() || raw.chars().any(|c| "/?# ".contains(c) || c.is_ascii_control()) {
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
    String::from_utf8(bytes).ok()
}

/// Values that are put in come out again, unless a value could be taken for the text after it.
fn check_expanded(template: &UriTemplate, prefix: &str, parts: &Parts<'_>, text: &str) {
    let chosen =
        |at: usize| -> String { text.chars().skip(at).step_by(parts.len().max(1)).chain(['x']).collect() };
    let values: Vec<String> = (0..parts.len()).map(chosen).collect();
    let find = |name: &str| parts.iter().position(|(other, _)| *other == name).map(|at| &values[at]);
    let uri = template.expand(find);
    let mut expected = prefix.to_owned();
    let mut ambiguous = false;
    for ((_, text), value) in parts.iter().zip(&values) {
        let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let encoded: String = value
            .bytes()
            .map(|byte| if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        ambiguous |=
            !text.is_empty() && format!("{encoded}{text}")[1..].find(text) != Some(encoded.len() - 1);
        expected.extend([encoded.as_str(), text]);
    }
    assert_eq!(uri, expected);
    if !ambiguous {
        let vars = template.matches(&uri).expect("an expansion that does not match its template");
        assert_eq!(vars.iter().map(|(_, value)| value.to_owned()).collect::<Vec<_>>(), values);
    }
}
