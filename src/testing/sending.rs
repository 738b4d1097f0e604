//! How a client sends its messages.
//!
//! *Scope:* connections, requests of HTTP, lines; cancelling and disconnecting. *Not in scope:* what comes back (`client`).

use serde_json::{Value, json};

use crate::engine::observe::Transport;
use crate::protocol::revision::Revision;
use crate::testing::client::{Client, Connection, Purpose};
use crate::testing::shared::Shared;

impl Client {
    /// Opens what is open before the first message.
    pub(super) fn open_connections(&mut self, shared: &mut Shared) {
        match self.way.transport {
            Transport::Lines => drop(self.connect(shared, Purpose::Lines)),
            Transport::Sse => {
                let path = format!("{}{}", self.below, shared.sockets.engine.settings().sse_path);
                self.get(shared, &path, "", Purpose::Stream);
            }
            Transport::Streamable => {}
        }
    }

    /// Opens the session's own stream, if there is one.
    pub(super) fn open_stream(&mut self, shared: &mut Shared) {
        if self.way.transport == Transport::Streamable && self.session.is_some() {
            let path = self.mcp_path(shared);
            let fields = self.session_fields();
            self.get(shared, &path, &fields, Purpose::Stream);
        }
    }

    fn connect(&mut self, shared: &mut Shared, purpose: Purpose) -> usize {
        let lines = purpose == Purpose::Lines;
        let sock = shared.connect(self.peer.clone(), lines);
        self.connections.push(Connection::new(sock, purpose));
        self.connections.len() - 1
    }

    pub(super) fn get(&mut self, shared: &mut Shared, path: &str, fields: &str, purpose: Purpose) {
        let own = self.own_fields();
        let at = self.connect(shared, purpose);
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n{own}{fields}\r\n"
        );
        shared.sockets.send(self.connections[at].sock, text);
    }

    /// The path of Streamable HTTP.
    pub(super) fn mcp_path(&self, shared: &Shared) -> String {
        format!("{}{}", self.below, shared.sockets.engine.settings().mcp_path)
    }

    fn own_fields(&self) -> String {
        self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
    }

    pub(super) fn session_fields(&self) -> String {
        let session = self.session.as_deref().map(|id| format!("Mcp-Session-Id: {id}\r\n"));
        let version = match self.connected && self.way.revision >= Revision::V2025_06_18 {
            true => format!("MCP-Protocol-Version: {}\r\n", self.way.revision),
            false => String::new(),
        };
        session.unwrap_or_default() + &version
    }

    /// Sends a message. `request` is its number on the wire, if it is a request.
    pub(super) fn send(&mut self, shared: &mut Shared, message: &Value, fields: &str, request: Option<i64>) {
        if self.way.transport == Transport::Lines {
            let line = self.connections.iter().find(|connection| connection.purpose == Purpose::Lines);
            if let Some(line) = line.filter(|line| !shared.sockets.closed(line.sock)) {
                shared.sockets.send(line.sock, format!("{message}\n"));
            }
            return;
        }
        let (path, purpose) = match self.way.transport {
            Transport::Sse => (self.endpoint.clone().unwrap_or_default(), Purpose::Delivery(request)),
            _ => {
                let path = self.mcp_path(shared);
                (path, request.map_or(Purpose::Delivery(None), Purpose::Request))
            }
        };
        let idle = self.connections.iter().position(|connection| {
            connection.purpose == Purpose::Idle && !shared.sockets.ended(connection.sock)
        });
        let at = match idle {
            Some(at) => at,
            None => self.connect(shared, purpose),
        };
        self.connections[at].purpose = purpose;
        let session = if self.way.transport == Transport::Sse || !self.way.revision.has_sessions() {
            String::new()
        } else {
            self.session_fields()
        };
        let (own, body) = (self.own_fields(), message.to_string());
        let text = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{own}{session}{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        shared.sockets.send(self.connections[at].sock, text);
    }

    /// Gives an open request up, and tells the server in the way of this transport.
    pub(super) fn cancel(&mut self, shared: &mut Shared, id: i64) {
        let Some(open) = self.open.remove(&id) else { return };
        if self.way.is_stateless_http() {
            let of = Purpose::Request(open.sent_as);
            if let Some(connection) = self.connections.iter_mut().find(|connection| connection.purpose == of)
            {
                connection.purpose = Purpose::Idle;
                shared.sockets.reset(connection.sock);
            }
            return;
        }
        let params = json!({"requestId": open.sent_as, "reason": "the test cancels it"});
        self.notify(shared, "notifications/cancelled", params);
    }

    /// Breaks all connections: the client is gone.
    pub(super) fn disconnect(&mut self, shared: &mut Shared) {
        if let Some(id) = self.session.take() {
            let path = self.mcp_path(shared);
            let own = self.own_fields();
            let at = self.connect(shared, Purpose::Delivery(None));
            let text =
                format!("DELETE {path} HTTP/1.1\r\nHost: localhost\r\n{own}Mcp-Session-Id: {id}\r\n\r\n");
            shared.sockets.send(self.connections[at].sock, text);
        }
        for connection in self.connections.drain(..) {
            if !shared.sockets.closed(connection.sock) {
                shared.sockets.reset(connection.sock);
            }
        }
        self.fail_all("the test has disconnected the client");
        (self.connected, self.endpoint, self.lost) = (false, None, Vec::new());
        #[cfg(feature = "stateless")]
        self.listening.forget();
    }
}
