//! The fixture of `examples/conformance`, unchanged, over real sockets: clients of every era at once, each asked the same.

#[path = "../../examples/conformance/questions.rs"]
mod questions;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use mcp_rill::client::{Client, Transport};
use mcp_rill::json::JsonRef;
use mcp_rill::{Handle, Revision, Server};
use serde_json::{Value, json};

const ERAS: [(Transport, &str, Revision); 3] = [
    (Transport::Sse, "/sse", Revision::V2025_06_18),
    (Transport::Streamable, "/mcp", Revision::V2025_11_25),
    (Transport::Stateless, "/mcp", Revision::V2026_07_28),
];

/// A server in a thread, which ends with it.
struct Running {
    base: String,
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn start() -> Running {
        let (address, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            let server = questions::add(Server::new("fixture", "0"));
            let listening = server.listen("127.0.0.1:0").unwrap();
            let base = format!("http://{}", listening.local_addrs().next().unwrap());
            address.send((base, listening.handle())).unwrap();
            listening.run().unwrap();
        });
        let (base, handle) = started.recv().unwrap();
        Running { base, handle, thread: Some(thread) }
    }

    /// A client that answers every form with its name, or that it agrees.
    fn client(&self, era: usize, name: &str) -> Client {
        let (transport, path, revision) = ERAS[era];
        let name = name.to_owned();
        let fill_in = move |params: Option<JsonRef<'_>>| {
            let params: Value = serde_json::from_str(params.unwrap().text()).unwrap();
            let fields = params["requestedSchema"]["properties"].as_object().unwrap();
            let value = |field: &Value| match field["type"].as_str() {
                Some("boolean") => json!(true),
                _ => json!(name),
            };
            let content: Value = fields.iter().map(|(key, field)| (key.clone(), value(field))).collect();
            json!({"action": "accept", "content": content}).to_string()
        };
        let client = Client::builder()
            .transport(transport)
            .revision(revision.name())
            .capabilities(r#"{"elicitation":{},"sampling":{},"roots":{}}"#)
            .on_request(move |method, params| {
                Ok(match method {
                    "elicitation/create" => fill_in(params),
                    "roots/list" => r#"{"roots":[{"uri":"file:///a"}]}"#.to_owned(),
                    _ => r#"{"role":"assistant","model":"m","content":{"type":"text","text":"Good day"}}"#
                        .to_owned(),
                })
            })
            .connect(&format!("{}{path}", self.base))
            .unwrap();
        assert_eq!((client.transport(), client.revision()), (transport, Some(revision)));
        client
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown(std::time::Duration::ZERO);
        self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
    }
}

fn text(client: &mut Client, tool: &str, arguments: &str) -> String {
    let result: Value = serde_json::from_str(client.call_tool(tool, arguments).unwrap().get()).unwrap();
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}")).to_owned()
}

#[test]
fn the_same_question_gets_the_same_answer_in_every_era() {
    let server = Running::start();
    let mut told: Vec<Vec<String>> = (0..ERAS.len())
        .map(|era| {
            let mut client = server.client(era, "Ada");
            [
                ("test_input_required_result_elicitation", "{}"),
                ("test_input_required_result_multi_round", "{}"),
                ("test_input_required_result_multiple_inputs", "{}"),
                ("test_input_required_result_request_state", "{}"),
                ("test_sampling", r#"{"prompt":"Greet"}"#),
                ("test_elicitation", r#"{"message":"Who?"}"#),
            ]
            .map(|(tool, arguments)| text(&mut client, tool, arguments))
            .into()
        })
        .collect();
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0][..2], ["Hello, Ada!", "Ada likes Ada"]);
}

#[test]
fn clients_of_all_eras_at_once_get_their_own_answers() {
    let server = Running::start();
    thread::scope(|scope| {
        for at in 0..12 {
            let server = &server;
            scope.spawn(move || {
                let name = format!("client {at}");
                let mut client = server.client(at % ERAS.len(), &name);
                for _ in 0..20 {
                    let told = text(&mut client, "test_input_required_result_multi_round", "{}");
                    assert_eq!(told, format!("{name} likes {name}"));
                }
            });
        }
    });
}

/// A server that keeps no sessions gives no id, and the client goes on without.
#[test]
fn a_client_gets_along_without_a_session() {
    let (address, started) = mpsc::channel();
    let thread = thread::spawn(move || {
        let server = Server::new("fixture", "0").sessionless();
        let server = server.tool("session", "Say which", |(), call| format!("{:?}", call.session_id()));
        let listening = server.listen("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp", listening.local_addrs().next().unwrap());
        address.send((url, listening.handle())).unwrap();
        listening.run().unwrap();
    });
    let (url, handle) = started.recv().unwrap();
    let mut client = Client::builder().transport(Transport::Streamable).connect(&url).unwrap();
    assert_eq!(client.revision(), Some(Revision::V2025_11_25));
    assert!(client.call_tool("session", "{}").unwrap().get().contains("None"));
    client.close();
    handle.shutdown(Duration::ZERO);
    thread.join().unwrap();
}
