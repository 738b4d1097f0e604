//! What a message on a stream is.
//!
//! *Scope:* [`MessageKind`]. *Not in scope:* keeping messages (`event_log`).

/// What a message is, in the order in which they give way to newer ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// A client can do without it.
    Notification,
    /// A question, or its cancellation: it has to arrive.
    Question,
    /// It has to arrive, and is kept whatever its size.
    Response,
}
