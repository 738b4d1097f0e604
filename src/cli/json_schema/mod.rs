//! JSON Schemas that are enforced: the arguments of a manifest's tools, and the JSON that its commands print.
//!
//! *Scope:* a subset of JSON Schema 2020-12 that means the same in draft-07, enforced to the letter: `type`, `enum`, `const`,
//! `required`, `properties`, `additionalProperties` (`true` or `false`), `items`, `minItems`, `maxItems`, `uniqueItems`,
//! `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`, `multipleOf`, `minLength`, `maxLength`, `pattern`; and as notes
//! `$schema`, `title`, `description`, `default`, `examples`, `format`, `writeOnly`. A schema with any other keyword does not
//! compile, so nothing that an author wrote is ignored.
//! *Not in scope:* the results of an author's own handlers, whose schemas may be any
//! ([`conforms`](crate::schema::conforms())), and what a manifest asks of a schema besides.
//!
//! ```text
//!   JsonRef ── compile.rs ──▶ Schema ── check.rs ──▶ Ok, or a Mismatch that names the argument
//!                │             │
//!                │             └─ facts.rs   what others ask: defaults, descriptions, which types are allowed
//!                └─ pattern.rs               ECMA-262 patterns in linear time
//!                   multiple.rs              multiples of decimals, exactly
//! ```

#[cfg(test)]
mod cases;
mod check;
mod compile;
mod facts;
mod multiple;
mod pattern;

use crate::json::value::JsonBuf;
use crate::schema::json_type::JsonType;
use crate::text::error_text;
use multiple::Divisor;
use pattern::Pattern;

/// A compiled schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    /// The types of values that may be valid.
    types: Types,
    choices: Option<Vec<Choice>>,
    constant: Option<Choice>,
    bounds: Vec<Bound>,
    multiple_of: Option<Divisor>,
    length: Count,
    pattern: Option<Pattern>,
    items: Option<Box<Schema>>,
    item_count: Count,
    unique_items: bool,
    properties: Vec<(String, Schema)>,
    required: Vec<String>,
    /// True where an object may have no members but these.
    closed: bool,
    default: Option<JsonBuf>,
    /// True if values are not to be shown.
    secret: bool,
}

/// A set of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Types(u8);

impl Types {
    const NONE: Types = Types(0);
    const ALL: Types = Types(0x7F);

    fn with(self, one: JsonType) -> Types {
        Types(self.0 | 1 << one as u8)
    }

    fn contains(self, one: JsonType) -> bool {
        self.0 & 1 << one as u8 != 0
    }

    fn iter(self) -> impl Iterator<Item = JsonType> {
        JsonType::ALL.into_iter().filter(move |one| self.contains(*one))
    }
}

impl Default for Types {
    fn default() -> Types {
        Types::ALL
    }
}

/// A value of `enum` or `const`.
#[derive(Clone, Debug)]
struct Choice {
    value: JsonBuf,
    /// What all values that are equal to it have in common.
    canonical: Vec<u8>,
}

/// How many characters or items there may be, both ends included.
type Count = [Option<u64>; 2];

/// A bound of numbers.
#[derive(Clone, Debug)]
struct Bound {
    side: Side,
    /// The number as it is written in the schema.
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Minimum,
    ExclusiveMinimum,
    Maximum,
    ExclusiveMaximum,
}

/// What is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaProblem {
    /// The place in the schema (RFC 6901).
    pub(crate) pointer: String,
    /// What is wrong there, and what to write instead.
    pub(crate) message: String,
}

error_text!(SchemaProblem: |problem| "{}: {}", problem.pointer, problem.message);

/// Why a value is not valid: one sentence that names the argument, its value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch(String);

error_text!(Mismatch: |problem| "{}", problem.0);
