//! What the program says on standard error.
//!
//! *Scope:* single lines for the operator. *Not in scope:* the lines of a running server, which wait in a queue (`log`).

use std::io::Write;

use crate::text::lines_without_hidden;
use crate::threads;

/// The binary's name, in what it says.
pub(super) const NAME: &str = "mcp-rill";

/// Why this build cannot do something that another one can. `lacks` completes the sentence "… so it".
pub(super) fn left_out(feature: &str, lacks: &str) -> String {
    format!("this {NAME} is built without `{feature}`, so it {lacks}; build it with `--features {feature}`")
}

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
