//! What handlers take.
//!
//! *Scope:* reading the `arguments` of a request. *Not in scope:* schemas of structs (that is [`schema`](mod@crate::schema)).

use serde_json::Value;
use serde_json::value::RawValue;

use crate::mcp::types::ANY_OBJECT;
use crate::schema::{self, Field, Object, Subject};

/// What a handler may take: a struct made by [`schema!`](crate::schema!), `()` for no arguments, or any JSON as a
/// [`Value`] or `Box<RawValue>`, together with a schema written by hand
/// ([example](crate::mcp#what-handlers-take-and-return)).
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as its arguments",
    note = "take a struct made by `schema!`, `()` for no arguments, `serde_json::Value` or `Box<RawValue>`"
)]
pub trait Arguments: Sized {
    /// The arguments one by one, where they are known.
    const FIELDS: &'static [Field];

    /// The JSON Schema as text.
    fn schema() -> String;

    /// Reads the `arguments` member of a request; `None` if there is none.
    ///
    /// # Errors
    /// A sentence that names the argument that does not fit.
    fn read(arguments: Option<&RawValue>) -> Result<Self, String>;
}

impl<T: Object> Arguments for T {
    const FIELDS: &'static [Field] = T::FIELDS;

    fn schema() -> String {
        schema::schema_text::<T>()
    }

    fn read(arguments: Option<&RawValue>) -> Result<T, String> {
        schema::read(Subject::Argument, arguments).map_err(|error| error.to_string())
    }
}

macro_rules! any_json {
    ($type:ty) => {
        impl Arguments for $type {
            const FIELDS: &'static [Field] = &[];

            fn schema() -> String {
                ANY_OBJECT.to_owned()
            }

            fn read(arguments: Option<&RawValue>) -> Result<$type, String> {
                serde_json::from_str(arguments.map_or("{}", RawValue::get)).map_err(|error| error.to_string())
            }
        }
    };
}

any_json!(Value);
any_json!(Box<RawValue>);
