//! `${VAR}` and `${VAR:-default}` in the values that may have them.
//!
//! *Scope:* replacing them. *Not in scope:* which values may have them; those of `argv` may not.

/// The text with its variables replaced. `$${` is `${` itself; any other `$` is itself. A variable that is empty counts as
/// unset where there is a default, as in a shell.
///
/// # Errors
/// A sentence that names the variable and what to do.
pub(in crate::cli) fn replace(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = after;
            continue;
        }
        out.push_str(before);
        let Some((expression, after)) = after.split_once('}') else {
            return Err(
                "`${` has no `}` after it; write ${NAME}, or $${ for the characters themselves".to_owned()
            );
        };
        out.push_str(&value_of(expression, environment)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(expression: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if !is_name {
        return Err(format!(
            "`${{{}}}` is not a variable; write ${{NAME}} or ${{NAME:-default}}, or $${{ for the characters themselves",
            crate::text::printable(expression)
        ));
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(format!("the default of `${{{name}}}` has a variable in it; write a text"));
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment has no variable `{name}`; set it, or write ${{{name}:-default}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let environment = |name: &str| match name {
            "HOME" => Some("/home/me".to_owned()),
            "EMPTY" => Some(String::new()),
            "ODD" => Some("${HOME} {x}".to_owned()),
            _ => None,
        };
        for (text, expected) in [
            ("", Ok("")),
            ("plain $HOME $ $$ }", Ok("plain $HOME $ $$ }")),
            ("${HOME}", Ok("/home/me")),
            ("a${HOME}b${HOME}c", Ok("a/home/meb/home/mec")),
            ("${HOME:-x}", Ok("/home/me")),
            ("${NONE:-x}", Ok("x")),
            ("${NONE:-}", Ok("")),
            ("${NONE:-:-}", Ok(":-")),
            ("${NONE:-/a b/$c{}", Ok("/a b/$c{")),
            ("${EMPTY}", Ok("")),
            ("${EMPTY:-x}", Ok("x")),
            ("$${HOME}", Ok("${HOME}")),
            ("$$${HOME}", Ok("$${HOME}")),
            // What a variable holds is not read again.
            ("${ODD}", Ok("${HOME} {x}")),
            ("${NONE}", Err("`NONE`")),
            ("${", Err("`}`")),
            ("a${HOME", Err("`}`")),
            ("${}", Err("`${}`")),
            ("${1}", Err("`${1}`")),
            ("${a b}", Err("`${a b}`")),
            ("${HOME-x}", Err("`${HOME-x}`")),
            ("${NONE:-${HOME}}", Err("`${NONE}`")),
        ] {
            match (replace(text, &environment), expected) {
                (Ok(replaced), Ok(expected)) => assert_eq!(replaced, expected, "{text}"),
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{text}: {problem}"),
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }
}
