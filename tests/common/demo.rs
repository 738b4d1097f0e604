//! The server under test: something of everything that handlers can do, good and bad.

use mcp_rill::{
    Annotations, CallError, Content, Json, Level, Limits, PromptMessage, Resource, ResourceContents,
    ResourceTemplate, Role, Server, Tool, schema,
};
use serde_json::Value;

schema! { struct Echo {
    /// What to send back.
    text: String,
} }

schema! { struct Add {
    /// First addend.
    a: f64,
    /// Second addend.
    b: f64,
} }

schema! { struct Greet {
    name: String,
    title: Option<String>,
    times: i64 { min 1, max 3 } = 1,
} }

schema! { struct Big {
    bytes: u64,
} }

schema! { struct Weather {
    /// In degrees Celsius.
    temperature: f64,
    raining: bool,
} }

schema! { struct Term {
    /// What to explain.
    term: String,
} }

/// A schema that somebody wrote by hand, over several lines.
const RAW_SCHEMA: &str = "{\r\n  \"type\": \"object\",\n  \"properties\": {}\n}";

pub fn server() -> Server {
    prompts(resources(tools(Server::new("demo", "1.2.3").instructions("Try it."))))
}

fn tools(server: Server) -> Server {
    server
        .tool("echo", "Send a text back", |Echo { text }: Echo, _| text)
        .offer(Tool::new("add", "Add two numbers").read_only(true).handler(|Add { a, b }: Add, _| a + b))
        .tool("greet", "Greet somebody", |Greet { name, title, times }: Greet, _| {
            let title = title.map_or(String::new(), |title| title + " ");
            vec![Content::text(format!("Hello, {title}{name}!")); times as usize]
        })
        .tool("nothing", "Do nothing", |(), _| ())
        .tool("fail", "Fail as programs do", |(), _| -> mcp_rill::Result<String> { Err("disk full".into()) })
        .tool("refuse", "Fail as a protocol does", |(), _| -> Result<String, CallError> {
            Err(CallError::invalid_params("not like this"))
        })
        .tool("panic", "Panic", |(), _| -> String { panic!("a bug in a handler") })
        .tool("big", "Give a long text", |Big { bytes }: Big, _| "x".repeat(bytes as usize))
        .tool("samples", "Give one block of every type", |(), _| samples())
        .tool("weather", "Give a structured result", |(), _| {
            Json(Weather { temperature: 21.5, raining: false })
        })
        .offer(
            Tool::new("raw", "Take anything")
                .input_schema(RAW_SCHEMA)
                .handler(|value: Value, _| value.to_string()),
        )
        .tool("who", "Say what is known of the caller", |(), call| {
            let client = call.client().map_or("nobody", |client| &client.name);
            format!("{client} {} {}", call.revision(), call.session_id().unwrap_or_default())
        })
}

schema! { struct Person {
    name: String,
} }

/// Adds tools that say something before their result, or have none yet.
pub fn streaming(server: Server) -> Server {
    let mut replies = Vec::new();
    server
        .tool("steps", "Report progress and log", |(), call| {
            call.progress(1.0, Some(2.0), Some("half"));
            call.log(Level::Info, "working");
            "done"
        })
        .tool("ask", "Ask for a name", |(), call| -> mcp_rill::Result<String> {
            let person = call.elicit::<Person>("name", "Who are you?")?.required()?;
            Ok(person.accepted().map_or("nobody".to_owned(), |person| person.name))
        })
        .tool("away", "Send the client away, then ask for a name", |(), call| -> mcp_rill::Result<String> {
            call.disconnect(std::time::Duration::from_millis(500));
            let person = call.elicit::<Person>("name", "Who are you?")?.required()?;
            Ok(person.accepted().map_or("nobody".to_owned(), |person| person.name))
        })
        .tool("later", "Finish when its time is over", move |(), call| {
            call.defer(|reply| replies.push(reply))
        })
}

fn samples() -> Vec<Content> {
    vec![
        Content::text("two\nlines").annotate(Annotations::default().audience(Role::User).priority(0.5)),
        Content::image([0xff, 0xd8], "image/jpeg"),
        Content::audio([1, 2, 3], "audio/wav"),
        Content::resource(ResourceContents::text("inside").uri("demo:///inside").mime_type("text/plain")),
        Content::link(Resource::new("demo:///about", "about").mime_type("text/markdown")),
    ]
}

fn resources(server: Server) -> Server {
    server
        .offer(Resource::new("demo:///about", "about").mime_type("text/markdown").handler(|_| "# About"))
        .resource("demo:///bytes", "bytes", |_| vec![0_u8, 255])
        .resource("demo:///broken", "broken", |_| -> mcp_rill::Result<String> { Err("it is broken".into()) })
        .resource("demo:///panic", "panic", |_| -> String { panic!("a bug in a handler") })
        .offer(ResourceTemplate::new("demo:///note/{number}", "note").handler(|vars, _| {
            match vars.get("number") {
                Some("0") | None => Err(CallError::not_found()),
                Some(number) => Ok(format!("note {number}")),
            }
        }))
}

fn prompts(server: Server) -> Server {
    server
        .prompt("explain", "Explain a term", |Term { term }: Term, _| format!("Explain `{term}`."))
        .prompt("chat", "An example of a conversation", |(), _| {
            vec![
                PromptMessage::user("Hello"),
                PromptMessage::assistant(Content::audio([1, 2, 3], "audio/wav")),
            ]
        })
        .prompt("crash", "Panic", |(), _| -> String { panic!("a bug in a handler") })
}

/// Budgets that a few messages fill.
pub fn small_budgets() -> Limits {
    Limits {
        body_bytes_max: 8 << 10,
        message_bytes_max: 8 << 10,
        page_bytes_max: 4 << 10,
        output_bytes_max: 24 << 10,
        buffered_bytes_max: 40 << 10,
        ..Limits::DEFAULT
    }
}
