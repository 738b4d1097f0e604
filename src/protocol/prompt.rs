//! The results of prompts: messages (MCP prompts).
//!
//! *Scope:* [`PromptMessage`], [`PromptResult`], [`IntoPrompt`] and their JSON. *Not in scope:* content blocks, and the
//! description of a prompt.

use std::error::Error;

use crate::json::write::{Object, write_list};
use crate::protocol::annotations::Role;
use crate::protocol::content::Content;
use crate::protocol::error::CallError;
use crate::protocol::meta::{Meta, with_meta};
use crate::protocol::revision::Revision;
use crate::protocol::setters::setters;

/// One message of a [prompt](crate::guide#what-handlers-take-and-return).
#[derive(Clone, Debug, PartialEq)]
pub struct PromptMessage {
    role: Role,
    content: Content,
}

impl PromptMessage {
    /// A message of the user.
    pub fn user(content: impl Into<Content>) -> PromptMessage {
        PromptMessage { role: Role::User, content: content.into() }
    }

    /// A message of the model.
    pub fn assistant(content: impl Into<Content>) -> PromptMessage {
        PromptMessage { role: Role::Assistant, content: content.into() }
    }

    fn write(&self, out: &mut Vec<u8>, revision: Revision) {
        Object::new(out).member("role", &self.role).field("content", |out| self.content.write(out, revision));
    }
}

/// The result of a prompt: its messages, and optionally a description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PromptResult {
    description: Option<String>,
    messages: Vec<PromptMessage>,
    pub(crate) meta: Meta,
}

with_meta!(PromptResult, meta);

impl PromptResult {
    /// A result of these messages.
    pub fn new(messages: Vec<PromptMessage>) -> PromptResult {
        PromptResult { description: None, messages, meta: Meta::EMPTY }
    }

    /// Returns about what it holds: its texts and bytes.
    pub(crate) fn held_bytes(&self) -> usize {
        self.messages.iter().map(|message| message.content.held_bytes()).sum()
    }

    /// As [`Content::check`].
    pub(crate) fn check(&self) -> Result<(), String> {
        self.messages.iter().try_for_each(|message| message.content.check())
    }

    /// Appends the result without its `_meta`.
    pub(crate) fn write(&self, out: &mut Vec<u8>, description: Option<&str>, revision: Revision) {
        Object::new(out)
            .opt_str("description", self.description.as_deref().or(description))
            .field("messages", |out| {
                write_list(out, &self.messages, |message, out| message.write(out, revision))
            });
    }
}

setters! { PromptResult {
    /// Sets a description of this result, in the place of the prompt's own.
    description(impl Into<String>) => description;
} }

/// A type that a prompt's handler may return: text (one message of the user), [`PromptMessage`], a `Vec` of it,
/// [`PromptResult`], or a `Result` of one of them.
#[diagnostic::on_unimplemented(
    message = "a prompt cannot return `{Self}`",
    note = "return text, `PromptMessage`, `Vec<PromptMessage>`, `PromptResult`, or a `Result` of one of them",
    note = "handlers are not async: give a future to a runtime of yours, and its `Reply` with it, by `call.defer(|reply| …)`"
)]
pub trait IntoPrompt {
    /// Returns the messages.
    ///
    /// # Errors
    /// Any error is answered as a JSON-RPC error: a [`CallError`] with its own code, others as internal errors.
    fn into_prompt(self) -> std::result::Result<PromptResult, CallError>;
}

impl<T: IntoPrompt, E: Into<Box<dyn Error + Send + Sync>>> IntoPrompt for std::result::Result<T, E> {
    fn into_prompt(self) -> std::result::Result<PromptResult, CallError> {
        self.map_err(|error| CallError::internal_unless_own(error.into()))?.into_prompt()
    }
}
