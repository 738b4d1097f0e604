//! A gateway: a service that passes each message on to another MCP server, upstream, and passes on what that says.
//!
//! `cargo run --example gateway -- 127.0.0.1:3001 127.0.0.1:3002` listens on the first address; upstream is
//! `http://127.0.0.1:3002/mcp`. Clients may come by HTTP+SSE, Streamable HTTP or 2026-07-28. Upstream is spoken to by the
//! latter two. Not here: TLS, tokens, and a bound on threads but the engine's limits.
//!
//! ```text
//!  client ⇄ engine ── request, answer, … ──▶ Gateway ── Post ──▶ a thread for each session ── POST ──▶ upstream
//!              ▲                               │  ▲                                                      │
//!              └────────── Outbox ─────────────┘  └─ wake, tick ◀── Heard ── a thread for each answer ◀──┘
//! ```
//!
//! | file | what it has |
//! |---|---|
//! | `service` | from the client to upstream: the service |
//! | `answers` | from upstream to the client |
//! | `upstream` | HTTP as a client speaks it |

mod answers;
mod service;
mod upstream;

use std::io;

use mcp_rill::engine::{Engine, EngineConfig};
use mcp_rill::net::{Listening, random_id};
use mcp_rill::{Limits, Settings};

/// A gateway to the server at that address, ready to run.
pub fn listen(address: &str, upstream: String) -> io::Result<Listening> {
    let config = EngineConfig::new(Settings::default(), Limits::default()).map_err(io::Error::other)?;
    let gateway = service::Gateway::new(upstream, config.handle());
    let mut listening = Listening::new(Engine::with_service(Box::new(gateway), config, random_id))?;
    listening.also_listen(address)?;
    Ok(listening)
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |default: &str| arguments.next().unwrap_or_else(|| default.to_owned());
    let listening = listen(&next("127.0.0.1:3001"), next("127.0.0.1:3002"))?;
    for address in listening.local_addrs() {
        eprintln!("listening on http://{address}/sse and http://{address}/mcp");
    }
    listening.run()
}
