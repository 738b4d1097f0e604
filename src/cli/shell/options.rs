//! The arguments of a verb: options, the target and the words after it.
//!
//! *Scope:* one table of options for all verbs, and their values. *Not in scope:* what a verb's words mean.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lexopt::Arg;

use crate::cli::Failure;
use crate::cli::shell::target::Target;
use crate::client::transport::Transport;
use crate::text::nearest;

/// Options of all verbs.
const OF_ALL: [&str; 6] = ["json", "era", "timeout", "token-file", "header", "header-file"];
/// Options of some.
const OF_SOME: [&str; 10] = [
    "json-args",
    "dry-run",
    "answer",
    "decline",
    "output",
    "count",
    "ready",
    "color",
    "record",
    "plain-http",
];
/// Options that may be given several times.
const REPEATED: [&str; 2] = ["header", "answer"];

/// Which revisions and transports to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) enum Era {
    #[default]
    Auto,
    Stateless,
    Sessions,
    Sse,
}

impl Era {
    const NAMES: [(&'static str, Era); 4] =
        [("2026", Era::Stateless), ("2025", Era::Sessions), ("sse", Era::Sse), ("auto", Era::Auto)];

    /// What to set over HTTP.
    pub(super) fn transport(self) -> Transport {
        match self {
            Era::Auto => Transport::Auto,
            Era::Stateless => Transport::Stateless,
            Era::Sessions => Transport::Streamable,
            Era::Sse => Transport::Sse,
        }
    }
}

/// What the arguments after a verb's name say.
#[derive(Debug, Default)]
pub(in crate::cli) struct Options {
    pub(in crate::cli) target: Target,
    /// What follows the target.
    pub(super) words: Vec<String>,
    pub(in crate::cli) json: bool,
    pub(super) json_args: Option<String>,
    pub(super) answers: Vec<(String, String)>,
    pub(super) decline: bool,
    pub(super) dry_run: bool,
    pub(super) output: Option<PathBuf>,
    pub(super) count: u32,
    pub(super) ready: bool,
    pub(super) record: Option<PathBuf>,
    pub(in crate::cli) era: Era,
    pub(in crate::cli) timeout: Duration,
    pub(in crate::cli) token_file: Option<PathBuf>,
    pub(in crate::cli) headers: Vec<(String, String)>,
    pub(in crate::cli) header_file: Option<PathBuf>,
    /// True or false if the user has said so.
    pub(super) color: Option<bool>,
    pub(in crate::cli) plain_http: bool,
}

impl Options {
    /// Reads them. `own` are the options of the verb besides those of all, and `timeout` is what it has without that option.
    pub(in crate::cli) fn read(
        own: &[&str],
        timeout: Duration,
        mut arguments: Vec<OsString>,
    ) -> Result<Options, Failure> {
        let command = match arguments.iter().position(|word| word == "--") {
            Some(at) => Some(command(arguments.split_off(at))?),
            None => None,
        };
        let mut options = Options { timeout, count: 1, ..Options::default() };
        let mut given = Vec::new();
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            let name = match argument {
                Arg::Value(word) => {
                    options.words.push(utf8(word)?);
                    continue;
                }
                Arg::Short('o') => "output".to_owned(),
                Arg::Short(letter) => {
                    return Err(Failure::usage(format!("there is no option -{letter}; see --help")));
                }
                Arg::Long(name) => name.to_owned(),
            };
            if !OF_ALL.contains(&&*name) && !own.contains(&&*name) {
                return Err(unknown(own, &name));
            }
            options.set(&name, &mut parser)?;
            if given.contains(&name) && !REPEATED.contains(&&*name) {
                return Err(Failure::usage(format!("--{name} is given twice; give it once")));
            }
            given.push(name);
        }
        if options.decline && !options.answers.is_empty() {
            return Err(Failure::usage("--answer and --decline contradict each other; give one"));
        }
        options.target = match command {
            Some(command) => Target::Command(command),
            None if options.words.is_empty() => {
                return Err(Failure::usage(
                    "TARGET is missing; write http://HOST:PORT/PATH, or -- COMMAND at the end; see --help",
                ));
            }
            None => Target::read(&options.words.remove(0))?,
        };
        Ok(options)
    }

    fn set(&mut self, name: &str, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        match name {
            "json" => self.json = true,
            "json-args" => self.json_args = Some(utf8(parser.value()?)?),
            "answer" => self.answers.push(answer(&utf8(parser.value()?)?)?),
            "decline" => self.decline = true,
            "dry-run" => self.dry_run = true,
            "output" => self.output = Some(parser.value()?.into()),
            "record" => self.record = Some(parser.value()?.into()),
            "ready" => self.ready = true,
            "plain-http" => self.plain_http = true,
            "count" => self.count = count(&utf8(parser.value()?)?)?,
            "era" => self.era = era(&utf8(parser.value()?)?)?,
            "timeout" => self.timeout = time(&utf8(parser.value()?)?)?,
            "token-file" => self.token_file = Some(parser.value()?.into()),
            "header" => {
                let field = header(&utf8(parser.value()?)?);
                self.headers.push(field.map_err(|why| Failure::usage(format!("--header: {why}")))?);
            }
            "header-file" => self.header_file = Some(parser.value()?.into()),
            _ => self.color = color(&utf8(parser.value()?)?)?,
        }
        Ok(())
    }

    /// Takes the words, which have to be these: `what` names each that is missing.
    pub(super) fn take_words<const N: usize>(&mut self, what: [&str; N]) -> Result<[String; N], Failure> {
        if let Some(missing) = what.get(self.words.len()) {
            return Err(Failure::usage(format!("{missing} is missing; see `--help`")));
        }
        let rest = self.words.split_off(N);
        let words = std::mem::replace(&mut self.words, rest);
        words.try_into().map_err(|_| Failure::usage("an argument is missing; see `--help`"))
    }

    /// Checks that no word is left.
    pub(in crate::cli) fn no_more_words(&self) -> Result<(), Failure> {
        match self.words.first() {
            Some(word) => Err(Failure::usage(format!("unexpected argument `{word}`; see `--help`"))),
            None => Ok(()),
        }
    }
}

fn utf8(value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|value| Failure::usage(format!("`{}` is not UTF-8", value.to_string_lossy())))
}

/// The command after `--`.
fn command(words: Vec<OsString>) -> Result<Command, Failure> {
    let mut words = words.into_iter().skip(1);
    let program = words
        .next()
        .ok_or_else(|| Failure::usage("there is no command after --; write -- COMMAND ARGUMENTS..."))?;
    let mut command = Command::new(program);
    command.args(words);
    Ok(command)
}

fn unknown(own: &[&str], name: &str) -> Failure {
    let names: Vec<&str> = OF_ALL.iter().chain(own).copied().collect();
    Failure::usage(match nearest(name, &names) {
        _ if OF_SOME.contains(&name) => format!("this verb has no option --{name}; see --help"),
        Some(meant) => format!("there is no option --{name}; did you mean --{meant}?"),
        None => format!("there is no option --{name}; see --help"),
    })
}

fn answer(text: &str) -> Result<(String, String), Failure> {
    let pair = text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    pair.filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
        Failure::usage(format!("--answer {text}: write K=V, a field of the server's form and its value"))
    })
}

fn count(digits: &str) -> Result<u32, Failure> {
    digits.parse().ok().filter(|count| *count > 0).ok_or_else(|| {
        Failure::usage(format!("--count {digits}: write a whole number from 1 to {}", u32::MAX))
    })
}

fn era(name: &str) -> Result<Era, Failure> {
    let found = Era::NAMES.iter().find(|(known, _)| *known == name);
    found
        .map(|(_, era)| *era)
        .ok_or_else(|| Failure::usage(format!("--era {name}: write 2026, 2025, sse or auto")))
}

fn time(text: &str) -> Result<Duration, Failure> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let scale = match unit {
        "ms" => Some(1),
        "" | "s" => Some(1000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    };
    let ms = digits.parse::<u64>().ok().zip(scale).and_then(|(count, scale)| count.checked_mul(scale));
    ms.filter(|ms| *ms > 0).map(Duration::from_millis).ok_or_else(|| {
        Failure::usage(format!("--timeout {text}: write a time from 1ms on, such as 500ms, 10s or 5min"))
    })
}

/// Reads `Name: value`.
pub(in crate::cli) fn header(line: &str) -> Result<(String, String), String> {
    let pair = line.split_once(':').map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()));
    // The value may be a secret, and is not repeated.
    pair.ok_or_else(|| "a header field is written `Name: value`".to_owned())
}

fn color(when: &str) -> Result<Option<bool>, Failure> {
    match when {
        "always" => Ok(Some(true)),
        "never" => Ok(Some(false)),
        "auto" => Ok(None),
        _ => Err(Failure::usage(format!("--color {when}: write always, never or auto"))),
    }
}
