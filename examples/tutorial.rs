//! The classic two-endpoint server, step by step: tools, resources, a URI template and prompts.
//!
//! ```text
//! cargo run --example tutorial                   # or: … --example tutorial -- 127.0.0.1:8080
//! npx @modelcontextprotocol/inspector --cli http://127.0.0.1:3001/sse --transport sse --method tools/list
//! ```
//!
//! A client opens `GET /sse` and keeps it open: everything the server says comes on that stream. The first thing it says
//! is where to post, `/messages?sessionId=…`; the client's messages go there, each as a request of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcp_rill::{
    CallError, Elicited, Json, Prompt, PromptMessage, PromptResult, Resource, ResourceContents,
    ResourceTemplate, Result, Server, Tool, schema,
};

// The documentation comments below are more than comments: they become the descriptions in the JSON Schema that the
// model reads before it calls a tool. Write them for that reader.

schema! { enum Tone {
    Plain = "plain",
    Warm = "warm" "Warm and personal",
    Formal = "formal" "Fit for a letter",
} }

schema! { struct Greet {
    /// Whom to greet.
    name: String { length 1..=80 },
    /// How many times to greet; once, if nobody says.
    times: i64 { min 1, max 10 } = 1,
    /// The tone of the greeting. May be left out.
    tone: Option<Tone>,
} }

schema! { struct Divide {
    /// What is divided.
    dividend: f64,
    /// What it is divided by; anything but 0.
    divisor: f64,
} }

schema! { struct Measure {
    /// The text to measure.
    text: String,
} }

schema! { struct Measured {
    /// Words between white space.
    words: usize,
    /// Unicode characters.
    characters: usize,
    /// The longest word, if there is one.
    longest: Option<String>,
} }

schema! { struct NewNote {
    /// What to remember.
    text: String { length 1..=2000 },
} }

// A form for the user, in the same words as arguments: what the client makes of it is a dialog with a box to tick.
schema! { struct Confirm {
    /// Tick to forget them for good.
    sure: bool,
} }

// Clients send the arguments of prompts as strings, whatever they mean, so this struct has nothing else; a number here
// would be refused when the server starts, with a sentence that says so.
schema! { struct Review {
    /// The number of the note to review.
    note: String,
    /// What to look out for, such as `spelling`.
    focus: Option<String>,
} }

/// A picture of one blue pixel.
const LOGO: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
    \0\0\0\x0cIDATx\xdac``\xf8\x0f\0\x01\x03\x01\0\x36t\x11@\0\0\0\0IEND\xaeB`\x82";

/// Notes are kept where a tool, a resource, a template and a prompt all reach them.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        // A handler that panics is answered with an error and the server goes on, so the notes must go on as well.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By a number from 1, as people count, in whatever form it came.
    fn find(&self, number: &str) -> Option<String> {
        let index = number.parse::<usize>().ok()?.checked_sub(1)?;
        self.lock().get(index).cloned()
    }
}

fn server() -> Server {
    let notes = Notes::default();
    // The instructions reach the model with the first answer: the place for what no single tool can say.
    let server = Server::new("tutorial", "1.0.0")
        .title("mcp-rill tutorial")
        .instructions("Keep notes with `add_note`; read them at notes:///all or note:///{number}.");
    with_prompts(with_resources(with_notes(with_tools(server), &notes), &notes), &notes)
}

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3001".to_owned());
    let listening = server().listen(address)?;
    for address in listening.local_addrs() {
        println!("serving on http://{address}/sse, Ctrl-C ends it");
    }
    // Takes this thread for good. A program with other things to do calls `poll` instead: see own_loop.rs.
    listening.run()
}

fn with_tools(server: Server) -> Server {
    // Handlers are FnMut: one thread runs them all, one at a time. What a closure owns therefore needs no lock …
    let mut tickets = 0;
    server
        // The first parameter's type makes the schema, reads the arguments and refuses what does not fit, in words that
        // the model can act on. The handler sees only what is right.
        .tool("greet", "Greet somebody", |Greet { name, times, tone }: Greet, _| {
            let greeting = match tone {
                Some(Tone::Warm) => format!("So good to see you, {name}!"),
                Some(Tone::Formal) => format!("Dear {name},"),
                Some(Tone::Plain) | None => format!("Hello, {name}!"),
            };
            vec![greeting; usize::try_from(times).unwrap_or(1)].join("\n")
        })
        // An Err is no failure of the protocol: it becomes a result marked as an error, which the model reads, so that it
        // can try again with other arguments. Any error type will do.
        .tool("divide", "Divide one number by another", |Divide { dividend, divisor }: Divide, _| {
            if divisor == 0.0 {
                return Err("the divisor is 0; give another one");
            }
            Ok(dividend / divisor)
        })
        // `Json` gives the result a schema as well, so that programs can use it without parsing prose. Clients that are
        // too old for that get the same as text. The hints on the tool let a client skip asking its user.
        .offer(
            Tool::new("measure", "Count the words and characters of a text")
                .read_only(true)
                .open_world(false)
                .handler(|Measure { text }: Measure, _| {
                    let longest = text.split_whitespace().max_by_key(|word| word.chars().count());
                    Json(Measured {
                        words: text.split_whitespace().count(),
                        characters: text.chars().count(),
                        longest: longest.map(str::to_owned),
                    })
                }),
        )
        .tool("ticket", "Draw the next number", move |(), _| {
            tickets += 1;
            tickets
        })
        // The second parameter knows who is asking: the client, its session, the headers of its HTTP request.
        .tool("whoami", "Say which client is asking", |(), call| match call.client() {
            Some(client) => format!("{} {} with revision {}", client.name, client.version, call.revision()),
            None => "a client that did not introduce itself".to_owned(),
        })
}

fn with_notes(server: Server, notes: &Notes) -> Server {
    // … and only what several closures share does. Each gets a clone of the handle, and `move` takes it inside.
    let (kept, forgotten) = (notes.clone(), notes.clone());
    server
        .tool("add_note", "Remember a note", move |NewNote { text }: NewNote, _| {
            let mut notes = kept.lock();
            notes.push(text);
            format!("kept as note:///{}", notes.len())
        })
        // A handler can ask the user. While there is no answer, `?` ends it, and it runs again from its first line when the
        // answer is there: so above a question only look, and change things below it. However old the client is, these lines
        // are the same: it is asked on its stream, or since 2026-07-28 in a result, after which it calls again.
        .tool("forget_notes", "Forget all notes, if the user agrees", move |(), call| -> Result<_> {
            Ok(match call.elicit::<Confirm>("forget", "Forget all notes for good?")? {
                Elicited::Accepted(Confirm { sure: true }) => {
                    format!("notes forgotten: {}", forgotten.lock().drain(..).count())
                }
                Elicited::Accepted(_) | Elicited::Declined | Elicited::Cancelled => {
                    "kept them all".to_owned()
                }
                // A client that cannot show a question is not asked; that is no yes.
                Elicited::Unavailable(why) => format!("kept them all: {why}"),
            })
        })
}

fn with_resources(server: Server, notes: &Notes) -> Server {
    let (all, one) = (notes.clone(), notes.clone());
    server
        // Resources are what an application shows and attaches; tools are what a model does. The same notes serve both.
        .offer(
            Resource::new("notes:///all", "all notes")
                .description("Every note, one per line")
                .mime_type("text/plain")
                .handler(move |_| all.lock().join("\n")),
        )
        // Bytes work as well; base64 is the wire's business.
        .resource("logo:///blue", "logo", |_| ResourceContents::blob(LOGO).mime_type("image/png"))
        // A template stands for resources that are too many to list. Here a protocol error is right: nobody asked a model,
        // and an application wants to know that there is no such thing.
        .offer(ResourceTemplate::new("note:///{number}", "one note").mime_type("text/plain").handler(
            move |vars, _| one.find(vars.get("number").unwrap_or_default()).ok_or_else(CallError::not_found),
        ))
}

fn with_prompts(server: Server, notes: &Notes) -> Server {
    let notes = notes.clone();
    server
        // Prompts are what a person picks from a menu. Text becomes one message from the user …
        .prompt("plan", "Plan the day from the notes", |(), _| "Read notes:///all and plan my day from it.")
        // … and a list of messages can show the model how to go on.
        .offer(Prompt::new("review", "Review one note").title("Review a note").handler(
            move |Review { note, focus }: Review, _| {
                let text = notes
                    .find(&note)
                    .ok_or_else(|| CallError::invalid_params(format!("there is no note `{note}`")))?;
                let focus = focus.map(|focus| format!(" Look out for {focus}.")).unwrap_or_default();
                Ok::<_, CallError>(PromptResult::new(vec![
                    PromptMessage::user(format!("Review this note.{focus}\n\n{text}")),
                    PromptMessage::assistant("Here is what I would change:"),
                ]))
            },
        ))
}

/// A function that makes the server is all that a test needs: its client is in memory, and speaks every transport and revision.
#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use mcp_rill::Revision;
    use mcp_rill::testing::{Answer, Harness, Way};
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_answer_or_say_what_is_wrong() {
        for way in Way::all() {
            let mut client = Harness::new(server()).over(way);
            let greeted = client.call("greet", json!({"name": "Ada", "times": 2, "tone": "formal"}));
            assert_eq!(greeted.text(), "Dear Ada,\nDear Ada,", "{way}");
            assert_eq!(client.call("greet", json!({"name": "Ada"})).text(), "Hello, Ada!", "{way}");
            let often = client.call("greet", json!({"name": "Ada", "times": 11})).tool_error();
            assert!(often.contains("`times`") && often.contains("10"), "{way}: {often}");
            let halves = client.call("divide", json!({"dividend": 1, "divisor": 2}));
            assert_eq!(halves.text(), "0.5", "{way}");
            let by_none = client.call("divide", json!({"dividend": 1, "divisor": 0}));
            assert_eq!(by_none.tool_error(), "the divisor is 0; give another one", "{way}");
            let measured = client.call("measure", json!({"text": "two words"})).json();
            assert_eq!(measured, json!({"words": 2, "characters": 9, "longest": "words"}), "{way}");
            assert_eq!([(); 3].map(|()| client.call("ticket", json!({})).text()), ["1", "2", "3"], "{way}");
            let asking = client.call("whoami", json!({})).text();
            assert!(asking.ends_with(&format!("with revision {}", way.revision())), "{way}: {asking}");
        }
    }

    #[test]
    fn notes_are_forgotten_if_the_user_agrees() {
        // Forms came with this revision.
        for way in Way::all().into_iter().filter(|way| way.revision() >= Revision::V2025_06_18) {
            let mut client = Harness::new(server()).over(way);
            for (number, text) in [(1, "milk"), (2, "bread")] {
                let kept = client.call("add_note", json!({"text": text})).text();
                assert_eq!(kept, format!("kept as note:///{number}"), "{way}");
            }
            assert_eq!(client.read("notes:///all").text(), "milk\nbread", "{way}");
            for (answer, wanted) in [
                (Answer::from(json!({"sure": false})), "kept them all"),
                (Answer::Declined, "kept them all"),
                (Answer::from(json!({"sure": true})), "notes forgotten: 2"),
            ] {
                client = client.answer("forget", answer);
                assert_eq!(client.call("forget_notes", json!({})).text(), wanted, "{way}");
            }
            assert_eq!(client.read("notes:///all").text(), "", "{way}");
            // A client that cannot be asked is not taken to agree.
            let mut silent = client.another().over(way).capabilities(json!({}));
            let kept = silent.call("forget_notes", json!({})).text();
            assert!(kept.starts_with("kept them all: "), "{way}: {kept}");
        }
    }

    #[test]
    fn resources_and_prompts_have_the_notes() {
        let mut client = Harness::new(server());
        assert!(client.call("add_note", json!({"text": "milk"})).is_ok());
        assert_eq!(client.resources(), ["notes:///all", "logo:///blue"]);
        assert_eq!(client.templates(), ["note:///{number}"]);
        assert_eq!(client.read("note:///1").text(), "milk");
        for missing in ["note:///0", "note:///2", "note:///one"] {
            assert_eq!(client.read(missing).error().code, -32002, "{missing}");
        }
        assert_eq!(client.read("logo:///blue").content()[0]["mimeType"], "image/png");
        assert_eq!(client.prompts(), ["plan", "review"]);
        let messages = client.prompt("review", json!({"note": "1", "focus": "spelling"})).result();
        assert_eq!(
            messages["messages"][0]["content"]["text"],
            "Review this note. Look out for spelling.\n\nmilk"
        );
        assert_eq!(messages["messages"][1]["role"], "assistant");
        let missing = client.prompt("review", json!({"note": "7"})).error();
        assert_eq!((missing.code, &*missing.message), (-32602, "Invalid params: there is no note `7`"));
    }
}
