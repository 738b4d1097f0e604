//! A whole server: one tool, both endpoints. Listens on its first argument, or on 127.0.0.1:3001.

use mcp_rill::{Server, schema};

schema! { struct Add {
    /// First addend.
    a: f64,
    /// Second addend.
    b: f64,
} }

fn server() -> Server {
    Server::new("calc", "1.0.0").tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3001".to_owned());
    server().listen(address)?.run()
}

#[test]
fn it_adds() {
    let mut client = mcp_rill::testing::Harness::new(server());
    assert_eq!(client.call("add", serde_json::json!({"a": 1, "b": 2.5})).text(), "3.5");
}
