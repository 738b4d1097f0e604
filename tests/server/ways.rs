//! The ways to a server: every transport with its revisions, and a client that takes any of them.

use mcp_rill::Server;
use serde_json::Value;
#[cfg(feature = "stateless")]
use serde_json::json;

#[cfg(any(feature = "streamable", feature = "stateless"))]
use crate::common::http::mcp_post;
use crate::common::http::{self, request};
use crate::common::{Sock, World, principal};

/// The ways to a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    Sse(&'static str),
    Lines(&'static str),
    #[cfg(feature = "streamable")]
    Streamable(&'static str),
    #[cfg(feature = "streamable")]
    Sessionless,
    #[cfg(feature = "stateless")]
    LoneLines,
    #[cfg(feature = "stateless")]
    Stateless,
}

pub fn ways() -> Vec<Way> {
    vec![
        Way::Sse("2024-11-05"),
        Way::Sse("2025-11-25"),
        Way::Lines("2024-11-05"),
        Way::Lines("2025-11-25"),
        #[cfg(feature = "streamable")]
        Way::Streamable("2025-03-26"),
        #[cfg(feature = "streamable")]
        Way::Streamable("2025-06-18"),
        #[cfg(feature = "streamable")]
        Way::Streamable("2025-11-25"),
        #[cfg(feature = "streamable")]
        Way::Sessionless,
        #[cfg(feature = "stateless")]
        Way::LoneLines,
        #[cfg(feature = "stateless")]
        Way::Stateless,
    ]
}

/// This server, without sessions if this way wants none.
pub fn world<X>(way: Way, server: Server<X>) -> World {
    #[cfg(feature = "streamable")]
    let server = if way == Way::Sessionless { server.sessionless() } else { server };
    let _ = way;
    World::new(server)
}

/// A client that writes down every byte it gets.
pub struct Visitor {
    pub way: Way,
    pub name: &'static str,
    /// Where announcements come, and where requests go.
    pub socks: [Sock; 2],
    pub target: String,
    pub heard: String,
}

impl Visitor {
    pub fn new(world: &mut World, way: Way, name: &'static str) -> Visitor {
        let mut connect = |lines: bool| match lines {
            true => world.connect_lines_as(principal(name)),
            false => world.connect_as(principal(name)),
        };
        let socks = match way {
            Way::Lines(_) => [connect(true); 2],
            #[cfg(feature = "stateless")]
            Way::LoneLines => [connect(true); 2],
            _ => [connect(false), connect(false)],
        };
        let mut visitor = Visitor { way, name, socks, target: String::new(), heard: String::new() };
        visitor.initialize(world);
        visitor
    }

    fn initialize(&mut self, world: &mut World) {
        let revision = match self.way {
            Way::Sse(revision) | Way::Lines(revision) => revision,
            #[cfg(feature = "streamable")]
            Way::Streamable(revision) => revision,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            _ => return,
        };
        if let Way::Sse(_) = self.way {
            let stream = world.open_sse_on(self.socks[0], "/sse");
            self.target = stream.endpoint;
        }
        let params = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{{}},"clientInfo":{{"name":"t","version":"1"}}}}"#
        );
        let heard = self.ask(world, "initialize", serde_json::from_str(&params).unwrap());
        #[cfg(feature = "streamable")]
        if let Way::Streamable(_) = self.way {
            let (_, id) = heard.split_once("Mcp-Session-Id: ").unwrap();
            self.target = id.split_once('\r').unwrap().0.to_owned();
        }
        assert!(heard.contains(revision), "{heard}");
        self.tell(world, http::INITIALIZED);
        #[cfg(feature = "streamable")]
        if let Way::Streamable(_) = self.way {
            let id = &self.target;
            world.send(
                self.socks[0],
                format!("GET /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"),
            );
            self.listen(world);
        }
    }

    pub fn tell(&mut self, world: &mut World, body: &str) -> String {
        let text = match self.way {
            Way::Sse(_) => http::post(&self.target, body),
            #[cfg(feature = "streamable")]
            Way::Streamable(_) => {
                mcp_post(Some(&self.target).filter(|id| !id.is_empty()).map(String::as_str), body)
            }
            #[cfg(feature = "streamable")]
            Way::Sessionless => mcp_post(None, body),
            _ => format!("{body}\n"),
        };
        world.send(self.socks[1], text);
        self.listen(world)
    }

    /// What has come since the last look.
    pub fn listen(&mut self, world: &mut World) -> String {
        let mut heard = world.take_text(self.socks[0]);
        if self.socks[0] != self.socks[1] {
            heard += &world.take_text(self.socks[1]);
        }
        self.heard += &heard;
        heard
    }

    /// Sends a request; returns what then came.
    pub fn ask(&mut self, world: &mut World, method: &str, params: Value) -> String {
        #[cfg(feature = "stateless")]
        if matches!(self.way, Way::LoneLines | Way::Stateless) {
            return self.ask_alone(world, method, params);
        }
        self.tell(world, &request(1, method, &params.to_string()))
    }

    #[cfg(feature = "stateless")]
    fn ask_alone(&mut self, world: &mut World, method: &str, mut params: Value) -> String {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        });
        let body = json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}).to_string();
        if self.way == Way::LoneLines {
            return self.tell(world, &body);
        }
        let name = params["name"].as_str().or(params["uri"].as_str());
        let name = name.map_or(String::new(), |name| format!("Mcp-Name: {name}\r\n"));
        let fields = format!("MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}");
        let post = mcp_post(None, &body).replacen("Content-Type", &format!("{fields}Content-Type"), 1);
        let place = if method == "subscriptions/listen" { 0 } else { 1 };
        world.send(self.socks[place], post);
        self.listen(world)
    }

    /// Cancels the request of this method, in the way that the transport has for it.
    pub fn cancel(&mut self, world: &mut World, method: &str) {
        #[cfg(feature = "stateless")]
        if self.way == Way::Stateless {
            return world.reset(self.socks[1]);
        }
        #[cfg(feature = "streamable")]
        if self.way == Way::Sessionless {
            return world.reset(self.socks[1]);
        }
        let id = if self.has_sessions() { "1".to_owned() } else { format!("{method:?}") };
        let params = format!(r#"{{"requestId":{id}}}"#);
        let body = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
        // The connection of the request waits for its answer, so this comes on another one.
        #[cfg(feature = "streamable")]
        if let Way::Streamable(_) = self.way {
            let other = world.connect_as(principal(self.name));
            world.send(other, mcp_post(Some(&self.target), &body));
            assert_eq!(world.response(other).status, 202);
            return;
        }
        self.tell(world, &body);
    }

    /// The client goes for good.
    pub fn leave(&mut self, world: &mut World) {
        #[cfg(feature = "streamable")]
        if let Way::Streamable(_) = self.way {
            let other = world.connect_as(principal(self.name));
            let id = &self.target;
            world.send(
                other,
                format!("DELETE /mcp HTTP/1.1\r\nHost: localhost\r\nMcp-Session-Id: {id}\r\n\r\n"),
            );
            return;
        }
        for sock in self.socks {
            if !world.closed(sock) {
                world.reset(sock);
            }
        }
    }

    /// False for a way that the server has to be built for.
    pub fn is_of_any_server(way: Way) -> bool {
        #[cfg(feature = "streamable")]
        if way == Way::Sessionless {
            return false;
        }
        let _ = way;
        true
    }

    pub fn has_sessions(&self) -> bool {
        #[cfg(feature = "stateless")]
        if matches!(self.way, Way::LoneLines | Way::Stateless) {
            return false;
        }
        true
    }
}
