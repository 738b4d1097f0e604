//! Values of the standard library as results and contents: text and numbers.
//!
//! *Scope:* [`IntoToolResult`], [`IntoResource`] and [`IntoPrompt`] for strings and numbers. *Not in scope:* the traits
//! themselves (`content`, `prompt`).

use std::borrow::Cow;

use crate::json::finite::sentence;
use crate::protocol::content::{
    Content, IntoResource, IntoToolResult, ResourceContents, ToolResult, unsendable,
};
use crate::protocol::error::CallError;
use crate::protocol::prompt::{IntoPrompt, PromptMessage, PromptResult};

macro_rules! from_text {
    ($($type:ty),+) => { $(
        impl IntoToolResult for $type {
            fn into_tool_result(self) -> std::result::Result<ToolResult, CallError> {
                Ok(ToolResult::text(self))
            }
        }

        impl IntoResource for $type {
            fn into_resource(self) -> std::result::Result<Vec<ResourceContents>, CallError> {
                Ok(vec![ResourceContents::text(self)])
            }
        }

        impl IntoPrompt for $type {
            fn into_prompt(self) -> std::result::Result<PromptResult, CallError> {
                Ok(PromptResult::new(vec![PromptMessage::user(self)]))
            }
        }

        impl From<$type> for Content {
            fn from(text: $type) -> Content {
                Content::text(text)
            }
        }
    )+ };
}

macro_rules! from_number {
    ($($type:ty),+) => { $(
        impl IntoToolResult for $type {
            fn into_tool_result(self) -> std::result::Result<ToolResult, CallError> {
                Ok(ToolResult::text(self.to_string()))
            }
        }
    )+ };
}

macro_rules! from_float {
    ($($type:ty),+) => { $(
        impl IntoToolResult for $type {
            fn into_tool_result(self) -> std::result::Result<ToolResult, CallError> {
                match self.is_finite() {
                    true => Ok(ToolResult::text(self.to_string())),
                    false => Err(unsendable(sentence("", self))),
                }
            }
        }
    )+ };
}

from_text!(String, &'static str, Cow<'static, str>);
from_number!(bool, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize);
from_float!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_finite_is_an_error_that_names_it() {
        assert_eq!(1.5_f64.into_tool_result().unwrap(), ToolResult::text("1.5"));
        let says = |error: CallError| error.to_string();
        let expected = "Internal error: the result cannot be sent: the number is NaN; JSON holds only finite numbers (-32603)";
        assert_eq!(says(f64::NAN.into_tool_result().unwrap_err()), expected);
        assert!(says(f32::INFINITY.into_tool_result().unwrap_err()).contains("the number is inf"));
        assert!(says(Ok::<f64, String>(-f64::INFINITY).into_tool_result().unwrap_err()).contains("is -inf"));
    }
}
