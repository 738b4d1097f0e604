//! The revisions of the protocol that are served.
//!
//! *Scope:* their names and order, and version negotiation (MCP lifecycle). *Not in scope:* their differences: results (`content`),
//! batches (the engine's `transport::batch`), questions (`server::ask`, `runtime::stateless`), progress (`runtime::updates`).
//!
//! ```
//! use mcp_rill::Revision;
//! assert_eq!(Revision::negotiate("2025-06-18"), Revision::V2025_06_18);
//! assert_eq!(Revision::negotiate("2031-01-01"), Revision::NEWEST_WITH_SESSIONS);
//! ```

/// A revision of the protocol, oldest first. There will be more of them.
///
/// ```
/// use mcp_rill::Revision;
/// assert!(Revision::V2025_03_26 < Revision::NEWEST);
/// assert_eq!(Revision::named("2025-06-18"), Some(Revision::V2025_06_18));
/// assert_eq!(Revision::ALL[0].name(), "2024-11-05");
/// assert!(Revision::NEWEST_WITH_SESSIONS.has_sessions() && !Revision::V2026_07_28.has_sessions());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(non_camel_case_types, reason = "the names are dates")]
pub enum Revision {
    /// 2024-11-05: HTTP+SSE.
    V2024_11_05,
    /// 2025-03-26: audio, tool annotations, batches.
    V2025_03_26,
    /// 2025-06-18: structured results, resource links, elicitation, titles.
    V2025_06_18,
    /// 2025-11-25: icons, tools in sampling, url elicitation.
    V2025_11_25,
    /// 2026-07-28: no sessions; every request describes its client, and questions travel in results.
    V2026_07_28,
}

impl Revision {
    /// The newest revision that is served: 2026-07-28, or without the feature `stateless` the newest with sessions.
    pub const NEWEST: Revision =
        if cfg!(feature = "stateless") { Revision::V2026_07_28 } else { Revision::NEWEST_WITH_SESSIONS };

    /// The newest revision that has sessions, which begin with `initialize`.
    pub const NEWEST_WITH_SESSIONS: Revision = Revision::V2025_11_25;

    /// All revisions that are served, oldest first. 2026-07-28 is not among them without the feature `stateless`.
    pub const ALL: &[Revision] =
        if cfg!(feature = "stateless") { Revision::KNOWN } else { Revision::KNOWN.split_at(4).0 };

    /// All revisions, whatever the server is built with, oldest first: the client speaks them all.
    pub(crate) const KNOWN: &[Revision] = &[
        Revision::V2024_11_05,
        Revision::V2025_03_26,
        Revision::V2025_06_18,
        Revision::V2025_11_25,
        Revision::V2026_07_28,
    ];

    /// The revision of that name, such as `2025-06-18`; `None` if it is not served.
    pub fn named(name: &str) -> Option<Revision> {
        Revision::ALL.iter().copied().find(|revision| revision.name() == name)
    }

    /// The revision that a server answers to an `initialize` that asks for `name`: the same if it is served and has sessions,
    /// else the newest that has (MCP lifecycle, version negotiation).
    ///
    /// ```
    /// # use mcp_rill::Revision;
    /// assert_eq!(Revision::negotiate("2031-01-01"), Revision::NEWEST_WITH_SESSIONS);
    /// ```
    pub fn negotiate(name: &str) -> Revision {
        let asked = Revision::named(name).filter(|revision| revision.has_sessions());
        asked.unwrap_or(Revision::NEWEST_WITH_SESSIONS)
    }

    /// True if clients begin with `initialize`, and the server remembers them. Since 2026-07-28 each request is complete in
    /// itself (MCP 2026-07-28, basic).
    pub fn has_sessions(self) -> bool {
        self <= Revision::NEWEST_WITH_SESSIONS
    }

    /// The name on the wire: the date of the revision, such as `2025-06-18`.
    pub fn name(self) -> &'static str {
        match self {
            Revision::V2024_11_05 => "2024-11-05",
            Revision::V2025_03_26 => "2025-03-26",
            Revision::V2025_06_18 => "2025-06-18",
            Revision::V2025_11_25 => "2025-11-25",
            Revision::V2026_07_28 => "2026-07-28",
        }
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
