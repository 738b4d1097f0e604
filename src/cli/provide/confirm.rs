//! The question to the user before a tool runs.
//!
//! *Scope:* its text, and what becomes of the answer. *Not in scope:* how clients are asked (`ask`).

use crate::cli::bounds::CONFIRMED_CHARS_MAX;
use crate::cli::json_schema::Schema;
use crate::cli::manifest::entries::Confirm;
use crate::json::value::JsonRef;
use crate::json::write_raw;
use crate::protocol::elicitation::Elicited;
use crate::protocol::result::Result;
use crate::server::call::Call;

/// A form without fields: to accept it is the answer.
const FORM: &str = r#"{"type":"object","properties":{}}"#;

/// Asks whether the tool may run with these arguments.
///
/// # Errors
/// What every question returns while it is open, that the user has not agreed, or that the client cannot ask.
pub(super) fn ask(
    call: &mut Call,
    tool: &str,
    confirm: &Confirm,
    schema: &Schema,
    arguments: JsonRef<'_>,
) -> Result<()> {
    match call.elicit_raw("confirm", &message(confirm, schema, arguments), FORM)? {
        Elicited::Accepted(_) => Ok(()),
        Elicited::Declined => Err(format!("the user does not want `{tool}` to run; nothing was done").into()),
        Elicited::Cancelled => Err(format!("the user did not answer, so `{tool}` did not run").into()),
        Elicited::Unavailable(_) if confirm.otherwise_run => Ok(()),
        unavailable @ Elicited::Unavailable(_) => unavailable.required().map(drop).map_err(Into::into),
    }
}

/// The question, with the arguments, a line each.
fn message(confirm: &Confirm, schema: &Schema, arguments: JsonRef<'_>) -> String {
    let mut message = confirm.message.clone();
    for (at, pair) in arguments.pairs().enumerate() {
        let name = pair.name().unwrap_or_default();
        message.push_str(if at == 0 { "\n\n" } else { "\n" });
        message.push_str(&name);
        message.push_str(": ");
        match schema.property(&name).is_some_and(Schema::is_secret) {
            true => message.push_str("***"),
            false => message.push_str(&shown(pair.value)),
        }
    }
    message
}

/// The JSON of a value in one line, in which control characters are escaped. It says how much of it is missing.
fn shown(value: JsonRef<'_>) -> String {
    let mut json = Vec::new();
    write_raw(&mut json, value.text());
    let json = String::from_utf8(json).unwrap_or_default();
    match json.char_indices().nth(CONFIRMED_CHARS_MAX) {
        Some((end, _)) => {
            let (begin, rest) = json.split_at_checked(end).unwrap_or_default();
            format!("{begin}… and {} more characters", rest.chars().count())
        }
        None => json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::tape::Tape;

    #[test]
    fn the_arguments_are_shown_but_for_secrets() {
        let schema = r#"{"type":"object","properties":{"host":{"type":"string"},"key":{"type":"string","writeOnly":true}}}"#;
        let schema = Schema::compile(Tape::new().read(schema).unwrap()).unwrap();
        let confirm = Confirm { message: "Really?".to_owned(), otherwise_run: false };
        let shown = |arguments: &str| message(&confirm, &schema, Tape::new().read(arguments).unwrap());
        assert_eq!(shown("{}"), "Really?");
        assert_eq!(
            shown("{\"host\":\"a\\nb\",\"key\":\"k\",\"n\":[1,\n2]}"),
            "Really?\n\nhost: \"a\\nb\"\nkey: ***\nn: [1, 2]"
        );
        // With its quotes.
        let most = "é".repeat(CONFIRMED_CHARS_MAX - 2);
        assert!(shown(&format!("{{\"host\":\"{most}\"}}")).ends_with("é\""));
        assert!(shown(&format!("{{\"host\":\"{most}é\"}}")).ends_with("é… and 1 more characters"));
        let long = shown(&format!("{{\"host\":\"{}\"}}", "é".repeat(2000)));
        assert!(long.ends_with("é… and 1002 more characters") && long.chars().count() < 1100, "{long}");
    }
}
