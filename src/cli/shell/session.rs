//! A connection to a server for one verb: who it is, one request with what the server asks and tells meanwhile, and what went
//! wrong in a line with a remedy.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::access::auth::hook::is_token68;
use crate::cli::Failure;
use crate::cli::secrets::SecretFile;
use crate::cli::shell::in_process::InProcess;
use crate::cli::shell::notices::BarLine;
use crate::cli::shell::options::{Era, Options, header};
use crate::cli::shell::questions::{Asker, Unanswered};
use crate::cli::shell::target::Target;
use crate::client::deadline::after;
use crate::client::error::Error;
use crate::client::options::Builder;
use crate::client::{Client, Received};
use crate::json::tape::Tape;
use crate::json::value::JsonRef;
use crate::json::write::Object;
use crate::protocol::revision::Revision;
use crate::text::{nearest, printable};

/// The exit code for a server that wants to know who asks.
pub(super) const AUTHENTICATION: u8 = 3;
/// The exit code if there is no connection to an MCP server.
pub(super) const CONNECTION: u8 = 4;
/// The exit code for a tool that says that it failed.
const TOOL: u8 = 5;

/// What the client can answer (MCP 2025-11-25 and 2026-07-28, elicitation; before, an empty object means forms).
const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}}}"#;

pub(super) struct Session {
    pub(super) client: Client,
    place: String,
    timeout: Duration,
    unanswered: Arc<Mutex<Option<Unanswered>>>,
    bar: BarLine,
    /// The server, if it is in this process. It ends after the client.
    _in_process: Option<InProcess>,
}

impl Session {
    /// Connects to the target of the options.
    pub(super) fn open(options: &mut Options) -> Result<Session, Failure> {
        Session::open_with(options, |builder| builder)
    }

    /// Connects with settings besides those of all verbs.
    pub(super) fn open_with(
        options: &mut Options,
        more: impl FnOnce(Builder) -> Builder,
    ) -> Result<Session, Failure> {
        let target = std::mem::take(&mut options.target);
        let place = target.shown();
        let unanswered = Arc::new(Mutex::new(None));
        let bar = BarLine::default();
        let mut asker = Asker::new(options, unanswered.clone(), bar.clone());
        let mut builder = Client::builder()
            .client_info("mcp-rill", env!("CARGO_PKG_VERSION"))
            .capabilities(CAPABILITIES)
            .connect_timeout(options.timeout)
            .request_timeout(options.timeout)
            .on_request(move |method, params| asker.answer(method, params))
            .on_notification(bar.writer(options.json));
        for (name, value) in fields(options)? {
            builder = builder.header(name, value);
        }
        builder = more(builder);
        let mut in_process = None;
        let connected = match target {
            Target::Url(url, headers) => {
                let builder =
                    headers.into_iter().fold(builder, |builder, (name, value)| builder.header(name, value));
                builder.transport(options.era.transport()).connect(&url)
            }
            Target::Manifest(path) => {
                let builder = without_http(builder, options)?;
                let (socket, server) = InProcess::start(&path, options.json)?;
                in_process = Some(server);
                builder.connect_socket(socket)
            }
            Target::Command(mut command) => {
                if options.json {
                    // Standard error has one line of JSON.
                    command.stderr(Stdio::null());
                }
                without_http(builder, options)?.spawn(command)
            }
        };
        let (timeout, unanswered) = (options.timeout, unanswered);
        match connected {
            Ok(client) => Ok(Session { client, place, timeout, unanswered, bar, _in_process: in_process }),
            Err(error) => Err(explain(&place, &error, timeout, CONNECTION)),
        }
    }

    /// Sends a request and waits for its result, which has to have one of these members. A server that asks or tells something
    /// is alive, and has its time anew.
    pub(super) fn request(
        &mut self,
        method: &str,
        params: &str,
        members: &[&str],
    ) -> Result<Box<RawValue>, Failure> {
        let outcome = self.ask(method, params);
        self.bar.clear();
        if let Some(unanswered) = self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(Failure { text: unanswered.text, code: if unanswered.is_usage { 2 } else { 1 } });
        }
        let result = outcome.map_err(|error| self.failure(&error))?;
        let mut tape = Tape::new();
        let found = tape.read(result.get()).unwrap_or(JsonRef::NULL);
        match members.iter().any(|member| found.get(member).is_some()) {
            true => Ok(result),
            false => {
                let (place, members) = (&self.place, members.join("` or `"));
                Err(Failure::system(format!("{place}: the server's answer to {method} has no `{members}`")))
            }
        }
    }

    fn ask(&mut self, method: &str, params: &str) -> Result<Box<RawValue>, Error> {
        let id = self.client.send(method, Some(params))?;
        let (mut deadline, mut trouble) = (after(self.timeout), None);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.client.next_message(left) {
                Ok(Some(Received::Answer { id: answered, outcome })) if answered == id => return outcome,
                Ok(Some(Received::Answer { .. } | Received::Unsubscribed)) => {}
                Ok(Some(Received::Request { .. } | Received::Notification { .. })) => {
                    if self.unanswered.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                        self.client.cancel_briefly(&id, "the question was not answered");
                        return Err(Error::Closed);
                    }
                    deadline = after(self.timeout);
                }
                Ok(None) if Instant::now() >= deadline => {
                    self.client.cancel_briefly(&id, "timed out");
                    return Err(trouble.unwrap_or(Error::Timeout));
                }
                // No connection is open: what is not there cannot be waited for.
                Ok(None) => return Err(trouble.unwrap_or(Error::Closed)),
                // The first one may be that of another stream, without which the answer comes all the same.
                Err(error) if trouble.is_none() => trouble = Some(error),
                Err(error) => return Err(error),
            }
        }
    }

    /// All items of a list.
    pub(super) fn list(&mut self, method: &str) -> Result<Vec<Box<RawValue>>, Failure> {
        self.client.list(method).map_err(|error| self.failure(&error))
    }

    /// True if the server has this capability, such as `tools`.
    pub(super) fn can(&self, capability: &str) -> bool {
        let capabilities = self.client.initialize_result().and_then(|welcome| welcome.get("capabilities"));
        capabilities.is_some_and(|capabilities| capabilities.get(capability).is_some_and(JsonRef::is_object))
    }

    /// Returns an error of the client for a person.
    pub(super) fn failure(&self, error: &Error) -> Failure {
        explain(&self.place, error, self.timeout, 1)
    }
}

/// A tool has failed, and says this.
pub(super) fn tool_failed(name: &str, text: &str) -> Failure {
    Failure { text: format!("the tool `{name}` failed: {text}"), code: TOOL }
}

/// The settings for a server that is started here.
fn without_http(builder: Builder, options: &Options) -> Result<Builder, Failure> {
    if options.token_file.is_some() || options.header_file.is_some() || !options.headers.is_empty() {
        return Err(Failure::usage(
            "--token-file and --header are about HTTP, which a server that is started here does not speak; leave them out",
        ));
    }
    match options.era {
        Era::Auto => Ok(builder),
        Era::Stateless => Ok(builder.transport(options.era.transport())),
        Era::Sessions => Ok(builder.revision(Revision::NEWEST_WITH_SESSIONS.name())),
        Era::Sse => Err(Failure::usage(
            "--era sse is about HTTP, which a server that is started here does not speak; write --era 2025",
        )),
    }
}

/// The header fields of the options and files.
pub(super) fn fields(options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let mut fields = options.headers.clone();
    if let Some(path) = &options.header_file {
        fields.extend(header_file(path)?);
    }
    if let Some(path) = &options.token_file {
        fields.push(("Authorization".to_owned(), format!("Bearer {}", token_file(path)?)));
    }
    Ok(fields)
}

/// The header fields in a file, one a line.
pub(in crate::cli) fn header_file(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let bad = |why: String| Failure::usage(format!("--header-file {}: {why}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines.map(|(at, line)| header(line).map_err(|why| bad(format!("line {}: {why}", at + 1)))).collect()
}

/// The token in a file.
pub(in crate::cli) fn token_file(path: &Path) -> Result<String, Failure> {
    let (file, text) = SecretFile::open(path.to_owned(), "--token-file", "token", "one token")?;
    match text.trim() {
        token if token.is_empty() || token.contains(char::is_whitespace) => {
            Err(file.failure("it has to have one token and nothing else"))
        }
        token if !is_token68(token) => {
            let why = "a token has A-Z a-z 0-9 - . _ ~ + / and `=` at its end; a line `name:token` is for the server, write the token alone";
            Err(file.failure(why))
        }
        token => Ok(token.to_owned()),
    }
}

/// The error in a line, with what to do about it.
fn explain(place: &str, error: &Error, timeout: Duration, code: u8) -> Failure {
    let text = error.to_string();
    let text = if text.contains(place) { text } else { format!("{place}: {text}") };
    match error {
        Error::Invalid(_) => Failure::usage(text),
        Error::Http { status: 401 | 407, .. } => {
            Failure { text: format!("{text}; give a token with --token-file"), code: AUTHENTICATION }
        }
        Error::Timeout => {
            Failure { text: format!("{text} ({} s; see --timeout)", timeout.as_secs_f64()), code }
        }
        Error::Rpc(error) if code == CONNECTION => {
            Failure { text: format!("{place}: the server refuses to begin: {error}"), code }
        }
        Error::Rpc(_) => Failure { text, code: 1 },
        _ => Failure { text, code },
    }
}

/// Returns the item with this name.
pub(super) fn find<'i>(kind: &str, name: &str, items: &'i [Box<RawValue>]) -> Result<&'i str, Failure> {
    let mut names = Vec::new();
    for item in items {
        let mut tape = Tape::new();
        let own = tape.read(item.get()).ok().and_then(|item| item.get("name")).and_then(JsonRef::as_str);
        match own {
            Some(own) if own == name => return Ok(item.get()),
            own => names.extend(own.map(|own| printable(&own))),
        }
    }
    let (names, name): (Vec<&str>, String) = (names.iter().map(String::as_str).collect(), printable(name));
    Err(Failure::usage(match nearest(&name, &names) {
        Some(meant) => format!("the server has no {kind} `{name}`; did you mean `{meant}`?"),
        None => format!("the server has no {kind} `{name}`; `list` shows what it has"),
    }))
}

/// The params of a request with a name and arguments.
pub(super) fn params(write: impl for<'p, 'o> FnOnce(&'p mut Object<'o>) -> &'p mut Object<'o>) -> String {
    let mut out = Vec::new();
    write(&mut Object::new(&mut out));
    String::from_utf8_lossy(&out).into_owned()
}
