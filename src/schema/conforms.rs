//! Checks that a JSON value keeps a JSON Schema: for the results of tools, before they are sent.
//!
//! *Scope:* the keywords that `schema!` and `schemars` write and the frequent ones besides. *Not in scope:* `pattern`,
//! `format`, conditions, references to other documents. A keyword that is not known is taken to hold: this finds mistakes, but
//! proves nothing, and it refuses no value that is right.

use crate::json::canonical::canonical;
use crate::json::number::Number;
use crate::json::tape::Tape;
use crate::json::value::{Items, JsonRef};
use crate::json::{ijson, pointer};
use crate::schema::json_type::JsonType;
use crate::schema::path::{Path, Subject};
use crate::text::printable;

/// Checks a value against a schema, both as JSON text.
///
/// # Errors
/// The first thing that is wrong, with its path.
///
/// ```
/// let schema = r#"{"type":"object","properties":{"n":{"type":"integer","maximum":9}},"required":["n"]}"#;
/// assert_eq!(mcp_rill::schema::conforms(schema, r#"{"n":9}"#), Ok(()));
/// assert_eq!(mcp_rill::schema::conforms(schema, r#"{"n":10}"#), Err("`n` is 10, more than 9".to_owned()));
/// assert_eq!(mcp_rill::schema::conforms(schema, "{}"), Err("`n` is missing".to_owned()));
/// ```
pub fn conforms(schema: &str, value: &str) -> Result<(), String> {
    let (mut schema_tape, mut value_tape) = (Tape::new(), Tape::new());
    check(read(&mut schema_tape, "schema", schema)?, read(&mut value_tape, "value", value)?)
}

fn read<'a>(tape: &'a mut Tape, what: &str, text: &'a str) -> Result<JsonRef<'a>, String> {
    let not_json = |error: String| format!("the {what} is not JSON: {error}");
    let value = tape.read(text).map_err(|error| not_json(error.to_string()))?;
    ijson::check(value).map_err(not_json)?;
    Ok(value)
}

/// As [`conforms`], of what is read: values that have passed [`ijson::check`].
pub(crate) fn check(schema: JsonRef<'_>, value: JsonRef<'_>) -> Result<(), String> {
    Check { root: schema, references: 0 }.value(schema, value, &Path::Root(Subject::Member))
}

/// References that lead to each other are followed so far.
const REFERENCES_MAX: u8 = 32;

fn named(path: &Path<'_>) -> String {
    match path {
        Path::Root(_) => "the value".to_owned(),
        path => format!("`{path}`"),
    }
}

#[derive(Clone, Copy)]
struct Check<'s> {
    root: JsonRef<'s>,
    /// How many were followed without going deeper into the value.
    references: u8,
}

impl<'s> Check<'s> {
    fn value(self, schema: JsonRef<'s>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
        if schema.text() == "false" {
            return Err(format!("{} must not be there", named(path)));
        }
        if let Some(schema) = self.referred(schema) {
            Check { references: self.references + 1, ..self }.value(schema, value, path)?;
        }
        check_type(schema, value, path)?;
        check_choice(schema, value, path)?;
        let inside = Check { references: 0, ..self };
        if value.is_object() {
            inside.members(schema, value, path)?;
        } else if value.is_array() {
            inside.items(schema, value, path)?;
        } else if let Some(text) = value.as_str() {
            check_count(schema, ["minLength", "maxLength"], text.chars().count(), "characters", path)?;
        } else if value.is_number() {
            check_range(schema, value, path)?;
        }
        self.alternatives(schema, value, path)
    }

    /// What `$ref` leads to, if that is in this document.
    fn referred(self, schema: JsonRef<'s>) -> Option<JsonRef<'s>> {
        let reference = schema.get("$ref")?.as_str()?;
        let place = reference.strip_prefix('#').filter(|_| self.references < REFERENCES_MAX)?;
        pointer::find(self.root, place)
    }

    fn members(self, schema: JsonRef<'s>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
        let required = list(schema, "required").filter_map(JsonRef::as_str);
        for name in required {
            if value.find(&name).is_none() {
                return Err(format!("{} is missing", named(&path.member(&name))));
            }
        }
        let known = schema.get("properties");
        let others = schema.get("additionalProperties").filter(|_| schema.get("patternProperties").is_none());
        value.pairs().try_for_each(|pair| {
            let name = pair.name().unwrap_or_default();
            let schema = known.and_then(|known| known.find(&name)).or(others);
            schema.map_or(Ok(()), |schema| self.value(schema, pair.value, &path.member(&name)))
        })
    }

    fn items(self, schema: JsonRef<'s>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
        let items = value.items().unwrap_or_default();
        check_count(schema, ["minItems", "maxItems"], items.clone().count(), "items", path)?;
        let mut first = list(schema, "prefixItems");
        let others = schema.get("items");
        items.enumerate().try_for_each(|(place, item)| {
            let schema = first.next().or(others);
            schema.map_or(Ok(()), |schema| self.value(schema, item, &path.item(place)))
        })
    }

    fn alternatives(self, schema: JsonRef<'s>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
        list(schema, "allOf").try_for_each(|schema| self.value(schema, value, path))?;
        let none = ["anyOf", "oneOf"]
            .iter()
            .filter_map(|name| schema.get(name)?.items())
            .any(|mut schemas| schemas.all(|schema| self.value(schema, value, path).is_err()));
        match none {
            true => Err(format!(
                "{} is {}, which fits none of the alternatives",
                named(path),
                printable(value.text())
            )),
            false => Ok(()),
        }
    }
}

/// The elements of a keyword that is an array; none for any other.
fn list<'s>(schema: JsonRef<'s>, keyword: &str) -> Items<'s> {
    schema.get(keyword).and_then(JsonRef::items).unwrap_or_default()
}

fn check_type(schema: JsonRef<'_>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
    let is =
        |name: JsonRef<'_>| name.as_str().map(|name| JsonType::named(&name).is_none_or(|one| one.has(value)));
    let Some(types) = schema.get("type") else { return Ok(()) };
    let fits = match types.items() {
        Some(names) => names.filter_map(is).any(|fits| fits),
        None => is(types).unwrap_or(true),
    };
    let (types, text) = (printable(types.text()), printable(value.text()));
    fits.then_some(()).ok_or_else(|| format!("{} is {text}, which is not of type {types}", named(path)))
}

fn check_choice(schema: JsonRef<'_>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
    let choices = schema.get("enum").and_then(JsonRef::items);
    let only = schema.find("const");
    if choices.is_none() && only.is_none() {
        return Ok(());
    }
    let found = canonical(value);
    let fits = choices.is_none_or(|mut choices| choices.any(|choice| canonical(choice) == found))
        && only.is_none_or(|only| canonical(only) == found);
    fits.then_some(()).ok_or_else(|| {
        format!("{} is {}, which is none of the allowed values", named(path), printable(value.text()))
    })
}

fn check_range(schema: JsonRef<'_>, value: JsonRef<'_>, path: &Path<'_>) -> Result<(), String> {
    let number = Number::of(value.text());
    let bound = |name| schema.get(name).filter(|bound| bound.is_number());
    let problem = match (bound("minimum"), bound("maximum")) {
        (Some(least), _) if number < Number::of(least.text()) => format!("less than {}", least.text()),
        (_, Some(most)) if number > Number::of(most.text()) => format!("more than {}", most.text()),
        _ => return Ok(()),
    };
    Err(format!("{} is {}, {problem}", named(path), printable(value.text())))
}

fn check_count(
    schema: JsonRef<'_>,
    [least, most]: [&str; 2],
    count: usize,
    what: &str,
    path: &Path<'_>,
) -> Result<(), String> {
    let bound = |name| {
        let bound = schema.get(name).filter(|bound| bound.is_number())?;
        Number::of(bound.text()).whole()
    };
    let outside = bound(least).is_some_and(|least| (count as i128) < least)
        || bound(most).is_some_and(|most| count as i128 > most);
    match outside {
        true => Err(format!("{} has {count} {what}, which is too few or too many", named(path))),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::schema::conforms::conforms;

    #[test]
    fn what_is_right_is_never_refused() {
        for (schema, value) in [
            (r#"{"enum":[1.0,{"a":[2]}]}"#, "1"),
            (r#"{"enum":[1.0,{"a":[2]}]}"#, r#"{"a":[2.0]}"#),
            (r#"{"const":0}"#, "-0.0"),
            (r#"{"patternProperties":{"^x":{}},"additionalProperties":false}"#, r#"{"x1":1}"#),
            (r#"{"prefixItems":[{"type":"string"}],"items":{"type":"number"}}"#, r#"["a",1]"#),
            (r#"{"items":[{"type":"string"}]}"#, "[1]"),
            (r##"{"$ref":"#"}"##, "1"),
            (r##"{"$ref":"#/$defs/none"}"##, "1"),
            (r#"{"$ref":"https://a.example/schema"}"#, "1"),
            (r#"{"type":"integer"}"#, "1e3"),
        ] {
            assert_eq!(conforms(schema, value), Ok(()), "{schema} {value}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let tree = r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{
            "v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]},
            "all":{"items":{"$ref":"#/$defs/n"}}},"required":["v"]}}}"##;
        let (many, name) = ("[1,".repeat(39) + "1" + &"]".repeat(39), "n".repeat(200));
        for (schema, value, problem) in [
            (tree, r#"{"v":1,"next":{"v":2,"next":null}}"#, ""),
            (
                tree,
                r#"{"v":1,"all":[{"v":2},{"v":"3"}]}"#,
                r#"`all[1].v` is "3", which is not of type "integer""#,
            ),
            (tree, r#"{"v":1,"next":{}}"#, "`next` is {}, which fits none of the alternatives"),
            (r#"{"prefixItems":[{"type":"string"}],"items":{"type":"number"}}"#, r#"["a","b"]"#, "`[1]` is"),
            (r#"{"const":"x"}"#, &many, "[1,[1,"),
            (r#"{"additionalProperties":false}"#, &format!(r#"{{"{name}":1}}"#), "…` must not be there"),
        ] {
            let found = conforms(schema, value).err().unwrap_or_default();
            assert!(found.contains(problem) && found.is_empty() == problem.is_empty(), "{found}");
            assert!(found.len() < 200, "{found}");
        }
    }
}
