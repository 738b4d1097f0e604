//! The client in the shell: `list`, `call`, `read`, `prompt`, `complete`, `ping`, `watch`, `doctor`.
//!
//! *Scope:* the verbs; from arguments to one request or a few, and from results to what a person or a script reads. *Not in
//! scope:* how messages travel ([`client`](crate::client)).
//!
//! ```text
//!  arguments ──▶ options, target ──▶ session ──▶ a verb ──▶ output: standard output or a file, the result alone
//!                                      │
//!                                      └─ questions, progress, logs ──▶ standard error, answers from the terminal
//! ```

#![allow(
    clippy::disallowed_methods,
    reason = "waiting for a server needs a clock; like `client`, this is above the engine"
)]

mod arguments;
mod call;
mod complete;
mod content;
mod doctor;
mod dry_run;
mod forms;
mod in_process;
mod kinds;
mod list;
mod notices;
pub(super) mod options;
mod output;
mod ping;
mod probe;
mod prompt;
mod questions;
mod read;
pub(super) mod session;
pub(super) mod target;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use super::Failure;
use super::verb::Verb;
use options::Options;
use output::Output;

/// How long a server may be silent before it has answered, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What each verb's help says about targets and options.
macro_rules! options {
    ($($own:literal),*) => {
        concat!(
            "TARGET: http://HOST:PORT/PATH, unix:///SOCKET#/PATH, a manifest's FILE.json, or
FILE.json:NAME of its mcpServers; or in its place -- COMMAND... at the end.\n",
            $($own,)*
            "  --json             Write the result as one line of JSON, an error too
  --era ERA          Speak 2026, 2025 or sse and nothing else [auto]
  --timeout TIME     How long the server may be silent: 500ms, 10s, 5min [60s]
  --token-file FILE  Send the bearer token in this file
  --header 'N: V'    Send this field; --header-file FILE sends those in a file
Exit codes: 0 done, 1 error, 2 usage, 3 no token, 4 no connection, 5 tool failed"
        )
    };
}

/// The options of verbs whose request may be answered with a question.
macro_rules! options_with_questions {
    ($($own:literal),*) => {
        options!(
            $($own,)*
            "  -o, --output FILE  Write the result to this file
  --answer K=V       Answer a question with this; --decline declines them all\n"
        )
    };
}

pub(super) const LIST: Verb = Verb {
    name: "list",
    about: "List the tools, resources and prompts of a server",
    usage: "list TARGET [tools|resources|prompts] [OPTIONS]",
    options: options!("  --color WHEN       Color names: always, never [auto; see NO_COLOR]\n"),
    examples: [
        ("list http://127.0.0.1:3001/mcp", "Everything, a line each."),
        ("list tools -- mcp-server-git --repository .", "The tools of a server that is started for this."),
    ],
    run: |parser| run(&["color"], list::run, parser),
};

pub(super) const CALL: Verb = Verb {
    name: "call",
    about: "Call a tool",
    usage: "call TARGET TOOL [K=V | K:=JSON | K=@FILE | -]... [OPTIONS]",
    options: options_with_questions!(
        "K=V is typed by the tool's schema, K:=JSON sent as it is, K=@FILE a file's text;\n\
         - reads all arguments from standard input, as a JSON object.
  --json-args JSON   The arguments, as a JSON object
  --dry-run          Write what a manifest's tool would run, and run nothing\n"
    ),
    examples: [
        ("call http://127.0.0.1:3001/mcp add a=1 b=2", "The sum of two numbers."),
        ("call unix:///run/mcp/s#/mcp ask --answer name=Ada", "With the answer to its question."),
    ],
    run: |parser| run(&["json-args", "dry-run", "output", "answer", "decline"], call::run, parser),
};

pub(super) const READ: Verb = Verb {
    name: "read",
    about: "Read a resource",
    usage: "read TARGET URI [OPTIONS]",
    options: options_with_questions!(),
    examples: [
        ("read http://127.0.0.1:3001/mcp demo:///about", "A text."),
        ("read http://127.0.0.1:3001/mcp demo:///dot.png -o dot.png", "An image, into a file."),
    ],
    run: |parser| run(&["output", "answer", "decline"], read::run, parser),
};

pub(super) const PROMPT: Verb = Verb {
    name: "prompt",
    about: "Get a prompt",
    usage: "prompt TARGET NAME [K=V | K=@FILE]... [OPTIONS]",
    options: options_with_questions!(),
    examples: [
        ("prompt http://127.0.0.1:3001/mcp greet name=Ada", "Its messages."),
        ("prompt mcp.json:notes summary --json", "Of an entry of a file that other clients use too."),
    ],
    run: |parser| run(&["output", "answer", "decline"], prompt::run, parser),
};

pub(super) const COMPLETE: Verb = Verb {
    name: "complete",
    about: "Complete an argument of a prompt or a resource template",
    usage: "complete TARGET NAME|TEMPLATE ARGUMENT=PREFIX [OPTIONS]",
    options: options!(),
    examples: [
        ("complete http://127.0.0.1:3001/mcp greet name=A", "Values that begin with A."),
        ("complete http://127.0.0.1:3001/mcp 'note:///{id}' id=", "All values."),
    ],
    run: |parser| run(&[], complete::run, parser),
};

pub(super) const PING: Verb = Verb {
    name: "ping",
    about: "Measure how long a server takes to answer",
    usage: "ping TARGET [OPTIONS]",
    options: options!(
        "  --count N          How often [1]
  --ready            Ask /readyz of a URL: exit code 0 if it takes clients\n"
    ),
    examples: [
        ("ping http://127.0.0.1:3001/mcp --count 5", "Five times, with the mean."),
        ("ping http://127.0.0.1:3001/mcp --ready", "A health check, for a container."),
    ],
    run: |parser| run(&["count", "ready"], ping::run, parser),
};

pub(super) const WATCH: Verb = Verb {
    name: "watch",
    about: "Write every message to and from a server as it comes",
    usage: "watch TARGET [URI]... [OPTIONS]",
    options: options!(
        "It subscribes to changes of lists and of each URI and asks for all log messages,
until the server ends.
  --record FILE      Write the messages to this file too, as lines of JSON
  --answer K=V       Answer a question with this; --decline declines them all
  --color WHEN       Color the directions: always, never [auto; see NO_COLOR]\n"
    ),
    examples: [
        (
            "watch http://127.0.0.1:3001/mcp demo:///about",
            "A line for each message, with time and direction.",
        ),
        ("watch --record log.ndjson -- mcp-rill serve --stdio", "Also into a file."),
    ],
    run: |parser| run(&["record", "answer", "decline", "color"], watch::run, parser),
};

pub(super) const DOCTOR: Verb = Verb {
    name: "doctor",
    about: "Find out what works between here and a server",
    usage: "doctor TARGET [OPTIONS]",
    options: options!(
        "It checks address, connection, HTTP, authentication, Host and Origin, revision,\n\
         the first list, and how long the first event takes: a line each, with a remedy.\n"
    ),
    examples: [
        ("doctor http://127.0.0.1:3001/mcp", "A line for each check."),
        ("doctor mcp.json:far --timeout 5s", "An entry of a file, with little patience."),
    ],
    run: |parser| run(&[], doctor::run, parser),
};

/// Runs a verb with these options besides those of all verbs.
fn run(
    own: &[&str],
    verb: fn(&mut Options, &mut Output) -> Result<(), Failure>,
    mut parser: lexopt::Parser,
) -> Result<ExitCode, Failure> {
    let arguments: Vec<_> = parser.raw_args()?.collect();
    // Before the options are read: a mistake in them is an error in the same form.
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let done = Options::read(own, TIMEOUT, arguments).and_then(|mut options| {
        let mut output = Output::open(&options)?;
        verb(&mut options, &mut output)?;
        output.finish()
    });
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) if json => {
            output::report_json(&failure);
            Ok(ExitCode::from(failure.code))
        }
        // It is one line, whatever a server put into it.
        Err(failure) => Err(Failure { text: output::one_line(&failure.text), ..failure }),
    }
}
