//! The fields of a form that a server asks a user to fill in (MCP 2025-11-25, elicitation, "Requested Schema").
//!
//! *Scope:* strings, numbers, booleans, and choices of one or several. *Not in scope:* asking (`questions`); formats and
//! bounds, which the server checks.

use crate::cli::shell::arguments::check_choice;
use crate::cli::shell::kinds::{Kinds, plain, required_names, type_of};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write_str;
use crate::text::printable;

/// A field, with what is needed to read a value for it.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    title: String,
    pub(super) required: bool,
    /// As JSON text.
    pub(super) default: Option<String>,
    /// The choices: what is sent, and what is shown.
    choices: Vec<(String, String)>,
    /// True if several can be chosen.
    several: bool,
    kind: String,
    schema: String,
}

/// The fields, in the order of the form.
pub(super) fn fields(schema: JsonRef<'_>) -> Vec<Field> {
    let required: Vec<_> = required_names(schema).collect();
    let properties = schema.get("properties").into_iter().flat_map(JsonRef::pairs);
    properties
        .filter_map(|pair| {
            let name = pair.name()?;
            let text = |member: &str| pair.value.get(member).and_then(JsonRef::as_str);
            let items = pair.value.get("items");
            Some(Field {
                title: text("description").or(text("title")).unwrap_or_default().into_owned(),
                required: required.contains(&name),
                default: pair.value.get("default").map(|value| value.text().to_owned()),
                choices: choices(items.unwrap_or(pair.value)),
                several: items.is_some(),
                kind: type_of(pair.value, schema),
                schema: pair.value.text().to_owned(),
                name: name.into_owned(),
            })
        })
        .collect()
}

/// `enum` with `enumNames`, or `oneOf` and `anyOf` with a `const` and a `title` each.
fn choices(schema: JsonRef<'_>) -> Vec<(String, String)> {
    let titled = ["oneOf", "anyOf"].into_iter().find_map(|name| schema.get(name)?.items());
    if let Some(list) = titled {
        let text = |choice: JsonRef<'_>, name: &str| choice.get(name)?.as_str().map(|text| text.into_owned());
        return list
            .filter_map(|choice| {
                let value = text(choice, "const")?;
                Some((value.clone(), text(choice, "title").unwrap_or(value)))
            })
            .collect();
    }
    let names: Vec<_> = schema.get("enumNames").and_then(JsonRef::items).unwrap_or_default().collect();
    let values = schema.get("enum").and_then(JsonRef::items).unwrap_or_default();
    values
        .filter_map(JsonRef::as_str)
        .enumerate()
        .map(|(at, value)| {
            let title = names.get(at).and_then(|name| name.as_str());
            (value.clone().into_owned(), title.unwrap_or(value).into_owned())
        })
        .collect()
}

impl Field {
    /// `name: string`, as in the signature of a tool.
    pub(super) fn shown(&self) -> String {
        let values: Vec<String> = self.choices.iter().map(|(value, _)| printable(value)).collect();
        let kind = if values.is_empty() { self.kind.clone() } else { values.join("|") };
        let (several, mark) = (if self.several { "..." } else { "" }, if self.required { "" } else { "?" });
        format!("{}{mark}: {kind}{several}", printable(&self.name))
    }

    /// What stands before the place for its value.
    pub(super) fn prompt(&self) -> String {
        let mut text = printable(&self.name);
        if !self.title.is_empty() {
            text.push_str(&format!(", {}", printable(&self.title)));
        }
        if !self.choices.is_empty() {
            let list: Vec<String> = self
                .choices
                .iter()
                .map(|(value, title)| match value == title {
                    true => printable(value),
                    false => format!("{} ({})", printable(value), printable(title)),
                })
                .collect();
            text.push_str(&format!(
                ", {} of: {}",
                if self.several { "some" } else { "one" },
                list.join(", ")
            ));
        } else {
            text.push_str(&format!(" ({})", self.kind));
        }
        match &self.default {
            Some(json) => {
                let mut tape = Tape::new();
                text + &format!(" [{}]", tape.read(json).map(plain).unwrap_or_default())
            }
            None if !self.required => text + " [none]",
            None => text,
        }
    }

    /// The value that a user writes, as JSON text.
    pub(super) fn read(&self, text: &str) -> Result<String, String> {
        if self.several {
            let values: Vec<String> = text
                .split(',')
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(|value| self.choose(value))
                .collect::<Result<_, _>>()?;
            return Ok(format!("[{}]", values.join(",")));
        }
        if !self.choices.is_empty() {
            return self.choose(text);
        }
        let mut tape = Tape::new();
        let schema = tape.read(&self.schema).unwrap_or(JsonRef::NULL);
        match Kinds::of(schema, schema) {
            Kinds::BOOLEAN => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" => Ok("true".to_owned()),
                "false" | "no" | "n" => Ok("false".to_owned()),
                _ => Err(format!("`{}` is not true or false", printable(text))),
            },
            kinds => kinds.typed(text).and_then(|json| check_choice(schema, json)),
        }
    }

    fn choose(&self, text: &str) -> Result<String, String> {
        let found = self.choices.iter().find(|(value, title)| value == text || title == text);
        let Some((value, _)) = found else {
            let values: Vec<String> = self.choices.iter().map(|(value, _)| printable(value)).collect();
            return Err(format!("`{}` is not one of {}", printable(text), values.join(", ")));
        };
        let mut out = Vec::new();
        write_str(&mut out, value);
        Ok(String::from_utf8_lossy(&out).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: &str = r#"{"type":"object","required":["name"],"properties":{
        "name":{"type":"string","title":"Your name"},"age":{"type":"integer","default":30},"sure":{"type":"boolean"},
        "color":{"type":"string","enum":["r","g"],"enumNames":["Red","Green"]},
        "size":{"type":"string","oneOf":[{"const":"s","title":"Small"},{"const":"l","title":"Large"}]},
        "days":{"type":"array","items":{"type":"string","enum":["mon","tue"]}}}}"#;

    #[test]
    fn fields_read_what_a_user_writes() {
        let mut tape = Tape::new();
        let fields = fields(tape.read(FORM).unwrap());
        let field = |name: &str| fields.iter().find(|field| field.name == name).unwrap();
        for (name, text, json) in [
            ("name", "007", Ok(r#""007""#)),
            ("age", "7", Ok("7")),
            ("age", "seven", Err("`seven` is not a whole number")),
            ("sure", "yes", Ok("true")),
            ("sure", "N", Ok("false")),
            ("sure", "perhaps", Err("`perhaps` is not true or false")),
            ("color", "r", Ok(r#""r""#)),
            ("color", "Green", Ok(r#""g""#)),
            ("color", "blue", Err("`blue` is not one of r, g")),
            ("size", "Large", Ok(r#""l""#)),
            ("days", "mon, tue", Ok(r#"["mon","tue"]"#)),
            ("days", "", Ok("[]")),
            ("days", "mon,sun", Err("`sun` is not one of mon, tue")),
        ] {
            assert_eq!(field(name).read(text).as_deref().map_err(String::as_str), json, "{name} {text}");
        }
        let prompts: Vec<String> = fields.iter().map(Field::prompt).collect();
        assert_eq!(
            prompts,
            [
                "name, Your name (string)",
                "age (integer) [30]",
                "sure (boolean) [none]",
                "color, one of: r (Red), g (Green) [none]",
                "size, one of: s (Small), l (Large) [none]",
                "days, some of: mon, tue [none]",
            ]
        );
        assert_eq!(fields[5].shown(), "days?: mon|tue...");
    }
}
