//! `mcp-rill serve`: listens, says where, and ends on a signal.

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use mcp_rill::Handle;
use mcp_rill::net::Listening;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::args::Serve;
use super::{Failure, demo, print};

/// Serves until SIGINT or SIGTERM.
pub(super) fn serve(options: Serve) -> Result<(), Failure> {
    let Serve { listen, settings, limits } = options;
    let (sse_path, base_path) = (settings.sse_path.clone(), settings.base_path.clone());
    let grace = limits.shutdown_grace;
    let mut listening: Option<Listening> = None;
    let mut server = Some(demo::server().settings(settings).limits(limits));
    for address in &listen {
        let bound = match (&mut listening, server.take()) {
            (Some(listening), _) => listening.also_listen(address),
            (None, Some(server)) => server.listen(address).map(|first| listening = Some(first)),
            (None, None) => Ok(()),
        };
        bound.map_err(|error| explain(address, &error))?;
    }
    let Some(listening) = listening else {
        return Err(Failure("there is no address to listen on".to_owned()));
    };
    end_on_signals(listening.handle(), grace)?;
    announce(listening.local_addrs(), base_path.trim_end_matches('/'), &sse_path);
    Ok(listening.run()?)
}

fn explain(address: &str, error: &io::Error) -> Failure {
    // Either the server or the address was put together wrongly, and only the second one wants this hint.
    let is_address = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Failure(match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "cannot listen on {address}: the port is in use; choose another one with --listen HOST:PORT"
            )
        }
        io::ErrorKind::InvalidInput if !is_address => {
            format!("cannot listen on {address}: {error}; write HOST:PORT, such as 127.0.0.1:3001")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => error.to_string(),
        _ => match error.to_string() {
            text if text.starts_with(address) => format!("cannot listen on {text}"),
            text => format!("cannot listen on {address}: {text}"),
        },
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

fn announce(addresses: impl Iterator<Item = SocketAddr>, base_path: &str, sse_path: &str) {
    let mut urls: Vec<String> = Vec::new();
    for address in addresses {
        urls.push(format!("http://{address}{base_path}{sse_path}"));
    }
    let mut text = String::from("mcp-rill serves a demo on\n");
    for url in &urls {
        text.push_str(&format!("  {url}\n"));
    }
    if let Some(url) = urls.first() {
        text.push_str(&format!("Try it:\n  curl -N {url}\n"));
        text.push_str(&format!(
            "  npx @modelcontextprotocol/inspector --cli {url} --transport sse --method tools/list\n"
        ));
    }
    text.push_str("Ctrl-C ends it.\n");
    print(&text);
}
