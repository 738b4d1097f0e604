//! Checks that a JSON value keeps a JSON Schema: for the results of tools, before they are sent.
//!
//! *Scope:* the keywords that `schema!` and `schemars` write and the frequent ones besides. *Not in scope:* `pattern`,
//! `format`, conditions, references to other documents. A keyword that is not known is taken to hold: this finds mistakes, but
//! proves nothing, and it refuses no value that is right.

use std::fmt;

use serde_json::{Map, Value};

use crate::text::shorten;

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
    let parse = |what: &str, text: &str| {
        serde_json::from_str(text).map_err(|error| format!("the {what} is not JSON: {error}"))
    };
    check(&parse("schema", schema)?, &parse("value", value)?)
}

/// As [`conforms`], of what is parsed.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    Check { root: schema, references: 0 }.value(schema, value, &Path::Root)
}

/// References that lead to each other are followed so far.
const REFERENCES_MAX: u8 = 32;

/// The way to a value, put into words only when something is wrong there.
#[derive(Clone, Copy)]
enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Item(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => Ok(()),
            Path::Member(Path::Root, name) => f.write_str(&shorten(name)),
            Path::Member(parent, name) => write!(f, "{parent}.{}", shorten(name)),
            Path::Item(parent, at) => write!(f, "{parent}[{at}]"),
        }
    }
}

fn named(path: &Path<'_>) -> String {
    match path {
        Path::Root => "the value".to_owned(),
        path => format!("`{path}`"),
    }
}

fn shown(value: &Value) -> String {
    shorten(&value.to_string()).into_owned()
}

#[derive(Clone, Copy)]
struct Check<'s> {
    root: &'s Value,
    /// How many were followed without going deeper into the value.
    references: u8,
}

impl<'s> Check<'s> {
    fn value(self, schema: &'s Value, value: &Value, path: &Path<'_>) -> Result<(), String> {
        let rules = match schema {
            Value::Object(rules) => rules,
            Value::Bool(false) => return Err(format!("{} must not be there", named(path))),
            _ => return Ok(()),
        };
        if let Some(schema) = self.referred(rules) {
            Check { references: self.references + 1, ..self }.value(schema, value, path)?;
        }
        check_type(rules, value, path)?;
        check_choice(rules, value, path)?;
        let inside = Check { references: 0, ..self };
        match value {
            Value::Object(members) => inside.members(rules, members, path)?,
            Value::Array(items) => inside.items(rules, items, path)?,
            Value::String(text) => {
                check_count(rules, ["minLength", "maxLength"], text.chars().count(), "characters", path)?;
            }
            Value::Number(number) => check_range(rules, number.as_f64().unwrap_or_default(), path)?,
            Value::Null | Value::Bool(_) => {}
        }
        self.alternatives(rules, value, path)
    }

    /// What `$ref` leads to, if that is in this document.
    fn referred(self, rules: &'s Map<String, Value>) -> Option<&'s Value> {
        let pointer = rules.get("$ref")?.as_str()?.strip_prefix('#')?;
        (self.references < REFERENCES_MAX).then(|| self.root.pointer(pointer)).flatten()
    }

    fn members(
        self,
        rules: &'s Map<String, Value>,
        members: &Map<String, Value>,
        path: &Path<'_>,
    ) -> Result<(), String> {
        let required =
            rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        if let Some(name) = required.into_iter().find(|name| !members.contains_key(*name)) {
            return Err(format!("{} is missing", named(&Path::Member(path, name))));
        }
        let known = rules.get("properties").and_then(Value::as_object);
        let others = rules.get("additionalProperties").filter(|_| !rules.contains_key("patternProperties"));
        members.iter().try_for_each(|(name, value)| {
            let schema = known.and_then(|known| known.get(name)).or(others);
            schema.map_or(Ok(()), |schema| self.value(schema, value, &Path::Member(path, name)))
        })
    }

    fn items(self, rules: &'s Map<String, Value>, items: &[Value], path: &Path<'_>) -> Result<(), String> {
        check_count(rules, ["minItems", "maxItems"], items.len(), "items", path)?;
        let first = rules.get("prefixItems").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let others = rules.get("items");
        items.iter().enumerate().try_for_each(|(at, item)| {
            let schema = first.get(at).or(others);
            schema.map_or(Ok(()), |schema| self.value(schema, item, &Path::Item(path, at)))
        })
    }

    fn alternatives(
        self,
        rules: &'s Map<String, Value>,
        value: &Value,
        path: &Path<'_>,
    ) -> Result<(), String> {
        let list = |name| rules.get(name).and_then(Value::as_array);
        list("allOf").into_iter().flatten().try_for_each(|schema| self.value(schema, value, path))?;
        let none = ["anyOf", "oneOf"]
            .iter()
            .filter_map(|name| list(name))
            .any(|schemas| schemas.iter().all(|schema| self.value(schema, value, path).is_err()));
        match none {
            true => Err(format!("{} is {}, which fits none of the alternatives", named(path), shown(value))),
            false => Ok(()),
        }
    }
}

fn check_type(rules: &Map<String, Value>, value: &Value, path: &Path<'_>) -> Result<(), String> {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    };
    let fits = match rules.get("type") {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    };
    let kind = || shown(rules.get("type").unwrap_or(&Value::Null));
    fits.then_some(())
        .ok_or_else(|| format!("{} is {}, which is not of type {}", named(path), shown(value), kind()))
}

fn check_choice(rules: &Map<String, Value>, value: &Value, path: &Path<'_>) -> Result<(), String> {
    let choices = rules.get("enum").and_then(Value::as_array);
    let only = rules.get("const");
    let fits = choices.is_none_or(|choices| choices.iter().any(|choice| equal(choice, value)))
        && only.is_none_or(|only| equal(only, value));
    fits.then_some(())
        .ok_or_else(|| format!("{} is {}, which is none of the allowed values", named(path), shown(value)))
}

/// Numbers are equal whatever their spelling: `1` and `1.0`.
fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, value)| other.get(name).is_some_and(|other| equal(value, other));
            one.len() == other.len() && one.iter().all(same)
        }
        _ => one == other,
    }
}

fn check_range(rules: &Map<String, Value>, number: f64, path: &Path<'_>) -> Result<(), String> {
    let bound = |name| rules.get(name).and_then(Value::as_f64);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), _) if number < least => Err(format!("{} is {number}, less than {least}", named(path))),
        (_, Some(most)) if number > most => Err(format!("{} is {number}, more than {most}", named(path))),
        _ => Ok(()),
    }
}

fn check_count(
    rules: &Map<String, Value>,
    [least, most]: [&str; 2],
    count: usize,
    what: &str,
    path: &Path<'_>,
) -> Result<(), String> {
    let bound = |name| rules.get(name).and_then(Value::as_u64);
    let outside = bound(least).is_some_and(|least| (count as u64) < least)
        || bound(most).is_some_and(|most| count as u64 > most);
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
