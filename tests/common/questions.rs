//! A client that answers questions, and the threads that blocking tools run on.

use std::cell::Cell;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::http::{Response, request};
use super::{Sock, Stream, World};

/// Everything that a client of 2025-11-25 can be asked.
pub const ALL: &str = r#"{"roots":{},"sampling":{"tools":{}},"elicitation":{"form":{},"url":{}}}"#;

/// A client with its stream and a connection to post on.
#[derive(Clone, Debug)]
pub struct Client {
    pub stream: Stream,
    post: Cell<Sock>,
}

impl Client {
    /// One that has a stream and has said nothing yet.
    pub fn silent(world: &mut World) -> Client {
        Client { stream: world.open_sse(), post: Cell::new(world.connect()) }
    }

    /// One on these, which has said nothing yet.
    pub fn on(stream: Stream, post: Sock) -> Client {
        Client { stream, post: Cell::new(post) }
    }

    /// One that has initialized.
    pub fn new(world: &mut World, revision: &str, capabilities: &str) -> Client {
        let client = Client::silent(world);
        client.initialize(world, revision, capabilities);
        client
    }

    pub fn initialize(&self, world: &mut World, revision: &str, capabilities: &str) {
        let info = r#"{"name":"tester","version":"9"}"#;
        let params = format!(
            r#"{{"protocolVersion":"{revision}","capabilities":{capabilities},"clientInfo":{info}}}"#
        );
        let reply = self.ask(world, &request(0, "initialize", &params));
        assert_eq!(reply["result"]["protocolVersion"], revision, "{reply}");
        self.tell(world, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    }

    /// Posts something, on a new connection if the server closed the idle one.
    pub fn post(&self, world: &mut World, body: &str) -> Response {
        if world.closed(self.post.get()) {
            self.post.set(world.connect());
        }
        world.post(self.post.get(), &self.stream.endpoint, body)
    }

    /// Posts a message that is accepted; gives what then came on the stream.
    pub fn say(&self, world: &mut World, body: &str) -> Vec<Value> {
        let response = self.post(world, body);
        assert_eq!((response.status, response.text()), (202, "Accepted"), "{body}");
        self.hear(world)
    }

    /// Posts a message that is accepted and that nothing answers.
    pub fn tell(&self, world: &mut World, body: &str) {
        let heard = self.say(world, body);
        assert!(heard.is_empty(), "{body} got {heard:?}");
    }

    /// Posts a message and gives the only one that comes back.
    pub fn ask(&self, world: &mut World, body: &str) -> Value {
        one(self.say(world, body))
    }

    /// What came on the stream since the last look.
    pub fn hear(&self, world: &mut World) -> Vec<Value> {
        world.frames(&self.stream)
    }

    /// Answers the server's request; gives what then came.
    pub fn answer(&self, world: &mut World, question: &Value, result: &str) -> Vec<Value> {
        self.say(world, &format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, question["id"]))
    }

    /// Refuses the server's request; gives what then came.
    pub fn refuse(&self, world: &mut World, question: &Value, error: &str) -> Vec<Value> {
        self.say(world, &format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, question["id"]))
    }

    /// Cancels a request of its own; gives what then came.
    pub fn cancel(&self, world: &mut World, id: &str) -> Vec<Value> {
        let params = format!(r#"{{"requestId":{id}}}"#);
        self.say(
            world,
            &format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#),
        )
    }
}

/// The only one of them.
pub fn one(mut messages: Vec<Value>) -> Value {
    assert_eq!(messages.len(), 1, "{messages:?}");
    messages.remove(0)
}

/// The text of a tool's result that went well.
pub fn text(reply: &Value) -> &str {
    assert!(reply["result"].get("isError").is_none(), "{reply}");
    reply["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{reply}"))
}

/// The text of a tool's result that the model reads as an error.
pub fn error_text(reply: &Value) -> &str {
    assert_eq!(reply["result"]["isError"], true, "{reply}");
    reply["result"]["content"][0]["text"].as_str().unwrap()
}

/// What wakes the driver, and what makes its threads.
pub struct Pool {
    woken: Receiver<()>,
}

impl Pool {
    pub fn new(world: &mut World) -> Pool {
        let (wake, woken) = mpsc::channel();
        world.engine.set_waker(move || {
            let _ = wake.send(());
        });
        Pool { woken }
    }

    /// One turn of the loop: takes what threads have left, and makes the threads that are wanted. Says how many.
    pub fn turn(&self, world: &mut World) -> usize {
        world.tick();
        world.start_threads()
    }

    /// Turns until there is something; the time on this clock is only how long a broken test takes to fail.
    pub fn until<T>(&self, world: &mut World, mut ready: impl FnMut(&mut World) -> Option<T>) -> T {
        loop {
            self.turn(world);
            if let Some(found) = ready(world) {
                return found;
            }
            self.woken.recv_timeout(Duration::from_secs(20)).expect("some thread wakes the loop");
        }
    }

    /// Turns until the client has heard so many messages.
    pub fn heard(&self, world: &mut World, client: &Client, count: usize) -> Vec<Value> {
        let mut all = Vec::new();
        self.until(world, |world| {
            all.extend(client.hear(world));
            (all.len() >= count).then_some(())
        });
        assert_eq!(all.len(), count, "{all:?}");
        all
    }
}

/// Waits for something that a thread of the pool does without waking the loop, such as counting itself.
pub fn eventually(what: &str, mut ready: impl FnMut() -> bool) {
    for _ in 0..20_000 {
        if ready() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("never happened: {what}");
}
