//! The one place where a panic of an author's closure is caught.
//!
//! *Scope:* [`guarded`] for handlers, [`contained`] for others. *Not in scope:* what the client is told beyond an internal error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::protocol::error::CallError;

/// Runs a handler, and turns a panic into an internal error.
pub(crate) fn guarded<T>(
    kind: &str,
    name: &str,
    handler: impl FnOnce() -> Result<T, CallError>,
) -> Result<T, CallError> {
    catch_unwind(AssertUnwindSafe(handler))
        .unwrap_or_else(|_| Err(CallError::internal(format!("the handler of {kind} `{name}` panicked"))))
}

/// Runs an observer, a waker or a hook; `None` if it panicked. The hook for panics of the process has reported that by then.
pub(crate) fn contained<T>(closure: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(closure)).ok()
}
