//! What the program says on standard error.
//!
//! *Scope:* single lines for the operator. *Not in scope:* the lines of a running server, which wait in a queue (`log`).

use std::io::Write;

use crate::text::lines_without_hidden;
use crate::threads;

/// The binary's name, in what it says.
pub(super) const NAME: &str = "mcp-rill";

/// Writes a line to standard error, after the name of the program.
pub(super) fn say(program: &str, text: &str) {
    // If standard error is closed, the error cannot be reported.
    let _ = writeln!(std::io::stderr(), "{program}: {}", lines_without_hidden(text));
}

/// As [`say`], for threads that must not wait until standard error takes the line. Each call has a thread of its own: what is said
/// so is said once.
pub(super) fn say_aside(text: String) {
    let _ = threads::start("message", move || say(NAME, &text));
}
