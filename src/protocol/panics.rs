//! Catches panics in an author's closures.
//!
//! *Scope:* [`guarded`] turns the panic of a handler into an internal error (−32603), which `runtime::run` sends as the answer;
//! [`contained`] is for closures that answer nothing. *Not in scope:* the hooks for authorization (`access::auth::hook`,
//! `server::admission`) and for a reload (`cli::signals`), which have answers of their own.

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
