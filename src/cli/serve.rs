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
    let paths = [&settings.sse_path, &settings.mcp_path]
        .map(|path| format!("{}{path}", settings.base_path.trim_end_matches('/')));
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
    announce(listening.local_addrs(), &paths);
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

fn announce(addresses: impl Iterator<Item = SocketAddr>, [sse_path, mcp_path]: &[String; 2]) {
    let bases: Vec<String> = addresses.map(|address| format!("http://{address}")).collect();
    let mut text = String::from("mcp-rill serves a demo on\n");
    for base in &bases {
        text.push_str(&format!("  {base}{sse_path}\n"));
    }
    if let Some(base) = bases.first() {
        text.push_str(&format!("Try it:\n  curl -N {base}{sse_path}\n"));
        for (path, transport) in [(sse_path, "sse"), (mcp_path, "http")] {
            text.push_str(&format!(
                "  npx @modelcontextprotocol/inspector --cli {base}{path} --transport {transport} --method tools/list\n"
            ));
        }
        text.push_str(&format!("Clients of Streamable HTTP connect to {base}{mcp_path}.\n"));
    }
    text.push_str("Ctrl-C ends it.\n");
    print(&text);
}
