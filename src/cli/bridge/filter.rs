//! Which tools of a server are handed on.
//!
//! *Scope:* names against `allow` and `deny`, where `*` stands for any characters; lists without the others. *Not in scope:*
//! reading a filter (`manifest`).

use crate::cli::manifest::mcp_server::ToolFilter;
use crate::json::tape::Tape;
use crate::json::value::{JsonRef, Members};
use crate::json::write::{Array, Object};

impl ToolFilter {
    /// True if every tool is handed on.
    pub(super) fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }

    /// True if a tool is handed on.
    pub(super) fn allows(&self, name: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, name));
        self.allow.as_ref().is_none_or(|allow| any(allow)) && !any(&self.deny)
    }

    /// Hands on the result of `tools/list` without the tools that are not handed on.
    pub(super) fn filtered(&self, result: JsonRef<'_>, then: impl FnOnce(JsonRef<'_>)) {
        let (mut list, mut tape) = (Vec::new(), Tape::new());
        self.write_list(result, &mut list);
        let list = str::from_utf8(&list).ok().and_then(|list| tape.read(list).ok());
        then(list.unwrap_or(result));
    }

    /// Appends the result of `tools/list` without the tools that are not handed on.
    pub(super) fn write_list(&self, result: JsonRef<'_>, out: &mut Vec<u8>) {
        let (Ok(members), false) = (Members::of(result), self.is_open()) else {
            return out.extend_from_slice(result.text().as_bytes());
        };
        let allowed = |tool: &JsonRef<'_>| {
            tool.get("name").and_then(JsonRef::as_str).is_none_or(|name| self.allows(&name))
        };
        let mut object = Object::new(out);
        for (name, value) in members.iter() {
            match value.items().filter(|_| name == "tools") {
                Some(tools) => object.field(&name, |out| {
                    let mut list = Array::new(out);
                    tools.filter(allowed).for_each(|tool| {
                        list.raw(tool.text());
                    });
                }),
                None => object.raw(&name, value.text()),
            };
        }
    }
}

/// True if the name is what the pattern says. Linear: each part between two `*` is looked for once, from the left.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = name.get(at + part.len()..).unwrap_or_default();
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "anything", true),
            ("git_*", "git_log", true),
            ("git_*", "git", false),
            ("*_all", "drop_all", true),
            ("*_all", "drop_all_", false),
            ("a*b*c", "a.b.c", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn a_list_has_what_is_allowed() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let filter = ToolFilter { allow: Some(names(&["git_*"])), deny: names(&["*push*"]) };
        let (mut tape, mut out) = (Tape::new(), Vec::new());
        let list =
            r#"{"nextCursor":"x","tools":[{"name":"git_log","n":1.0},{"name":"git_push"},{"name":"rm"},{}]}"#;
        filter.write_list(tape.read(list).unwrap(), &mut out);
        assert_eq!(
            str::from_utf8(&out).unwrap(),
            r#"{"nextCursor":"x","tools":[{"name":"git_log","n":1.0},{}]}"#
        );
    }
}
