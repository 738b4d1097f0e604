//! The types that a field can have besides structs and enums.
//!
//! *Scope:* what each looks like, how it is read, how it is written, and defaults.
//! *Not in scope:* objects and enums (`macros.rs`).

use super::read;
use super::shape::{Field, Kind, NoBound};
use super::{Object, Schema};
use crate::json::value::JsonRef;
use crate::json::write::write_list;
use crate::json::{put, write_raw};
use crate::schema::number;
use crate::schema::read::{Error, Place};
use crate::text::printable;
use serde_json::Value;
use serde_json::value::RawValue;

/// A default as it may be written in `schema!`: a value of the field's type, or a literal for an owned string.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "the default of a field of type `{T}` cannot be a `{Self}`",
    note = "a default is an expression of the field's type; for strings a `&'static str` will do; an `Option` needs none: \
            either it may be missing, or it is a plain type with a default"
)]
pub trait DefaultFor<T> {
    /// The value.
    fn into_value(self) -> T;
}

impl<T> DefaultFor<T> for T {
    fn into_value(self) -> T {
        self
    }
}

impl DefaultFor<String> for &'static str {
    fn into_value(self) -> String {
        self.into()
    }
}

impl DefaultFor<Box<str>> for &'static str {
    fn into_value(self) -> Box<str> {
        self.into()
    }
}

/// Converts the default of a field.
#[doc(hidden)]
pub fn default_value<T, D: DefaultFor<T>>(default: D) -> T {
    default.into_value()
}

impl Schema for bool {
    type Bound = NoBound;
    const KIND: &'static Kind = &Kind::Boolean;

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<bool, Error> {
        match value.text() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(place.expected_kind(Self::KIND, value)),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self);
    }
}

macro_rules! integers {
    ($($type:ident)+) => { $(
        impl Schema for $type {
            type Bound = $type;
            const KIND: &'static Kind = &Kind::Integer { min: $type::MIN as i128, max: $type::MAX as i128 };

            fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<$type, Error> {
                let whole = number::integer(value, place, $type::MIN as i128, $type::MAX as i128)?;
                $type::try_from(whole).map_err(|_| place.expected_kind(Self::KIND, value))
            }

            fn write(&self, out: &mut Vec<u8>) {
                put(out, self);
            }
        }
    )+ };
}

integers! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

macro_rules! floats {
    ($($type:ident)+) => { $(
        impl Schema for $type {
            type Bound = $type;
            const KIND: &'static Kind = &Kind::Number;

            fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<$type, Error> {
                number::number(value, place)?;
                match value.text().parse::<$type>() {
                    Ok(number) if number.is_finite() => Ok(number),
                    _ => Err(place.error(&format!("{} is too large a number", printable(value.text())))),
                }
            }

            fn write(&self, out: &mut Vec<u8>) {
                put(out, self);
            }
        }
    )+ };
}

floats! { f32 f64 }

impl Schema for String {
    type Bound = NoBound;
    const KIND: &'static Kind = &Kind::Text;

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<String, Error> {
        read::text(value, place)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self);
    }
}

impl Schema for Box<str> {
    type Bound = NoBound;
    const KIND: &'static Kind = &Kind::Text;

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<Box<str>, Error> {
        read::text(value, place).map(String::into_boxed_str)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, &**self);
    }
}

impl<T: Schema> Schema for Option<T> {
    type Bound = T::Bound;
    const KIND: &'static Kind = {
        assert!(!T::OPTIONAL, "schema!: an Option of an Option cannot be told apart in JSON");
        T::KIND
    };
    const OPTIONAL: bool = true;

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<Option<T>, Error> {
        match value.text() {
            "null" => Ok(None),
            _ => T::read(value, place).map(Some),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }

    fn is_absent(&self) -> bool {
        self.is_none()
    }
}

impl<T: Schema> Schema for Vec<T> {
    type Bound = T::Bound;
    const KIND: &'static Kind = {
        assert!(!T::OPTIONAL, "schema!: the items of a list cannot be left out; use a list without Option");
        &Kind::List(T::KIND)
    };

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<Vec<T>, Error> {
        read::items(value, place, T::read)
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_list(out, self, T::write);
    }
}

/// Anything, as a tree. Of members given twice within it the last one counts; use `Box<RawValue>` to see both.
impl Schema for Value {
    type Bound = NoBound;
    const KIND: &'static Kind = &Kind::Any;

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<Value, Error> {
        serde_json::from_str(value.text())
            .map_err(|_| place.error("nested too deeply, or with a number or an escape that does not fit"))
    }

    fn write(&self, out: &mut Vec<u8>) {
        put(out, self);
    }
}

/// Anything, as its text.
impl Schema for Box<RawValue> {
    type Bound = NoBound;
    const KIND: &'static Kind = &Kind::Any;

    fn read(value: JsonRef<'_>, _: &Place<'_>) -> Result<Box<RawValue>, Error> {
        Ok(value.to_raw())
    }

    fn write(&self, out: &mut Vec<u8>) {
        write_raw(out, self.get());
    }
}

impl Schema for () {
    type Bound = NoBound;
    const KIND: &'static Kind = &Kind::Object { docs: &[], fields: Self::FIELDS };

    fn read(value: JsonRef<'_>, place: &Place<'_>) -> Result<(), Error> {
        read::Members::read(value, place, Self::FIELDS, &mut []).map(drop)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{}");
    }
}

impl Object for () {
    const FIELDS: &'static [Field] = &[];
}
