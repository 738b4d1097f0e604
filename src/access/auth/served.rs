//! Which protected resources a server has, by its own paths.
//!
//! *Scope:* the resource of one path. *Not in scope:* what is in its document (`resource`), and the response with it (the
//! engine's `auth`).

use crate::access::auth::resource::ProtectedResource;
use crate::access::settings::Settings;

impl ProtectedResource {
    /// The resource of one of the server's own paths, at the root or below a mount; `None` if its URL does not follow from this one.
    pub(crate) fn served_at(
        &self,
        (mount, path): (Option<usize>, &str),
        settings: &Settings,
    ) -> Option<ProtectedResource> {
        let ours = [&settings.mcp_path, &settings.sse_path];
        let known = ours.iter().any(|own| *own == path);
        let below = match mount {
            Some(mount) => format!("/{}", settings.mounts.get(mount)?),
            None => String::new(),
        };
        let resource = match self.base(settings) {
            Some(base) if known => format!("{base}{below}{path}"),
            None if mount.is_none() && path == settings.mcp_path => self.resource.clone(),
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
        let own = ours.max_by_key(|own| own.len())?.as_str();
        let (base, prefix) = (url.strip_suffix(own)?, path.strip_suffix(own)?);
        // It may be the URL of a server below a mount.
        match prefix.rsplit_once('/').filter(|_| prefix != settings.base_path) {
            Some((_, name)) if settings.mounts.iter().any(|mount| mount == name) => {
                base.strip_suffix(name)?.strip_suffix('/')
            }
            _ => Some(base),
        }
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
            let served = |path: &str| resource.served_at((None, path), settings);
            let expected = |url: &str| ProtectedResource { resource: url.to_owned(), ..resource.clone() };
            assert_eq!(served(&settings.mcp_path), Some(expected(mcp)));
            assert_eq!(served(&settings.sse_path), sse.map(expected));
            assert_eq!(served("/messages"), None);
        }
    }

    #[test]
    fn each_mount_has_a_resource_of_its_own() {
        let settings = Settings { mounts: vec!["git".to_owned(), "time".to_owned()], ..Settings::default() };
        for (resource, root, time) in [
            ("https://a.example", "https://a.example/mcp", "https://a.example/time/mcp"),
            ("https://a.example/sse", "https://a.example/mcp", "https://a.example/time/mcp"),
            ("https://a.example/git/mcp", "https://a.example/mcp", "https://a.example/time/mcp"),
            ("https://a.example/b/git/mcp", "https://a.example/b/mcp", "https://a.example/b/time/mcp"),
            ("https://git/mcp", "https://git/mcp", "https://git/time/mcp"),
        ] {
            let resource = ProtectedResource::new(resource, "https://login.example");
            let url = |mount| resource.served_at((mount, "/mcp"), &settings).map(|served| served.resource);
            assert_eq!([url(None), url(Some(1))], [Some(root.to_owned()), Some(time.to_owned())]);
            assert_eq!(resource.served_at((Some(2), "/mcp"), &settings), None);
        }
        // Nothing follows from a path that a proxy has given another name.
        let other = ProtectedResource::new("https://a.example/other", "https://login.example");
        assert_eq!(other.served_at((Some(0), "/mcp"), &settings), None);
    }
}
