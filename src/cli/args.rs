//! From arguments to a command.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::Arg;
use mcp_rill::net::Address;
use mcp_rill::{Limits, ProtectedResource, Settings};

use super::Failure;
use super::peers::Admission;

/// What is to be done.
#[derive(Debug)]
pub(super) enum Command {
    Help,
    HelpLimits,
    Version,
    Serve(Box<Serve>),
}

/// The options of `serve`.
#[derive(Debug, Default)]
pub(super) struct Serve {
    pub(super) listen: Vec<Address>,
    /// In the place of addresses.
    pub(super) stdio: bool,
    pub(super) admission: Admission,
    pub(super) token_file: Option<PathBuf>,
    pub(super) state_key_file: Option<PathBuf>,
    pub(super) log: bool,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
}

pub(super) const DEFAULT_ADDRESS: &str = "127.0.0.1:3001";

const USAGE: &str = "\
mcp-rill serves the Model Context Protocol over HTTP, or on standard input and output.

Usage: mcp-rill [serve] [OPTIONS]

With no options it serves a demo on http://127.0.0.1:3001/mcp, and to older clients on /sse.

Options:
  --listen ADDR         Listen on HOST:PORT or unix:PATH; may be given several times [127.0.0.1:3001]
  --stdio               Serve the program that started this one on standard input and output, one message a
                        line, until the input ends; goes with --log, --limit and --state-key-file alone
  --socket-mode MODE    The mode of Unix sockets, in octal digits [0600]
  --peer-uid            Bind sessions on Unix sockets to the user who opens them (Linux)
  --allow-uid UID       Serve only this user on Unix sockets; includes --peer-uid; may be given several
                        times (Linux)
  --mcp-path PATH       Where clients of Streamable HTTP connect to [/mcp]
  --sse-path PATH       Where clients of HTTP+SSE open their stream [/sse]
  --message-path PATH   Where clients of HTTP+SSE post their messages [/messages]
  --base-path PATH      What a reverse proxy puts in front of all paths
  --allow-host NAME     Allow requests to this host name; may be given several times
  --allow-origin ORIGIN Allow web pages of this origin (https://app.example); may be given several times
  --cors                Let web pages of allowed origins read answers
  --token-file FILE     Serve only requests with a bearer token of this file, one name:token a line
  --insecure-public     Listen on addresses that others can reach, without authentication
  --resource URL        This server's public URL, for OAuth clients (RFC 9728); needs --authorization-server
  --authorization-server URL   Where those clients get a token; may be given several times
  --scope NAME          A scope that they may ask for; may be given several times
  --node-id NAME        Begin session ids with this name, by which a proxy finds this process
  --sessionless         Keep no sessions for clients before 2026-07-28, so that any of several processes can
                        serve any request
  --state-key-file FILE Seal what clients of 2026-07-28 keep for the server with the key in this file, 32
                        hexadecimal digits; the same on every node. A second line: the key before it
  --log                 Write a line to standard error for each session, client without one, refusal, slow
                        reader and stray answer
  --limit NAME=VALUE    Change a limit (see below); once for each limit
  -h, --help [limits]   Show this, or what each limit means and what a client sees when it is reached
  -V, --version         Show the version

An option may be given once, except where it says several times. SIGHUP reads the files of tokens and keys
again; SIGINT and SIGTERM end the server when open calls are answered.

Exit codes: 0 after a shutdown, also when the grace ran out; a second signal ends it as that signal does (143
for SIGTERM); 2 for a mistake on the command line; 1 for any other failure.

Limits and their defaults:
";

/// The help text, with every limit.
pub(super) fn help() -> String {
    let mut text = USAGE.to_owned();
    for name in Limits::NAMES {
        let value = Limits::DEFAULT.get(name).unwrap_or_default();
        text.push_str(&format!("  {name:<27} {value}\n"));
    }
    text
}

/// What each limit means, with its default.
pub(super) fn help_limits() -> String {
    let mut text = String::from(
        "Limits of mcp-rill, set with --limit NAME=VALUE. A size is written like 4096, 64KiB or 4MiB, a time like\n\
         500ms, 10s, 30min or 1h, a count as a whole number.\n",
    );
    for name in Limits::NAMES {
        let value = Limits::DEFAULT.get(name).unwrap_or_default();
        text.push_str(&format!("\n{name} [{value}]\n"));
        let about = without_links(Limits::describe(name).unwrap_or_default());
        text.push_str(&wrapped(&about.replace('`', ""), 104));
    }
    text
}

/// The Markdown with the text of each link in the place of the link, which is of no use on a terminal.
fn without_links(markdown: &str) -> String {
    let (mut out, mut rest) = (String::new(), markdown);
    while let Some((before, target)) = rest.split_once("](") {
        out.push_str(before);
        rest = target.split_once(')').map_or("", |(_, after)| after);
    }
    out.push_str(rest);
    out.replace("[`", "").replace("`]", "").replace('[', "")
}

/// The text in lines of at most this many characters, each indented.
fn wrapped(text: &str, width: usize) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length <= width {
            out.push(' ');
            column += 1 + length;
        } else {
            out.push_str(if column > 0 { "\n    " } else { "    " });
            column = 4 + length;
        }
        out.push_str(word);
    }
    out + "\n"
}

/// Options that may be given more than once; `--limit` once for each limit.
const REPEATED: &[&str] =
    &["listen", "allow-uid", "allow-host", "allow-origin", "authorization-server", "scope", "limit"];

/// Options that have a meaning without HTTP.
const WITHOUT_HTTP: &[&str] = &["stdio", "state-key-file", "log", "limit", "help", "version"];

/// The options that were given so far.
#[derive(Default)]
struct Given(Vec<String>);

impl Given {
    /// An option that is given twice contradicts itself: a script would not see which one counts.
    fn once(&mut self, what: String) -> Result<(), Failure> {
        if self.0.contains(&what) {
            return Err(Failure::usage(format!("{what} is given twice; give it once")));
        }
        self.0.push(what);
        Ok(())
    }
}

/// Reads the arguments after the program's name.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut serve = Serve::default();
    let mut socket_mode = None;
    let mut resource =
        ProtectedResource { resource: String::new(), authorization_servers: Vec::new(), scopes: Vec::new() };
    let mut given = Given::default();
    let mut of_http = None;
    let mut first = true;
    while let Some(argument) = parser.next()? {
        if let Arg::Long(name) = argument
            && !REPEATED.contains(&name)
        {
            given.once(format!("--{name}"))?;
        }
        if let Arg::Long(name) = argument
            && !WITHOUT_HTTP.contains(&name)
        {
            of_http.get_or_insert_with(|| name.to_owned());
        }
        match argument {
            Arg::Short('h') | Arg::Long("help") => return help_topic(&mut parser),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Value(command) if first && command == "serve" => {}
            Arg::Value(command) if first => return Err(no_command(&command.to_string_lossy())),
            Arg::Long("listen") => serve.listen.push(listen_address(text(&mut parser)?)?),
            Arg::Long("stdio") => serve.stdio = true,
            Arg::Long("socket-mode") => socket_mode = Some(mode(&text(&mut parser)?)?),
            Arg::Long("peer-uid") => serve.admission.by_uid = true,
            Arg::Long("allow-uid") => serve.admission.uids.push(uid(&text(&mut parser)?)?),
            Arg::Long("mcp-path") => serve.settings.mcp_path = text(&mut parser)?,
            Arg::Long("sse-path") => serve.settings.sse_path = text(&mut parser)?,
            Arg::Long("message-path") => serve.settings.message_path = text(&mut parser)?,
            Arg::Long("base-path") => serve.settings.base_path = text(&mut parser)?,
            Arg::Long("allow-host") => serve.settings.hosts.push(text(&mut parser)?),
            Arg::Long("allow-origin") => serve.settings.origins.push(text(&mut parser)?),
            Arg::Long("cors") => serve.settings.cors = true,
            Arg::Long("sessionless") => serve.settings.sessionless = true,
            Arg::Long("token-file") => serve.token_file = Some(parser.value()?.into()),
            Arg::Long("state-key-file") => serve.state_key_file = Some(parser.value()?.into()),
            Arg::Long("log") => serve.log = true,
            Arg::Long("resource") => resource.resource = text(&mut parser)?,
            Arg::Long("authorization-server") => resource.authorization_servers.push(text(&mut parser)?),
            Arg::Long("scope") => resource.scopes.push(text(&mut parser)?),
            Arg::Long("node-id") => serve.settings.node_id = node_id(text(&mut parser)?)?,
            Arg::Long("insecure-public") => serve.settings.insecure_public = true,
            Arg::Long("limit") => {
                let assignment = text(&mut parser)?;
                let name = set_limit(&mut serve.limits, &assignment)?;
                given.once(format!("--limit {name}"))?;
            }
            other => return Err(unknown(&other)),
        }
        first = false;
    }
    match of_http {
        Some(option) if serve.stdio => {
            return Err(Failure::usage(format!(
                "--stdio and --{option} contradict each other: standard input and output have no HTTP; leave out one"
            )));
        }
        _ if serve.listen.is_empty() && !serve.stdio => serve.listen.push(DEFAULT_ADDRESS.into()),
        _ => {}
    }
    apply_to_sockets(&mut serve, socket_mode)?;
    if resource.resource.is_empty()
        && !(resource.authorization_servers.is_empty() && resource.scopes.is_empty())
    {
        return Err(Failure::usage("--authorization-server and --scope need --resource URL"));
    }
    serve.settings.resource = Some(resource).filter(|resource| !resource.resource.is_empty());
    Ok(Command::Serve(Box::new(serve)))
}

fn help_topic(parser: &mut lexopt::Parser) -> Result<Command, Failure> {
    let topic = match parser.optional_value() {
        Some(topic) => Some(topic),
        None => match parser.next()? {
            Some(Arg::Value(topic)) => Some(topic),
            _ => None,
        },
    };
    match topic {
        None => Ok(Command::Help),
        Some(topic) if topic == "limits" => Ok(Command::HelpLimits),
        Some(topic) => Err(Failure::usage(format!(
            "there is no help on `{}`; write --help, or --help limits",
            topic.to_string_lossy()
        ))),
    }
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    let value = parser.value()?;
    value.into_string().map_err(|value| Failure::usage(format!("`{}` is not UTF-8", value.to_string_lossy())))
}

fn unknown(argument: &Arg<'_>) -> Failure {
    let what = match argument {
        Arg::Short(letter) => format!("there is no option `-{letter}`"),
        Arg::Long(name) => format!("there is no option `--{name}`"),
        Arg::Value(word) => format!("unexpected argument `{}`", word.to_string_lossy()),
    };
    Failure::usage(format!("{what}; see `mcp-rill --help`"))
}

fn no_command(name: &str) -> Failure {
    Failure::usage(format!("there is no command `{name}`; the only one is `serve`. See `mcp-rill --help`"))
}

fn listen_address(text: String) -> Result<Address, Failure> {
    match text.as_str() {
        "unix:" => Err(Failure::usage(
            "--listen unix: the path is missing; write unix:PATH, such as unix:/run/mcp/s",
        )),
        _ => Ok(text.into()),
    }
}

fn mode(digits: &str) -> Result<u32, Failure> {
    let octal = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777);
    mode.ok_or_else(|| {
        Failure::usage(format!("--socket-mode {digits}: write octal digits up to 0777, such as 0660"))
    })
}

fn uid(digits: &str) -> Result<u32, Failure> {
    digits.parse().map_err(|_| Failure::usage(format!("--allow-uid {digits}: write a number, such as 1000")))
}

/// An empty one would be none, and is what a script makes of a variable that is not set.
fn node_id(name: String) -> Result<String, Failure> {
    match name.is_empty() {
        true => Err(Failure::usage("--node-id is empty: name this process, or leave the option out")),
        false => Ok(name),
    }
}

/// What was said of Unix sockets is said of each; of none it would have no effect.
fn apply_to_sockets(serve: &mut Serve, socket_mode: Option<u32>) -> Result<(), Failure> {
    let mut count = 0;
    for address in &mut serve.listen {
        if let Address::Unix { mode, .. } = address {
            *mode = socket_mode.unwrap_or(*mode);
            count += 1;
        }
    }
    serve.admission.check()?;
    let Admission { uids, by_uid } = &serve.admission;
    let options = [
        ("--socket-mode", socket_mode.is_some()),
        ("--peer-uid", *by_uid),
        ("--allow-uid", !uids.is_empty()),
    ];
    match options.iter().find(|(_, given)| *given && count == 0) {
        Some((option, _)) => {
            Err(Failure::usage(format!("{option} is about Unix sockets, and there is no --listen unix:PATH")))
        }
        None => Ok(()),
    }
}

/// Returns the name of the limit that was set.
fn set_limit<'a>(limits: &mut Limits, assignment: &'a str) -> Result<&'a str, Failure> {
    let Some((name, value)) = assignment.split_once('=') else {
        return Err(Failure::usage(format!(
            "--limit {assignment}: write NAME=VALUE, such as sessions_max=64; see `mcp-rill --help limits`"
        )));
    };
    limits.set(name, value).map_err(|problem| Failure::usage(format!("--limit: {problem}")))?;
    Ok(name)
}
