//! Which protected resources a server has, by its own paths.
//!
//! *Scope:* the resource of one path. *Not in scope:* what is in its document (`resource`), and the response with it (the
//! engine's `auth`).

use crate::access::auth::resource::ProtectedResource;
use crate::access::settings::Settings;

impl ProtectedResource {
    /// The resource of one of the server's own paths; `None` if its URL does not follow from this one.
    pub(crate) fn served_at(&self, path: &str, settings: &Settings) -> Option<ProtectedResource> {
        let ours = [&settings.mcp_path, &settings.sse_path];
        let known = ours.iter().any(|own| *own == path);
        let resource = match self.base(settings) {
            Some(base) if known => format!("{base}{path}"),
            None if path == settings.mcp_path => self.resource.clone(),
            _ => return None,
        };
        Some(ProtectedResource { resource, ..self.clone() })
    }

    /// What comes before the server's own paths in the URLs that clients know.
    fn base(&self, settings: &Settings) -> Option<&str> {
        let (url, (_, path)) = (self.resource.trim_end_matches('/'), self.parts());
        if path.is_empty() || path == settings.base_path {
            return Some(url);
        }
        let ours =
            [&settings.mcp_path, &settings.sse_path].into_iter().filter(|own| path.ends_with(own.as_str()));
        url.strip_suffix(ours.max_by_key(|own| own.len())?.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_resource_stands_for_both_transports() {
        let tools = Settings { base_path: "/tools".to_owned(), ..Settings::default() };
        let nested =
            Settings { mcp_path: "/sse".to_owned(), sse_path: "/old/sse".to_owned(), ..Settings::default() };
        let plain = Settings::default();
        for (resource, settings, mcp, sse) in [
            ("https://a.example/mcp", &plain, "https://a.example/mcp", Some("https://a.example/sse")),
            ("https://a.example/sse/", &plain, "https://a.example/mcp", Some("https://a.example/sse")),
            ("https://a.example", &plain, "https://a.example/mcp", Some("https://a.example/sse")),
            ("https://a.example/", &plain, "https://a.example/mcp", Some("https://a.example/sse")),
            ("https://a.example/b/mcp", &tools, "https://a.example/b/mcp", Some("https://a.example/b/sse")),
            (
                "https://a.example/tools",
                &tools,
                "https://a.example/tools/mcp",
                Some("https://a.example/tools/sse"),
            ),
            (
                "https://a.example/old/sse",
                &nested,
                "https://a.example/sse",
                Some("https://a.example/old/sse"),
            ),
            ("https://a.example/other", &plain, "https://a.example/other", None),
            ("https://a.example/xmcp", &plain, "https://a.example/xmcp", None),
        ] {
            let resource = ProtectedResource::new(resource, "https://login.example").scope("a");
            let served = |path: &str| resource.served_at(path, settings);
            let expected = |url: &str| ProtectedResource { resource: url.to_owned(), ..resource.clone() };
            assert_eq!(served(&settings.mcp_path), Some(expected(mcp)));
            assert_eq!(served(&settings.sse_path), sse.map(expected));
            assert_eq!(served("/messages"), None);
        }
    }
}
