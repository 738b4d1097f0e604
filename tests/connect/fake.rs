//! Servers made of a script: each request is a thread, and is answered by what the script writes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// A request, and where its answer goes.
pub struct Request {
    pub method: String,
    pub target: String,
    pub head: String,
    pub body: String,
    /// How many came before it.
    pub number: usize,
    pub stream: TcpStream,
}

impl Request {
    fn read(stream: TcpStream, number: usize) -> Option<Request> {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
            head.push_str(&line);
            line.clear();
        }
        let mut words = head.split(' ').map(str::to_owned);
        let (method, target) = (words.next()?, words.next()?);
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        Some(Request { method, target, body: String::from_utf8(body).unwrap(), head, number, stream })
    }

    /// The JSON-RPC message in it.
    pub fn message(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The JSON-RPC method in it; empty if there is none.
    pub fn rpc(&self) -> String {
        self.message()["method"].as_str().unwrap_or_default().to_owned()
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn send(&mut self, text: &str) {
        // The other side may have gone.
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Answers with this status, these header lines and this body.
    pub fn answer(&mut self, status: u16, fields: &str, body: &str) {
        let length = body.len();
        self.send(&format!(
            "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n{body}"
        ));
    }

    /// Answers with a message.
    pub fn json(&mut self, fields: &str, body: &str) {
        self.answer(200, &format!("Content-Type: application/json\r\n{fields}"), body);
    }

    /// Answers the request in it with this result.
    pub fn result(&mut self, fields: &str, result: &str) {
        let body = self.response(result);
        self.json(fields, &body);
    }

    /// The response to the request in it.
    pub fn response(&self, result: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, self.message()["id"])
    }

    /// Begins an event stream, which ends with the connection.
    pub fn begin_stream(&mut self, fields: &str) {
        self.send(&format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/event-stream\r\n{fields}\r\n"
        ));
    }

    pub fn event(&mut self, fields: &str, data: &str) {
        self.send(&format!("{fields}data: {data}\n\n"));
    }

    /// Waits until the other side closes the connection.
    pub fn wait_for_end(&mut self) {
        let mut byte = [0];
        while let Ok(1..) = self.stream.read(&mut byte) {}
    }

    /// Does what a server of Streamable HTTP without a stream does with all but requests other than `initialize`. Returns
    /// false for those.
    pub fn is_served(&mut self, session: &str) -> bool {
        match (self.method.as_str(), self.rpc().as_str()) {
            ("POST", "initialize") => self.result(&format!("Mcp-Session-Id: {session}\r\n"), WELCOME),
            ("POST", method) if method.starts_with("notifications/") => self.answer(202, "", ""),
            ("GET", _) => self.answer(405, "", ""),
            ("DELETE", _) => self.answer(204, "", ""),
            _ => return false,
        }
        true
    }
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

pub const WELCOME: &str =
    r#"{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"fake","version":"1"}}"#;

/// A server that a script is, for as long as the test program runs.
pub struct Fake {
    pub address: String,
    /// `METHOD target rpc-method` of each request.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub fn new(script: impl Fn(&mut Request) + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (script, noting) = (Arc::new(script), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, noting) = (script.clone(), noting.clone());
                thread::spawn(move || {
                    let Some(mut request) = Request::read(stream, 0) else { return };
                    {
                        let mut seen = noting.lock().unwrap();
                        request.number = seen.len();
                        seen.push(format!("{} {} {}", request.method, request.target, request.rpc()));
                    }
                    script(&mut request);
                });
            }
        });
        Fake { address, seen }
    }

    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests with this line came.
    pub fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| *seen == line).count()
    }
}
