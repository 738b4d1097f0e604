//! From the arguments of a program that serves to what it does.
//!
//! *Scope:* the options that all such programs have, and those that an author adds. *Not in scope:* their help (`help`), and
//! the names and values of limits: `--limit NAME=VALUE` goes to [`Limits::set`], which knows every field of [`Limits`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use super::activation::is_announced;
use super::help::{OPTIONS, is_left_out};
use super::identity::IdentityHeader;
use super::log::options::{Format, LogOptions, Severity};
use super::messages::left_out;
use super::peers::Admission;
use crate::access::auth::resource::ProtectedResource;
use crate::access::settings::Settings;
use crate::limits::Limits;
use crate::net::listen::Address;
use crate::text::nearest;
use lexopt::Arg;

/// What the arguments ask for.
#[derive(Debug)]
pub(super) enum Task {
    Help,
    HelpLimits,
    Version,
    Serve(Box<Serve>),
}

/// What a program accepts besides the options of all programs.
pub(super) struct Syntax<'a> {
    /// The program's name, for errors.
    pub(super) program: &'a str,
    /// True if the first argument that is no option names a manifest.
    pub(super) takes_manifest: bool,
    pub(super) own: &'a [OwnOption],
}

/// An option that an author adds.
#[derive(Debug)]
pub(super) struct OwnOption {
    /// Without the dashes.
    pub(super) name: String,
    /// What the help calls its value; `None` for an option without one.
    pub(super) value: Option<String>,
    pub(super) about: String,
}

/// How a server is to be served.
#[derive(Debug, Default)]
pub(super) struct Serve {
    pub(super) manifest: Option<PathBuf>,
    /// The author's options that were given, with their values.
    pub(super) own: Vec<(String, String)>,
    pub(super) listen: Vec<Address>,
    /// For health checks alone.
    pub(super) health_listen: Option<Address>,
    /// True to serve standard input and output instead of addresses.
    pub(super) stdio: bool,
    pub(super) admission: Admission,
    pub(super) token_file: Option<PathBuf>,
    pub(super) identity_header: Option<IdentityHeader>,
    /// How long it serves on after a signal.
    pub(super) drain_delay: Duration,
    pub(super) idle_exit: Option<Duration>,
    pub(super) state_key_file: Option<PathBuf>,
    pub(super) log: LogOptions,
    pub(super) metrics: bool,
    /// True to serve the console at `/`.
    pub(super) console: bool,
    pub(super) settings: Settings,
    pub(super) limits: Limits,
}

pub(super) const DEFAULT_ADDRESS: &str = "127.0.0.1:3001";

/// Options that may be given more than once; `--limit` once for each limit.
const REPEATED: &[&str] =
    &["listen", "allow-uid", "allow-host", "allow-origin", "authorization-server", "scope", "limit"];

/// Options that have a meaning without HTTP.
const WITHOUT_HTTP: &[&str] =
    &["stdio", "state-key-file", "log", "log-level", "log-arguments", "limit", "help", "version"];

/// The options that all programs have.
pub(super) fn names<'a>() -> impl Iterator<Item = &'a str> {
    let words = OPTIONS.split([' ', '\n']);
    let names = words.filter_map(|word| word.strip_prefix("--"));
    names.filter(|name| !name.is_empty() && !is_left_out(name))
}

impl Syntax<'_> {
    fn misused(&self, problem: &str) -> Failure {
        Failure::usage(format!("{problem}; see `{} --help`", self.program))
    }

    fn unknown(&self, argument: &Arg<'_>) -> Failure {
        let name = match argument {
            Arg::Short(letter) => return self.misused(&format!("there is no option `-{letter}`")),
            Arg::Value(word) => {
                return self.misused(&format!("unexpected argument `{}`", word.to_string_lossy()));
            }
            Arg::Long(name) => name,
        };
        let known: Vec<&str> = names().chain(self.own.iter().map(|own| own.name.as_str())).collect();
        match nearest(name, &known) {
            Some(near) => Failure::usage(format!("there is no option `--{name}`; did you mean `--{near}`?")),
            None => self.misused(&format!("there is no option `--{name}`")),
        }
    }
}

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

    fn has(&self, what: &str) -> bool {
        self.0.iter().any(|given| given == what)
    }

    /// The first of several takes the place of what the manifest says.
    fn first_of(&mut self, name: &str, serve: &mut Serve) {
        if self.0.iter().any(|given| given == name) {
            return;
        }
        self.0.push(name.to_owned());
        match name {
            "listen" => serve.listen.clear(),
            "allow-host" => serve.settings.hosts.clear(),
            "allow-origin" => serve.settings.origins.clear(),
            _ => {}
        }
    }
}

/// Reads the arguments after the program's name. Options take the place of what is in `serve`.
pub(super) fn parse(
    syntax: &Syntax<'_>,
    arguments: impl IntoIterator<Item = OsString>,
    mut serve: Serve,
) -> Result<Task, Failure> {
    let mut parser = lexopt::Parser::from_args(arguments);
    serve.manifest = None;
    let mut socket_mode = None;
    let mut resource =
        ProtectedResource { resource: String::new(), authorization_servers: Vec::new(), scopes: Vec::new() };
    let mut given = Given::default();
    let mut of_http = None;
    while let Some(argument) = parser.next().map_err(|problem| syntax.misused(&problem.to_string()))? {
        let own = match argument {
            Arg::Long(name) => syntax.own.iter().find(|own| own.name == name),
            _ => None,
        };
        if let Arg::Long(name) = argument {
            match REPEATED.contains(&name) {
                true => given.first_of(name, &mut serve),
                false => given.once(format!("--{name}"))?,
            }
            if own.is_none() && !WITHOUT_HTTP.contains(&name) {
                of_http.get_or_insert_with(|| name.to_owned());
            }
        }
        if let Some(own) = own {
            let value = if own.value.is_some() { text(&mut parser)? } else { String::new() };
            serve.own.push((own.name.clone(), value));
            continue;
        }
        match argument {
            Arg::Long(name) if is_left_out(name) => {
                return Err(Failure::usage(left_out("operations", &format!("has no option `--{name}`"))));
            }
            Arg::Short('h') | Arg::Long("help") => return help_topic(&mut parser),
            Arg::Short('V') | Arg::Long("version") => return Ok(Task::Version),
            Arg::Value(path) if syntax.takes_manifest && serve.manifest.is_none() => {
                serve.manifest = Some(path.into());
            }
            Arg::Long("listen") => serve.listen.push(address_of("--listen", text(&mut parser)?)?),
            Arg::Long("stdio") => serve.stdio = true,
            Arg::Long("health") => serve.settings.health = true,
            Arg::Long("health-listen") => {
                serve.health_listen = Some(address_of("--health-listen", text(&mut parser)?)?);
            }
            Arg::Long("metrics") => serve.metrics = true,
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
            Arg::Long("identity-header") => {
                serve.identity_header = Some(IdentityHeader::new(text(&mut parser)?)?);
            }
            Arg::Long("drain-delay") => serve.drain_delay = time("--drain-delay", &text(&mut parser)?)?,
            Arg::Long("idle-exit") => {
                let after = time("--idle-exit", &text(&mut parser)?)?;
                serve.idle_exit = Some(after).filter(|after| !after.is_zero());
            }
            Arg::Long("state-key-file") => serve.state_key_file = Some(parser.value()?.into()),
            Arg::Long("log") => serve.log.format = log_format(&mut parser)?,
            Arg::Long("log-level") => serve.log.level = log_level(&text(&mut parser)?)?,
            Arg::Long("log-arguments") => serve.log.arguments = true,
            Arg::Long("console") => serve.console = true,
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
            other => return Err(syntax.unknown(&other)),
        }
    }
    match of_http {
        Some(option) if serve.stdio => {
            return Err(Failure::usage(format!(
                "--stdio and --{option} contradict each other: standard input and output have no HTTP; leave out one"
            )));
        }
        _ => {}
    }
    if let (Some(_), Some(file)) = (&serve.identity_header, &serve.token_file) {
        let file = file.display();
        return Err(Failure::usage(format!(
            "--identity-header and the token file {file} both say who asks; leave out one"
        )));
    }
    if serve.log.format.is_none()
        && let Some(option) = ["--log-level", "--log-arguments"].iter().find(|name| given.has(name))
    {
        return Err(Failure::usage(format!("{option} is about the log; add --log")));
    }
    apply_to_sockets(&mut serve, socket_mode)?;
    if resource.resource.is_empty()
        && !(resource.authorization_servers.is_empty() && resource.scopes.is_empty())
    {
        return Err(Failure::usage("--authorization-server and --scope need --resource URL"));
    }
    if !resource.resource.is_empty() {
        serve.settings.resource = Some(resource);
    }
    Ok(Task::Serve(Box::new(serve)))
}

fn help_topic(parser: &mut lexopt::Parser) -> Result<Task, Failure> {
    let topic = match parser.optional_value() {
        Some(topic) => Some(topic),
        None => match parser.next()? {
            Some(Arg::Value(topic)) => Some(topic),
            _ => None,
        },
    };
    match topic {
        None => Ok(Task::Help),
        Some(topic) if topic == "options" => Ok(Task::Help),
        Some(topic) if topic == "limits" => Ok(Task::HelpLimits),
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

/// The value of `--log`, which may be left out. The next argument is one only if it is the name of a form: a manifest may follow.
fn log_format(parser: &mut lexopt::Parser) -> Result<Option<Format>, Failure> {
    if let Some(value) = parser.optional_value() {
        let known = value.to_str().and_then(Format::named);
        return known.ok_or_else(|| {
            let names = Format::NAMES.join(", ");
            Failure::usage(format!("--log={}: write one of {names}; see --help", value.to_string_lossy()))
        });
    }
    let mut rest = parser.raw_args()?;
    let known = rest.peek().and_then(|next| next.to_str()).and_then(Format::named);
    if known.is_some() {
        rest.next();
    }
    Ok(known.unwrap_or(Some(Format::Text)))
}

fn time(option: &str, text: &str) -> Result<Duration, Failure> {
    let mut limits = Limits::DEFAULT;
    // Times are written as those of limits, and this one takes every time.
    let read = limits.set("shutdown_grace", text).map(|()| limits.shutdown_grace);
    read.map_err(|_| Failure::usage(format!("{option} {text}: write a time such as 500ms, 5s or 10min")))
}

fn log_level(name: &str) -> Result<Severity, Failure> {
    Severity::named(name)
        .ok_or_else(|| Failure::usage(format!("--log-level {name}: write one of error, warning, info")))
}

fn address_of(option: &str, text: String) -> Result<Address, Failure> {
    match text.as_str() {
        "unix:" => Err(Failure::usage(format!(
            "{option} unix: the path is missing; write unix:PATH, such as unix:/run/mcp/s"
        ))),
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

/// An empty name would mean none, and is what a script passes if a variable is not set.
fn node_id(name: String) -> Result<String, Failure> {
    match name.is_empty() {
        true => Err(Failure::usage("--node-id is empty: name this process, or leave the option out")),
        false => Ok(name),
    }
}

/// Options about Unix sockets apply to each of them. Without one they would have no effect, which is an error.
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
        // One that is handed over may be a Unix socket.
        Some((option, _)) if *option == "--socket-mode" || !is_announced() => {
            Err(Failure::usage(format!("{option} is about Unix sockets, and there is no --listen unix:PATH")))
        }
        _ => Ok(()),
    }
}

/// Returns the name of the limit that was set.
fn set_limit<'a>(limits: &mut Limits, assignment: &'a str) -> Result<&'a str, Failure> {
    let Some((name, value)) = assignment.split_once('=') else {
        return Err(Failure::usage(format!(
            "--limit {assignment}: write NAME=VALUE, such as sessions_max=64; see --help limits"
        )));
    };
    limits.set(name, value).map_err(|problem| Failure::usage(format!("--limit: {problem}")))?;
    Ok(name)
}
