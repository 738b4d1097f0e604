//! Finds a float that is NaN or infinite, and says where in the value it is.
//!
//! *Scope:* a walk over any serializable value that remembers the way. *Not in scope:* text.

use std::fmt::Display;

use serde_core::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::text::error_text;

/// # Errors
/// A sentence that names the first float that is not finite, with its path.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), String> {
    value.serialize(Walk { path: &mut String::new() }).map_err(|problem| problem.0)
}

/// The sentence about a number that JSON cannot hold; `path` is empty for the value itself.
pub(crate) fn sentence(path: &str, number: impl Display) -> String {
    let name = if path.is_empty() { "the number".to_owned() } else { format!("the number `{path}`") };
    format!("{name} is {number}; JSON holds only finite numbers")
}

#[derive(Debug)]
struct Problem(String);

error_text!(Problem: |problem| "{}", problem.0);

impl ser::Error for Problem {
    fn custom<T: Display>(text: T) -> Problem {
        Problem(text.to_string())
    }
}

/// A value at the end of this path.
struct Walk<'p> {
    path: &'p mut String,
}

/// The values inside of one: elements by their place, members by their name.
struct Inside<'p> {
    path: &'p mut String,
    end: usize,
    place: usize,
}

impl<'p> Walk<'p> {
    fn float(&self, number: f64) -> Result<(), Problem> {
        if number.is_finite() { Ok(()) } else { Err(Problem(sentence(self.path, number))) }
    }

    fn into_it(self) -> Result<Inside<'p>, Problem> {
        let end = self.path.len();
        Ok(Inside { path: self.path, end, place: 0 })
    }
}

impl Inside<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
        self.path.push_str(&format!("[{}]", self.place));
        self.place += 1;
        self.value(value)
    }

    fn name(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
        value.serialize(Walk { path: self.path })?;
        self.path.truncate(self.end);
        Ok(())
    }
}

macro_rules! nothing {
    ($($method:ident($($type:ty),*))+) => { $(
        fn $method(self, $(_: $type),*) -> Result<(), Problem> {
            Ok(())
        }
    )+ };
}

macro_rules! inside {
    ($($method:ident($($type:ty),*) -> $kind:ident)+) => { $(
        type $kind = Inside<'p>;

        fn $method(self, $(_: $type),*) -> Result<Inside<'p>, Problem> {
            self.into_it()
        }
    )+ };
}

impl<'p> Serializer for Walk<'p> {
    type Ok = ();
    type Error = Problem;

    nothing! {
        serialize_bool(bool) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64) serialize_i128(i128)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_u128(u128)
        serialize_none() serialize_unit() serialize_unit_struct(&'static str)
        serialize_unit_variant(&'static str, u32, &'static str)
    }

    inside! {
        serialize_seq(Option<usize>) -> SerializeSeq
        serialize_tuple(usize) -> SerializeTuple
        serialize_tuple_struct(&'static str, usize) -> SerializeTupleStruct
        serialize_map(Option<usize>) -> SerializeMap
        serialize_struct(&'static str, usize) -> SerializeStruct
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> SerializeTupleVariant
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> SerializeStructVariant
    }

    fn serialize_f32(self, number: f32) -> Result<(), Problem> {
        self.float(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Problem> {
        self.float(number)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Problem> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Problem> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Problem> {
        value.serialize(self)
    }
}

macro_rules! elements {
    ($($kind:ident $method:ident)+) => { $(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = Problem;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
                self.element(value)
            }

            fn end(self) -> Result<(), Problem> {
                Ok(())
            }
        }
    )+ };
}

elements! {
    SerializeSeq serialize_element
    SerializeTuple serialize_element
    SerializeTupleStruct serialize_field
    SerializeTupleVariant serialize_field
}

macro_rules! members {
    ($($kind:ident)+) => { $(
        impl $kind for Inside<'_> {
            type Ok = ();
            type Error = Problem;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Problem> {
                self.name(name);
                self.value(value)
            }

            fn end(self) -> Result<(), Problem> {
                Ok(())
            }
        }
    )+ };
}

members! { SerializeStruct SerializeStructVariant }

impl SerializeMap for Inside<'_> {
    type Ok = ();
    type Error = Problem;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Problem> {
        let key = serde_json::to_string(key).map_err(|error| Problem(error.to_string()))?;
        self.name(key.trim_matches('"'));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Problem> {
        self.value(value)
    }

    fn end(self) -> Result<(), Problem> {
        Ok(())
    }
}
