//! Serving with the options of the command line: listens, says where, and ends on a signal; or serves standard input and
//! output, and ends with them.
//!
//! *Scope:* any [`Server`], of the demo or of an author. *Not in scope:* the arguments (`args`), and what is served.

use std::io::{self, ErrorKind, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use super::activation::{Inherited, exit_when_idle};
use super::args::{DEFAULT_ADDRESS, Serve};
use super::console;
use super::identity::Guard;
use super::log::{Lines, PATIENCE};
use super::metrics::{self, Metrics};
use super::secrets::StateKeyFile;
use super::service_manager::Manager;
use super::signals::{Ending, Hangups, Reload, heed_signals};
use super::tokens::TokenFile;
use super::{Failure, descriptors, peers, print, say};
use crate::access::settings::Settings;
use crate::engine::Engine;
use crate::engine::observe::Event;
use crate::limits::Limits;
use crate::net::listen::Address;
use crate::net::readiness::{LoopPoll, ReadyDescriptors};
use crate::net::{Listening, random_id};
use crate::protocol::state_key::StateKey;
use crate::runtime::config::EngineConfig;
use crate::server::builder::Server;
use crate::server::handle::Handle;
use crate::service::Service;
use crate::service::ended::CallDetails;
use crate::threads;

/// What is served, and by which program.
pub(super) struct Served {
    pub(super) hangups: Hangups,
    pub(super) program: String,
    pub(super) content: MakeAnswering,
    /// What it is, for people, such as `a demo`; may be empty.
    pub(super) what: String,
    pub(super) reload: Option<Reload>,
    /// Called before it serves.
    pub(super) begin: Option<Begin>,
    /// Called when a shutdown begins, with its grace, on the loop's thread.
    pub(super) stopping: Option<Box<dyn FnMut(Duration) + Send>>,
    /// Called when it has ended. Returns what to tell the operator.
    pub(super) end: Option<Box<dyn FnOnce() -> Option<String>>>,
}

/// Makes what answers, once settings and limits are known.
pub(super) type MakeAnswering = Box<dyn FnOnce(Setup) -> Result<Answering, Failure>>;

/// What a service is made with.
#[cfg_attr(not(feature = "bridge"), expect(dead_code, reason = "only a bridge uses all of it"))]
pub(super) struct Setup {
    pub(super) settings: Settings,
    pub(super) limits: Limits,
    pub(super) guard: Option<Guard>,
    keys: Option<StateKeyFile>,
    pub(super) lines: Lines,
    /// For services with descriptors of their own.
    pub(super) ready: ReadyDescriptors,
    /// What is reported of each call; `None` if none is reported.
    pub(super) details: Option<CallDetails>,
}

/// What answers.
pub(super) struct Answering {
    pub(super) service: Box<dyn Service>,
    pub(super) config: EngineConfig,
    /// Bridged processes that it may run at once.
    pub(super) processes: usize,
}

impl Setup {
    /// A server with its settings.
    pub(super) fn server(self, server: Server) -> Result<Answering, Failure> {
        let mut server = authorized(server.settings(self.settings).limits(self.limits), self.guard);
        if let Some(keys) = &self.keys {
            server = keys.apply(server);
        }
        let key = StateKey::new(random_id().to_be_bytes());
        let (service, config) = server.into_service(key).map_err(Failure::usage)?;
        Ok(Answering { service, config, processes: 0 })
    }
}

type Begin = Box<dyn FnOnce(Handle) -> Result<(), Failure>>;

/// Serves until SIGINT or SIGTERM, or until standard input ends if that is served.
pub(super) fn serve(options: Serve, served: Served) -> Result<(), Failure> {
    let Served { hangups, program, content, what, reload, begin, mut stopping, end } = served;
    let Serve {
        listen,
        health_listen,
        stdio,
        admission,
        token_file,
        identity_header,
        state_key_file,
        drain_delay,
        idle_exit,
        log,
        console,
        metrics,
        settings,
        limits,
        ..
    } = options;
    limits.check().map_err(Failure::usage)?;
    let (inherited, manager) = (Inherited::take(), Manager::from_environment()?);
    let tokens = token_file.map(TokenFile::open).transpose()?;
    let keys = state_key_file.map(StateKeyFile::open).transpose()?;
    let (grace, user_timeout) = (limits.shutdown_grace, limits.tcp_user_timeout);
    let lines = Lines::begin(io::stderr(), &program, log)?;
    let guard = tokens.clone().map(Guard::Tokens).or_else(|| identity_header.clone().map(Guard::Identity));
    let keys_read = keys.clone();
    let metrics = metrics.then(|| Metrics::new(&limits));
    let of_log = lines.call_details();
    let details = of_log.or_else(|| metrics.as_ref().map(|_| CallDetails::default()));
    let (bounds, poll) = (limits.clone(), LoopPoll::new()?);
    let setup = Setup {
        settings,
        limits,
        guard,
        keys: keys_read,
        lines: lines.clone(),
        ready: poll.ready(),
        details,
    };
    let Answering { service, mut config, processes } = content(setup)?;
    if let Some(warning) = descriptors::raise(&bounds, processes) {
        say(&program, &format!("warning: {warning}"));
    }
    if console {
        config = console::add_to(config)?;
    }
    let paths = Paths::of(&config.settings, console);
    let mut listening = Listening::on(Engine::with_service(service, config, random_id), poll)?;
    match stdio {
        true => listening.serve_stdio()?,
        false => {
            let by_default = inherited.is_empty() && listen.is_empty();
            let default = by_default.then(|| DEFAULT_ADDRESS.into());
            inherited.serve(&mut listening)?;
            bind(&mut listening, listen.iter().chain(&default))?;
        }
    }
    if let Some(header) = &identity_header {
        header.check(&listening)?;
    }
    if let Some(address) = &health_listen {
        listening.also_listen_health(address.clone()).map_err(|error| explain(address, &error))?;
    }
    if let Some(metrics) = &metrics {
        // Where there is an address for operators, clients see none.
        metrics.add_to(&mut listening, health_listen.is_none())?;
    }
    let turned = manager.watch(listening.handle())?;
    if metrics.is_some() || turned.is_some() {
        let metrics = metrics.clone();
        listening.on_turn(move |time| {
            metrics.iter().for_each(|metrics| metrics.turned(time));
            turned.iter().for_each(|turned| turned.store(true, Ordering::Release));
        });
    }
    listening.listeners().for_each(peers::expect_crowds);
    listening.on_accept(move |socket, peer| admission.look(socket, peer, user_timeout));
    let guarded = tokens.is_some();
    let mut reloads: Vec<Reload> = Vec::new();
    reloads.extend(tokens.map(|tokens| -> Reload { Box::new(move |handle| tokens.reload(handle)) }));
    reloads.extend(keys.map(|keys| -> Reload { Box::new(move |handle| keys.reload(handle)) }));
    reloads.extend(reload);
    // From here on nothing is written to standard error but by the thread of the lines: its reader may be stuck.
    let ending = Ending { drain_delay, grace };
    heed_signals(hangups, &listening.handle(), ending, reloads, (&lines, &manager))?;
    if let Some(begin) = begin {
        begin(listening.handle())?;
    }
    listening.set_call_details(of_log.unwrap_or_default());
    let (logged, counted, told) = (lines.clone(), metrics.clone(), manager.clone());
    let observe = move |event: &Event<'_>| {
        counted.iter().for_each(|metrics| metrics.observe(event));
        if let Event::Stopping { grace, calls, unread } = event {
            told.tell("STOPPING=1");
            stopping.iter_mut().for_each(|stopping| stopping(*grace));
            awaited(*grace, *calls, *unread).iter().for_each(|text| logged.say(text));
        }
        logged.log(event);
    };
    match details {
        Some(_) => listening.on_event(observe),
        None => listening.on_event_but_calls(observe),
    }
    let mut announced = None;
    if !stdio {
        let mut text = announcement(&listening, &[&program, &what], &paths, guarded, metrics.is_some());
        text.push_str("Ctrl-C ends it.\n");
        announced = Some(print_apart(text)?);
    } else if io::stdin().is_terminal() {
        lines.say("reading JSON-RPC messages from standard input, one a line; Ctrl-D ends it");
    }
    if let Some(after) = idle_exit {
        exit_when_idle(listening.handle(), after, grace, lines.clone())?;
    }
    manager.tell("READY=1");
    let served = listening.run();
    if let Some(text) = end.and_then(|end| end()) {
        lines.say(&text);
    }
    if let Err(error) = &served {
        lines.say(&error.to_string());
    }
    lines.end();
    if let Some(announced) = announced {
        let _ = announced.recv_timeout(PATIENCE);
    }
    served.map_err(|_| Failure::told())
}

/// Writes to standard output on a thread of its own: its reader may be stuck too. Something comes out of the channel when all is written.
fn print_apart(text: String) -> io::Result<Receiver<()>> {
    let (tell, printed) = sync_channel(1);
    threads::start("announcement", move || {
        // It serves even if this cannot be written.
        let _ = print(&text);
        let _ = tell.send(());
    })?;
    Ok(printed)
}

fn bind<'a>(
    listening: &mut Listening,
    mut addresses: impl Iterator<Item = &'a Address>,
) -> Result<(), Failure> {
    addresses.try_for_each(|address| {
        listening.also_listen(address.clone()).map_err(|error| explain(address, &error))
    })
}

fn authorized(server: Server, guard: Option<Guard>) -> Server {
    match guard {
        Some(guard) => server.authorize(move |request| guard.authorize(request)),
        None => server,
    }
}

fn explain(address: &Address, error: &io::Error) -> Failure {
    let text = error.to_string();
    // An address that others can reach is refused for what is missing on the command line, not by the system.
    let usage = error.kind() == ErrorKind::InvalidInput || text.contains("--insecure-public");
    // What is wrong with an address begins with it; anything else is wrong with the server.
    let text = match text.starts_with(&format!("{address}: ")) {
        true => format!("cannot listen on {text}"),
        false => text,
    };
    if usage { Failure::usage(text) } else { Failure::system(text) }
}

/// What a shutdown waits for, in words; `None` if nothing holds it up.
fn awaited(grace: Duration, calls: usize, unread: usize) -> Option<String> {
    let count = |count: usize, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {many}")),
    };
    let calls = count(calls, "open call", "open calls");
    let unread =
        count(unread, "client that has not read its answer", "clients that have not read their answers");
    let what: Vec<String> = calls.into_iter().chain(unread).collect();
    (!what.is_empty()).then(|| {
        format!(
            "shutting down; waiting for {}, at most {} s (limit shutdown_grace); a second signal ends it at once",
            what.join(" and "),
            grace.as_secs_f64()
        )
    })
}

/// Returns what is written to standard output: where it listens and what to try. A script can wait for the last line.
/// Where clients connect to, the root first.
struct Paths {
    mcp: Vec<String>,
    sse: Vec<String>,
    console: Option<String>,
}

impl Paths {
    fn of(settings: &Settings, console: bool) -> Paths {
        let base = settings.base_path.trim_end_matches('/');
        let root = settings.serves_root.then(|| base.to_owned());
        let mounts = settings.mounts.iter().map(|name| format!("{base}/{name}"));
        let places: Vec<String> = root.into_iter().chain(mounts).collect();
        let below = |path: &str| places.iter().map(|place| format!("{place}{path}")).collect();
        let console = console.then(|| format!("{base}/"));
        Paths { mcp: below(&settings.mcp_path), sse: below(&settings.sse_path), console }
    }
}

fn announcement(
    listening: &Listening,
    [program, what]: &[&str; 2],
    Paths { mcp, sse, console }: &Paths,
    guarded: bool,
    has_metrics: bool,
) -> String {
    let bases: Vec<String> =
        listening.local_addrs().map(|address| format!("http://{}", reachable(address))).collect();
    let sockets: Vec<String> = listening.local_paths().map(|path| path.display().to_string()).collect();
    let what = if what.is_empty() { String::new() } else { format!(" {what}") };
    let mut text = format!("{program} serves{what} on\n");
    for base in &bases {
        mcp.iter().for_each(|path| text.push_str(&format!("  {base}{path}\n")));
    }
    for socket in &sockets {
        mcp.iter().for_each(|path| text.push_str(&format!("  unix:{socket} at http://localhost{path}\n")));
    }
    for address in listening.local_addrs().filter(|address| address.ip().is_unspecified()) {
        text.push_str(&format!(
            "It listens on {address}: others connect to an address of this machine in their network.\n"
        ));
    }
    text.push_str(&format!("Older clients, of HTTP+SSE, connect to {} there.\n", sse.join(", ")));
    if let (Some(path), Some(base)) = (console, bases.first()) {
        text.push_str(&format!("Console, for a browser: {base}{path}\n"));
    }
    for address in listening.health_addrs() {
        text.push_str(&format!("Health checks: http://{}/readyz\n", reachable(address)));
        if has_metrics {
            text.push_str(&format!("Metrics: http://{}{}\n", reachable(address), metrics::PATH));
        }
    }
    let (mcp_path, sse_path) = (mcp.first().map_or("", |path| path), sse.first().map_or("", |path| path));
    text.push_str("Try it:\n");
    let token =
        |form: &str| if guarded { format!(" {form} 'Authorization: Bearer TOKEN'") } else { String::new() };
    if let Some(base) = bases.first() {
        let header = token("--header");
        text.push_str(&format!(
            "  npx @modelcontextprotocol/inspector --cli {base}{mcp_path} --transport http --method tools/list{header}\n"
        ));
    }
    let (socket, base) = match (bases.first(), sockets.first()) {
        (None, Some(socket)) => (format!(" --unix-socket '{socket}'"), "http://localhost"),
        (base, _) => (String::new(), base.map_or("", String::as_str)),
    };
    text.push_str(&format!("  curl -N{}{socket} {base}{sse_path}\n", token("-H")));
    if guarded {
        text.push_str("Each request needs a token of --token-file in the place of TOKEN.\n");
    }
    text
}

/// An address by which this machine reaches what listens on `address`: nothing can connect to 0.0.0.0 everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_is_shown_can_be_connected_to() {
        for (listened, shown) in [
            ("0.0.0.0:3001", "127.0.0.1:3001"),
            ("[::]:3001", "[::1]:3001"),
            ("192.0.2.1:80", "192.0.2.1:80"),
        ] {
            assert_eq!(reachable(listened.parse().unwrap()).to_string(), shown);
        }
    }

    #[test]
    fn a_shutdown_says_what_it_waits_for() {
        let grace = Duration::from_millis(1500);
        assert_eq!(awaited(grace, 0, 0), None);
        let said = awaited(grace, 1, 2).unwrap();
        assert!(said.contains(
            "waiting for 1 open call and 2 clients that have not read their answers, at most 1.5 s"
        ));
        assert!(awaited(grace, 2, 0).unwrap().contains("waiting for 2 open calls, at most"));
    }
}
