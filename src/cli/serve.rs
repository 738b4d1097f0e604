//! `mcp-rill serve`: listens, says where, and ends on a signal.

use std::io;
use std::thread;
use std::time::Duration;

use mcp_rill::Handle;
use mcp_rill::net::{Address, Listening};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::Serve;
use super::{Failure, demo, print};

/// Serves until SIGINT or SIGTERM.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    let Serve { listen, admission, settings, limits } = options;
    let paths = [&settings.sse_path, &settings.mcp_path]
        .map(|path| format!("{}{path}", settings.base_path.trim_end_matches('/')));
    let (grace, user_timeout) = (limits.shutdown_grace, limits.tcp_user_timeout);
    let mut listening: Option<Listening> = None;
    let mut server = Some(demo::server().settings(settings).limits(limits));
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
    listening.on_accept(move |socket, peer| admission.look(socket, peer, user_timeout));
    end_on_signals(listening.handle(), grace)?;
    announce(&listening, &paths);
    Ok(listening.run()?)
}

fn explain(address: &Address, error: &io::Error) -> Failure {
    let text = error.to_string();
    // What is wrong with an address begins with it; anything else is wrong with the server.
    Failure(match text.starts_with(&format!("{address}: ")) {
        true => format!("cannot listen on {text}"),
        false => text,
    })
}

/// The first signal ends the server in good order, the second one at once.
fn end_on_signals(handle: Handle, grace: Duration) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            match count {
                0 => handle.shutdown(grace),
                _ => std::process::exit(128 + signal),
            }
        }
    })?;
    Ok(())
}

fn announce(listening: &Listening, [sse_path, mcp_path]: &[String; 2]) {
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
    text.push_str("Ctrl-C ends it.\n");
    print(&text);
}
