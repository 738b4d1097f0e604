//! The options of a bridge: those of `mcp-rill bridge`, and the keys of an entry of a manifest's `mcpServers`.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::cli::args::OwnOption;

/// Who has a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Each session has one of its own.
    #[default]
    Session,
    /// All clients of a principal have one together.
    Shared,
}

/// When a child that has ended gets a successor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Restart {
    Never,
    /// With the next request.
    #[default]
    Needed,
}

#[derive(Clone, Debug)]
pub(crate) struct BridgeOptions {
    pub(crate) isolation: Isolation,
    pub(crate) children_max: usize,
    pub(crate) restart: Restart,
    /// True if the child that all clients have runs without a request.
    pub(crate) eager: bool,
    /// After this time without a message an idle child is ended.
    pub(crate) child_idle: Option<Duration>,
    /// True if a manifest has them. Errors name what is to be changed by its name there.
    pub(crate) in_manifest: bool,
}

/// Processes of one server: more than a machine has room for.
pub(crate) const CHILDREN_RANGE: RangeInclusive<u64> = 1..=65_536;
/// Up to a year.
pub(crate) const IDLE_SECONDS_RANGE: RangeInclusive<u64> = 1..=31_536_000;

/// What contradicts each other.
pub(crate) enum Contradiction {
    /// There is no process of all clients that could be started eagerly.
    EagerSessions,
    /// What is kept running would be ended.
    EagerIdle,
}

impl Default for BridgeOptions {
    fn default() -> BridgeOptions {
        BridgeOptions {
            isolation: Isolation::default(),
            children_max: 64,
            restart: Restart::default(),
            eager: false,
            child_idle: None,
            in_manifest: false,
        }
    }
}

/// The options besides those of `serve`: name, value, what it does.
const OPTIONS: [(&str, Option<&str>, &str); 6] = [
    ("name", Some("NAME"), "What the server is called in the log and in errors [the program's name]"),
    ("isolate", Some("session|shared"), "Who has a process: each session, or all clients together [session]"),
    ("children-max", Some("COUNT"), "Processes that may run at once; one more is refused as busy [64]"),
    (
        "restart",
        Some("needed|never"),
        "Whether a process that has ended is started again for the next request [needed]",
    ),
    (
        "eager",
        None,
        "Start the process that all clients have with the bridge, and again whenever it has ended",
    ),
    (
        "child-idle",
        Some("SECONDS"),
        "End a process that was not needed for so long; it is started again when it is",
    ),
];

/// The same for the parser of arguments.
pub(super) fn own_options() -> Vec<OwnOption> {
    let own = |(name, value, about): (&str, Option<&str>, &str)| OwnOption {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        about: about.to_owned(),
    };
    OPTIONS.into_iter().map(own).collect()
}

impl BridgeOptions {
    /// Reads what was given. Returns the name too, if there is one.
    pub(super) fn read(given: &[(String, String)]) -> Result<(BridgeOptions, Option<String>), String> {
        let (mut options, mut name) = (BridgeOptions::default(), None);
        for (option, value) in given {
            let wrong = |expected: &str| format!("--{option} {value}: write {expected}");
            match option.as_str() {
                "name" => name = Some(read_name(value)?),
                "isolate" => {
                    options.isolation = match value.as_str() {
                        "session" => Isolation::Session,
                        "shared" => Isolation::Shared,
                        _ => return Err(wrong("session or shared")),
                    }
                }
                "restart" => {
                    options.restart = match value.as_str() {
                        "never" => Restart::Never,
                        "needed" => Restart::Needed,
                        _ => return Err(wrong("needed or never")),
                    }
                }
                "eager" => options.eager = true,
                "children-max" => {
                    let count = value.parse().ok().filter(|count| CHILDREN_RANGE.contains(count));
                    let count = count.and_then(|count| usize::try_from(count).ok());
                    options.children_max = count.ok_or_else(|| wrong("a number from 1 to 65536"))?;
                }
                _ => {
                    let seconds = value.parse().ok().filter(|seconds| IDLE_SECONDS_RANGE.contains(seconds));
                    let seconds = seconds.ok_or_else(|| wrong("seconds, a number from 1 to 31536000"))?;
                    options.child_idle = Some(Duration::from_secs(seconds));
                }
            }
        }
        match options.contradiction() {
            Some(Contradiction::EagerSessions) => Err(
                "--eager is about the process that all clients have; add --isolate shared, or leave it out"
                    .to_owned(),
            ),
            Some(Contradiction::EagerIdle) => {
                Err("--eager keeps the process running, and --child-idle ends it; leave one of them out"
                    .to_owned())
            }
            None => Ok((options, name)),
        }
    }

    pub(crate) fn contradiction(&self) -> Option<Contradiction> {
        match (self.eager, self.isolation, self.child_idle) {
            (true, Isolation::Session, _) => Some(Contradiction::EagerSessions),
            (true, _, Some(_)) => Some(Contradiction::EagerIdle),
            _ => None,
        }
    }

    /// The name of an option in an error: the one on the command line, or the key of a manifest.
    pub(super) fn named(&self, option: &'static str, key: &'static str) -> &'static str {
        if self.in_manifest { key } else { option }
    }
}

fn read_name(name: &str) -> Result<String, String> {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    match !name.is_empty() && name.len() <= 64 && name.bytes().all(lawful) {
        true => Ok(name.to_owned()),
        false => Err(format!("--name {name}: write 1 to 64 of A-Z a-z 0-9 _ - .")),
    }
}
