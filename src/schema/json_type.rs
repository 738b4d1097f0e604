//! The types of JSON Schema's keyword `type`.
//!
//! *Scope:* their names, and which values are of them (JSON Schema validation, section 6.1.1).

use crate::json::number::Number;
use crate::json::value::JsonRef;

/// One of the names that the keyword `type` may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonType {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    String,
    Integer,
}

impl JsonType {
    pub(crate) const ALL: [JsonType; 7] = [
        JsonType::Null,
        JsonType::Boolean,
        JsonType::Object,
        JsonType::Array,
        JsonType::Number,
        JsonType::String,
        JsonType::Integer,
    ];

    pub(crate) fn named(name: &str) -> Option<JsonType> {
        JsonType::ALL.into_iter().find(|one| one.name() == name)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            JsonType::Null => "null",
            JsonType::Boolean => "boolean",
            JsonType::Object => "object",
            JsonType::Array => "array",
            JsonType::Number => "number",
            JsonType::String => "string",
            JsonType::Integer => "integer",
        }
    }

    /// True if the value is of this type. An integer is any number without a fraction, also `1.0`.
    pub(crate) fn has(self, value: JsonRef<'_>) -> bool {
        match self {
            JsonType::Null => value.is_null(),
            JsonType::Boolean => value.is_bool(),
            JsonType::Object => value.is_object(),
            JsonType::Array => value.is_array(),
            JsonType::Number => value.is_number(),
            JsonType::String => value.is_str(),
            JsonType::Integer => value.is_number() && Number::of(value.text()).is_whole(),
        }
    }
}
