//! JSON Pointer (RFC 6901): which value of a text is meant.
//!
//! *Scope:* writing a pointer step by step, following one. *Not in scope:* percent-encoding in the fragment of a URI.

use crate::json::value::JsonRef;

/// Appends the step to a member: `/` and its name, with `~` and `/` escaped.
#[cfg(feature = "cli")]
pub(crate) fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    for character in name.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The value that a pointer leads to, of members of one name the first.
pub(crate) fn find<'a>(root: JsonRef<'a>, pointer: &str) -> Option<JsonRef<'a>> {
    if pointer.is_empty() {
        return Some(root);
    }
    pointer.strip_prefix('/')?.split('/').try_fold(root, |value, step| match value.items() {
        Some(mut items) => items.nth(place(step)?),
        None => value.find(&step.replace("~1", "/").replace("~0", "~")),
    })
}

/// An array's step: digits without a leading zero.
fn place(step: &str) -> Option<usize> {
    let plain = step == "0" || !step.starts_with(['0', '+']);
    step.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    #[test]
    fn pointers_lead_to_what_the_rfc_says() {
        let text = r#"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"~1":9,"\u00e9":null,"01":2}"#;
        let mut tape = Tape::new();
        let root = tape.read(text).unwrap();
        for (pointer, value) in [
            ("", Some(text)),
            ("/foo", Some(r#"["bar","baz"]"#)),
            ("/foo/0", Some(r#""bar""#)),
            ("/foo/1", Some(r#""baz""#)),
            ("/", Some("0")),
            ("/a~1b", Some("1")),
            ("/m~0n", Some("8")),
            ("/~01", Some("9")),
            ("/é", Some("null")),
            ("/01", Some("2")),
            ("/foo/2", None),
            ("/foo/-", None),
            ("/foo/01", None),
            ("/foo/+1", None),
            ("/foo/0/x", None),
            ("/none", None),
            ("foo", None),
        ] {
            assert_eq!(find(root, pointer).map(JsonRef::text), value, "{pointer}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn a_pointer_made_of_names_leads_back() {
        for name in ["", "a", "a/b", "~", "~1", "/~0", "é"] {
            let mut text = Vec::new();
            crate::json::write::Object::new(&mut text).field(name, |out| out.extend_from_slice(b"[7]"));
            let text = String::from_utf8(text).unwrap();
            let mut pointer = String::new();
            push(&mut pointer, name);
            push(&mut pointer, "0");
            assert_eq!(
                find(Tape::new().read(&text).unwrap(), &pointer).map(|value| value.text().to_owned()),
                Some("7".to_owned())
            );
        }
    }
}
