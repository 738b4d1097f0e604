//! The macro `schema!`.
//!
//! *Scope:* the grammar and its expansion. *Not in scope:* any decision: the expansion only builds the constants of
//! `shape.rs` and calls into `read.rs` and `write.rs`, so that what an auditor has to expand by hand stays short.

/// Declares a struct or a string enum that has a JSON Schema.
///
/// # Structs
/// ```text
/// schema! { #[attributes] pub struct Name {
///     /// Documentation: the member's description.
///     pub field: Type { rule value, rule value } = default,
/// } }
/// ```
/// Visibility, attributes and documentation stay on the struct and its fields. The rules in braces and the default
/// are optional. A field is required unless it has a default or is an `Option`; `null` then counts as absent. The default
/// `None` says what an `Option` is anyway, and the schema does not repeat it.
/// A raw identifier loses its prefix: `r#type` is the member `type`. The default is any expression of the field's type
/// (a `&str` for strings); it is not checked against the rules.
///
/// | rule | on | schema | enforced |
/// |---|---|---|---|
/// | `min 1`, `max 100` | numbers, of the field's own type (`min 0.0` on a float) | `minimum`, `maximum` | yes |
/// | `length 1..=200` | strings; in Unicode characters | `minLength`, `maxLength` | yes |
/// | `items 1..=3` | lists | `minItems`, `maxItems` | yes |
/// | `format "email"` | strings; or `uri`, `date`, `date-time` | `format` | no |
/// | `pattern "^[a-z]+$"` | strings; a regular expression of ECMA-262, not in forms | `pattern` | no |
/// | `title "Your name"` | all | `title` | – |
/// | `name "x-y"` | all; the member's name where it is no Rust identifier | – | – |
/// | `header "Region"` | strings, integers, booleans, enums; not inside lists | `x-mcp-header` | – |
///
/// On a list `min`, `max`, `length`, `format` and `pattern` apply to each item. `0..=n` and `n..=usize::MAX` leave an end open.
/// The schema of `usize` and `isize` depends on the machine: one of 32 bits writes their bounds. `u64` and `i64` have one schema everywhere.
/// A rule that does not suit the type and two members of one name do not compile; nor does a struct that contains itself.
/// That a header is an RFC 9110 token, unique, and on a member that may have one, is checked when the server starts.
///
/// ```
/// mcp_rill::schema! {
///     /// One search.
///     #[derive(Debug, PartialEq)]
///     pub struct Search {
///         /// What to look for.
///         pub query: String { length 1..=200 },
///         /// Most results.
///         pub limit: i64 { min 1, max 100 } = 30,
///         pub tags: Vec<String> { items 0..=5, length 1..=20 } = vec![],
///         pub r#type: Option<String> { header "Kind" },
///     }
/// }
/// let search: Search = mcp_rill::schema::parse(r#"{"query":"rill","type":"book"}"#).unwrap();
/// assert_eq!(search, Search { query: "rill".into(), limit: 30, tags: vec![], r#type: Some("book".into()) });
/// ```
///
/// The compiler refuses a rule on the wrong type, a type without a schema, and a struct within itself:
/// ```compile_fail
/// mcp_rill::schema! { struct Wrong { flag: bool { length 1..=2 } } }
/// ```
/// ```compile_fail
/// mcp_rill::schema! { struct Wrong { map: std::collections::HashMap<String, String> } }
/// ```
/// ```compile_fail
/// mcp_rill::schema! { struct Wrong { children: Vec<Wrong> } }
/// ```
/// What it cannot read at all, such as a tuple struct or a type parameter, is an error that shows the grammar:
/// ```compile_fail
/// mcp_rill::schema! { struct Wrong(String); }
/// ```
/// ```compile_fail
/// mcp_rill::schema! { enum Wrong { Circle(f64), Square } }
/// ```
///
/// # Enums
/// ```text
/// schema! { #[attributes] pub enum Name { Variant, Variant = "value", Variant = "value" "Title" } }
/// ```
/// One of several strings. Without a value the string is the variant's name as written. As soon as one variant has a title,
/// the schema is a list of `const` and `title`; the others are titled by their value.
///
/// ```
/// mcp_rill::schema! { enum Unit { Celsius = "celsius" "Degrees Celsius", Kelvin } }
/// assert_eq!(
///     mcp_rill::schema::schema_text::<Unit>(),
///     r#"{"type":"string","oneOf":[{"const":"celsius","title":"Degrees Celsius"},{"const":"Kelvin","title":"Kelvin"}]}"#,
/// );
/// ```
#[macro_export]
macro_rules! schema {
    (@docs $([$($attribute:tt)*])*) => { &[ $( $crate::schema!(@doc $($attribute)*) ),* ] };
    (@doc doc = $text:expr) => { ::core::option::Option::Some($text) };
    (@doc $($other:tt)*) => { ::core::option::Option::None };

    (@rule $type:ty, min, $value:expr) => { $crate::schema!(@bound $type, $value) };
    (@rule $type:ty, max, $value:expr) => { $crate::schema!(@bound $type, $value) };
    (@rule $type:ty, length, $value:expr) => { $crate::schema!(@span $value) };
    (@rule $type:ty, items, $value:expr) => { $crate::schema!(@span $value) };
    (@rule $type:ty, format, $value:expr) => { ::core::option::Option::Some($value) };
    (@rule $type:ty, pattern, $value:expr) => { ::core::option::Option::Some($value) };
    (@rule $type:ty, title, $value:expr) => { ::core::option::Option::Some($value) };
    (@rule $type:ty, name, $value:expr) => { ::core::option::Option::Some($value) };
    (@rule $type:ty, header, $value:expr) => { ::core::option::Option::Some($value) };
    (@rule $type:ty, $other:ident, $value:expr) => {
        ::core::compile_error!(::core::concat!(
            "unknown rule `", ::core::stringify!($other),
            "`; a field takes min, max, length, items, format, pattern, title, name and header"
        ))
    };
    (@bound $type:ty, $value:expr) => {{
        let bound: <$type as $crate::schema::Schema>::Bound = $value;
        ::core::option::Option::Some($crate::schema::Bound { whole: bound as i128, real: bound as f64 })
    }};
    (@span $value:expr) => {{
        let range: ::core::ops::RangeInclusive<usize> = $value;
        ::core::option::Option::Some($crate::schema::Span { min: *range.start(), max: *range.end() })
    }};

    (@default $type:ty,) => { ::core::option::Option::None };
    (@default $type:ty, $value:expr) => {
        ::core::option::Option::Some(|| $crate::schema::__private::default_value::<$type, _>($value))
    };
    (@default_json $type:ty,) => { ::core::option::Option::None };
    (@default_json $type:ty, $value:expr) => {
        ::core::option::Option::Some(|out| {
            let value = $crate::schema::__private::default_value::<$type, _>($value);
            $crate::schema::Schema::write(&value, out)
        })
    };

    (@value $variant:ident) => { $crate::schema::__private::plain_name(::core::stringify!($variant)) };
    (@value $variant:ident $value:literal) => { $value };
    (@title) => { ::core::option::Option::None };
    (@title $title:literal) => { ::core::option::Option::Some($title) };

    (
        $(#[$($attribute:tt)*])*
        $visibility:vis struct $name:ident {
            $(
                $(#[$($field_attribute:tt)*])*
                $field_visibility:vis $field:ident : $type:ty
                $({ $($rule:ident $argument:expr),* $(,)? })?
                $(= $default:expr)?
            ),* $(,)?
        }
    ) => {
        $(#[$($attribute)*])*
        $visibility struct $name {
            $( $(#[$($field_attribute)*])* $field_visibility $field: $type, )*
        }

        #[automatically_derived]
        impl $crate::schema::Object for $name {
            const FIELDS: &'static [$crate::schema::Field] = &[ $(
                $crate::schema::Field {
                    name: $crate::schema::__private::plain_name(::core::stringify!($field)),
                    docs: $crate::schema!(@docs $([$($field_attribute)*])*),
                    kind: <$type as $crate::schema::Schema>::KIND,
                    optional: <$type as $crate::schema::Schema>::OPTIONAL,
                    default: $crate::schema!(@default_json $type, $($default)?),
                    rules: $crate::schema::Rules {
                        $($( $rule: $crate::schema!(@rule $type, $rule, $argument), )*)?
                        ..$crate::schema::Rules::NONE
                    },
                }.named(),
            )* ];
        }

        #[automatically_derived]
        impl $crate::schema::Schema for $name {
            type Bound = $crate::schema::NoBound;
            const KIND: &'static $crate::schema::Kind = &$crate::schema::Kind::Object {
                docs: $crate::schema!(@docs $([$($attribute)*])*),
                fields: <$name as $crate::schema::Object>::FIELDS,
            };

            fn read(
                value: $crate::json::JsonRef<'_>,
                place: &$crate::schema::Place<'_>,
            ) -> ::core::result::Result<Self, $crate::schema::Error> {
                let fields = <$name as $crate::schema::Object>::FIELDS;
                let mut slots = [::core::option::Option::None; <$name as $crate::schema::Object>::FIELDS.len()];
                #[allow(unused_mut, unused_variables, reason = "the struct may have no fields")]
                let mut members = $crate::schema::__private::Members::read(value, place, fields, &mut slots)?;
                ::core::result::Result::Ok($name {
                    $( $field: members.take::<$type>($crate::schema!(@default $type, $($default)?))?, )*
                })
            }

            fn write(&self, out: &mut $crate::schema::__private::Vec<u8>) {
                #[allow(unused_mut, reason = "the struct may have no fields")]
                let mut object =
                    $crate::schema::__private::ObjectWriter::new(out, <$name as $crate::schema::Object>::FIELDS);
                $( object.member(&self.$field); )*
                object.end();
            }
        }

        const _: () = $crate::schema::__private::check(<$name as $crate::schema::Object>::FIELDS);
    };

    (
        $(#[$($attribute:tt)*])*
        $visibility:vis enum $name:ident {
            $(
                $(#[$($variant_attribute:tt)*])*
                $variant:ident $(= $value:literal $($title:literal)?)?
            ),+ $(,)?
        }
    ) => {
        $(#[$($attribute)*])*
        $visibility enum $name {
            $( $(#[$($variant_attribute)*])* $variant, )+
        }

        #[automatically_derived]
        impl $crate::schema::Schema for $name {
            type Bound = $crate::schema::NoBound;
            const KIND: &'static $crate::schema::Kind = &$crate::schema::Kind::Choice {
                docs: $crate::schema!(@docs $([$($attribute)*])*),
                choices: &[ $(
                    $crate::schema::Choice {
                        value: $crate::schema!(@value $variant $($value)?),
                        title: $crate::schema!(@title $($($title)?)?),
                    },
                )+ ],
            };

            fn read(
                value: $crate::json::JsonRef<'_>,
                place: &$crate::schema::Place<'_>,
            ) -> ::core::result::Result<Self, $crate::schema::Error> {
                let kind = <$name as $crate::schema::Schema>::KIND;
                let mut index = $crate::schema::__private::read_choice(value, place, kind)?;
                $(
                    if index == 0 {
                        return ::core::result::Result::Ok($name::$variant);
                    }
                    index -= 1;
                )+
                let _ = index;
                ::core::result::Result::Err(place.expected("a choice", value))
            }

            fn write(&self, out: &mut $crate::schema::__private::Vec<u8>) {
                $crate::schema::__private::write_choice(out, match self {
                    $( $name::$variant => $crate::schema!(@value $variant $($value)?), )+
                });
            }
        }

        const _: () = $crate::schema::__private::check_choices(<$name as $crate::schema::Schema>::KIND);
    };

    ($(#[$($attribute:tt)*])* $visibility:vis struct $($rest:tt)*) => {
        ::core::compile_error!(
            "`schema!` cannot read this struct. It takes `struct Name { field: Type { rule value, … } = default, … }`: named fields \
             whose rules in braces and default are optional, with the rules min, max, length, items, format, pattern, title, name \
             and header, and documentation above fields. It takes no type parameters, lifetimes or tuple structs"
        );
    };

    ($(#[$($attribute:tt)*])* $visibility:vis enum $($rest:tt)*) => {
        ::core::compile_error!(
            "`schema!` cannot read this enum. It takes `enum Name { Variant, Variant = \"value\", Variant = \"value\" \"Title\" }`: \
             at least one variant, each without fields"
        );
    };

    ($($other:tt)*) => {
        ::core::compile_error!(
            "`schema!` takes one struct or one enum: `schema! { struct Name { field: Type { rule value, … } = default, … } }` or \
             `schema! { enum Name { Variant = \"value\" \"Title\", … } }`"
        );
    };
}
