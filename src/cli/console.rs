//! The console: a page that lists what a server has, and calls it from a browser.
//!
//! *Scope:* the response with the page. *Not in scope:* what the page does (`console.html`, which is a client of Streamable HTTP like
//! any other, with the token that its user types), and the path (`serve`).
//!
//! The page is for everyone who may connect, without a token, because a browser sends none when it opens a page. There is nothing of the
//! server in it. Its policy (CSP level 3) lets it run its own script only, and speak to no other origin.

use super::Failure;
use crate::access::route::RouteResponse;
use crate::access::settings::Settings;
use crate::net::random_id;
use crate::runtime::config::EngineConfig;

const PAGE: &str = include_str!("console.html");

/// Has the page served at `/`.
pub(super) fn add_to(config: EngineConfig) -> Result<EngineConfig, Failure> {
    let path = mcp_path(&config.settings);
    config.public_route("GET", "/", move |_| page(&path)).map_err(Failure::usage)
}

/// The path at which the page finds MCP: that of the root or, if only mounts are served, of the first one.
fn mcp_path(settings: &Settings) -> String {
    let mount = settings.mounts.first().filter(|_| !settings.serves_root);
    let mount = mount.map(|name| format!("/{name}")).unwrap_or_default();
    format!("{}{mount}{}", settings.base_path, settings.mcp_path)
}

/// The page, for a server whose clients connect to this path.
fn page(mcp_path: &str) -> RouteResponse {
    // Nobody can guess it, so nothing that gets into the page runs as its script.
    let nonce = format!("{:032x}", random_id());
    let body = PAGE.replace("{{NONCE}}", &nonce).replace("{{MCP}}", &mcp_path.replace('&', "&amp;"));
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; media-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    RouteResponse::new(200)
        .header("Content-Security-Policy", policy)
        .header("Cache-Control", "no-store")
        .header("Cross-Origin-Opener-Policy", "same-origin")
        .header("Referrer-Policy", "no-referrer")
        .header("X-Content-Type-Options", "nosniff")
        .body("text/html; charset=utf-8", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What it may have, so that the smallest machine can send it.
    const PAGE_BYTES_MAX: usize = 30 << 10;

    #[test]
    fn the_page_is_small_and_loads_nothing() {
        assert!(PAGE.len() < PAGE_BYTES_MAX, "{} bytes", PAGE.len());
        for foreign in [
            "http://",
            "https://",
            "//cdn",
            "@import",
            ":url(",
            ": url(",
            " src=\"",
            "eval(",
            "innerHTML",
            " style=\"",
            " onclick=\"",
        ] {
            assert!(!PAGE.contains(foreign), "the page has {foreign}");
        }
        assert_eq!((PAGE.matches("{{NONCE}}").count(), PAGE.matches("{{MCP}}").count()), (2, 1));
    }

    #[test]
    fn each_page_has_a_nonce_of_its_own() {
        let nonce = || {
            let page = page("/a&b/mcp").checked(1 << 20).unwrap();
            let policy = page.headers.iter().find(|(name, _)| *name == "Content-Security-Policy").unwrap();
            let nonce = policy.1.split("'nonce-").nth(1).unwrap().split('\'').next().unwrap().to_owned();
            let body = String::from_utf8(page.body).unwrap();
            assert_eq!(body.matches(&format!("nonce=\"{nonce}\"")).count(), 2);
            assert!(body.contains("data-mcp=\"/a&amp;b/mcp\"") && !body.contains("{{"));
            nonce
        };
        let (one, other) = (nonce(), nonce());
        assert!(one.len() == 32 && one != other, "{one} {other}");
    }

    #[test]
    fn the_path_is_that_of_the_server() {
        let settings = Settings { base_path: "/tools".into(), ..Settings::default() };
        assert_eq!(mcp_path(&settings), "/tools/mcp");
        let mounts = Settings { mounts: vec!["git".into(), "time".into()], serves_root: false, ..settings };
        assert_eq!(mcp_path(&mounts), "/tools/git/mcp");
    }
}
