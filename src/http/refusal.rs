//! Why a message is not accepted.
//!
//! *Scope:* [`Refusal`] and the refusals that several modules share. *Not in scope:* the response that carries it
//! (`response`).

use std::borrow::Cow;

use crate::text::error_text;

/// Why a message was not accepted, and the status for it (RFC 9110 §15).
///
/// A refusal of a request is sent as a `text/plain` response with [`reason`](Refusal::reason) as its body, and
/// the connection is closed after it: bytes after a malformed message have no certain meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code of the response.
    pub status: u16,
    /// One sentence for a person: the thing, its value, and what to change. The value is cut and made visible ASCII, and
    /// left out where it may be a secret.
    pub reason: Cow<'static, str>,
}

impl Refusal {
    /// A refusal with this status and sentence.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { status, reason: reason.into() }
    }
}

error_text!(Refusal: |refusal| "{} ({})", refusal.reason, refusal.status);

pub(crate) fn budget_spent() -> Refusal {
    Refusal::new(503, "the server holds as much data as it may; try again in a moment")
}
