//! `mcp-rill serve`: listens, says where, and ends on a signal; or serves standard input and output, and ends with them.

use std::io::{self, ErrorKind, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use mcp_rill::engine::{Engine, Event};
use mcp_rill::net::{Address, Listening, random_id};
use mcp_rill::{Handle, Server};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::Serve;
use super::log::Log;
use super::secrets::StateKeyFile;
use super::tokens::TokenFile;
use super::{Failure, demo, descriptors, peers, print, say};

/// Serves until SIGINT or SIGTERM, or until standard input ends if that is served.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    let Serve { listen, stdio, admission, token_file, state_key_file, log, settings, limits } = options;
    limits.check().map_err(Failure::usage)?;
    // Before files are read, or a hangup during the start would end the program.
    let signals = Signals::new([SIGHUP])?;
    let tokens = token_file.map(TokenFile::open).transpose()?;
    let keys = state_key_file.map(StateKeyFile::open).transpose()?;
    let paths = [&settings.mcp_path, &settings.sse_path]
        .map(|path| format!("{}{path}", settings.base_path.trim_end_matches('/')));
    let (grace, user_timeout) = (limits.shutdown_grace, limits.tcp_user_timeout);
    if let Some(warning) = descriptors::raise(&limits) {
        say(&format!("warning: {warning}"));
    }
    let mut server = authorized(demo::server().settings(settings).limits(limits), tokens.clone());
    if let Some(keys) = &keys {
        server = keys.apply(server);
    }
    let mut listening = if stdio { on_stdio(server)? } else { bind(server, &listen)? };
    listening.listeners().for_each(peers::expect_crowds);
    listening.on_accept(move |socket, peer| admission.look(socket, peer, user_timeout));
    let guarded = tokens.is_some();
    heed_signals(signals, listening.handle(), grace, tokens, keys)?;
    let (log, mut observer) = log.then(|| Log::begin(io::stderr())).transpose()?.unzip();
    listening.on_event(move |event| {
        if let Event::Stopping { grace, calls, unread } = event
            && let Some(text) = awaited(*grace, *calls, *unread)
        {
            say(&text);
        }
        if let Some(observer) = &mut observer {
            observer(event);
        }
    });
    if !stdio {
        announce(&listening, &paths, guarded);
    } else if io::stdin().is_terminal() {
        say("reading JSON-RPC messages from standard input, one a line; Ctrl-D ends it");
    }
    let served = listening.run();
    if let Some(log) = log {
        log.end();
    }
    Ok(served?)
}

fn on_stdio(server: Server) -> Result<Listening, Failure> {
    let engine = Engine::new(server, random_id).map_err(Failure::usage)?;
    let mut listening = Listening::new(engine)?;
    listening.serve_stdio()?;
    Ok(listening)
}

fn bind(server: Server, addresses: &[Address]) -> Result<Listening, Failure> {
    let mut server = Some(server);
    let mut listening: Option<Listening> = None;
    for address in addresses {
        let bound = match (&mut listening, server.take()) {
            (Some(listening), _) => listening.also_listen(address.clone()),
            (None, Some(server)) => server.listen(address.clone()).map(|first| listening = Some(first)),
            (None, None) => Ok(()),
        };
        bound.map_err(|error| explain(address, &error))?;
    }
    listening.ok_or_else(|| Failure::usage("there is no address to listen on"))
}

fn authorized(server: Server, tokens: Option<TokenFile>) -> Server {
    match tokens {
        Some(tokens) => server.authorize(move |request| tokens.authorize(request)),
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

/// The first signal that asks for an end ends the server in good order, the second one at once. SIGHUP reads the files
/// again and never ends it.
fn heed_signals(
    mut signals: Signals,
    handle: Handle,
    grace: Duration,
    tokens: Option<TokenFile>,
    keys: Option<StateKeyFile>,
) -> io::Result<()> {
    // Not before the files are read: a pipe may keep the program waiting, and then they have to end it.
    signals.add_signal(SIGINT)?;
    signals.add_signal(SIGTERM)?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut ending = false;
        for signal in signals.forever() {
            match signal {
                SIGHUP => reload(tokens.as_ref(), keys.as_ref(), &handle),
                _ if std::mem::replace(&mut ending, true) => std::process::exit(128 + signal),
                _ => handle.shutdown(grace),
            }
        }
    })?;
    Ok(())
}

fn reload(tokens: Option<&TokenFile>, keys: Option<&StateKeyFile>, handle: &Handle) {
    if tokens.is_none() && keys.is_none() {
        return say("SIGHUP: there is no --token-file and no --state-key-file to read again");
    }
    let told = [tokens.map(|tokens| tokens.reload(handle)), keys.map(|keys| keys.reload(handle))];
    for told in told.into_iter().flatten() {
        match told {
            Ok(text) => say(&text),
            Err(problem) => say(&format!("{}; what was read before stays in force", problem.text)),
        }
    }
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

/// Says on standard output where it listens and what to try. A script can wait for the last line.
fn announce(listening: &Listening, [mcp_path, sse_path]: &[String; 2], guarded: bool) {
    let bases: Vec<String> =
        listening.local_addrs().map(|address| format!("http://{}", reachable(address))).collect();
    let sockets: Vec<String> = listening.local_paths().map(|path| path.display().to_string()).collect();
    let mut text = String::from("mcp-rill serves a demo on\n");
    for base in &bases {
        text.push_str(&format!("  {base}{mcp_path}\n"));
    }
    for socket in &sockets {
        text.push_str(&format!("  unix:{socket} at http://localhost{mcp_path}\n"));
    }
    for address in listening.local_addrs().filter(|address| address.ip().is_unspecified()) {
        text.push_str(&format!(
            "It listens on {address}: others connect to an address of this machine in their network.\n"
        ));
    }
    text.push_str(&format!("Older clients, of HTTP+SSE, connect to {sse_path} there.\n"));
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
    text.push_str("Ctrl-C ends it.\n");
    // It serves all the same where nobody can be told.
    let _ = print(&text);
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
