//! The server that the official conformance suite tests: something of everything that a server can do.
//!
//! `cargo run --example conformance [ADDRESS]` listens on 127.0.0.1:3001, or on ADDRESS; with `--stdio` in the place of an
//! address it serves standard input and output. With `--lines` after an address, the messages of each connection are lines, as
//! the example `gateway` wants them. The names and texts are the suite's; `tests/interop` runs the suite, and clients of other
//! makers, against this server.
//!
//! | file | what it shows |
//! |---|---|
//! | `content` | the types of content; resources, a template, prompts, completion |
//! | `work` | slow tools: progress, logs, cancelling, replies from other threads |
//! | `questions` | asking the client in the middle of a call: forms, its model, its roots |
//! | `changes` | lists and resources that change while the server runs |
//! | `lines` | a driver of one's own, for connections of lines |

mod changes;
mod content;
mod lines;
mod questions;
#[cfg(test)]
mod tests;
mod work;

use std::io;
use std::net::TcpListener;

use mcp_rill::Server;
use mcp_rill::engine::Engine;
use mcp_rill::net::{Listening, random_id};

fn server(changes: &changes::Changes) -> Server {
    let server = Server::new("mcp-rill-conformance", env!("CARGO_PKG_VERSION"))
        .title("mcp-rill's conformance fixture")
        .instructions("Every tool, resource and prompt here exists to be tested.");
    let server = content::add(server);
    let server = work::add(server);
    let server = questions::add(server);
    changes::add(server, changes)
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:3001".to_owned());
    let changes = changes::Changes::default();
    let server = server(&changes);
    if arguments.next().as_deref() == Some("--lines") {
        let engine = Engine::new(server, random_id).map_err(io::Error::other)?;
        changes.begin(engine.handle());
        return lines::serve(engine, TcpListener::bind(&address)?);
    }
    let listening = if address == "--stdio" {
        let mut listening = Listening::new(Engine::new(server, random_id).map_err(io::Error::other)?)?;
        listening.serve_stdio()?;
        listening
    } else {
        server.listen(&address)?
    };
    changes.begin(listening.handle());
    for address in listening.local_addrs() {
        eprintln!("listening on http://{address}/sse");
    }
    listening.run()
}
