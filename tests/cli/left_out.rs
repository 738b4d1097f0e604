//! What a build with `cli` alone says of what it has not.

use std::process::Command;

use serde_json::{Value, json};

use super::shell::{Folder, done, error};

const REMEDY: &str = "; build it with `--features bridge`";

#[test]
fn verbs_that_are_left_out_name_their_feature() {
    for (arguments, verb) in [
        (&["bridge", "--", "true"][..], "bridge"),
        (&["bridge", "--help"], "bridge"),
        (&["connect", "http://127.0.0.1:1/mcp"], "connect"),
    ] {
        let said = error(2, arguments);
        let expected = format!("this mcp-rill is built without `bridge`, so it has no verb `{verb}`{REMEDY}");
        assert!(said.contains(&expected), "{said}");
    }
    let overview = done(&["--help"]);
    let verbs: Vec<&str> =
        overview.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    assert!(
        verbs.contains(&"serve") && !verbs.contains(&"bridge") && !verbs.contains(&"connect"),
        "{overview}"
    );
}

#[test]
fn a_manifest_that_needs_it_is_refused_and_the_schema_allows_none() {
    let folder = Folder::new();
    let manifest = json!({"manifest": 1, "mcpServers": {"git": {"command": "/bin/true"}}});
    let path = folder.write("m.json", &manifest.to_string());
    let said = error(1, &["serve", &path]);
    let expected =
        format!("/mcpServers: this mcp-rill is built without `bridge`, so it serves no `mcpServers`{REMEDY}");
    assert!(said.contains(&expected), "{said}");
    let (code, out, _) = super::shell::run(&["check", &path]);
    assert!(code == 2 && out.contains(&expected), "{out}");
    assert_eq!(schema().pointer("/properties/mcpServers"), Some(&json!(false)));
}

#[test]
fn options_that_are_left_out_name_their_feature_and_are_in_no_help() {
    let lacks = "this mcp-rill is built without `operations`, so it";
    for (arguments, option) in [
        (&["--metrics"][..], "--metrics"),
        (&["serve", "--console"], "--console"),
        (&["--idle-exit", "10s"], "--idle-exit"),
    ] {
        let said = error(2, arguments);
        assert!(
            said.contains(&format!(
                "{lacks} has no option `{option}`; build it with `--features operations`"
            )),
            "{said}"
        );
        let help = done(&["serve", "--help", "options"]);
        assert!(help.contains("  --log-level LEVEL") && !help.contains(&format!("  {option}")), "{help}");
    }
    let folder = Folder::new();
    let manifest = json!({"manifest": 1, "server": {"metrics": true}});
    let said = error(1, &["serve", &folder.write("m.json", &manifest.to_string())]);
    assert!(said.contains(&format!("/server/metrics: {lacks} answers no `/metrics`")), "{said}");
    assert_eq!(schema().pointer("/definitions/server/properties/metrics/const"), Some(&json!(false)));
}

#[test]
fn the_bounds_of_what_is_left_out_are_not_listed() {
    let listed = done(&["limits"]);
    assert!(listed.contains("  said_lines_max: "), "{listed}");
    for name in
        ["metric_series_max", "child_questions_max", "connect_requests_max", "connect_grace", "bridged"]
    {
        assert!(!listed.contains(name), "{name}: {listed}");
    }
}

#[test]
fn sockets_that_are_handed_over_are_refused() {
    let started = |pid: &str| {
        let script =
            format!("export LISTEN_FDS=1 LISTEN_PID={pid}; exec \"$0\" serve --listen 127.0.0.1:none");
        let ended =
            Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_mcp-rill")]).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let lacks = "this mcp-rill is built without `operations`, so it serves no sockets that are handed over (LISTEN_FDS)";
    let (code, said) = started("$$");
    assert!(code == Some(2) && said.contains(lacks), "{said}");
    // Those are for a process that has started this one.
    let (code, said) = started("1");
    assert!(code == Some(2) && said.contains("127.0.0.1:none") && !said.contains("LISTEN_FDS"), "{said}");
}

fn schema() -> Value {
    serde_json::from_str(&done(&["schema"])).unwrap()
}
