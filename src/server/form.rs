//! The types that handlers ask for in forms, and keep across their runs.
//!
//! *Scope:* [`Form`] and [`Kept`], for types of `schema!`. *Not in scope:* the same for types with the derives of serde and schemars
//! (`typed`), asking (`ask`).

use crate::json::value::JsonRef;
use crate::schema::path::Subject;
use crate::schema::read::Place;
use crate::schema::{self, Object, Schema};

/// A type that a user fills in: what [`Call::elicit`](crate::Call::elicit) shows as a form. A struct of `schema!` without nested
/// structs, or with the feature `schemars` a `Typed<T>`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a form",
    note = "a form is a flat struct made by `schema!`, or, with the feature `schemars`, `Typed<T>` where `T` derives \
            `Deserialize` and `schemars::JsonSchema`"
)]
pub trait Form: Sized {
    /// Fails to compile if the type is known not to be a form.
    #[doc(hidden)]
    const IS_FLAT: ();

    /// Returns the form: a JSON Schema as text.
    ///
    /// # Errors
    /// What a form cannot have, as the rest of a sentence about the form.
    fn form() -> Result<String, String>;

    /// Reads what was filled in.
    ///
    /// # Errors
    /// A sentence that names the answer that does not fit.
    fn read_answer(content: JsonRef<'_>) -> Result<Self, String>;
}

impl<T: Object> Form for T {
    const IS_FLAT: () =
        assert!(T::KIND.is_flat(), "a form has only strings, numbers, booleans, enums and lists of enums");

    fn form() -> Result<String, String> {
        Ok(schema::form_text::<T>())
    }

    fn read_answer(content: JsonRef<'_>) -> Result<T, String> {
        schema::read(Subject::Answer, Some(content)).map_err(|error| error.to_string())
    }
}

/// A type whose values [`Call::once`](crate::Call::once) keeps: one that has a [`Schema`], or with the feature `schemars` a
/// `Typed<T>`.
#[diagnostic::on_unimplemented(
    message = "a value of `{Self}` cannot be kept",
    note = "keep a bool, a number, a String, a Vec or Option of those, a struct or enum made by `schema!`, serde_json::Value, or, \
            with the feature `schemars`, `Typed<T>` where `T` derives `Serialize`, `Deserialize` and `schemars::JsonSchema`"
)]
pub trait Kept: Sized {
    /// Returns the JSON Schema of the values, as text: a value of another one is not taken for one of these.
    fn kept_schema() -> String;

    /// Returns the value as JSON text.
    ///
    /// # Errors
    /// A sentence that names the float in it that is not finite.
    fn to_kept(&self) -> Result<String, String>;

    /// Reads the value back.
    ///
    /// # Errors
    /// A sentence that names the member that does not fit.
    fn read_kept(kept: JsonRef<'_>) -> Result<Self, String>;
}

impl<T: Schema> Kept for T {
    fn kept_schema() -> String {
        schema::schema_text::<T>()
    }

    fn to_kept(&self) -> Result<String, String> {
        schema::finite_json(self)
    }

    fn read_kept(kept: JsonRef<'_>) -> Result<T, String> {
        T::read(kept, &Place::root(Subject::Member)).map_err(|error| error.to_string())
    }
}
