//! `doctor`: what works between here and a server, step by step, and a remedy for what does not.
//!
//! *Scope:* the order of the checks, and what each outcome means. *Not in scope:* requests that no client sends (`probe`).
//!
//! ```text
//!  address ──▶ connect ──▶ HTTP, authentication ──▶ Host, Origin ──▶ revision ──▶ list ──▶ first event
//!     └───────────┴──────────────┴──────────────────────────────────────┴─ failed: nothing behind it can be told
//! ```

use std::fmt::Write;
use std::net::ToSocketAddrs;
use std::os::unix::fs::FileTypeExt;
use std::time::{Duration, Instant};

use crate::cli::Failure;
use crate::cli::shell::options::Options;
use crate::cli::shell::output::{Output, one_line};
use crate::cli::shell::probe::Probe;
use crate::cli::shell::session::{AUTHENTICATION, CONNECTION, Session, fields};
use crate::cli::shell::target::Target;
use crate::client::error::Error;
use crate::client::socket::Socket;
use crate::client::transport::Transport;
use crate::client::url::Url;
use crate::json::value::JsonRef;
use crate::json::write::{Array, Object};
use crate::protocol::revision::Revision;
use crate::text::printable;

/// A host that no server is reached by (RFC 6761 §6.4).
const STRANGER: &str = "stranger.invalid";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warning,
    Failed,
    Skipped,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
            Outcome::Skipped => "skipped",
        }
    }
}

struct Check {
    name: &'static str,
    outcome: Outcome,
    detail: String,
    /// What to do about it; nothing if it is well.
    remedy: String,
}

/// The checks so far, which are written as they are made.
struct Report<'o> {
    checks: Vec<Check>,
    output: &'o mut Output,
    json: bool,
    /// The exit code of the first check that failed.
    code: Option<u8>,
}

impl Report<'_> {
    fn add(
        &mut self,
        name: &'static str,
        outcome: Outcome,
        detail: impl Into<String>,
        remedy: &str,
    ) -> Result<(), Failure> {
        let (detail, remedy) = (one_line(&detail.into()), remedy.to_owned());
        if !self.json {
            let mut line = format!("{:<8} {name}: {detail}", outcome.name());
            if !remedy.is_empty() {
                // Writing to a string cannot fail.
                let _ = write!(line, "; {remedy}");
            }
            self.output.line(&line)?;
            self.output.flush()?;
        }
        self.checks.push(Check { name, outcome, detail, remedy });
        Ok(())
    }

    fn fail(
        &mut self,
        name: &'static str,
        detail: impl Into<String>,
        remedy: &str,
        code: u8,
    ) -> Result<(), Failure> {
        self.code.get_or_insert(code);
        self.add(name, Outcome::Failed, detail, remedy)
    }

    fn finish(self) -> Result<(), Failure> {
        if self.json {
            let mut out = Vec::new();
            Object::new(&mut out).field("checks", |out| {
                let mut list = Array::new(out);
                for check in &self.checks {
                    list.item(|out| {
                        let mut object = Object::new(out);
                        object.str("name", check.name).str("outcome", check.outcome.name());
                        object.str("detail", &check.detail);
                        object.opt_str(
                            "remedy",
                            Some(check.remedy.as_str()).filter(|remedy| !remedy.is_empty()),
                        );
                    });
                }
            });
            self.output.json(&String::from_utf8_lossy(&out))?;
        }
        let Some(code) = self.code else { return Ok(()) };
        self.output.flush()?;
        let failed = self.checks.iter().find(|check| check.outcome == Outcome::Failed);
        let failed = failed.map(|check| format!("{}: {}; {}", check.name, check.detail, check.remedy));
        Err(Failure { text: failed.unwrap_or_default(), code })
    }
}

pub(super) fn run(options: &mut Options, output: &mut Output) -> Result<(), Failure> {
    options.no_more_words()?;
    let json = options.json;
    let mut report = Report { checks: Vec::new(), output, json, code: None };
    let goes_on = match &options.target {
        Target::Url(text, more) => {
            let (text, mut fields) = (text.clone(), fields(options)?);
            fields.extend(more.iter().cloned());
            check_http(&text, &fields, options.timeout, &mut report)?
        }
        _ => true,
    };
    if goes_on {
        check_protocol(options, &mut report)?;
    }
    report.finish()
}

/// Checks all below MCP. Returns true if the rest can be checked.
fn check_http(
    text: &str,
    fields: &[(String, String)],
    timeout: Duration,
    report: &mut Report<'_>,
) -> Result<bool, Failure> {
    let url = Url::read(text).map_err(|error| Failure::usage(error.to_string()))?;
    if !check_address(&url, report)? {
        return Ok(false);
    }
    let begun = Instant::now();
    match Socket::connect(&url, begun + timeout) {
        Ok(_) => report.add("connect", Outcome::Ok, format!("in {}", ms(begun.elapsed())), "")?,
        Err(error) => {
            let remedy = match &url.socket {
                Some(_) => "is the server running, and may this user write to its socket?",
                None => "is the server running, is that its port, and does no firewall stand between?",
            };
            report.fail("connect", error.to_string(), remedy, CONNECTION)?;
            return Ok(false);
        }
    }
    let probe = Probe::new(&url, fields, timeout)?;
    let own = match probe.status(&url.authority(), None, true) {
        Ok(status) => status,
        Err(error) => {
            let remedy = match error {
                Error::Timeout => {
                    "the server takes connections and answers none: is it overloaded, or no server of HTTP?"
                }
                _ => "is that the port of a server of HTTP?",
            };
            report.fail("HTTP", error.to_string(), remedy, CONNECTION)?;
            return Ok(false);
        }
    };
    report.add(
        "HTTP",
        Outcome::Ok,
        format!("the server answers, with {own} to a ping without a session"),
        "",
    )?;
    if !check_authentication(&probe, own, &url, !fields.is_empty(), report)? {
        return Ok(false);
    }
    check_refusals(&probe, own, &url, report)
}

fn check_address(url: &Url, report: &mut Report<'_>) -> Result<bool, Failure> {
    if let Some(path) = &url.socket {
        let found = std::fs::metadata(path);
        return match found {
            Ok(found) if found.file_type().is_socket() => {
                report.add("address", Outcome::Ok, format!("{} is a socket", path.display()), "")?;
                Ok(true)
            }
            Ok(_) => {
                let detail = format!("{} is not a socket", path.display());
                report.fail("address", detail, "name the path that the server listens on", CONNECTION)?;
                Ok(false)
            }
            Err(error) => {
                let detail = format!("{}: {error}", path.display());
                report.fail("address", detail, "is the server running, and is that its path?", CONNECTION)?;
                Ok(false)
            }
        };
    }
    match (url.host.as_str(), url.port).to_socket_addrs() {
        Ok(found) => {
            let addresses: Vec<String> = found.map(|address| address.ip().to_string()).collect();
            let detail = match addresses.contains(&url.host) {
                true => url.host.clone(),
                false => format!("{} is {}", url.host, addresses.join(", ")),
            };
            report.add("address", Outcome::Ok, detail, "")?;
            Ok(true)
        }
        Err(error) => {
            let remedy = "check the name, or write the address of the server";
            report.fail("address", format!("{}: {error}", url.host), remedy, CONNECTION)?;
            Ok(false)
        }
    }
}

fn check_authentication(
    probe: &Probe<'_>,
    own: u16,
    url: &Url,
    given: bool,
    report: &mut Report<'_>,
) -> Result<bool, Failure> {
    let name = "authentication";
    if matches!(own, 401 | 407) {
        let (detail, remedy) = match given {
            true => (
                "the server does not accept what was sent",
                "check the token: its end, its time, the right server",
            ),
            false => ("the server wants to know who asks", "give a token with --token-file"),
        };
        report.fail(name, detail, remedy, AUTHENTICATION)?;
        return Ok(false);
    }
    let needed = given && matches!(probe.status(&url.authority(), None, false), Ok(401 | 407));
    let detail = match (given, needed) {
        (true, true) => "needed, and what was sent is accepted",
        (true, false) => "not needed; what was sent makes no difference",
        (false, _) => "not needed",
    };
    report.add(name, Outcome::Ok, detail, "")?;
    Ok(true)
}

/// Host and Origin: the own ones have to be accepted, and those of strangers should not be (MCP 2025-11-25, transports,
/// "Security Warning").
fn check_refusals(probe: &Probe<'_>, own: u16, url: &Url, report: &mut Report<'_>) -> Result<bool, Failure> {
    if matches!(own, 403 | 421) {
        let detail = format!("requests to `{}` are refused with {own}", url.authority());
        let remedy = "allow this name at the server; for mcp-rill that is --allow-host NAME";
        report.fail("Host", detail, remedy, 1)?;
        return Ok(false);
    }
    if url.socket.is_some() {
        report.add("Host", Outcome::Skipped, "no web page reaches a Unix socket", "")?;
        return Ok(true);
    }
    let origin = format!("http://{STRANGER}");
    for (name, status) in [
        ("Host", probe.status(STRANGER, None, true)),
        ("Origin", probe.status(&url.authority(), Some(&origin), true)),
    ] {
        match status {
            Ok(status @ (400 | 403 | 421)) if status != own => {
                report.add(
                    name,
                    Outcome::Ok,
                    format!("the one of a stranger is refused with {status}"),
                    "",
                )?;
            }
            Ok(_) => {
                let remedy =
                    "a web page could reach this server through a browser: let the server check this field";
                report.add(name, Outcome::Warning, "the one of a stranger is accepted", remedy)?;
            }
            Err(error) => {
                report.add(name, Outcome::Warning, error.to_string(), "the server should answer it")?
            }
        }
    }
    Ok(true)
}

fn check_protocol(options: &mut Options, report: &mut Report<'_>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut session = match Session::open(options) {
        Ok(session) => session,
        Err(Failure { code: 2, text }) => return Err(Failure { code: 2, text }),
        Err(Failure { text, code }) => {
            let remedy = "most endpoints have the path /mcp, or /sse for HTTP+SSE";
            return report.fail("revision", text, remedy, code);
        }
    };
    let connected = begun.elapsed();
    let (transport, revision) = (session.client.transport(), session.client.revision());
    let member =
        |name: &str| session.client.server_info().and_then(|info| info.get(name)).and_then(JsonRef::as_str);
    let server =
        format!("{} {}", member("name").unwrap_or("a server".into()), member("version").unwrap_or_default());
    let over = match transport {
        Transport::Sse => "HTTP+SSE",
        Transport::Stdio => "standard input and output",
        _ => "Streamable HTTP",
    };
    let detail = format!(
        "{} over {over}, {}, in {}",
        revision.map_or("none", Revision::name),
        printable(server.trim()),
        ms(connected)
    );
    report.add("revision", Outcome::Ok, detail, "")?;
    check_list(&mut session, report)?;
    check_events(&mut session, options, connected, report)
}

fn check_list(session: &mut Session, report: &mut Report<'_>) -> Result<(), Failure> {
    let found = [("tools", "tools/list"), ("resources", "resources/list"), ("prompts", "prompts/list")];
    let Some((kind, method)) = found.into_iter().find(|(kind, _)| session.can(kind)) else {
        return report.add(
            "list",
            Outcome::Skipped,
            "the server declares no tools, resources or prompts",
            "",
        );
    };
    let begun = Instant::now();
    match session.client.list(method) {
        Ok(items) => {
            let detail = format!("{} {kind} in {}", items.len(), ms(begun.elapsed()));
            report.add("list", Outcome::Ok, detail, "")
        }
        Err(error) => {
            let text = session.failure(&error).text;
            report.fail("list", text, "the server declares them and has to answer this", 1)
        }
    }
}

/// How long the first event of a stream takes: a proxy that gathers what it passes on holds it back.
fn check_events(
    session: &mut Session,
    options: &Options,
    connected: Duration,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let name = "first event";
    let begun = Instant::now();
    let began = match session.client.transport() {
        Transport::Sse => {
            return report.add(name, Outcome::Ok, format!("in {} with the connection", ms(connected)), "");
        }
        Transport::Streamable => {
            let detail =
                "a session of Streamable HTTP has no event to wait for; --era 2026 or sse may have one";
            return report.add(name, Outcome::Skipped, detail, "");
        }
        _ if session.client.revision().is_none_or(Revision::has_sessions) => {
            return report.add(name, Outcome::Skipped, "there is no proxy on standard input and output", "");
        }
        _ => session.client.subscribe(&[]),
    };
    match began {
        Ok(()) => report.add(name, Outcome::Ok, format!("in {}", ms(begun.elapsed())), ""),
        Err(Error::Timeout) => {
            let detail = format!("none in {} s", options.timeout.as_secs_f64());
            let remedy = "a proxy may hold it back: turn its buffering off (nginx: proxy_buffering off)";
            report.fail(name, detail, remedy, 1)
        }
        Err(Error::Rpc(error)) => {
            report.add(name, Outcome::Skipped, format!("the server has no subscriptions: {error}"), "")
        }
        Err(error) => report.fail(name, error.to_string(), "the stream of events has to stay open", 1),
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
