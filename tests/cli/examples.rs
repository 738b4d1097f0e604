//! The manifests of `examples/manifests` and the README do what they say.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::output;
use super::provide::{Folder, Served};

fn text_of(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/manifests").join(name);
    fs::read_to_string(path).unwrap()
}

/// The server of an example, with some texts replaced and these variables.
fn example(folder: &Folder, name: &str, replaced: &[(&str, &str)], variables: &[(&str, &str)]) -> Served {
    let mut text = text_of(name);
    for (from, to) in replaced {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    let path = folder.write(name, text);
    Served::with(&path, "2025-11-25", json!({}), |command| {
        command.envs(variables.iter().copied());
    })
}

#[test]
fn each_example_is_tested_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/manifests");
    let source = include_str!("examples.rs");
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(source.contains(&format!("\"{name}\", &[")), "{name} is not run");
    }
}

#[test]
fn a_hosts_diagnostics() {
    let folder = Folder::new("host");
    let mut served = example(&folder, "host.json", &[], &[]);
    assert!(served.text("disk", json!({})).contains('%'));
    let failure = served.failure("disk", json!({"folder": "/nowhere/at/all"}));
    assert!(
        failure.starts_with("`disk` failed with exit code 1:\n") && failure.contains("/nowhere"),
        "{failure}"
    );
    assert!(served.failure("disk", json!({"folder": "--help"})).contains("argument `folder`"));
    assert!(served.text("processes", json!({"by": "mem"})).lines().count() > 1);
    assert!(served.text("kernel", json!({})).len() > 10);
    assert!(served.read_resource("host:///load")["text"].as_str().unwrap().split(' ').count() >= 3);
    let prompt = served.ask("prompts/get", json!({"name": "slow", "arguments": {"since": "today"}}));
    let text = prompt["result"]["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(text.contains("slow (today)"), "{text}");
    served.end();
}

#[test]
fn a_read_only_folder_of_documents() {
    let folder = Folder::new("docs");
    folder.write("docs/guide/start.md", "# Start");
    let docs = folder.0.join("docs");
    let mut served = example(&folder, "docs.json", &[], &[("DOCS", docs.to_str().unwrap())]);
    assert_eq!(served.read_resource("docs:///guide/start.md")["text"], "# Start");
    served.end();
}

#[test]
fn a_reader_of_a_git_repository() {
    let folder = Folder::new("git");
    folder.write("repository/a.txt", "hello\n");
    let repository = folder.0.join("repository");
    let git = |arguments: &[&str]| {
        let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example", "-c", "init.defaultBranch=main"];
        let done = Command::new("/usr/bin/git").args(who).args(arguments).current_dir(&repository).output();
        assert!(done.unwrap().status.success(), "{arguments:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "a.txt"]);
    git(&["commit", "-q", "-m", "Say hello"]);
    let place = repository.to_str().unwrap();
    let mut served = example(&folder, "git.json", &[], &[("REPOSITORY", place)]);
    assert!(served.text("log", json!({})).contains("Ada: Say hello"));
    assert!(served.text("log", json!({"path": "a.txt", "count": 1})).contains("Say hello"));
    assert_eq!(served.text("files", json!({})), "a.txt\n");
    assert_eq!(served.text("show", json!({"object": "HEAD:a.txt"})), "hello\n");
    for revision in ["--output=x", "-p", "HEAD --all", ""] {
        assert!(served.failure("log", json!({"revision": revision})).contains("argument `revision`"));
    }
    served.end();
}

#[test]
fn a_snapshot_of_a_camera() {
    let folder = Folder::new("camera");
    folder.write("lastsnap.jpg", b"\xff\xd8\xff\xe0");
    let place = folder.0.to_str().unwrap();
    let mut served = example(&folder, "camera.json", &[], &[("SNAPSHOTS", place)]);
    let content = served.call("snapshot", json!({}))["content"][0].clone();
    assert_eq!(content, json!({"type": "image", "data": "/9j/4A==", "mimeType": "image/jpeg"}));
    fs::remove_file(folder.0.join("lastsnap.jpg")).unwrap();
    assert!(served.failure("snapshot", json!({})).contains("lastsnap.jpg"));
    served.end();
}

#[test]
fn commands_that_take_and_print_json() {
    let folder = Folder::new("ubus");
    // What takes the place of a router's ubus: it prints what it is called with.
    let script = "#!/bin/sh\ncase $1 in list) echo system;; *) printf '{\"object\":\"%s\",\"method\":\"%s\",\"message\":%s}' \"$2\" \"$3\" \"${4:-null}\";; esac\n";
    let ubus = folder.write("ubus", script);
    fs::set_permissions(&ubus, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut served = example(&folder, "ubus.json", &[("/bin/ubus", &ubus)], &[]);
    assert_eq!(served.text("list", json!({})), "system\n");
    let state = served.call("interface", json!({"interface": "wan"}))["structuredContent"].clone();
    let expected =
        json!({"object": "network.interface", "method": "status", "message": {"interface": "wan"}});
    assert_eq!(state, expected);
    assert_eq!(served.call("system", json!({"about": "board"}))["structuredContent"]["method"], "board");
    // Nobody is authenticated here, so nobody is an admin.
    let tools = served.ask("tools/list", json!({}))["result"]["tools"].as_array().unwrap().clone();
    assert!(tools.iter().all(|tool| tool["name"] != "reboot"));
    served.end();
}

/// The block of a document that follows these words.
fn block<'a>(text: &'a str, after: &str, language: &str) -> &'a str {
    let rest = text.split_once(after).unwrap_or_else(|| panic!("no {after:?}")).1;
    let rest = rest.split_once(&format!("```{language}\n")).unwrap().1;
    rest.split_once("```").unwrap().0
}

#[test]
fn the_manifest_in_the_readme_is_what_a_newcomer_runs() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let manifest = block(&readme, "## A server from one file", "json");
    assert!(manifest.lines().count() <= 10, "it has more than ten lines");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/manifest.md")).unwrap();
    assert_eq!(
        block(&page, "# A server from one file", "json"),
        manifest,
        "docs/manifest.md has another one"
    );
    let folder = Folder::new("readme");
    let path = folder.write("disk.json", manifest);
    let check = output(&["check", "--strict", &path]);
    assert_eq!(check.status.code(), Some(0), "{}", String::from_utf8_lossy(&check.stdout));
    let mut served = Served::start(&path);
    assert!(served.text("disk", json!({"folder": "/"})).contains('%'));
    assert!(served.failure("disk", json!({"folder": "-x"})).contains("argument `folder`"));
    let listed: Value = served.ask("tools/list", json!({}));
    assert_eq!(listed["result"]["tools"][0]["name"], "disk");
    served.end();
}
