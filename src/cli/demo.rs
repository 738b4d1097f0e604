//! What the binary serves by default: items of every kind, to try a client with.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::protocol::annotations::{Annotations, Role};
use crate::protocol::content::{Content, Json, ResourceContents};
use crate::protocol::description::{Resource, ResourceTemplate, Tool};
use crate::protocol::elicitation::Elicited;
use crate::protocol::result::Result;
use crate::schema;
use crate::server::builder::Server;

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

schema! { struct Count {
    /// The text to count in.
    text: String,
} }

schema! { struct Counted {
    /// Lines.
    lines: usize,
    /// Words between white space.
    words: usize,
    /// Unicode characters.
    characters: usize,
} }

schema! { struct Name {
    /// What people call you.
    name: String { length 1..=80 },
} }

schema! { struct Countdown {
    /// How many seconds it takes.
    seconds: u32 { min 1, max 60 } = 5,
} }

schema! { enum Style {
    Short = "short" "One sentence",
    Points = "points" "Bullet points",
} }

schema! { struct Summarize {
    /// The text to summarize.
    text: String,
    /// How the summary should look.
    style: Option<Style>,
} }

/// A picture of one blue pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
    \0\0\0\x0cIDATx\xdac``\xf8\x0f\0\x01\x03\x01\0\x36t\x11@\0\0\0\0IEND\xaeB`\x82";

/// A sound of eight silent samples.
const WAV: &[u8] = b"RIFF,\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\
    data\x08\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80";

const ABOUT: &str = "\
# mcp-rill demo

Tools: `echo`, `add`, `count` (structured result), `time`, `samples` (every type of content), `ask` (a question to the
user), `countdown` (progress, and a call to cancel).
Resources: this text, and `demo:///hello/{name}`.
Prompt: `summarize`.
";

/// The demo server.
pub(super) fn server() -> Server {
    Server::new("mcp-rill-demo", env!("CARGO_PKG_VERSION"))
        .title("mcp-rill demo")
        .instructions(
            "A demo: use `echo` and `add` to see that calls arrive, and read demo:///about for the rest.",
        )
        .offer(Tool::new("echo", "Send a text back").read_only(true).handler(|Echo { text }: Echo, _| text))
        .offer(Tool::new("add", "Add two numbers").read_only(true).handler(|Add { a, b }: Add, _| a + b))
        .offer(Tool::new("count", "Count the lines, words and characters of a text").read_only(true).handler(
            |Count { text }: Count, _| {
                Json(Counted {
                    lines: text.lines().count(),
                    words: text.split_whitespace().count(),
                    characters: text.chars().count(),
                })
            },
        ))
        .offer(Tool::new("time", "Tell the server's time").read_only(true).handler(|(), _| unix_seconds()))
        .offer(
            Tool::new("samples", "Give one block of every type of content")
                .read_only(true)
                .handler(|(), _| samples()),
        )
        .tool("ask", "Ask the user for a name, and greet them", |(), call| -> Result<_> {
            Ok(match call.elicit::<Name>("name", "What is your name?")? {
                Elicited::Accepted(Name { name }) => format!("Hello, {name}!"),
                Elicited::Declined | Elicited::Cancelled => "Hello, whoever you are!".to_owned(),
                Elicited::Unavailable(why) => format!("Hello! I cannot ask for your name: {why}"),
            })
        })
        .blocking_tool(
            "countdown",
            "Count down, one step a second",
            |Countdown { seconds }: Countdown, call| -> Result<_> {
                for second in 0..seconds {
                    if call.is_cancelled() {
                        return Err("stopped early".into());
                    }
                    call.progress(second.into(), Some(seconds.into()), None);
                    std::thread::sleep(Duration::from_secs(1));
                }
                Ok("Lift-off")
            },
        )
        .offer(about().handler(|_| ABOUT))
        .offer(
            ResourceTemplate::new("demo:///hello/{name}", "hello")
                .description("A greeting")
                .mime_type("text/plain")
                .handler(|vars, _| format!("Hello, {}!", vars.get("name").unwrap_or("you"))),
        )
        .prompt("summarize", "Ask for a summary of a text", |Summarize { text, style }: Summarize, _| {
            let how = match style {
                Some(Style::Points) => "in bullet points",
                Some(Style::Short) | None => "in one sentence",
            };
            format!("Summarize the following text {how}:\n\n{text}")
        })
}

fn about() -> Resource {
    Resource::new("demo:///about", "about").description("What the demo offers").mime_type("text/markdown")
}

fn samples() -> Vec<Content> {
    vec![
        Content::text("A text.").annotate(Annotations::default().audience(Role::User).priority(1.0)),
        Content::image(PNG, "image/png"),
        Content::audio(WAV, "audio/wav"),
        Content::resource(
            ResourceContents::text("An embedded text.").uri("demo:///embedded").mime_type("text/plain"),
        ),
        Content::link(about()),
    ]
}

#[expect(clippy::disallowed_methods, reason = "a tool of the demo, not the engine")]
fn unix_seconds() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{seconds} seconds since 1970-01-01 UTC")
}
