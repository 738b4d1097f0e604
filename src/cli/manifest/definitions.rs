//! Reports names that the files of a manifest define twice, and expands groups of principals.

use std::collections::HashMap;

use crate::cli::manifest::entries::Groups;
use crate::cli::manifest::problem::Position;
use crate::cli::manifest::reader::{Reader, Section, Value};
use crate::protocol::viewers::Visible;
use crate::sort::sort_by;
use crate::text::{nearest, printable};

/// What is defined so far.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    pub(super) groups: Groups,
    /// By kind and name.
    seen: HashMap<(&'static str, String), Position>,
}

impl Definitions {
    /// Reports a name that another item of the kind has, in this file or another.
    pub(super) fn define(
        &mut self,
        reader: &mut Reader<'_>,
        kind: &'static str,
        name: &str,
        value: &Value<'_>,
    ) {
        let position = reader.source.position(value.json.start(), &value.pointer);
        match self.seen.get(&(kind, name.to_owned())) {
            Some(first) => reader.problem(
                value,
                format_args!(
                    "the {kind} `{}` is defined already, at {first}; rename or remove one",
                    printable(name)
                ),
            ),
            None => drop(self.seen.insert((kind, name.to_owned()), position)),
        }
    }

    /// Reads the `groups` section.
    pub(super) fn read_groups<'a>(&mut self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<()> {
        for (name, member, _) in reader.members(value)? {
            let names = reader.list(&member, Reader::name).unwrap_or_default();
            if member.json.items().is_some_and(|mut items| items.next().is_none()) {
                reader.problem(&member, "the group is empty; list the principals in it, or remove it");
            }
            self.define(reader, "group", &name, &member);
            self.groups.insert(name.into_owned(), names);
        }
        Some(())
    }

    /// Reads the `principals` of an item: who sees it. On standard input and output, and without authentication, a client has no
    /// name.
    pub(super) fn viewers<'a>(&self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Visible> {
        let principals = self.principals(reader, value)?;
        Some(Visible::new(move |viewer| {
            viewer.principal().is_some_and(|principal| principals.iter().any(|name| name == principal.name()))
        }))
    }

    /// The names, with those of groups replaced by those who are in them.
    fn principals<'a>(&self, reader: &mut Reader<'a>, value: &Value<'a>) -> Option<Vec<String>> {
        let names = reader.list(value, |reader, item| Some((reader.name(item)?, item.clone())))?;
        if value.json.items().is_some_and(|mut items| items.next().is_none()) {
            reader.problem(value, "`principals` is empty, so no client could use this; name a principal, or leave it out for all clients");
        }
        let mut principals = Vec::new();
        let groups: Vec<&str> = self.groups.keys().map(String::as_str).collect();
        for (name, item) in names {
            match self.groups.get(&name) {
                Some(members) => principals.extend(members.iter().cloned()),
                None => {
                    if let Some(meant) = nearest(&name, &groups) {
                        reader.warning(
                            &item,
                            format_args!("`{}` is no group, but `{meant}` is one", printable(&name)),
                        );
                    }
                    principals.push(name);
                }
            }
        }
        sort_by(&mut principals, Ord::cmp);
        principals.dedup();
        Some(principals)
    }
}

/// The value of a key, or the whole object where the key is missing.
pub(super) fn at<'a>(entry: &Section<'a>, key: &str) -> Value<'a> {
    entry.get(key).unwrap_or_else(|| entry.value.clone())
}
