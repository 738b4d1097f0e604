//! Values of the standard library as results and contents: text and numbers.
//!
//! *Scope:* [`IntoToolResult`] and its kin for strings and numbers. *Not in scope:* the traits
//! themselves (`content`, `prompt`).

use std::borrow::Cow;

use crate::protocol::content::{Content, IntoResource, IntoToolResult, ResourceContents, ToolResult};
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

from_text!(String, &'static str, Cow<'static, str>);
from_number!(bool, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize, f32, f64);
