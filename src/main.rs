//! `mcp-rill`: a Model Context Protocol server as one small binary.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    mcp_rill::cli::main()
}
