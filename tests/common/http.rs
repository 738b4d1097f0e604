//! Requests as a client writes them, and a reader of responses that shares no code with the library.

/// One response with a `Content-Length`, or in chunks, which are put together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether the connection stays open after it, as it says itself.
    pub fn keeps_alive(&self) -> bool {
        match self.header("Connection") {
            Some("keep-alive") => true,
            Some("close") => false,
            other => panic!("every response says what becomes of the connection, not {other:?}"),
        }
    }
}

impl Response {
    /// The messages in it, whether it is JSON or a stream.
    pub fn messages(&self) -> Vec<serde_json::Value> {
        match self.header("Content-Type") {
            Some("application/json") => match serde_json::from_slice(&self.body).unwrap() {
                serde_json::Value::Array(messages) => messages,
                one => vec![one],
            },
            Some("text/event-stream") => super::frames(&self.body),
            other => panic!("a message is not in {other:?}"),
        }
    }
}

/// Splits bytes into the responses they consist of.
pub fn responses(mut bytes: &[u8]) -> Vec<Response> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (response, used) = response(bytes);
        all.push(response);
        bytes = &bytes[used..];
    }
    all
}

fn response(bytes: &[u8]) -> (Response, usize) {
    let shown = String::from_utf8_lossy(bytes);
    let end = shown.find("\r\n\r\n").unwrap_or_else(|| panic!("not a whole response: {shown:?}"));
    let mut lines = shown[..end].split("\r\n");
    let status = lines.next().unwrap();
    let status =
        status.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{shown:?}"))[..3].parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("{line:?}")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut response = Response { status, headers, body: Vec::new() };
    if response.header("Transfer-Encoding") == Some("chunked") {
        let mut at = end + 4;
        loop {
            let size = shown[at..].split("\r\n").next().unwrap();
            let (start, length) = (at + size.len() + 2, usize::from_str_radix(size, 16).unwrap());
            response.body.extend_from_slice(&bytes[start..start + length]);
            at = start + length + 2;
            assert_eq!(&bytes[at - 2..at], b"\r\n");
            if length == 0 {
                return (response, at);
            }
        }
    }
    let length = match status {
        100 | 204 => 0,
        _ => response.header("Content-Length").expect("a length").parse().unwrap(),
    };
    response.body = bytes[end + 4..end + 4 + length].to_vec();
    (response, end + 4 + length)
}

/// A whole POST of JSON.
pub fn post(target: &str, body: &str) -> String {
    format!("{}{body}", post_head(target, body.len()))
}

pub fn post_head(target: &str, length: usize) -> String {
    format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// A whole POST of JSON to `/mcp`, into that session.
pub fn mcp_post(session: Option<&str>, body: &str) -> String {
    let session = session.map_or(String::new(), |id| format!("Mcp-Session-Id: {id}\r\n"));
    let length = body.len();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\n{session}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

pub fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A request as JSON text; `params` is JSON text too.
pub fn request(id: impl std::fmt::Display, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

/// A call of a tool.
pub fn call(id: impl std::fmt::Display, tool: &str, arguments: &str) -> String {
    request(id, "tools/call", &format!(r#"{{"name":"{tool}","arguments":{arguments}}}"#))
}

pub fn ping(id: impl std::fmt::Display) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)
}
