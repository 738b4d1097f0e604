//! The arguments that a template may name, and their types.

use crate::cli::json_schema::Schema;
use crate::schema::json_type::JsonType;
use crate::text::{nearest, printable};

/// The arguments of an item.
#[derive(Clone, Debug)]
pub(super) enum KnownArguments<'s> {
    /// Those of a tool.
    OfTool(&'s Schema),
    /// The variables of a resource template: strings, all of them there.
    OfTemplate(Vec<String>),
    /// Those of a prompt: strings; an absent one is empty.
    OfPrompt(Vec<String>),
    /// Those of something whose schema is wrong. That was reported, and nothing follows from it.
    Unknown,
}

/// Where an argument stands in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// `{x}` alone in an element of a command line: an array becomes one element for each item.
    WholeElement,
    /// `{x}` in a text.
    Text,
    /// `{x:json}`.
    Json,
}

impl KnownArguments<'_> {
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            KnownArguments::OfTool(schema) => schema.properties().map(|(name, _)| name).collect(),
            KnownArguments::OfTemplate(names) | KnownArguments::OfPrompt(names) => {
                names.iter().map(String::as_str).collect()
            }
            KnownArguments::Unknown => Vec::new(),
        }
    }

    pub(super) fn of_tool(&self, name: &str) -> Option<&Schema> {
        match self {
            KnownArguments::OfTool(schema) => schema.property(name),
            _ => None,
        }
    }

    /// Checks that there is an argument of this name.
    ///
    /// # Errors
    /// A sentence that names those that there are.
    pub(super) fn check_name(&self, name: &str) -> Result<(), String> {
        let names = self.names();
        if matches!(self, KnownArguments::Unknown) || names.contains(&name) {
            return Ok(());
        }
        let shown = printable(name);
        let others = names.iter().map(|name| format!("`{}`", printable(name))).collect::<Vec<_>>().join(", ");
        Err(match (nearest(name, &names), &*names) {
            (Some(meant), _) => {
                format!("there is no argument `{shown}`; did you mean `{}`?", printable(meant))
            }
            (None, []) => format!("there is no argument `{shown}`; declare it in {}", self.declared_in()),
            (None, _) => {
                format!("there is no argument `{shown}` among {others}; declare it in {}", self.declared_in())
            }
        })
    }

    fn declared_in(&self) -> &'static str {
        match self {
            KnownArguments::OfTemplate(names) if names.is_empty() => "a `uriTemplate`, in the place of `uri`",
            KnownArguments::OfTemplate(_) => "`uriTemplate`",
            KnownArguments::OfPrompt(_) => "`arguments`",
            KnownArguments::OfTool(_) | KnownArguments::Unknown => "`properties` of `inputSchema`",
        }
    }

    /// True if a call can be without the argument, or with null for it, which counts as absent.
    pub(super) fn may_be_absent(&self, name: &str) -> bool {
        let KnownArguments::OfTool(schema) = self else { return false };
        let property = schema.property(name);
        let has_default = property.is_some_and(|property| property.default_json().is_some());
        let is_there = schema.is_required(name) || has_default;
        !is_there || property.is_some_and(|property| property.allows(JsonType::Null))
    }

    /// Checks that every value of the argument has a form here.
    ///
    /// # Errors
    /// A sentence that says which has none, and what to write.
    pub(super) fn check_slot(&self, name: &str, slot: Slot) -> Result<(), String> {
        let Some(property) = self.of_tool(name).filter(|_| slot != Slot::Json) else { return Ok(()) };
        let shown = printable(name);
        if property.allows(JsonType::Object) {
            return Err(match property.allows(JsonType::Array) {
                true => format!(
                    "`{shown}` may be an object or an array; give it a `type`, or write {{{shown}:json}}"
                ),
                false => {
                    format!("`{shown}` may be an object, which has no form as text; write {{{shown}:json}}")
                }
            });
        }
        if !property.allows(JsonType::Array) {
            return Ok(());
        }
        if slot == Slot::Text {
            return Err(format!(
                "`{shown}` may be an array, which has no form as text; write {{{shown}}} as an element of its own in `argv`, or \
                 {{{shown}:json}}"
            ));
        }
        let scalar = |items: &Schema| {
            ![JsonType::Array, JsonType::Object, JsonType::Null].iter().any(|kind| items.allows(*kind))
        };
        match property.items().is_some_and(scalar) {
            true => Ok(()),
            false => Err(format!(
                "items of `{shown}` may be arrays, objects or null, which have no form as text; give `items` a `type`, or write \
                 {{{shown}:json}}"
            )),
        }
    }
}
