//! A client of 2026-07-28 as a builder of requests.

use serde_json::{Value, json};

use crate::common::World;
use crate::common::http::Response;

pub const VERSION: &str = "2026-07-28";

/// One request; everything about it can be made wrong.
#[derive(Clone, Debug)]
pub struct Request {
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

/// A lawful request.
pub fn request(id: impl Into<Value>, method: &str, mut params: Value) -> Request {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": VERSION,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}, "sampling": {}, "roots": {}},
        "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "9"},
    });
    let mut request = Request {
        headers: vec![],
        body: json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params}),
    }
    .header("Accept", "application/json, text/event-stream")
    .header("MCP-Protocol-Version", VERSION)
    .header("Mcp-Method", method);
    for name in ["name", "uri"] {
        if let Some(name) = request.body["params"][name].as_str().map(str::to_owned) {
            request = request.header("Mcp-Name", &name);
        }
    }
    request
}

pub fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Request {
    request(id, "tools/call", json!({"name": tool, "arguments": arguments}))
}

impl Request {
    /// Sets a header field.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self = self.without(name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Request {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Sets a member of `params`.
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Request {
        self.body["params"][name] = value.into();
        self
    }

    /// Sets a member of `params._meta`; null takes it out.
    pub fn meta(mut self, name: &str, value: impl Into<Value>) -> Request {
        let value = value.into();
        let meta = self.body["params"]["_meta"].as_object_mut().unwrap();
        match value.is_null() {
            true => drop(meta.remove(name)),
            false => drop(meta.insert(name.to_owned(), value)),
        }
        self
    }

    pub fn capabilities(self, capabilities: Value) -> Request {
        self.meta("io.modelcontextprotocol/clientCapabilities", capabilities)
    }

    /// The next round: what was asked, answered.
    pub fn answered(self, asked: &Value, responses: Value) -> Request {
        let state = &asked["result"]["requestState"];
        assert!(state.is_string(), "{asked}");
        self.param("requestState", state.clone()).param("inputResponses", responses)
    }

    pub fn text(&self) -> String {
        let body = self.body.to_string();
        let headers: String =
            self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        format!(
            "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Sends it on a connection of its own and gives the response.
    pub fn response(&self, world: &mut World) -> Response {
        let sock = world.connect();
        world.send(sock, self.text());
        let response = world.response(sock);
        world.reset(sock);
        response
    }

    /// Sends it and gives its reply, which comes alone.
    pub fn reply(&self, world: &mut World) -> Value {
        let response = self.response(world);
        let mut messages = response.messages();
        assert_eq!((response.status, messages.len()), (200, 1), "{response:?}");
        assert_eq!(messages[0]["id"], self.body["id"]);
        messages.remove(0)
    }
}

/// A form filled in.
pub fn accepted(content: Value) -> Value {
    json!({"action": "accept", "content": content})
}
