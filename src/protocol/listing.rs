//! Resources that are listed on demand.
//!
//! *Scope:* what a closure that lists resources gets, and what it may return. *Not in scope:* running it, and the pages that it
//! fills (`lists` of `runtime`).

use crate::protocol::description::Resource;
use crate::protocol::error::CallError;

/// Which resources are wanted: what the closure of
/// [`ResourceTemplate::list`](crate::ResourceTemplate::list) gets.
///
/// ```
/// use mcp_rill::{PageRequest, Resource};
/// /// The notes are in the order of their URIs, since all numbers have eight digits.
/// fn notes(page: &PageRequest<'_>, count: u32) -> Vec<Resource> {
///     let last = page.after().and_then(|uri| uri.strip_prefix("note:///")?.parse::<u32>().ok());
///     let first = last.map_or(1, |last| last + 1);
///     let some = (first..=count).take(page.max());
///     some.map(|number| Resource::new(format!("note:///{number:08}"), format!("Note {number}"))).collect()
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PageRequest<'a> {
    pub(crate) after: Option<&'a str>,
    pub(crate) max: usize,
}

impl PageRequest<'_> {
    /// The URI of the last resource that the client has seen; `None` at the beginning of the list. Only resources whose URIs come
    /// after it, byte by byte, are taken.
    pub fn after(&self) -> Option<&str> {
        self.after
    }

    /// How many resources are taken at most (one more than the limit `page_items_max`, which shows that the list goes on).
    pub fn max(&self) -> usize {
        self.max
    }
}

/// What a closure that lists resources may return: the resources, or an error.
///
/// ```
/// use mcp_rill::{CallError, IntoResourceList, Resource};
/// struct Names(Vec<&'static str>);
/// impl IntoResourceList for Names {
///     fn into_resource_list(self) -> Result<Vec<Resource>, CallError> {
///         Ok(self.0.into_iter().map(|name| Resource::new(format!("name:///{name}"), name)).collect())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no list of resources",
    note = "return a `Vec<Resource>`, or a `Result` of one"
)]
pub trait IntoResourceList {
    /// Returns the resources, in any order.
    ///
    /// # Errors
    /// Any error is answered as a JSON-RPC error: a [`CallError`] with its own code, others as internal errors (−32603).
    fn into_resource_list(self) -> Result<Vec<Resource>, CallError>;
}

impl IntoResourceList for Vec<Resource> {
    fn into_resource_list(self) -> Result<Vec<Resource>, CallError> {
        Ok(self)
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoResourceList for Result<Vec<Resource>, E> {
    fn into_resource_list(self) -> Result<Vec<Resource>, CallError> {
        self.map_err(|error| CallError::internal_unless_own(error.into()))
    }
}
