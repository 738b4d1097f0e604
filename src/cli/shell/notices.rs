//! What a server tells meanwhile: progress and log messages, on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::json::value::JsonRef;
use crate::text::printable;

/// How many signs a whole bar has.
const BAR: usize = 30;

/// Makes the line empty that the cursor of a terminal is in.
const CLEAR: &str = "\r\u{1b}[K";

/// The line of a terminal in which a bar may stand. Clones are the same line.
#[derive(Clone, Debug, Default)]
pub(super) struct BarLine(Arc<AtomicBool>);

impl BarLine {
    /// Clears the line, so that what is written next begins at its left.
    pub(super) fn clear(&self) {
        if self.0.swap(false, Ordering::Relaxed) {
            tell(CLEAR);
        }
    }

    /// Returns what is called with each notification. With `quiet` standard error is left to an error.
    pub(super) fn writer(&self, quiet: bool) -> impl FnMut(&str, Option<JsonRef<'_>>) + Send + 'static {
        let (terminal, line) = (io::stderr().is_terminal(), self.clone());
        move |method, params| {
            let params = params.unwrap_or(JsonRef::NULL);
            match method {
                _ if quiet => {}
                "notifications/progress" if terminal => {
                    tell(&format!("{CLEAR}{}", bar(params)));
                    line.0.store(true, Ordering::Relaxed);
                }
                "notifications/progress" => tell(&format!("{}\n", progress(params))),
                "notifications/message" => {
                    line.clear();
                    tell(&format!("{}\n", log(params)));
                }
                _ => {}
            }
        }
    }
}

fn tell(text: &str) {
    let mut to = io::stderr();
    // If standard error is closed, there is no reader.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

fn text(params: JsonRef<'_>, name: &str) -> String {
    params
        .get(name)
        .map(|value| value.as_str().map_or_else(|| printable(value.text()), |text| printable(&text)))
        .unwrap_or_default()
}

/// `3/10 message`.
fn progress(params: JsonRef<'_>) -> String {
    let (done, total, message) = (text(params, "progress"), text(params, "total"), text(params, "message"));
    let total = if total.is_empty() { total } else { format!("/{total}") };
    format!("{done}{total} {message}").trim_end().to_owned()
}

/// `[####    ] 3/10 message`; without a total there is no bar.
fn bar(params: JsonRef<'_>) -> String {
    let number = |name: &str| {
        text(params, name).parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
    };
    let share = match (number("progress"), number("total")) {
        (Some(done), Some(total)) if total > 0.0 => (done / total).min(1.0),
        _ => return progress(params),
    };
    let filled = (share * BAR as f64) as usize;
    format!("[{}{}] {}", "#".repeat(filled), " ".repeat(BAR - filled), progress(params))
}

/// `warning disk: 93 % full`.
fn log(params: JsonRef<'_>) -> String {
    let (level, logger) = (text(params, "level"), text(params, "logger"));
    let logger = if logger.is_empty() { logger } else { format!(" {logger}") };
    format!("{level}{logger}: {}", text(params, "data"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    fn with(json: &str, write: fn(JsonRef<'_>) -> String) -> String {
        write(Tape::new().read(json).unwrap())
    }

    #[test]
    fn notices_are_a_line() {
        assert_eq!(with(r#"{"progress":3,"total":10,"message":"a\nb"}"#, progress), r"3/10 a\u{a}b");
        assert_eq!(with(r#"{"progress":3}"#, progress), "3");
        assert_eq!(with(r#"{"level":"info","logger":"x","data":{"a":1}}"#, log), r#"info x: {"a":1}"#);
        assert_eq!(with(r#"{"level":"info","data":"a\u001b[2J"}"#, log), r"info: a\u{1b}[2J");
        let half = with(r#"{"progress":1,"total":2}"#, bar);
        assert!(half.ends_with(&format!("[{}{}] 1/2", "#".repeat(15), " ".repeat(15))), "{half}");
        assert!(with(r#"{"progress":5,"total":2}"#, bar).ends_with("] 5/2"));
        assert!(with(r#"{"progress":-1,"total":2}"#, bar).ends_with("-1/2"));
    }
}
