//! Which web pages may send requests: Host, Origin and `Sec-Fetch-Site`.
//!
//! *Scope:* the checks that keep web pages of other sites out, also after DNS rebinding. *Not in scope:* what lets pages of
//! allowed origins read responses (`cors`), and the form of the refusal for Streamable HTTP (the engine's
//! `refusals`).

use std::net::IpAddr;

use crate::access::peer::Peer;
use crate::access::settings::Settings;
use crate::http::head::{Head, Host, Single};
use crate::http::response::OwnedResponse;
use crate::text::printable;

pub(crate) fn check_host(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), OwnedResponse> {
    let Some(host) = head.host.map(|host| host.name) else { return Ok(()) };
    let listed = settings.hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    let local = peer.unix || (peer.loopback && host.eq_ignore_ascii_case("localhost"));
    if listed || local || is_address(host) {
        return Ok(());
    }
    Err(OwnedResponse::text(
        403,
        format!(
            "Host `{}` is not allowed; to allow it: --allow-host {0} or Server::allow_host",
            printable(host)
        ),
    ))
}

/// An IP address cannot be rebound to another one, so it needs no list. An IPv6 address comes without its brackets.
fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok()
}

pub(crate) fn check_origin(head: &Head<'_>, settings: &Settings, peer: &Peer) -> Result<(), OwnedResponse> {
    let origin = match head.single("origin") {
        Single::Absent => {
            #[cfg(feature = "browser")]
            check_site(head)?;
            return Ok(());
        }
        Single::One(origin) => String::from_utf8_lossy(origin),
        Single::Several => {
            return Err(OwnedResponse::text(403, "Origin is sent more than once; send it once"));
        }
    };
    if origin == "null" {
        let reason = "Origin `null` is never allowed: any page can send it, from a sandboxed frame";
        return Err(OwnedResponse::text(403, reason));
    }
    if allowed_origin(head, settings, peer).is_some() {
        return Ok(());
    }
    Err(OwnedResponse::text(
        403,
        format!(
            "Origin `{}` is not allowed; to allow it: --allow-origin {0} or Server::allow_origin",
            printable(&origin)
        ),
    ))
}

/// The request's Origin, if its pages may send requests.
pub(crate) fn allowed_origin<'a>(head: &Head<'a>, settings: &Settings, peer: &Peer) -> Option<&'a str> {
    let Single::One(origin) = head.single("origin") else { return None };
    let origin = std::str::from_utf8(origin).ok()?;
    let listed = settings.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
    (listed || (peer.loopback && is_loopback_origin(origin))).then_some(origin)
}

fn is_loopback_origin(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let host = rest.filter(|rest| !rest.ends_with(':')).and_then(Host::read);
    let is = |name: &&str| host.is_some_and(|host| host.name.eq_ignore_ascii_case(name));
    ["localhost", "127.0.0.1", "::1"].iter().any(is)
}

/// Refuses a request without `Origin` if the browser says that a page of another site made it: with an image, a link or a
/// form (W3C Fetch Metadata §2.4, which also says to ignore unknown values).
#[cfg(feature = "browser")]
fn check_site(head: &Head<'_>) -> Result<(), OwnedResponse> {
    let site = match head.single("sec-fetch-site") {
        Single::One(site @ (b"cross-site" | b"same-site")) => String::from_utf8_lossy(site),
        Single::Absent | Single::One(_) => return Ok(()),
        Single::Several => {
            return Err(OwnedResponse::text(403, "Sec-Fetch-Site is sent more than once; send it once"));
        }
    };
    Err(OwnedResponse::text(
        403,
        format!(
            "Sec-Fetch-Site is `{site}` and there is no Origin: a page elsewhere has sent this; to allow its origin: \
             --allow-origin or Server::allow_origin, and use fetch or EventSource in the page"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_addresses() {
        for host in ["127.0.0.1", "10.1.2.3", "::1", "2001:db8::1"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["localhost", "127.0.0.1.example.com", "0x7f.1", "127.1", "127.0.0.01", ""] {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn origins_that_are_loopback() {
        for origin in [
            "http://localhost",
            "http://localhost:6274",
            "https://LOCALHOST:1",
            "http://127.0.0.1:80",
            "http://[::1]:3000",
        ] {
            assert!(is_loopback_origin(origin), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://localhost.evil.example",
            "http://localhost:",
            "http://localhost:80x",
            "http://localhost:65536",
            "http://localhost:000080",
            &format!("http://localhost:{}", "0".repeat(15_000)),
            "http://evil.example",
            "ftp://localhost",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://127.0.0.2",
            "localhost",
        ] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }
}
