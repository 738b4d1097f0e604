//! What does not belong in the code: sockets and clocks outside the drivers, lints switched off without a reason, sums kept
//! by hand; and a driving contract that leaves something out.

use crate::sources::{
    Source, fail_if_any, is_name, names, paths, sources, without_comments_and_strings, without_tests,
};

/// What may use sockets, threads, clocks and randomness.
const DRIVERS: [&str; 6] = ["threads", "net", "client", "testing", "cli", "main"];

#[test]
fn only_net_names_mio() {
    let sources = sources();
    let mut naming = sources.iter().filter(|source| names(&source.code, "mio")).peekable();
    assert!(naming.peek().is_some(), "src/net.rs was not understood");
    let problems = naming.filter(|source| source.unit != "net").map(|source| {
        format!(
            "src/{} names mio: put what needs it behind a function in src/net.rs or src/net/",
            source.path
        )
    });
    fail_if_any(problems.collect());
}

#[test]
fn clocks_randomness_and_the_system_stay_in_the_drivers() {
    let mut problems = Vec::new();
    for Source { path, unit, code, .. } in &sources() {
        if DRIVERS.contains(&unit.as_str()) {
            continue;
        }
        for word in ["Instant", "SystemTime", "new_v4", "new_v7", "now_v7", "getrandom", "RandomState"] {
            if names(code, word) {
                problems.push(format!(
                    "src/{path} names `{word}`: take the time as a `Now` argument, and random bits from the injected source"
                ));
            }
        }
        for used in paths(code, "std") {
            let used: Vec<&str> = used.iter().map(String::as_str).collect();
            let refused = match used[..] {
                ["net", name, ..] => !["IpAddr", "Ipv4Addr", "Ipv6Addr", "SocketAddr"].contains(&name),
                ["net" | "thread" | "fs" | "process" | "env" | "os", ..] => true,
                _ => false,
            };
            if refused {
                problems.push(format!("src/{path} uses `std::{}`: only drivers may", used.join("::")));
            }
        }
    }
    fail_if_any(problems);
}

#[test]
fn unsafe_code_is_forbidden() {
    for Source { path, text, .. } in &sources() {
        if ["lib.rs", "main.rs"].contains(&path.as_str()) {
            assert!(text.contains("\n#![forbid(unsafe_code)]\n"), "src/{path} must forbid unsafe code");
        }
    }
}

/// The attributes of `code` that switch a lint off, each with the line it stands in and its text in `text`, which has
/// the same lines.
fn exceptions<'a>(text: &'a str, code: &str) -> Vec<(usize, &'a str)> {
    let begins = ["#[allow(", "#![allow(", "#[expect(", "#![expect(", "#[cfg_attr(", "#![cfg_attr("];
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        if let Some(column) = begins.iter().filter_map(|begin| line.find(begin)).min() {
            let begin = lines[at].find(line[column..].split('(').next().unwrap()).unwrap();
            let start = lines[..at].iter().map(|line| line.len() + 1).sum::<usize>() + begin;
            let attribute = &text[start..start + text[start..].find(")]").unwrap()];
            found.extend(
                (attribute.contains("allow(") || attribute.contains("expect("))
                    .then_some((at + 1, attribute)),
            );
        }
    }
    found
}

/// What a lint says is an error in CI, so whoever switches one off says why: for those that keep panics out, why it
/// cannot happen. Tests, at the end of a file, may panic.
#[test]
fn exceptions_from_lints_have_a_reason() {
    let mut problems = Vec::new();
    for Source { path, text, code, .. } in &sources() {
        let end = text.find("\nmod tests {").and_then(|tests| text[..tests].rfind("#[cfg(test)]"));
        let lines = text[..end.unwrap_or(text.len())].lines().count();
        for (line, attribute) in exceptions(text, code).into_iter().filter(|(line, _)| *line <= lines) {
            let reason = attribute.split_once("reason = \"").and_then(|(_, reason)| reason.split('"').next());
            if reason.is_none_or(|reason| reason.len() < 10) {
                problems.push(format!("src/{path}:{line}: `{attribute}` has no `reason = \"…\"`"));
            }
        }
    }
    fail_if_any(problems);
}

/// What is kept for peers is counted by a `Charge`, which returns its bytes when it is dropped: a sum kept by hand is one
/// that some way out of the code forgets.
#[test]
fn held_bytes_are_counted_by_charges() {
    let mut problems = Vec::new();
    for Source { path, code, .. } in sources().iter().filter(|source| source.unit != "memory") {
        for (at, line) in code.lines().enumerate() {
            let sums =
                ["held_bytes +=", "held_bytes -=", "held_bytes = ", "replay_bytes +=", "replay_bytes -="];
            if sums.iter().any(|sum| line.contains(sum)) {
                problems.push(format!("src/{path}:{}: use a Charge of an Account (memory.rs)", at + 1));
            }
        }
    }
    fail_if_any(problems);
}

/// Who writes a driver reads the contract and nothing else.
#[test]
fn the_driving_contract_names_every_duty_of_a_driver() {
    let sources = sources();
    let text = |path: &str| &sources.iter().find(|source| source.path == path).unwrap().text;
    let contract = text("engine/mod.rs").split("//! # Driving contract").nth(1).unwrap();
    let contract = contract.split("//! ```").next().unwrap();
    let mut duties = vec!["Engine::jobs".to_owned(), "Engine::outgoing".into(), "Engine::is_finished".into()];
    for source in sources.iter().filter(|source| source.unit == "engine") {
        for line in source.text.lines().filter(|line| line.starts_with("    pub fn ")) {
            let (name, arguments) = line["    pub fn ".len()..].split_once('(').unwrap();
            if arguments.starts_with("&mut self") {
                duties.push(format!("Engine::{name}"));
            }
        }
    }
    for line in text("runtime/jobs.rs").lines().filter(|line| line.starts_with("    pub fn ")) {
        duties.push(format!("Jobs::{}", line["    pub fn ".len()..].split_once('(').unwrap().0));
    }
    let actions =
        text("engine/mod.rs").split("pub enum Action {").nth(1).unwrap().split("\n}").next().unwrap();
    let variants = actions.lines().map(str::trim).filter(|line| line.starts_with(char::is_uppercase));
    duties.extend(variants.map(|line| format!("Action::{}", line.split(['(', ',']).next().unwrap())));
    assert!(duties.len() > 18, "{duties:?}");
    let missing = duties.iter().filter(|duty| {
        !contract.contains(&format!("]({duty})")) && !contract.contains(&format!("[`{duty}`]"))
    });
    fail_if_any(
        missing
            .map(|duty| format!("`# Driving contract` in src/engine/mod.rs does not name {duty}"))
            .collect(),
    );
}

#[test]
fn exceptions_from_lints_are_found() {
    let text = "/* x */ #[allow(a)] #[cfg_attr(x, y)]\n// #[allow(b)]\n#![expect(\n    c,\n    reason = \"d\"\n)]\nlet e = \"#[allow(f)]\";";
    let found = exceptions(text, &without_comments_and_strings(text));
    assert_eq!(found, [(1, "#[allow(a"), (3, "#![expect(\n    c,\n    reason = \"d\"\n")]);
}

/// The numbers of the lines that give `self.state` another value, outside the one function that may.
fn state_changes(code: &str) -> Vec<usize> {
    let enter = code.find("fn enter(").map(|start| {
        let (mut depth, mut end) = (0, start);
        for (at, c) in code[start..].char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            end = start + at;
            if c == '}' && depth == 0 {
                break;
            }
        }
        start..end
    });
    let mut found = Vec::new();
    for (at, _) in
        code.match_indices(".state").filter(|(at, _)| enter.as_ref().is_none_or(|body| !body.contains(at)))
    {
        let after = code[at + ".state".len()..].trim_start();
        let assigned = after.starts_with('=') && !after.starts_with("==") && !after.starts_with("=>");
        let before = code[..at].trim_end_matches(is_name);
        let swapped = ["replace(&mut ", "take(&mut ", "swap(&mut "].iter().any(|call| before.ends_with(call));
        if assigned || swapped || before.ends_with("*&mut ") {
            found.push(code[..at].lines().count());
        }
    }
    found
}

/// What follows a change of a connection's state (timers, input, flags) follows it in one place.
#[test]
fn one_function_changes_the_state_of_a_connection() {
    let sources = sources();
    let conn = sources.iter().filter(|source| source.path.starts_with("http/conn/"));
    assert_eq!(
        conn.clone().filter(|source| names(&source.code, "fn enter")).count(),
        1,
        "one function enters states"
    );
    let changes = conn.flat_map(|Source { path, code, .. }| {
        state_changes(without_tests(code)).into_iter().map(move |line| {
            format!("src/{path}:{line}: enter the state with `enter`, which does all that follows from it")
        })
    });
    fail_if_any(changes.collect());
}

#[test]
fn changes_of_states_are_found() {
    let code = "fn a(&mut self) {\n self.state = State::A;\n if self.state == State::B { match &mut self.state { _ => {} } }\n\
                std::mem::replace(&mut self.state, State::C);\n let state = self.state_of();\n}\n\
                fn enter(&mut self, state: State) {\n self.state = state;\n}\nfn b(&mut self) { self.state  =  State::D }";
    assert_eq!(state_changes(code), [2, 4, 10]);
}
