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
    Version,
    Serve(Box<Serve>),
}

/// The options of `serve`.
#[derive(Debug, Default)]
pub(super) struct Serve {
    pub(super) listen: Vec<Address>,
    pub(super) admission: Admission,
    pub(super) token_file: Option<PathBuf>,
    pub(super) state_key_file: Option<PathBuf>,
    pub(super) log: bool,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
}

pub(super) const DEFAULT_ADDRESS: &str = "127.0.0.1:3001";

const USAGE: &str = "\
mcp-rill serves the Model Context Protocol over HTTP.

Usage: mcp-rill [serve] [OPTIONS]

With no options it serves a demo on http://127.0.0.1:3001/mcp, and to older clients on /sse.

Options:
  --listen ADDR         Listen on HOST:PORT or unix:PATH; may be given several times [127.0.0.1:3001]
  --socket-mode MODE    The mode of Unix sockets, in octal digits [0600]
  --peer-uid            Bind sessions on Unix sockets to the user who opens them (Linux)
  --allow-uid UID       The same, and refuse all other users; may be given several times (Linux)
  --mcp-path PATH       Where clients of Streamable HTTP connect to [/mcp]
  --sse-path PATH       Where clients of HTTP+SSE open their stream [/sse]
  --message-path PATH   Where clients of HTTP+SSE post their messages [/messages]
  --base-path PATH      What a reverse proxy puts in front of all paths
  --allow-host NAME     Allow requests to this host name; may be given several times
  --allow-origin ORIGIN Allow web pages of this origin (https://app.example); may be given several times
  --cors                Let web pages of allowed origins read answers
  --token-file FILE     Let in only who sends a bearer token of this file, one name:token a line; SIGHUP
                        reads it again
  --insecure-public     Listen on addresses that others can reach, without authentication
  --resource URL        Tell clients that tokens are made for this URL (RFC 9728), and with the next two
  --authorization-server URL   where to get one; may be given several times
  --scope NAME          which scopes there are; may be given several times
  --node-id NAME        Begin session ids with this name, by which a proxy finds this process
  --state-key-file FILE Seal what clients of 2026-07-28 keep for the server with the key in this file, 32
                        hexadecimal digits; the same on every node. A second line: the key before it
  --log                 Write a line to standard error for each session, refused request and slow reader
  --limit NAME=VALUE    Change a limit (see below); may be given several times
  -h, --help            Show this
  -V, --version         Show the version

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

/// Reads the arguments after the program's name.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Failure> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut serve = Serve::default();
    let mut socket_mode = None;
    let mut resource =
        ProtectedResource { resource: String::new(), authorization_servers: Vec::new(), scopes: Vec::new() };
    let mut first = true;
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Value(command) if first && command == "serve" => {}
            Arg::Long("listen") => serve.listen.push(text(&mut parser)?.into()),
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
            Arg::Long("token-file") => serve.token_file = Some(parser.value()?.into()),
            Arg::Long("state-key-file") => serve.state_key_file = Some(parser.value()?.into()),
            Arg::Long("log") => serve.log = true,
            Arg::Long("resource") => resource.resource = text(&mut parser)?,
            Arg::Long("authorization-server") => resource.authorization_servers.push(text(&mut parser)?),
            Arg::Long("scope") => resource.scopes.push(text(&mut parser)?),
            Arg::Long("node-id") => serve.settings.node_id = node_id(text(&mut parser)?)?,
            Arg::Long("insecure-public") => serve.settings.insecure_public = true,
            Arg::Long("limit") => set_limit(&mut serve.limits, &text(&mut parser)?)?,
            other => return Err(Failure(format!("{}; see `mcp-rill --help`", other.unexpected()))),
        }
        first = false;
    }
    if serve.listen.is_empty() {
        serve.listen.push(DEFAULT_ADDRESS.into());
    }
    apply_to_sockets(&mut serve, socket_mode)?;
    if resource.resource.is_empty()
        && !(resource.authorization_servers.is_empty() && resource.scopes.is_empty())
    {
        return Err(Failure("--authorization-server and --scope need --resource URL".to_owned()));
    }
    serve.settings.resource = Some(resource).filter(|resource| !resource.resource.is_empty());
    Ok(Command::Serve(Box::new(serve)))
}

fn text(parser: &mut lexopt::Parser) -> Result<String, Failure> {
    let value = parser.value()?;
    value.into_string().map_err(|value| Failure(format!("`{}` is not UTF-8", value.to_string_lossy())))
}

fn mode(digits: &str) -> Result<u32, Failure> {
    let octal = !digits.is_empty() && digits.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| octal && *mode <= 0o777);
    mode.ok_or_else(|| {
        Failure(format!("--socket-mode {digits}: write octal digits up to 0777, such as 0660"))
    })
}

fn uid(digits: &str) -> Result<u32, Failure> {
    digits.parse().map_err(|_| Failure(format!("--allow-uid {digits}: write a number, such as 1000")))
}

/// An empty one would be none, and is what a script makes of a variable that is not set.
fn node_id(name: String) -> Result<String, Failure> {
    match name.is_empty() {
        true => Err(Failure("--node-id is empty: name this process, or leave the option out".to_owned())),
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
            Err(Failure(format!("{option} is about Unix sockets, and there is no --listen unix:PATH")))
        }
        None => Ok(()),
    }
}

fn set_limit(limits: &mut Limits, assignment: &str) -> Result<(), Failure> {
    let Some((name, value)) = assignment.split_once('=') else {
        return Err(Failure(format!("--limit {assignment}: write NAME=VALUE, such as sessions_max=64")));
    };
    limits.set(name, value).map_err(Failure)
}
