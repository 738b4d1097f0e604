//! The types that a handler may return, and what becomes of them.
//!
//! *Scope:* [`IntoToolResult`], [`IntoResource`] and [`IntoPrompt`] for the types whose conversion is one step. *Not in
//! scope:* the traits themselves, and a `Result` of such a type (`content`, `prompt`).

use std::borrow::Cow;

use crate::json::finite::sentence;
use crate::protocol::content::{
    Content, IntoResource, IntoToolResult, ResourceContents, ToolResult, unsendable,
};
use crate::protocol::error::CallError;
use crate::protocol::prompt::{IntoPrompt, PromptMessage, PromptResult};

/// Implements a trait for the types before each `=>`: the value is what stands behind it.
macro_rules! conversions {
    ($trait:ident::$method:ident to $result:ty { $( $($type:ty),+ => |$value:ident| $made:expr; )+ }) => { $($(
        impl $trait for $type {
            fn $method(self) -> std::result::Result<$result, CallError> {
                let $value = self;
                $made
            }
        }
    )+)+ };
}

conversions! { IntoToolResult::into_tool_result to ToolResult {
    ToolResult => |result| Ok(result);
    Content => |block| Ok(ToolResult::blocks(vec![block]));
    Vec<Content> => |blocks| Ok(ToolResult::blocks(blocks));
    () => |_nothing| Ok(ToolResult::blocks(Vec::new()));
    String, &'static str, Cow<'static, str> => |text| Ok(ToolResult::text(text));
    bool, i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, u128, usize => |value| Ok(ToolResult::text(value.to_string()));
    f32, f64 => |number| match number.is_finite() {
        true => Ok(ToolResult::text(number.to_string())),
        false => Err(unsendable(sentence("", number))),
    };
} }

conversions! { IntoResource::into_resource to Vec<ResourceContents> {
    ResourceContents => |contents| Ok(vec![contents]);
    Vec<ResourceContents> => |contents| Ok(contents);
    Vec<u8> => |bytes| Ok(vec![ResourceContents::blob(bytes)]);
    String, &'static str, Cow<'static, str> => |text| Ok(vec![ResourceContents::text(text)]);
} }

conversions! { IntoPrompt::into_prompt to PromptResult {
    PromptResult => |result| Ok(result);
    PromptMessage => |message| Ok(PromptResult::new(vec![message]));
    Vec<PromptMessage> => |messages| Ok(PromptResult::new(messages));
    String, &'static str, Cow<'static, str> => |text| Ok(PromptResult::new(vec![PromptMessage::user(text)]));
} }

impl<T: Into<Cow<'static, str>>> From<T> for Content {
    fn from(text: T) -> Content {
        Content::text(text)
    }
}

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
