//! The help on serving: options, and limits.
//!
//! *Scope:* texts that `mcp-rill serve` and the programs of others have in common. *Not in scope:* reading options (`args`).

use crate::limits::Limits;

/// The options of every program that serves, as they are printed.
pub(super) const OPTIONS: &str =
    "  --listen ADDR          Listen on HOST:PORT or unix:PATH; several times [127.0.0.1:3001]
  --stdio                Serve the program that started this one, one message a line, to its end
  --socket-mode MODE     The mode of Unix sockets, in octal digits [0600]
  --peer-uid             Bind sessions on Unix sockets to the user who opens them (Linux)
  --allow-uid UID        Serve only this user on Unix sockets; several times (Linux)
  --mcp-path PATH        Where clients of Streamable HTTP connect to [/mcp]
  --sse-path PATH        Where clients of HTTP+SSE open their stream [/sse]
  --message-path PATH    Where clients of HTTP+SSE post their messages [/messages]
  --base-path PATH       What a reverse proxy puts in front of all paths
  --allow-host NAME      Allow requests to this host name; several times
  --allow-origin ORIGIN  Allow web pages of this origin (https://app.example); several times
  --cors                 Let web pages of allowed origins read answers
  --token-file FILE      Serve only requests with a bearer token of this file, name:token a line
  --identity-header NAME  Take the principal from this field, which a proxy on this machine sets
  --insecure-public      Listen on addresses that others can reach, without authentication
  --resource URL         This server's public URL, for OAuth clients (RFC 9728)
  --authorization-server URL  Where those clients get a token; several times
  --scope NAME           A scope that they may ask for; several times
  --node-id NAME         Begin session ids with this name, by which a proxy finds this process
  --sessionless          Keep no sessions before 2026-07-28, so that any process serves any request
  --state-key-file FILE  The key that seals what clients keep for the server, 32 hexadecimal digits,
                         the same on every node; on a second line the key before it
  --health               Answer GET /healthz, /livez and /readyz, the last with 503 while it is full
  --health-listen ADDR   Answer them on an address of their own, without tokens
  --console              Serve a page at / from which a browser lists and calls what the server has
  --metrics              Answer GET /metrics for Prometheus, on the address of --health-listen if there is one
  --log [text|json|off]  Write a line for each call, session, refusal and slow reader [off; --log is text]
  --log-level LEVEL      Leave out lines that matter less: error, warning or info [info]
  --log-arguments        Have the arguments in the lines of calls, without those marked as secret
  --drain-delay TIME     After SIGTERM serve on for so long, with 503 on /readyz [0s]
  --idle-exit TIME       End when there was no session, call or message for so long
  --limit NAME=VALUE     Change a limit; once for each limit
  -h, --help [limits]    Show this, or each limit with its default and meaning
  -V, --version          Show the version
SIGHUP reads files again. SIGINT and SIGTERM end it when open calls are answered; a second one, at
once. Exit codes: 0 after a shutdown, 2 for a mistake on the command line, 1 for any other failure.";

/// Those that are wanted most, as they are printed, at most 80 characters a line.
pub(super) const MAIN_OPTIONS: &str =
    "  FILE|DIR            A manifest, or a folder of them; without it, a demo
  --listen ADDR       HOST:PORT or unix:PATH; several times [127.0.0.1:3001]
  --stdio             Serve the program that started this one, a message a line
  --token-file FILE   Want a bearer token of this file, name:token a line
  --insecure-public   Listen where others can connect, without authentication
  --allow-host NAME   Allow requests to this host name; several times
  --allow-origin URL  Allow web pages of this origin; several times
  --base-path PATH    What a reverse proxy puts in front of all paths
  --health            Answer GET /healthz, /livez and /readyz
  --log [json]        Write a line for each call, session and refusal
  --limit NAME=VALUE  Change a limit
`--help options` shows all options, `--help limits` what each limit means.
SIGHUP reads files again. SIGINT and SIGTERM end it when open calls are done.";

/// Options of the feature `operations`.
const OF_OPERATIONS: &[&str] = &["console", "idle-exit", "metrics"];

/// True if a build without `operations` has no option of this name, and this is one.
pub(super) fn is_left_out(name: &str) -> bool {
    !cfg!(feature = "operations") && OF_OPERATIONS.contains(&name)
}

/// [`OPTIONS`] without the lines of those that this build leaves out.
pub(super) fn options() -> String {
    let named = |line: &str| line.trim_start().strip_prefix("--")?.split(' ').next().map(str::to_owned);
    let lines = OPTIONS.lines().filter(|line| !named(line).is_some_and(|name| is_left_out(&name)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// All options, under a line of usage.
pub(super) fn all_options(program: &str) -> String {
    format!("Usage: {program} serve [FILE|DIR] [OPTIONS]\n\n{}", options())
}

/// What each limit means, with its default.
pub(super) fn limits(program: &str) -> String {
    let mut text = format!(
        "Limits of {program}, set with --limit NAME=VALUE. A size is written like 4096, 64KiB or 4MiB, a time like\n\
         500ms, 10s, 30min or 1h, a count as a whole number.\n"
    );
    for name in Limits::NAMES {
        let value = Limits::DEFAULT.get(name).unwrap_or_default();
        text.push_str(&format!("\n{name} [{value}]\n"));
        text.push_str(&wrapped(&limit(name), 104));
    }
    text
}

/// What a limit means, as plain text.
pub(super) fn limit(name: &str) -> String {
    let range = Limits::range(name).map(|(least, most)| format!(" From {least} to {most}."));
    let about = without_links(Limits::describe(name).unwrap_or_default()).replace('`', "");
    about.trim_end().to_owned() + &range.unwrap_or_default()
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
