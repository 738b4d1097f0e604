//! Threads.
//!
//! *Scope:* one compiled copy of what starts a thread. The standard library compiles some 2 KiB of machine code for each closure that is
//! started. *Not in scope:* what threads do, and how they are ended.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread with this name.
///
/// # Errors
/// If the system starts no thread.
pub(crate) fn start(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    start_as(Builder::new().name(name.to_owned()), Box::new(work))
}

/// As [`start`], with what else the thread is to have.
pub(crate) fn start_as(builder: Builder, work: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    builder.spawn(work)
}
