//! A whole server: one tool, both endpoints. Listens on its first argument, or on 127.0.0.1:3001.

use mcp_rill::{Server, schema};

schema! { struct Add {
    /// First addend.
    a: f64,
    /// Second addend.
    b: f64,
} }

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3001".to_owned());
    Server::new("calc", "1.0.0")
        .tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
        .listen(address)?
        .run()
}
