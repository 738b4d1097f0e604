//! Whether a JSON value keeps a JSON Schema: a check of this program's own results while it is developed.
//!
//! *Scope:* the keywords that `schema!` writes and the frequent ones besides. *Not in scope:* `$ref`, `pattern`, `format`,
//! and conditions: what is not known is taken to hold, so this finds mistakes and proves nothing.

use serde_json::{Map, Value};

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
    check(&parse("schema", schema)?, &parse("value", value)?, "")
}

fn check(schema: &Value, value: &Value, path: &str) -> Result<(), String> {
    let Value::Object(rules) = schema else {
        return if *schema == Value::Bool(false) {
            Err(format!("{} must not be there", named(path)))
        } else {
            Ok(())
        };
    };
    check_type(rules, value, path)?;
    if rules.get("enum").and_then(Value::as_array).is_some_and(|values| !values.contains(value))
        || rules.get("const").is_some_and(|only| only != value)
    {
        return Err(format!("{} is {value}, which is none of the allowed values", named(path)));
    }
    if let Some(number) = value.as_f64() {
        check_range(rules, number, path)?;
    }
    match value {
        Value::Object(members) => check_members(rules, members, path)?,
        Value::Array(items) => {
            check_count(rules, ["minItems", "maxItems"], items.len(), "items", path)?;
            if let Some(schema) = rules.get("items") {
                let mut places = items.iter().enumerate();
                places.try_for_each(|(at, item)| check(schema, item, &format!("{path}[{at}]")))?;
            }
        }
        Value::String(text) => {
            check_count(rules, ["minLength", "maxLength"], text.chars().count(), "characters", path)?
        }
        _ => {}
    }
    check_choices(rules, value, path)
}

fn check_type(rules: &Map<String, Value>, value: &Value, path: &str) -> Result<(), String> {
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
    fits.then_some(()).ok_or_else(|| {
        format!(
            "{} is {value}, which is not of type {}",
            named(path),
            rules.get("type").unwrap_or(&Value::Null)
        )
    })
}

fn check_range(rules: &Map<String, Value>, number: f64, path: &str) -> Result<(), String> {
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
    path: &str,
) -> Result<(), String> {
    let bound = |name| rules.get(name).and_then(Value::as_u64);
    let outside = bound(least).is_some_and(|least| (count as u64) < least)
        || bound(most).is_some_and(|most| count as u64 > most);
    if outside {
        Err(format!("{} has {count} {what}, which is too few or too many", named(path)))
    } else {
        Ok(())
    }
}

fn check_members(rules: &Map<String, Value>, members: &Map<String, Value>, path: &str) -> Result<(), String> {
    let place = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let required =
        rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    if let Some(name) = required.into_iter().find(|name| !members.contains_key(*name)) {
        return Err(format!("{} is missing", named(&place(name))));
    }
    let known = rules.get("properties").and_then(Value::as_object);
    members.iter().try_for_each(|(name, value)| {
        let schema = known.and_then(|known| known.get(name)).or(rules.get("additionalProperties"));
        schema.map_or(Ok(()), |schema| check(schema, value, &place(name)))
    })
}

fn check_choices(rules: &Map<String, Value>, value: &Value, path: &str) -> Result<(), String> {
    let list = |name| rules.get(name).and_then(Value::as_array);
    list("allOf").into_iter().flatten().try_for_each(|schema| check(schema, value, path))?;
    let none = ["anyOf", "oneOf"]
        .iter()
        .filter_map(|name| list(name))
        .any(|schemas| schemas.iter().all(|schema| check(schema, value, path).is_err()));
    if none {
        Err(format!("{} is {value}, which fits none of the alternatives", named(path)))
    } else {
        Ok(())
    }
}

fn named(path: &str) -> String {
    if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") }
}
