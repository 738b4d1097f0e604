//! What the output of a command becomes: the result of a tool, or the contents of a resource.
//!
//! *Scope:* text, JSON, lines and media; failures, with what the command wrote to standard error. *Not in scope:* running it.

use super::media_type;
use crate::cli::bounds::EXCERPT_BYTES_MAX;
use crate::cli::json_schema::Schema;
use crate::cli::manifest::entries::{CommandEntry, Output};
use crate::cli::process::{End, Finished};
use crate::json::tape::Tape;
use crate::protocol::content::{Content, ResourceContents, ToolResult};
use crate::schema::path::Subject;
use crate::text::printable;

/// The result of a tool.
pub(super) fn tool_result(
    name: &str,
    command: &CommandEntry,
    output: &Output,
    schema: Option<&Schema>,
    finished: Finished,
) -> ToolResult {
    if let Some(failure) = failure(name, command, &finished) {
        return ToolResult::error(failure);
    }
    let cut = finished.stdout_cut;
    match output {
        Output::Text => ToolResult::text(text(finished.stdout, cut.then_some((Kept::First, command)))),
        Output::Lines => ToolResult::text(text(finished.stdout, cut.then_some((Kept::Last, command)))),
        Output::Json if cut => ToolResult::error(too_long(name, "outputBytesMax", command.output_bytes_max)),
        Output::Json => json(name, schema, &finished.stdout),
        Output::Media(_) if cut => {
            ToolResult::error(too_long(name, "outputBytesMax", command.output_bytes_max))
        }
        Output::Media(mime_type) => ToolResult::blocks(vec![media(name, mime_type, finished.stdout)]),
    }
}

/// The contents of a resource.
///
/// # Errors
/// Why there are none.
pub(super) fn contents(
    name: &str,
    command: &CommandEntry,
    finished: Finished,
) -> Result<ResourceContents, String> {
    if let Some(failure) = failure(name, command, &finished) {
        return Err(failure);
    }
    match finished.stdout_cut {
        true => Err(too_long(name, "bytesMax", command.output_bytes_max)),
        false => Ok(text_or_blob(finished.stdout)),
    }
}

/// Text where the bytes are text; else a blob.
pub(super) fn text_or_blob(bytes: Vec<u8>) -> ResourceContents {
    match String::from_utf8(bytes) {
        Ok(text) if media_type::is_text(text.as_bytes()) => ResourceContents::text(text),
        Ok(text) => ResourceContents::blob(text.into_bytes()),
        Err(not_text) => ResourceContents::blob(not_text.into_bytes()),
    }
}

/// Why a command did not succeed, for a model to read; `None` if it did.
fn failure(name: &str, command: &CommandEntry, finished: &Finished) -> Option<String> {
    let how = match &finished.end {
        End::Exited(code) if command.exit_codes.iter().any(|expected| i32::from(*expected) == *code) => {
            return None;
        }
        End::Exited(code) => format!("`{name}` failed with exit code {code}"),
        End::Signalled(signal) => {
            format!("`{name}` was ended by signal {signal} after {:.1} s", finished.ran.as_secs_f64())
        }
        End::TimedOut => {
            format!("`{name}` took longer than {} s (timeoutMs) and was ended", command.timeout.as_secs_f64())
        }
        End::Cancelled => format!("`{name}` was cancelled"),
        End::NotStarted(why) => return Some(format!("`{name}` did not run: {why}")),
    };
    let said = match last_text(&finished.stderr) {
        said if said.is_empty() => last_text(&finished.stdout),
        said => said,
    };
    Some(if said.is_empty() { how } else { format!("{how}:\n{said}") })
}

/// The last of what a command wrote, as text.
fn last_text(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(EXCERPT_BYTES_MAX);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).trim().to_owned()
}

/// Which part of an output that was too long is there.
enum Kept {
    First,
    Last,
}

fn text(bytes: Vec<u8>, cut: Option<(Kept, &CommandEntry)>) -> String {
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|not_text| String::from_utf8_lossy(not_text.as_bytes()).into_owned());
    match cut {
        None => text,
        Some((Kept::First, command)) => {
            format!(
                "{text}\n[cut: only the first {} bytes are shown, outputBytesMax]",
                command.output_bytes_max
            )
        }
        Some((Kept::Last, command)) => {
            format!(
                "[cut: only the last {} bytes are shown, outputBytesMax]\n{text}",
                command.output_bytes_max
            )
        }
    }
}

fn too_long(name: &str, key: &str, bytes_max: usize) -> String {
    format!("the output of `{name}` has more than {bytes_max} bytes ({key}), and a part of it is of no use")
}

fn json(name: &str, schema: Option<&Schema>, bytes: &[u8]) -> ToolResult {
    let not_json = |why: String| {
        let begin = printable(&String::from_utf8_lossy(bytes));
        ToolResult::error(format!("the output of `{name}` is not JSON: {why}. It begins with: {begin}"))
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.trim(),
        Err(error) => return not_json(error.to_string()),
    };
    let mut tape = Tape::new();
    let value = match tape.read(text) {
        Ok(value) => value,
        Err(error) => return not_json(error.to_string()),
    };
    if let Some(problem) = schema.and_then(|schema| schema.check(Subject::Member, value).err()) {
        return ToolResult::error(format!("the output of `{name}` does not fit its outputSchema: {problem}"));
    }
    ToolResult::text(text.to_owned()).structured(text)
}

/// An image, a sound, or another file.
fn media(name: &str, mime_type: &str, bytes: Vec<u8>) -> Content {
    let mime_type = mime_type.to_owned();
    match mime_type.split('/').next() {
        Some(kind) if kind.eq_ignore_ascii_case("image") => Content::image(bytes, mime_type),
        Some(kind) if kind.eq_ignore_ascii_case("audio") => Content::audio(bytes, mime_type),
        _ => {
            let contents = ResourceContents::blob(bytes).uri(format!("output:///{name}"));
            Content::resource(contents.mime_type(mime_type))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_error_repeats_the_last_bytes() {
        let said = format!("ab{}", "c".repeat(EXCERPT_BYTES_MAX - 1));
        assert_eq!(last_text(&said.as_bytes()[1..]), said[1..]);
        assert_eq!(last_text(said.as_bytes()), said[1..]);
    }

    fn command() -> CommandEntry {
        CommandEntry {
            argv: Default::default(),
            stdin: None,
            env: Vec::new(),
            cwd: "/".into(),
            timeout: Duration::from_millis(1500),
            output_bytes_max: 8,
            concurrency: 1,
            exit_codes: vec![0, 3],
            rlimits: Default::default(),
        }
    }

    fn finished(end: End, stdout: &[u8], stderr: &[u8]) -> Finished {
        Finished {
            end,
            stdout: stdout.to_vec(),
            stdout_cut: false,
            stderr: stderr.to_vec(),
            ran: Duration::ZERO,
        }
    }

    fn result(output: &Output, finished: Finished) -> ToolResult {
        tool_result("t", &command(), output, None, finished)
    }

    #[test]
    fn a_failure_says_how_it_ended_and_what_was_said() {
        for (end, stdout, stderr, expected) in [
            (End::Exited(1), "", "no\nroute\n", "`t` failed with exit code 1:\nno\nroute"),
            (End::Exited(1), "here instead", " \n", "`t` failed with exit code 1:\nhere instead"),
            (End::Exited(255), "", "", "`t` failed with exit code 255"),
            (End::Signalled(11), "", "", "`t` was ended by signal 11 after 0.0 s"),
            (End::TimedOut, "", "", "`t` took longer than 1.5 s (timeoutMs) and was ended"),
            (End::Cancelled, "", "", "`t` was cancelled"),
            (End::NotStarted("no such file".into()), "", "", "`t` did not run: no such file"),
        ] {
            let found = result(&Output::Text, finished(end.clone(), stdout.as_bytes(), stderr.as_bytes()));
            assert_eq!(found, ToolResult::error(expected), "{end:?}");
        }
        for code in [0, 3] {
            assert_eq!(result(&Output::Text, finished(End::Exited(code), b"x", b"y")), ToolResult::text("x"));
        }
    }

    #[test]
    fn each_kind_of_output_has_its_form() {
        let of = |output: &Output, bytes: &[u8]| result(output, finished(End::Exited(0), bytes, b""));
        assert_eq!(of(&Output::Text, b"a\xffb"), ToolResult::text("a\u{fffd}b"));
        let value = ToolResult::text("{\"a\": 1.50}").structured("{\"a\": 1.50}");
        assert_eq!(of(&Output::Json, b" {\"a\": 1.50}\n"), value);
        let png = Output::Media("image/png".into());
        assert_eq!(of(&png, b"\x89P"), ToolResult::blocks(vec![Content::image(b"\x89P", "image/png")]));
        let wav = Output::Media("Audio/wav".into());
        assert_eq!(of(&wav, b"R"), ToolResult::blocks(vec![Content::audio(b"R", "Audio/wav")]));
        let pdf = ResourceContents::blob(b"%PDF").uri("output:///t").mime_type("application/pdf");
        let found = of(&Output::Media("application/pdf".into()), b"%PDF");
        assert_eq!(found, ToolResult::blocks(vec![Content::resource(pdf)]));
        for bytes in [&b""[..], b"{", b"{} {}", b"\xff{}", b"hello"] {
            let text = of(&Output::Json, bytes);
            assert!(text.error_text().unwrap().starts_with("the output of `t` is not JSON: "), "{text:?}");
        }
    }

    #[test]
    fn output_that_was_cut_says_so_and_names_the_key() {
        let cut = |output: &Output| {
            result(output, Finished { stdout_cut: true, ..finished(End::Exited(0), b"12345678", b"") })
        };
        let shown = "[cut: only the first 8 bytes are shown, outputBytesMax]";
        assert_eq!(cut(&Output::Text), ToolResult::text(format!("12345678\n{shown}")));
        let shown = "[cut: only the last 8 bytes are shown, outputBytesMax]";
        assert_eq!(cut(&Output::Lines), ToolResult::text(format!("{shown}\n12345678")));
        for output in [Output::Json, Output::Media("image/png".into())] {
            let text = cut(&output);
            assert!(text.error_text().unwrap().contains("more than 8 bytes (outputBytesMax)"), "{text:?}");
        }
        let bytes = Finished { stdout_cut: true, ..finished(End::Exited(0), b"12345678", b"") };
        assert!(contents("t", &command(), bytes).unwrap_err().contains("more than 8 bytes (bytesMax)"));
    }

    #[test]
    fn contents_are_text_where_they_can_be() {
        assert_eq!(text_or_blob(b"a\xc3\xa9".to_vec()), ResourceContents::text("aé"));
        for bytes in [&b"a\0b"[..], b"\xff"] {
            assert_eq!(text_or_blob(bytes.to_vec()), ResourceContents::blob(bytes));
        }
    }
}
