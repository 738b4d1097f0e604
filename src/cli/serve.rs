//! `mcp-rill serve`: listens, says where, and ends on a signal.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use mcp_rill::net::{Address, Listening};
use mcp_rill::{Handle, Server};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::Serve;
use super::log::Log;
use super::tokens::TokenFile;
use super::{Failure, demo, peers, print, secrets};

/// Serves until SIGINT or SIGTERM.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    let Serve { listen, admission, token_file, state_key_file, log, settings, limits } = options;
    let tokens = token_file.map(TokenFile::open).transpose()?;
    let paths = [&settings.sse_path, &settings.mcp_path]
        .map(|path| format!("{}{path}", settings.base_path.trim_end_matches('/')));
    let (grace, user_timeout) = (limits.shutdown_grace, limits.tcp_user_timeout);
    let mut listening: Option<Listening> = None;
    let mut server = authorized(demo::server().settings(settings).limits(limits), tokens.clone());
    if let Some(path) = state_key_file {
        server = secrets::with_state_keys(server, &path)?;
    }
    let mut server = Some(server);
    for address in &listen {
        let bound = match (&mut listening, server.take()) {
            (Some(listening), _) => listening.also_listen(address.clone()),
            (None, Some(server)) => server.listen(address.clone()).map(|first| listening = Some(first)),
            (None, None) => Ok(()),
        };
        bound.map_err(|error| explain(address, &error))?;
    }
    let Some(mut listening) = listening else {
        return Err(Failure("there is no address to listen on".to_owned()));
    };
    listening.listeners().for_each(peers::expect_crowds);
    listening.on_accept(move |socket, peer| admission.look(socket, peer, user_timeout));
    let guarded = tokens.is_some();
    heed_signals(listening.handle(), grace, tokens)?;
    let log = log.then(|| Log::begin(io::stderr())).transpose()?.map(|(log, observer)| {
        listening.on_event(observer);
        log
    });
    announce(&listening, &paths, guarded);
    let served = listening.run();
    if let Some(log) = log {
        log.end();
    }
    Ok(served?)
}

fn authorized(server: Server, tokens: Option<TokenFile>) -> Server {
    match tokens {
        Some(tokens) => server.authorize(move |request| tokens.authorize(request)),
        None => server,
    }
}

fn explain(address: &Address, error: &io::Error) -> Failure {
    let text = error.to_string();
    // What is wrong with an address begins with it; anything else is wrong with the server.
    Failure(match text.starts_with(&format!("{address}: ")) {
        true => format!("cannot listen on {text}"),
        false => text,
    })
}

/// The first signal that asks for an end ends the server in good order, the second one at once. SIGHUP reads the tokens
/// again; without any it keeps its usual meaning.
fn heed_signals(handle: Handle, grace: Duration, tokens: Option<TokenFile>) -> io::Result<()> {
    let hangup = tokens.as_ref().map(|_| SIGHUP);
    let mut signals = Signals::new([SIGINT, SIGTERM].into_iter().chain(hangup))?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut ending = false;
        for signal in signals.forever() {
            match (&tokens, signal) {
                (Some(tokens), SIGHUP) => reload(tokens, &handle),
                _ if std::mem::replace(&mut ending, true) => std::process::exit(128 + signal),
                _ => handle.shutdown(grace),
            }
        }
    })?;
    Ok(())
}

fn reload(tokens: &TokenFile, handle: &Handle) {
    let told = tokens.reload();
    if told.is_ok() {
        handle.reauthorize();
    }
    let (Ok(told) | Err(told)) = told;
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "mcp-rill: {told}");
}

fn announce(listening: &Listening, [sse_path, mcp_path]: &[String; 2], guarded: bool) {
    let bases: Vec<String> = listening.local_addrs().map(|address| format!("http://{address}")).collect();
    let sockets: Vec<String> = listening.local_paths().map(|path| path.display().to_string()).collect();
    let mut text = String::from("mcp-rill serves a demo on\n");
    for base in &bases {
        text.push_str(&format!("  {base}{sse_path}\n"));
    }
    for socket in &sockets {
        text.push_str(&format!("  unix:{socket}\n"));
    }
    if let Some(base) = bases.first() {
        text.push_str(&format!("Try it:\n  curl -N {base}{sse_path}\n"));
        for (path, transport) in [(sse_path, "sse"), (mcp_path, "http")] {
            text.push_str(&format!(
                "  npx @modelcontextprotocol/inspector --cli {base}{path} --transport {transport} --method tools/list\n"
            ));
        }
        text.push_str(&format!("Clients of Streamable HTTP connect to {base}{mcp_path}.\n"));
    } else if let Some(socket) = sockets.first() {
        text.push_str(&format!("Try it:\n  curl -N --unix-socket '{socket}' http://localhost{sse_path}\n"));
    }
    if guarded {
        text.push_str(
            "Each request needs a token: -H 'Authorization: Bearer TOKEN', or --header for the inspector.\n",
        );
    }
    text.push_str("Ctrl-C ends it.\n");
    // It serves all the same where nobody can be told.
    let _ = print(&text);
}
