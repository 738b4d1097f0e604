//! The options of a bridge.

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
}

impl Default for BridgeOptions {
    fn default() -> BridgeOptions {
        BridgeOptions {
            isolation: Isolation::default(),
            children_max: 64,
            restart: Restart::default(),
            eager: false,
            child_idle: None,
        }
    }
}

/// The options besides those of `serve`: name, value, what it does.
const OPTIONS: [(&str, Option<&str>, &str); 6] = [
    ("name", Some("NAME"), "What the server is called in the log and in errors [the program's name]"),
    ("isolate", Some("session|shared"), "Who has a process: each session, or all clients together [session]"),
    ("children-max", Some("COUNT"), "Processes that may run at once; one more is refused with 503 [64]"),
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
                    let count = value.parse().ok().filter(|count| (1..=CHILDREN_CAP).contains(count));
                    options.children_max = count.ok_or_else(|| wrong("a number from 1 to 65536"))?;
                }
                _ => {
                    let seconds = value.parse().ok().filter(|seconds| (1..=SECONDS_CAP).contains(seconds));
                    let seconds = seconds.ok_or_else(|| wrong("seconds, a number from 1 to 31536000"))?;
                    options.child_idle = Some(Duration::from_secs(seconds));
                }
            }
        }
        options.check()?;
        Ok((options, name))
    }

    /// Options that contradict each other.
    fn check(&self) -> Result<(), String> {
        match (self.eager, self.isolation, self.child_idle) {
            (true, Isolation::Session, _) => Err(
                "--eager is about the process that all clients have; add --isolate shared, or leave it out"
                    .to_owned(),
            ),
            (true, _, Some(_)) => {
                Err("--eager keeps the process running, and --child-idle ends it; leave one of them out"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// More processes than a machine has room for.
const CHILDREN_CAP: usize = 65_536;
/// A year.
const SECONDS_CAP: u64 = 31_536_000;

fn read_name(name: &str) -> Result<String, String> {
    let lawful = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    match !name.is_empty() && name.len() <= 64 && name.bytes().all(lawful) {
        true => Ok(name.to_owned()),
        false => Err(format!("--name {name}: write 1 to 64 of A-Z a-z 0-9 _ - .")),
    }
}
