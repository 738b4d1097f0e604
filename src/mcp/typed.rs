//! Arguments and results of types that have serde's and schemars' derives (feature `schemars`).
//!
//! *Scope:* the wrapper [`Typed`]. *Not in scope:* `schema!`, which needs no derive and names arguments in its errors.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_core::Serialize;
use serde_core::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::mcp::{Arguments, CallError, IntoToolResult, ToolResult};
use crate::schema::Field;

/// A tool's arguments, or its structured result, of any type with the derives of serde and schemars: for structs that
/// another program has already. Their schema must be that of an object: an enum needs a struct around it. A float in a
/// result that is not finite is an error (−32603) that names the field.
///
/// ```
/// use mcp_rill::{Server, Typed};
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Add { /** First addend. */ a: f64, b: f64 }
/// #[derive(Serialize, JsonSchema)]
/// struct Sum { sum: f64 }
///
/// let server = Server::new("calc", "1.0.0")
///     .tool("add", "Add two numbers", |Typed(Add { a, b }): Typed<Add>, _| Typed(Sum { sum: a + b }));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typed<T>(pub T);

fn schema_text<T: JsonSchema>() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    crate::json::text(schema.as_value()).unwrap_or_default()
}

impl<T: DeserializeOwned + JsonSchema> Arguments for Typed<T> {
    const FIELDS: &'static [Field] = &[];

    fn schema() -> String {
        schema_text::<T>()
    }

    fn read(arguments: Option<&RawValue>) -> Result<Typed<T>, String> {
        let text = arguments.map(RawValue::get).filter(|text| *text != "null").unwrap_or("{}");
        serde_json::from_str(text).map(Typed).map_err(|error| format!("the arguments do not fit: {error}"))
    }
}

impl<T: Serialize + JsonSchema> IntoToolResult for Typed<T> {
    fn output_schema() -> Option<String> {
        Some(schema_text::<T>())
    }

    fn into_tool_result(self) -> Result<ToolResult, CallError> {
        ToolResult::json(&self.0)
    }
}
