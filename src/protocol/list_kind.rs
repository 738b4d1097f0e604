//! The lists of which clients are told that they have changed.
//!
//! *Scope:* [`ListKind`]. *Not in scope:* who is told.

/// A list that can change, for [`Slot::Changed`](crate::service::outbox::Slot::Changed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `resources/list` and `resources/templates/list`.
    Resources,
    /// `prompts/list`.
    Prompts,
}
