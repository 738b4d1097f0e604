//! What a schema says about the values that it allows.
//!
//! *Scope:* the questions that a manifest's loader and a command's arguments ask of a compiled schema.

use super::Schema;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::schema::json_type::JsonType;

impl Schema {
    /// The schema of a member, if `properties` has one.
    pub(crate) fn property(&self, name: &str) -> Option<&Schema> {
        self.properties().find(|(known, _)| *known == name).map(|(_, schema)| schema)
    }

    /// The members that `properties` has, in the order of the text.
    pub(crate) fn properties(&self) -> impl ExactSizeIterator<Item = (&str, &Schema)> {
        self.properties.iter().map(|(name, schema)| (name.as_str(), schema))
    }

    /// True if an object has to have this member.
    pub(crate) fn is_required(&self, name: &str) -> bool {
        self.required().any(|required| required == name)
    }

    /// The names in `required`.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        self.required.iter().map(String::as_str)
    }

    /// The schema of the items of an array.
    pub(crate) fn items(&self) -> Option<&Schema> {
        self.items.as_deref()
    }

    /// The value of `default`, as JSON text.
    pub(crate) fn default_json(&self) -> Option<&str> {
        self.default.as_ref().map(|default| default.as_ref().text())
    }

    /// True if the value is a secret: `writeOnly`, or a string with the format `password`.
    pub(crate) fn is_secret(&self) -> bool {
        self.secret
    }

    /// The values of `enum`, or the one of `const`.
    pub(crate) fn enum_values(&self) -> Option<impl Iterator<Item = JsonRef<'_>>> {
        let values = self.constant.as_ref().map(std::slice::from_ref).or(self.choices.as_deref());
        values.map(|values| values.iter().map(|choice| choice.value.as_ref()))
    }

    /// True if a value of this type may be valid. A number is any that is not bound to be an integer.
    pub(crate) fn allows(&self, one: JsonType) -> bool {
        let allowed = match one {
            JsonType::Integer => {
                self.types.contains(JsonType::Integer) || self.types.contains(JsonType::Number)
            }
            other => self.types.contains(other),
        };
        let chosen = self.enum_values().is_none_or(|mut values| values.any(|value| one.has(value)));
        allowed && chosen
    }

    /// True if it allows strings of any characters and any length.
    pub(crate) fn is_free_string(&self) -> bool {
        let [_, longest] = self.length;
        self.allows(JsonType::String)
            && self.enum_values().is_none()
            && self.pattern.is_none()
            && longest.is_none()
    }

    /// An object with the defaults of the members that it does not have, as JSON text. Anything else counts as an object
    /// without members.
    pub(crate) fn complete(&self, arguments: JsonRef<'_>) -> String {
        let mut out = Vec::new();
        let mut object = Object::new(&mut out);
        for pair in arguments.pairs() {
            object.raw(&pair.name().unwrap_or_default(), pair.value.text());
        }
        for (name, schema) in &self.properties {
            if let Some(default) = &schema.default
                && arguments.find(name).is_none()
            {
                object.raw(name, default.as_ref().text());
            }
        }
        object.end();
        String::from_utf8(out).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn compiled(schema: &str) -> Schema {
        Schema::compile(Tape::new().read(schema).unwrap()).unwrap()
    }

    #[test]
    fn a_schema_answers_what_others_ask() {
        let schema = compiled(
            r#"{"type":"object","title":"T","required":["host","other"],"properties":{
                "host":{"type":"string","description":"D","format":"hostname"},"count":{"type":"integer","default": 3.0},
                "key":{"writeOnly":true},"secret":{"type":"string","format":"password"},
                "list":{"type":"array","items":{"enum":["a",2]}}}}"#,
        );
        let names: Vec<&str> = schema.properties().map(|(name, _)| name).collect();
        assert_eq!(names, ["host", "count", "key", "secret", "list"]);
        assert_eq!(schema.required().collect::<Vec<_>>(), ["host", "other"]);
        assert!(schema.is_required("host") && !schema.is_required("count"));
        assert!(schema.property("none").is_none());
        let property = |name: &str| schema.property(name).unwrap();
        assert_eq!(property("host").default_json(), None);
        assert_eq!(property("count").default_json(), Some("3.0"));
        assert!(
            property("key").is_secret() && property("secret").is_secret() && !property("host").is_secret()
        );
        let values = property("list").items().unwrap().enum_values().unwrap();
        assert_eq!(values.map(JsonRef::text).collect::<Vec<_>>(), [r#""a""#, "2"]);
    }

    #[test]
    fn the_types_that_a_schema_allows() {
        use JsonType::{Array, Boolean, Integer, Null, Number, Object, String};
        for (schema, allowed) in [
            ("{}", &[Null, Boolean, Object, Array, Number, String, Integer][..]),
            ("false", &[]),
            (r#"{"type":"integer"}"#, &[Integer]),
            (r#"{"type":"number"}"#, &[Number, Integer]),
            (r#"{"type":["string","null"]}"#, &[Null, String]),
            (r#"{"enum":["a",1.0]}"#, &[Number, String, Integer]),
            (r#"{"enum":["a",1.5],"type":["number","array"]}"#, &[Number]),
            (r#"{"const":{}}"#, &[Object]),
        ] {
            let schema_found = compiled(schema);
            let found: Vec<JsonType> =
                JsonType::ALL.into_iter().filter(|one| schema_found.allows(*one)).collect();
            assert_eq!(found, allowed, "{schema}");
        }
    }

    #[test]
    fn free_strings() {
        for (schema, free) in [
            ("{}", true),
            (r#"{"type":["string","integer"],"minLength":3}"#, true),
            (r#"{"type":"integer"}"#, false),
            (r#"{"enum":["a"]}"#, false),
            (r#"{"const":"a"}"#, false),
            (r#"{"pattern":"a"}"#, false),
            (r#"{"maxLength":9}"#, false),
        ] {
            assert_eq!(compiled(schema).is_free_string(), free, "{schema}");
        }
    }

    #[test]
    fn absent_members_get_their_defaults() {
        let schema = compiled(
            r#"{"properties":{"a":{"default":1.50},"b":{"default":null},"c":{},"d\"":{"default":{"x":[ 1 ]}}}}"#,
        );
        for (arguments, complete) in [
            ("{}", r#"{"a":1.50,"b":null,"d\"":{"x":[ 1 ]}}"#),
            (r#"{"c":2,"a":null}"#, r#"{"c":2,"a":null,"b":null,"d\"":{"x":[ 1 ]}}"#),
            (
                r#"{"z":12345678901234567890.0,"\u0062":"\u00e9","d\"":0,"a":0}"#,
                r#"{"z":12345678901234567890.0,"b":"\u00e9","d\"":0,"a":0}"#,
            ),
            ("null", r#"{"a":1.50,"b":null,"d\"":{"x":[ 1 ]}}"#),
        ] {
            assert_eq!(schema.complete(Tape::new().read(arguments).unwrap()), complete);
        }
    }
}
