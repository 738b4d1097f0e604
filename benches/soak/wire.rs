//! The clients' side: requests by hand on blocking sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::sockopt;

use crate::common::http;
pub(crate) use crate::common::http::{Response, call, get, ping, post, post_head};
use crate::host::PATIENCE;

pub(crate) const VERSION: &str = "2026-07-28";

/// One connection, and what was read on it and not yet taken.
pub(crate) struct Wire {
    pub(crate) socket: TcpStream,
    pub(crate) got: Vec<u8>,
}

impl Wire {
    pub(crate) fn connect(address: SocketAddr) -> Wire {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Wire { socket, got: Vec::new() }
    }

    /// One whose kernel takes little.
    pub(crate) fn narrow(address: SocketAddr) -> Wire {
        let wire = Wire::connect(address);
        sockopt::set_socket_recv_buffer_size(&wire.socket, 4096).unwrap();
        sockopt::set_socket_send_buffer_size(&wire.socket, 16 << 10).unwrap();
        wire
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Wire {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// As `send`, by someone who does not mind that the server is gone; says whether all was taken.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).is_ok()
    }

    /// Everything up to and with `end`; `None` if the connection ends or falls silent before.
    pub(crate) fn try_through(&mut self, end: &str) -> Option<String> {
        let mut looked = 0;
        loop {
            let found = self.got[looked..].windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.got.split_off(looked + at + end.len());
                return Some(String::from_utf8(std::mem::replace(&mut self.got, rest)).unwrap());
            }
            looked = (self.got.len() + 1).saturating_sub(end.len());
            let mut bytes = [0; 16 << 10];
            match self.socket.read(&mut bytes) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.got.extend_from_slice(&bytes[..count]),
            }
        }
    }

    pub(crate) fn through(&mut self, end: &str) -> String {
        let text = self.try_through(end);
        text.unwrap_or_else(|| panic!("ended before {end:?}, after {:?}", String::from_utf8_lossy(&self.got)))
    }

    /// The next response, of whatever form; `None` if the connection ends or falls silent before its end.
    pub(crate) fn try_response(&mut self) -> Option<Response> {
        let mut bytes = [0; 16 << 10];
        loop {
            match http::response(&self.got, "POST").filter(|(response, _)| response.is_whole) {
                Some((response, used)) => {
                    self.got.drain(..used);
                    return Some(response);
                }
                None => match self.socket.read(&mut bytes) {
                    Ok(0) | Err(_) => return None,
                    Ok(count) => self.got.extend_from_slice(&bytes[..count]),
                },
            }
        }
    }

    pub(crate) fn response(&mut self) -> Response {
        self.try_response().expect("a response")
    }

    /// Reads to the end of the connection and gives what came; a reset is an end as well.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = [0; 16 << 10];
        loop {
            match self.socket.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => self.got.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server did not end the connection: {error}"),
            }
        }
        std::mem::take(&mut self.got)
    }

    /// Opens a session over HTTP+SSE on this connection; gives its endpoint.
    pub(crate) fn open_sse(&mut self) -> String {
        self.send(get("/sse"));
        self.through("event: endpoint\ndata: ");
        self.through("\n\n").trim_end().to_owned()
    }

    /// Breaks the connection: what is under way is lost on both sides (SO_LINGER of 0).
    pub(crate) fn reset(self) {
        sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO)).unwrap();
    }

    /// Writes until the server takes no more; gives how much it and the kernel took.
    pub(crate) fn send_until_full(&mut self, bytes: &[u8], quiet: Duration) -> usize {
        self.socket.set_write_timeout(Some(quiet)).unwrap();
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(count) => sent += count,
                Err(_) => break,
            }
        }
        sent
    }
}

fn post_with(target: &str, fields: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A POST to `/mcp` into a session.
pub(crate) fn mcp_post(session: &str, body: &str) -> String {
    let session = if session.is_empty() { String::new() } else { format!("Mcp-Session-Id: {session}\r\n") };
    let fields = format!("{session}Accept: application/json, text/event-stream\r\n");
    post_with("/mcp", &fields, body.len()) + body
}

/// A request of 2026-07-28; `params` are the members besides `_meta`.
pub(crate) fn alone(id: usize, method: &str, name: &str, params: &str) -> String {
    let comma = if params.is_empty() { "" } else { "," };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}"_meta":{{"io.modelcontextprotocol/protocolVersion":"{VERSION}","io.modelcontextprotocol/clientCapabilities":{{"elicitation":{{}}}}}}}}}}"#
    );
    let named = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\r\n") };
    let fields = format!(
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: {VERSION}\r\nMcp-Method: {method}\r\n{named}"
    );
    post_with("/mcp", &fields, body.len()) + &body
}

/// A call of 2026-07-28.
pub(crate) fn alone_call(id: usize, tool: &str, arguments: &str) -> String {
    alone(id, "tools/call", tool, &format!(r#""name":"{tool}","arguments":{arguments}"#))
}

pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

pub(crate) fn initialize() -> String {
    initialize_as("example-client")
}

pub(crate) fn initialize_as(name: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{{"elicitation":{{}}}},"clientInfo":{{"name":"{name}","version":"1.0.0"}}}}}}"#
    )
}

/// Opens a session of Streamable HTTP on this connection; gives its id.
pub(crate) fn open_mcp(wire: &mut Wire) -> String {
    try_open_mcp(wire, "example-client").expect("a session")
}

pub(crate) fn try_open_mcp(wire: &mut Wire, name: &str) -> Option<String> {
    wire.try_send(mcp_post("", &initialize_as(name)));
    let response = wire.try_response()?;
    if response.status != 200 {
        return None;
    }
    let id = response.header("Mcp-Session-Id")?.to_owned();
    wire.try_send(mcp_post(&id, INITIALIZED));
    (wire.try_response()?.status == 202).then_some(id)
}
