//! The server that is compared with others.

use std::thread;
use std::time::Duration;

use mcp_rill::{Server, schema};

schema! { struct Add { a: f64, b: f64 } }
schema! { struct Wait { ms: u64 } }

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).unwrap_or_default();
    Server::new("calc", "1.0.0")
        .tool("add", "Add two numbers", |Add { a, b }: Add, _| a + b)
        .blocking_tool("wait", "Wait", |Wait { ms }: Wait, _| {
            thread::sleep(Duration::from_millis(ms));
            "done"
        })
        .listen(&format!("127.0.0.1:{port}"))?
        .run()
}
