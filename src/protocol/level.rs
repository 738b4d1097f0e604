//! Levels of log messages (MCP logging; RFC 5424, section 6.2.1).
//!
//! *Scope:* [`Level`] and its names on the wire. *Not in scope:* which client gets a message.

use crate::json::value::JsonRef;
use crate::jsonrpc::Error;

/// How much a log message matters (MCP logging; RFC 5424, section 6.2.1).
///
/// ```
/// use mcp_rill::Level;
/// assert!(Level::Debug < Level::Info && Level::Error < Level::Emergency);
/// assert_eq!(Level::named("warning").map(Level::name), Some("warning"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Details for debugging.
    Debug,
    /// Something happened as expected.
    Info,
    /// Something happened that is worth a look.
    Notice,
    /// Something may become a problem.
    Warning,
    /// Something failed.
    Error,
    /// A part of the server failed.
    Critical,
    /// Action must be taken at once.
    Alert,
    /// Nothing works.
    Emergency,
}

impl Level {
    const ALL: [(Level, &'static str); 8] = [
        (Level::Debug, "debug"),
        (Level::Info, "info"),
        (Level::Notice, "notice"),
        (Level::Warning, "warning"),
        (Level::Error, "error"),
        (Level::Critical, "critical"),
        (Level::Alert, "alert"),
        (Level::Emergency, "emergency"),
    ];

    /// The level of that name on the wire, such as `warning`; `None` if there is none.
    pub fn named(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|(_, known)| *known == name).map(|(level, _)| level)
    }

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        Level::ALL.iter().find(|(level, _)| *level == self).map_or("info", |(_, name)| name)
    }
}

pub(crate) fn read_level(level: Option<JsonRef<'_>>) -> Result<Level, Error> {
    level.and_then(JsonRef::as_str).and_then(|name| Level::named(&name)).ok_or_else(|| {
        Error::invalid_params(
            "the log level must be debug, info, notice, warning, error, critical, alert or emergency",
        )
    })
}
