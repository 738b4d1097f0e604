//! What is logged, and in which form.

/// How a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// The values of `--log`. `off` is none.
    pub(crate) const NAMES: [&str; 3] = ["text", "json", "off"];

    /// Returns what one of [`NAMES`](Format::NAMES) means; `None` for another word.
    pub(crate) fn named(name: &str) -> Option<Option<Format>> {
        match name {
            "text" => Some(Some(Format::Text)),
            "json" => Some(Some(Format::Json)),
            "off" => Some(None),
            _ => None,
        }
    }
}

/// How much a line matters, most first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Error,
    Warning,
    #[default]
    Info,
}

impl Severity {
    pub(crate) fn named(name: &str) -> Option<Severity> {
        [Severity::Error, Severity::Warning, Severity::Info].into_iter().find(|level| level.name() == name)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// What is logged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LogOptions {
    /// `None` if events are not logged.
    pub(crate) format: Option<Format>,
    /// Lines that matter less are left out.
    pub(crate) level: Severity,
    /// True if lines of calls have the arguments.
    pub(crate) arguments: bool,
}
