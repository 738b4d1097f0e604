//! `mcp-rill check`, and what it reads from the file system: folders of manifests, programs, paths.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use mcp_rill::cli::manifest::Manifest;
use mcp_rill::cli::manifest::problem::Problem;

use super::output;

/// A folder that is removed with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("rill-check{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        let folder = path.parent().unwrap();
        if !folder.exists() {
            fs::create_dir(folder).unwrap();
            fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
        }
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    fn load(&self, paths: &[&Path]) -> Result<(Manifest, Vec<Problem>), Vec<Problem>> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
        let bin = self.0.join("bin");
        Manifest::load(&paths, &|name| match name {
            "PATH" => Some(format!("/nowhere:relative:{}", bin.display())),
            "SRV" => Some("/srv".to_owned()),
            _ => None,
        })
    }

    /// What is said of a manifest with these members, in lines without the path of the folder.
    fn problems(&self, members: &str) -> Vec<String> {
        let file = self.write("m.json", &format!("{{ \"manifest\": 1, {members} }}"), 0o644);
        let (Ok((_, problems)) | Err(problems)) = self.load(&[&file]);
        let folder = format!("{}/", self.0.display());
        problems.iter().map(|problem| problem.to_string().replace(&folder, "")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const TOOL: &str = r#""description": "A tool""#;

#[test]
fn a_folder_is_read_in_the_order_of_names_as_one() {
    let folder = Folder::new("folder");
    let tool = |name: &str| {
        format!(
            r#"{{ "manifest": 1, "tools": [ {{ "name": "{name}", {TOOL}, "argv": ["bin/p", "{name}"] }} ] }}"#
        )
    };
    folder.write("bin/p", "#!/bin/true\n", 0o755);
    folder.write("20.json", &tool("b"), 0o644);
    folder.write("10.json", &tool("a"), 0o644);
    folder.write(".hidden.json", "{", 0o644);
    folder.write("README.md", "{", 0o644);
    folder.write("30.json.bak", "{", 0o644);
    let (manifest, warnings) = folder.load(&[&folder.0]).unwrap();
    assert_eq!(warnings, []);
    // A relative program is relative to the manifest.
    let program = folder.0.join("bin/p").display().to_string();
    assert_eq!(manifest.argv("a", "{}").unwrap(), [&program, "a"]);
    assert_eq!(manifest.argv("b", "{}").unwrap(), [&program, "b"]);

    // The same name in two files, and two sections that stand once.
    folder.write("30.json", &tool("a"), 0o644);
    folder.write(
        "40.json",
        r#"{ "manifest": 1, "server": { "name": "x" }, "groups": { "g": ["a"] } }"#,
        0o644,
    );
    folder.write("50.json", r#"{ "manifest": 1, "server": {}, "groups": { "g": ["b"] } }"#, 0o644);
    let problems = folder.load(&[&folder.0]).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(shown.len(), 3, "{shown:#?}");
    let at = |name: &str| folder.0.join(name).display().to_string();
    assert!(
        shown[0].starts_with(&format!(
            "{}:1:39: /tools/0/name: the tool `a` is defined already, at {}:1:39;",
            at("30.json"),
            at("10.json")
        )),
        "{shown:#?}"
    );
    assert!(shown[1].contains("50.json:1:") && shown[1].contains("40.json:1:"), "{shown:#?}");
    assert!(shown[2].contains("/groups/g") && shown[2].contains("40.json:1:"), "{shown:#?}");

    // Every file of a folder with a mistake is reported, and what cannot be read.
    folder.write("60.json", "\u{feff}{}", 0o644);
    fs::write(folder.0.join("70.json"), b"{ \"manifest\": 1,\n \"\xff\" }").unwrap();
    fs::create_dir(folder.0.join("80.json")).unwrap();
    // A pipe that nobody writes to would be waited for.
    assert!(Command::new("mkfifo").arg(folder.0.join("85.json")).status().unwrap().success());
    std::os::unix::fs::symlink("/nowhere/x", folder.0.join("90.json")).unwrap();
    let problems = folder.load(&[&folder.0]).unwrap_err();
    let shown: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    for part in [
        "60.json:1:1: the file begins with a byte order mark",
        "70.json:2:3: there is a byte here that is not UTF-8",
        "80.json: it is not a regular file; remove it from the folder",
        "85.json: it is not a regular file",
        "90.json: No such file or directory",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(problems.len(), 8, "{shown}");
}

#[test]
fn a_folder_without_manifests_and_a_file_that_is_too_long_are_refused() {
    let folder = Folder::new("empty");
    let problems = folder.load(&[&folder.0]).unwrap_err();
    assert!(
        problems[0].to_string().ends_with(": it holds no file whose name ends with .json"),
        "{problems:?}"
    );
    let at_most = |length: usize| format!("{{ \"manifest\": 1 }}{}", " ".repeat(length - 17));
    let file = folder.write("m.json", &at_most(4 << 20), 0o644);
    assert!(folder.load(&[&file]).is_ok());
    folder.write("m.json", &at_most((4 << 20) + 1), 0o644);
    let problems = folder.load(&[&file]).unwrap_err();
    assert!(problems[0].to_string().contains("longer than 4194304 bytes"), "{problems:?}");
    // A device that never ends is not read to its end.
    let problems = folder.load(&[Path::new("/dev/zero")]).unwrap_err();
    assert!(problems[0].to_string().contains("longer than 4194304 bytes"), "{problems:?}");
}

#[test]
fn a_folder_has_at_most_a_thousand_manifests() {
    let folder = Folder::new("many");
    (0..1000).for_each(|at| drop(folder.write(&format!("{at}.json"), "{ \"manifest\": 1 }", 0o644)));
    assert!(folder.load(&[&folder.0]).is_ok());
    folder.write("more.json", "{ \"manifest\": 1 }", 0o644);
    let problems = folder.load(&[&folder.0]).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .ends_with(": it holds 1001 files; at most 1000 are read (manifest_files_max)"),
        "{problems:?}"
    );
}

#[test]
fn paths_are_relative_to_the_manifest_and_variables_are_replaced() {
    let folder = Folder::new("paths");
    folder.write("bin/p", "#!/bin/true\n", 0o755);
    let warnings = folder.problems(
        r#""server": { "tokenFile": "no-tokens" }, "tools": [ { "name": "t", "description": "x", "argv": ["bin/p"],
           "cwd": "${SRV}/no-such-folder", "env": { "A": "${SRV}", "B": "${NONE:-x}" } } ],
           "resources": [ { "uri": "a:///a", "name": "a", "file": "docs/no.txt" } ]"#,
    );
    let expected = [
        "m.json:1:43: warning: /server/tokenFile: no-tokens cannot be read now: No such file or directory (os error 2)",
        "m.json:2:19: warning: /tools/0/cwd: /srv/no-such-folder is not a folder now; the command cannot run there",
        "m.json:3:67: warning: /resources/0/file: docs/no.txt cannot be read now: No such file or directory (os error 2)",
    ];
    assert_eq!(warnings, expected);
}

/// Parts of warnings, in order; each tool has a description unless it says otherwise.
#[test]
fn risks_are_warned_of() {
    let folder = Folder::new("risks");
    for (name, mode) in [
        ("bin/p", 0o755),
        ("bin/plain", 0o644),
        ("bin/writable", 0o757),
        ("bin/setuid", 0o4755),
        ("bin/sh", 0o755),
        ("bin/python3.12", 0o755),
        ("open/p", 0o755),
        ("sticky/p", 0o755),
    ] {
        folder.write(name, "#!/bin/true\n", mode);
    }
    fs::set_permissions(folder.0.join("open"), Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(folder.0.join("sticky"), Permissions::from_mode(0o1777)).unwrap();
    let properties = |properties: &str, required: &str| {
        format!(
            r#""description": "A tool", "inputSchema": {{ "type": "object", "required": [{required}], "properties": {{ {properties} }} }}"#
        )
    };
    let free = properties(r#""x": { "type": "string" }"#, r#""x""#);
    let short = properties(r#""x": { "type": "string", "maxLength": 9 }"#, r#""x""#);
    let number = properties(r#""x": { "type": "integer" }"#, r#""x""#);
    let natural = properties(r#""x": { "type": "integer", "minimum": 0 }"#, r#""x""#);
    let list = properties(r#""x": { "type": "array", "items": { "type": "string" } }"#, r#""x""#);
    let nested = properties(
        r#""x": { "type": "object", "properties": { "y/z": { "type": "string" }, "n": { "enum": ["a"] } } }"#,
        r#""x""#,
    );
    let cases: Vec<(String, &[&str])> = vec![
        (format!(r#"{TOOL}, "argv": ["bin/p"]"#), &[]),
        (r#""argv": ["bin/p"]"#.to_owned(), &["/tools/0: `description` is missing"]),
        // Programs.
        (
            format!(r#"{TOOL}, "argv": ["bin/none"]"#),
            &["/argv/0: `", "bin/none` cannot be run now: No such file"],
        ),
        (format!(r#"{TOOL}, "argv": ["bin/plain"]"#), &["bin/plain` is no program"]),
        (format!(r#"{TOOL}, "argv": ["bin/"]"#), &["bin/` is no program"]),
        (
            format!(r#"{TOOL}, "argv": ["bin/setuid"]"#),
            &["has the setuid or setgid bit, which has no effect here"],
        ),
        (
            format!(r#"{TOOL}, "argv": ["bin/writable"]"#),
            &["bin/writable can be changed by everybody (mode 0757)", "chmod go-w bin/writable"],
        ),
        (format!(r#"{TOOL}, "argv": ["open/p"]"#), &["open can be changed by everybody (mode 0777)"]),
        (format!(r#"{TOOL}, "argv": ["sticky/p"]"#), &[]),
        (
            format!(r#"{TOOL}, "argv": ["bin/sh", "-c", "date"]"#),
            &["`sh` runs what its arguments say: call the program that you mean, if you can"],
        ),
        (
            format!(r#"{short}, "argv": ["bin/sh", "-c", "--", "{{x}}"]"#),
            &["`sh` runs what its arguments say: the caller's arguments reach it"],
        ),
        (
            format!(r#"{short}, "argv": ["bin/python3.12", "--", ["{{x}}"]]"#),
            &["`python3.12` runs what its arguments say: the caller's arguments reach it"],
        ),
        // Arguments.
        (format!(r#"{short}, "argv": ["bin/p", "{{x}}"]"#), &[]),
        (
            format!(r#"{free}, "argv": ["bin/p", "--", "{{x}}"]"#),
            &["/inputSchema/properties/x: `x` may be any text; set `enum`, `pattern` or `maxLength`"],
        ),
        (format!(r#"{free}, "argv": ["bin/p", "--x={{x}}"]"#), &["`x` may be any text"]),
        (
            format!(r#"{free}, "argv": ["bin/p", "{{x}}"]"#),
            &["`x` may be any text", "/argv/1: no \"--\" stands before `x`"],
        ),
        (
            format!(r#"{free}, "argv": ["bin/p", ["{{x}}"]]"#),
            &["`x` may be any text", "/argv/1/0: no \"--\" stands before `x`"],
        ),
        (format!(r#"{free}, "argv": ["bin/p", "-x", "{{x}}"]"#), &["`x` may be any text"]),
        (format!(r#"{free}, "argv": ["bin/p", "{{x}}"], "dash": ["x"]"#), &["`x` may be any text"]),
        (format!(r#"{free}, "argv": ["bin/p"], "stdin": "{{x}}""#), &["`x` may be any text"]),
        (
            format!(r#"{list}, "argv": ["bin/p", "{{x}}"]"#),
            &["/properties/x/items: `items` may be any text", "no \"--\" stands before `x`"],
        ),
        (
            format!(r#"{nested}, "argv": ["bin/p", "{{x:json}}"]"#),
            &["/properties/x/properties/y~1z: `y/z` may be any text"],
        ),
        (format!(r#"{number}, "argv": ["bin/p", "{{x}}"]"#), &["`x` may be negative"]),
        (format!(r#"{number}, "argv": ["bin/p", "--", "{{x}}"]"#), &[]),
        (format!(r#"{number}, "argv": ["bin/p", "-c", "{{x}}"]"#), &[]),
        (format!(r#"{natural}, "argv": ["bin/p", "{{x}}"]"#), &[]),
        (
            format!(r#"{short}, "argv": ["bin/p"]"#),
            &["/properties/x: `x` stands neither in `argv` nor in `stdin`"],
        ),
        (format!(r#"{short}, "argv": ["bin/p"], "stdin": "{{*:json}}""#), &[]),
        // Limits that the kernel would refuse.
        (
            format!(r#"{TOOL}, "argv": ["bin/p"], "rlimits": {{ "files": 9007199254740991 }}"#),
            &["/rlimits: files is 9007199254740991, but the hard limit of the system is"],
        ),
        (
            format!(r#"{short}, "argv": ["bin/p", "{{x}}"], "env": {{ "A": "{{y}}", "B": "a{{x}}" }}"#),
            &["/env/B: `{x}` is no argument here but text"],
        ),
        // Names and principals.
        (
            format!(r#"{TOOL}, "argv": ["bin/p"], "principals": ["amdins"]"#),
            &["/principals/0: `amdins` is no group, but `admins` is one"],
        ),
        (format!(r#"{TOOL}, "argv": ["bin/p"], "principals": ["admins", "uid:1000"]"#), &[]),
    ];
    for (tool, parts) in cases {
        let name = if tool.contains("\"name\"") { "" } else { "\"name\": \"t\", " };
        let found = folder.problems(&format!(
            "\"groups\": {{ \"admins\": [\"alice\"] }}, \"tools\": [ {{ {name}{tool} }} ]"
        ));
        let count =
            parts.iter().filter(|part| !part.starts_with("chmod") && !part.starts_with("bin/none")).count();
        assert_eq!(found.len(), count, "{tool}: {found:#?}");
        let all = found.join("\n");
        for part in parts {
            assert!(all.contains(part), "{tool}: {part}: {found:#?}");
        }
        assert!(found.iter().all(|line| line.contains(": warning: /tools/0")), "{found:#?}");
    }
}

#[test]
fn other_items_are_warned_of_too() {
    let folder = Folder::new("others");
    folder.write("bin/p", "#!/bin/true\n", 0o755);
    for (members, parts) in [
        (
            r#""server": { "listen": ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:s", "0.0.0.0:1"] }"#,
            &["/server/listen/4: others can reach 0.0.0.0:1, and peers are not authenticated"][..],
        ),
        (
            r#""server": { "listen": ["[::]:1"], "insecurePublic": true }"#,
            &["/server/listen/0: others can reach [::]:1, and `insecurePublic` serves everybody"],
        ),
        (r#""server": { "listen": ["0.0.0.0:1"], "tokenFile": "m.json" }"#, &[]),
        (
            r#""prompts": [ { "name": "p", "text": "x", "arguments": [ { "name": "a" } ] } ]"#,
            &["the argument `a` stands in no text of the prompt", "/prompts/0: `description` is missing"][..],
        ),
        #[cfg(feature = "bridge")]
        (
            r#""mcpServers": { "p": { "command": "p" } }"#,
            &["`p` is looked for on the PATH, where it is now bin/p"],
        ),
        #[cfg(feature = "bridge")]
        (r#""mcpServers": { "p": { "command": "q" } }"#, &["there is no program `q` on the PATH now"]),
        (
            r#""tools": [ { "name": "a.b", "description": "x", "argv": ["bin/p"] } ]"#,
            &["large model APIs refuse names"],
        ),
        (
            r#""resources": [ { "name": "r", "uri": "a:///", "directory": "none" } ]"#,
            &["none cannot be read now"],
        ),
    ] {
        let found = folder.problems(members);
        assert_eq!(found.len(), parts.len(), "{found:#?}");
        assert!(
            parts
                .iter()
                .all(|part| found.iter().any(|line| line.contains(part) && line.contains("warning: "))),
            "{found:#?}"
        );
    }
    // The manifest itself decides what runs.
    let file = folder.write("w.json", "{ \"manifest\": 1 }", 0o666);
    let (_, warnings) = folder.load(&[&file]).unwrap();
    assert!(
        warnings[0].to_string().contains("w.json can be changed by everybody (mode 0666)"),
        "{warnings:?}"
    );
    // A link, where others can write its folder but not that of the file.
    fs::create_dir(folder.0.join("links")).unwrap();
    std::os::unix::fs::symlink(folder.0.join("bin/p"), folder.0.join("links/p")).unwrap();
    fs::set_permissions(folder.0.join("links"), Permissions::from_mode(0o777)).unwrap();
    let found = folder.problems(r#""tools": [ { "name": "t", "description": "x", "argv": ["links/p"] } ]"#);
    assert!(found.len() == 1 && found[0].contains("links can be changed by everybody"), "{found:?}");
    // Not a warning but an error: a program that must be looked for.
    let found = folder.problems(r#""tools": [ { "name": "t", "description": "x", "argv": ["p"] } ]"#);
    let path = folder.0.join("bin/p");
    assert!(
        found[0].contains(&format!(
            "/tools/0/argv/0: the program `p` must be an absolute path; write \"{}\"",
            "bin/p"
        )),
        "{found:?} {path:?}"
    );
}

#[test]
fn the_exit_code_tells_errors_and_warnings_apart() {
    let folder = Folder::new("exit");
    folder.write("bin/p", "#!/bin/true\n", 0o755);
    let file = |name: &str, tool: &str| {
        folder.write(
            name,
            &format!("{{ \"manifest\": 1, \"tools\": [ {{ {tool} \"argv\": [\"bin/p\"] }} ] }}"),
            0o644,
        );
        folder.0.join(name).display().to_string()
    };
    let clean = file("clean.json", r#""name": "t", "description": "x","#);
    let risky = file("risky.json", r#""name": "u","#);
    let wrong = file("wrong.json", r#""name": "","#);
    let check = |arguments: &[&str]| {
        let output = output(&[&["check"], arguments].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    let said = |text: &str| format!("mcp-rill: {text}\n");
    assert_eq!(check(&[&clean]), (0, String::new(), said("1 tool; 0 errors, 0 warnings")));
    assert_eq!(check(&[&clean, "--strict"]).0, 0);
    let warning =
        format!("{risky}:1:29: warning: /tools/0: `description` is missing; models choose a tool by it\n");
    assert_eq!(check(&[&risky, &clean]), (0, warning.clone(), said("2 tools; 0 errors, 1 warning")));
    assert_eq!(check(&["--strict", &risky]), (1, warning.clone(), said("1 tool; 0 errors, 1 warning")));
    let (code, out, err) = check(&[&wrong, &risky]);
    assert_eq!((code, err), (2, said("1 error, 2 warnings")));
    assert!(
        out.contains(&format!("{wrong}:1:39: /tools/0/name: `name` is empty")) && out.ends_with(&warning),
        "{out}"
    );
    let missing = folder.0.join("none.json").display().to_string();
    assert_eq!(
        check(&[&missing]).1,
        format!("{missing}: No such file or directory (os error 2); name a file that can be read\n")
    );
    let (code, _, err) = check(&[]);
    assert_eq!((code, err), (2, said("name a manifest or a folder of them; see `mcp-rill check --help`")));
    assert_eq!(check(&["--strct", &clean]).0, 2);
}
