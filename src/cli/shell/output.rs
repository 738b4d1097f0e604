//! Where results go: standard output or a file.
//!
//! *Scope:* text and bytes for a terminal, a pipe or a file; a reader that goes away. *Not in scope:* what is written.

use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};

use crate::cli::Failure;
use crate::cli::shell::options::Options;
use crate::json::write::Object;
use crate::text::{is_hidden, lines_without_hidden, without_hidden};

pub(super) struct Output {
    to: BufWriter<Box<dyn Write>>,
    /// True if a person reads it: what a server sends must not steer the terminal, and bytes mean nothing.
    pub(super) is_terminal: bool,
    pub(super) color: bool,
    /// What is written to, for errors.
    place: String,
    /// True once its reader has gone, which is no error.
    gone: bool,
}

impl Output {
    pub(super) fn open(options: &Options) -> Result<Output, Failure> {
        let (to, is_terminal, place): (Box<dyn Write>, bool, String) = match &options.output {
            Some(path) => {
                let place = path.display().to_string();
                let file = File::create(path).map_err(|error| {
                    Failure::usage(format!("--output {place}: {error}; name a file that can be written"))
                })?;
                (Box::new(file), false, place)
            }
            None => (Box::new(io::stdout()), io::stdout().is_terminal(), "standard output".to_owned()),
        };
        let unset = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let color = options.color.unwrap_or(is_terminal && unset);
        Ok(Output { to: BufWriter::new(to), is_terminal, color, place, gone: false })
    }

    /// Writes text as it is. At a terminal what would steer that, or mislead its reader, is escaped.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        match self.is_terminal {
            true => self.bytes(lines_without_hidden(text).as_bytes()),
            false => self.bytes(text.as_bytes()),
        }
    }

    /// Writes text and ends its line.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.text(text)?;
        self.bytes(if text.ends_with('\n') { b"" } else { b"\n" })
    }

    /// Writes a result as one line of JSON.
    pub(super) fn json(&mut self, json: &str) -> Result<(), Failure> {
        let mut line =
            if self.is_terminal { json_without_hidden(json) } else { json.to_owned() }.into_bytes();
        crate::text::keep_on_one_line(&mut line);
        line.push(b'\n');
        self.bytes(&line)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self.gone {
            true => Ok(()),
            false => {
                let written = self.to.write_all(bytes);
                self.check(written)
            }
        }
    }

    /// What was written so far is there for its reader.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.gone {
            return Ok(());
        }
        let flushed = self.to.flush();
        self.check(flushed)
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.flush()
    }

    fn check(&mut self, written: io::Result<()>) -> Result<(), Failure> {
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(())
            }
            written => written.map_err(|error| Failure::system(format!("{}: {error}", self.place))),
        }
    }

    /// A name that stands out, if that is wanted.
    pub(super) fn bold(&self, text: &str) -> String {
        if self.color { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A text as one line: its line breaks become spaces, and other hidden characters are escaped.
pub(super) fn one_line(text: &str) -> String {
    without_hidden(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// The same JSON with hidden characters escaped as JSON does it. They are in strings only, but for line breaks and tabs.
fn json_without_hidden(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match is_hidden(c) && !matches!(c, '\n' | '\r' | '\t') {
            true => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")))
            }
            false => out.push(c),
        }
    }
    out
}

/// Writes an error as one line of JSON to standard error.
pub(super) fn report_json(failure: &Failure) {
    let mut line = Vec::new();
    Object::new(&mut line).field("error", |out| {
        Object::new(out).int("exitCode", failure.code.into()).str("message", &failure.text);
    });
    line.push(b'\n');
    // If standard error is closed, the error cannot be reported.
    let _ = io::stderr().write_all(&line);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    #[test]
    fn json_at_a_terminal_is_the_same_json() {
        let json = "{\n \"a\":\t\"x\u{202e}\u{9b}\u{e0041}y\u{7f}é\"}";
        let shown = json_without_hidden(json);
        assert_eq!(shown, "{\n \"a\":\t\"x\\u202e\\u009b\\udb40\\udc41y\\u007fé\"}");
        let text =
            |json: &str| Tape::new().read(json).unwrap().get("a").unwrap().as_str().unwrap().into_owned();
        assert_eq!(text(&shown), text(json));
    }
}
