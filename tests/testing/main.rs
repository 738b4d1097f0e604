//! What a [`Harness`](mcp_rill::testing::Harness) does: each of its methods over every transport and revision, what it says when
//! a test is wrong, and faults from a seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::panic::{AssertUnwindSafe, catch_unwind};

mod failures;
mod faults;
mod questions;
mod requests;
mod waiting;

/// The text of the panic.
fn panic_of<T>(act: impl FnOnce() -> T) -> String {
    let Err(panic) = catch_unwind(AssertUnwindSafe(act)) else { panic!("it did not panic") };
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap()
}
