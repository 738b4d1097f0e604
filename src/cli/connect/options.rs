//! The arguments of `connect`.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::Failure;
use crate::cli::bounds::CONNECT_MESSAGE_BYTES_MAX;
use crate::cli::shell::options::{Era, Options};
use crate::cli::shell::session::{header_file, token_file};
use crate::cli::shell::target::Target;
use crate::client::transport::RequestDefaults;
use crate::client::url::Url;
use crate::http::head::Host;
use crate::text::printable;

/// How long the remote server may take to answer, if nothing else is said. Clients have timeouts of their own, and cancel.
const TIMEOUT: Duration = Duration::from_secs(600);
/// How often in a row a lost stream with an answer is resumed in vain: with the waits between, for half a minute.
const RECONNECTS_MAX: u32 = 5;
/// The variable of the environment with the token.
const TOKEN: &str = "MCP_TOKEN";

pub(super) struct ConnectOptions {
    pub(super) era: Era,
    pub(super) timeout: Duration,
    /// The server for people: its URL without the query, which may hold a secret.
    pub(super) place: String,
    pub(super) has_token: bool,
    /// The file that the token is of.
    pub(super) token_file: Option<PathBuf>,
}

/// Reads them. Returns what every request says, too.
pub(super) fn read(arguments: Vec<OsString>) -> Result<(ConnectOptions, RequestDefaults), Failure> {
    if arguments.is_empty() {
        return Err(Failure::usage("the URL is missing; write `mcp-rill connect http://127.0.0.1:3001/mcp`"));
    }
    let options = Options::read(&["plain-http"], TIMEOUT, arguments)?;
    options.no_more_words()?;
    if options.json {
        return Err(Failure::usage("this verb has no option --json; see --help"));
    }
    let Options { target, era, timeout, token_file: token, .. } = options;
    let (url, mut headers) = remote(&target)?;
    check_encryption(&url, options.plain_http)?;
    headers.extend(options.headers);
    if let Some(path) = &options.header_file {
        headers.extend(header_file(path)?);
    }
    let has_field = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let of_file = token.as_deref().map(token_file).transpose()?;
    match (&of_file, std::env::var_os(TOKEN).filter(|token| !token.is_empty())) {
        (Some(_), _) if has_field => {
            return Err(Failure::usage(
                "--token-file has a token, and so has the header field Authorization; leave one of them out",
            ));
        }
        (None, Some(token)) if !has_field => headers.push(bearer(&token_of_environment(&token)?)),
        _ => {}
    }
    let has_token =
        of_file.is_some() || headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let place = url.to_string();
    let place = place.split('?').next().unwrap_or_default().to_owned();
    let hosts: Vec<_> = headers.extract_if(.., |(name, _)| name.eq_ignore_ascii_case("host")).collect();
    let defaults = RequestDefaults::new(url, &headers, CONNECT_MESSAGE_BYTES_MAX, RECONNECTS_MAX);
    let mut defaults = defaults.map_err(|error| Failure::usage(error.to_string()))?;
    if let [(_, host)] = hosts.as_slice() {
        defaults.host.clone_from(host);
    }
    if let Some(first) = &of_file {
        defaults.set_authorization(first);
    }
    if hosts.len() > 1 || Host::read(&defaults.host).is_none() {
        return Err(Failure::usage("the header field Host has to have one name, such as mcp.example.com"));
    }
    Ok((ConnectOptions { era, timeout, place, has_token, token_file: token }, defaults))
}

fn bearer(token: &str) -> (String, String) {
    ("Authorization".to_owned(), format!("Bearer {token}"))
}

fn token_of_environment(value: &OsString) -> Result<String, Failure> {
    // It is not repeated in the error.
    let token = value.to_str().map(str::trim);
    let token = token.filter(|token| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()));
    token.map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!(
            "the variable {TOKEN} has to have one token and nothing else, in visible ASCII"
        ))
    })
}

/// The URL of a target, and header fields that go with it.
fn remote(target: &Target) -> Result<(Url, Vec<(String, String)>), Failure> {
    let Target::Url(url, headers) = target else {
        return Err(Failure::usage(format!(
            "`{}` is not a remote server; write its URL, such as http://127.0.0.1:3001/mcp",
            target.shown()
        )));
    };
    if url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) {
        return Err(Failure::usage(without_tls(url)));
    }
    let url = Url::read(url).map_err(|error| Failure::usage(error.to_string()))?;
    Ok((url, headers.clone()))
}

/// What to do about a URL with `https:`.
fn without_tls(url: &str) -> String {
    let rest = url.split_once("://").unwrap_or_default().1;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = (printable(authority), printable(path));
    let port = if authority.rsplit(']').next().unwrap_or_default().contains(':') { "" } else { ":443" };
    format!(
        "https://{host}{path}: this program has no TLS. Let another one add it: run `socat \
         TCP-LISTEN:8443,bind=127.0.0.1,fork OPENSSL:{host}{port}` or stunnel, and connect with `mcp-rill connect \
         http://127.0.0.1:8443{path} --header 'Host: {host}'`; or tunnel to the server's machine with ssh -L"
    )
}

/// Without encryption everybody on the way reads the token and the messages.
fn check_encryption(url: &Url, plain_http: bool) -> Result<(), Failure> {
    match plain_http || url.socket.is_some() || is_loopback(&url.host) {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{} is another machine, and http:// is not encrypted: everybody on the way reads the messages and the token. \
             Tunnel to it with ssh -L or stunnel, or give --plain-http if that network is yours",
            url.host
        ))),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(arguments: &[&str]) -> String {
        match read(arguments.iter().map(OsString::from).collect()) {
            Ok(_) => String::new(),
            Err(failure) => {
                assert_eq!(failure.code, 2);
                failure.text
            }
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_told_otherwise() {
        for url in [
            "http://127.0.0.1:1/",
            "http://[::1]/",
            "http://LOCALHOST/mcp",
            "http://a.localhost/",
            "unix:/s#/mcp",
        ] {
            assert_eq!(problem(&[url]), "", "{url}");
        }
        for url in
            ["http://10.0.0.1/mcp", "http://example.com/", "http://localhost.example.com/", "http://[::2]/"]
        {
            assert!(problem(&[url]).contains("--plain-http"), "{url}");
            assert_eq!(problem(&[url, "--plain-http"]), "", "{url}");
        }
        let https = problem(&["https://example.com:8443/mcp?key=1"]);
        assert!(!https.contains("key"), "{https}");
        assert!(problem(&["HTTPS://[::1]/x"]).contains("OPENSSL:[::1]:443` "));
        assert!(
            https.contains("no TLS")
                && https.contains("OPENSSL:example.com:8443`")
                && https.contains("http://127.0.0.1:8443/mcp --header 'Host: example.com:8443'"),
            "{https}"
        );
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for (arguments, text) in [
            (&[][..], "the URL is missing"),
            (&["http://localhost/", "http://localhost/"], "unexpected argument"),
            (&["http://localhost/", "--plan-http"], "did you mean --plain-http?"),
            (&["http://localhost/", "-x"], "no option -x"),
            (&["http://localhost/", "--era", "2024"], "--era 2024: write"),
            (&["http://localhost/", "--era", "2025", "--era", "2025"], "given twice"),
            (&["http://localhost/", "--header", "Accept: x"], "set by the client itself"),
            (&["http://localhost/", "--header", "Host: a b"], "Host has to have one name"),
            (
                &["http://localhost/", "--header", "Host: a", "--header", "host: b"],
                "Host has to have one name",
            ),
            (&["localhost:3001/mcp"], "write http://localhost:3001/mcp"),
            (&["."], "is not a remote server"),
        ] {
            assert!(problem(arguments).contains(text), "{arguments:?}: {}", problem(arguments));
        }
        let arguments = ["http://localhost:7/mcp?key=secret", "--header", "Host: mcp.example.com"];
        let Ok((options, defaults)) = read(arguments.map(OsString::from).to_vec()) else { panic!() };
        assert_eq!((&*options.place, &*defaults.host), ("http://localhost:7/mcp", "mcp.example.com"));
    }
}
