//! Texts with arguments in them: `{x}`, `{x:json}`, `{*:json}`, and `{{` and `}}` for braces.
//!
//! *Scope:* reading templates, and putting arguments into one text: standard input, the text of a prompt. *Not in scope:* the
//! elements of a command line, which [`argv`](crate::cli::manifest::argv) makes of these.

use std::borrow::Cow;

use crate::cli::manifest::number::number_text;
use crate::json::value::JsonRef;
use crate::text::{error_text, printable};

/// A text with places for arguments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextTemplate {
    pub(super) pieces: Vec<Piece>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    /// The text of this argument.
    Argument(String),
    /// The JSON text of this argument.
    Json(String),
    /// All arguments as one JSON object.
    AllJson,
}

impl Piece {
    /// The argument that it names.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Piece::Argument(name) | Piece::Json(name) => Some(name),
            Piece::Literal(_) | Piece::AllJson => None,
        }
    }
}

/// Why a command is not run with these arguments: a sentence for the model that chose them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ArgumentRefusal(pub(super) String);

error_text!(ArgumentRefusal: |refusal| "{}", refusal.0);

impl TextTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// A sentence about what is no template, and what to write.
    pub(super) fn parse(text: &str) -> Result<TextTemplate, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, brace, after)) = split_at_brace(rest) {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix(brace) {
                literal.push(brace);
                rest = after;
                continue;
            }
            if brace == '}' {
                return Err(
                    "there is a `}` without a `{` before it; write }} for the character itself".to_owned()
                );
            }
            let Some((expression, after)) = after.split_once('}') else {
                return Err(
                    "there is a `{` without a `}` after it; write {{ for the character itself".to_owned()
                );
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(placeholder(expression)?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(TextTemplate { pieces })
    }

    /// The text with the arguments in it. One that is absent is the empty text.
    ///
    /// # Errors
    /// An argument that is not text, a number, true or false.
    pub(crate) fn expand(&self, arguments: JsonRef<'_>) -> Result<String, ArgumentRefusal> {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Argument(name) => {
                    if let Some(value) = arguments.get(name) {
                        out.push_str(&text_of(name, value)?);
                    }
                }
                Piece::Json(name) => {
                    if let Some(value) = arguments.get(name) {
                        out.push_str(&json_of(value));
                    }
                }
                Piece::AllJson => out.push_str(&json_of(arguments)),
            }
        }
        Ok(out)
    }

    /// The text, if there are no arguments in it.
    pub(super) fn literal(&self) -> Option<&str> {
        match &*self.pieces {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

/// The text before the first brace, the brace, and the text after it.
fn split_at_brace(text: &str) -> Option<(&str, char, &str)> {
    let (before, rest) = text.split_at_checked(text.find(['{', '}'])?)?;
    let brace = rest.chars().next()?;
    Some((before, brace, rest.get(1..)?))
}

fn placeholder(expression: &str) -> Result<Piece, String> {
    let shown = printable(expression);
    let (name, form) = match expression.rsplit_once(':') {
        Some((name, form)) => (name, Some(form)),
        None => (expression, None),
    };
    // JSON or code in a text, whose braces are meant as such.
    if name.is_empty() || name.trim() != name || name.contains(['"', '\n', '{']) {
        return Err(format!(
            "`{{{shown}}}` names no argument; write {{NAME}}, or {{{{ and }}}} for the characters themselves"
        ));
    }
    let name = name.to_owned();
    match form {
        Some("json") if name == "*" => Ok(Piece::AllJson),
        Some("json") => Ok(Piece::Json(name)),
        Some(form) => Err(format!(
            "`{{{shown}}}`: there is no form `{}`; write {{{}}} or {{{}:json}}",
            printable(form),
            printable(&name),
            printable(&name)
        )),
        None if name == "*" => {
            Err("`{*}`: all arguments together have a form only as JSON; write {*:json}".to_owned())
        }
        None => Ok(Piece::Argument(name)),
    }
}

/// The text of an argument: a string as it is, a number as JSON writes it, `true` or `false`.
pub(super) fn text_of<'a>(name: &str, value: JsonRef<'a>) -> Result<Cow<'a, str>, ArgumentRefusal> {
    if value.is_str() {
        return value.as_str().ok_or_else(|| {
            ArgumentRefusal(format!("`{}` has half of a surrogate pair, which is no text", printable(name)))
        });
    }
    match value.is_number() {
        true => Ok(number_text(value.text())),
        false if matches!(value.text(), "true" | "false") => Ok(Cow::Borrowed(value.text())),
        false => Err(ArgumentRefusal(format!(
            "`{}` must be a string, a number, true or false here",
            printable(name)
        ))),
    }
}

/// A value as one line of JSON.
pub(super) fn json_of(value: JsonRef<'_>) -> String {
    let mut out = Vec::new();
    crate::json::write_raw(&mut out, value.text());
    String::from_utf8(out).unwrap_or_default()
}
