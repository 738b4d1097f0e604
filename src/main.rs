//! `mcp-rill`: a Model Context Protocol server as one small binary.
#![forbid(unsafe_code)]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
