//! Manifests: what is refused, with the place and the remedy; what is warned of; which command lines come of which arguments.

use std::fs;
use std::path::Path;

use mcp_rill::cli::manifest::Manifest;
use mcp_rill::cli::manifest::problem::{Problem, Severity};

/// No mistake depends on the machine that runs the tests.
fn environment(name: &str) -> Option<String> {
    (name == "PATH").then(|| "/nowhere".to_owned())
}

pub(super) fn errors(text: &str) -> Vec<Problem> {
    match Manifest::from_text("m.json", text, &environment) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().filter(|problem| problem.severity == Severity::Error).collect(),
    }
}

/// A case of `mistakes.txt`: `== title`, the manifest, and for each error a line that begins with `> `.
pub(super) struct Mistake<'a> {
    pub(super) title: &'a str,
    pub(super) text: String,
    expected: Vec<&'a str>,
}

impl Mistake<'_> {
    /// True if this build knows everything that is in the manifest.
    pub(super) fn is_judged(&self) -> bool {
        let needs = |feature, key| feature || !self.text.contains(key);
        needs(cfg!(feature = "bridge"), "mcpServers") && needs(cfg!(feature = "operations"), "metrics")
    }
}

pub(super) fn mistakes(file: &str) -> Vec<Mistake<'_>> {
    let cases = file.split("== ").skip(1).map(|case| {
        let (title, rest) = case.split_once('\n').unwrap();
        let (expected, text): (Vec<&str>, Vec<&str>) = rest.lines().partition(|line| line.starts_with("> "));
        let expected = expected.iter().map(|line| &line[2..]).collect();
        Mistake { title, text: text.join("\n"), expected }
    });
    cases.collect()
}

/// `UPDATE_MISTAKES=1` writes what is reported now; review the difference.
#[test]
fn each_mistake_is_reported_with_its_place_and_remedy() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/mistakes.txt");
    let file = fs::read_to_string(&path).unwrap();
    let cases = mistakes(&file);
    assert!(cases.len() >= 150, "{} cases were read", cases.len());
    let (mut written, mut wrong) = (String::new(), Vec::new());
    for Mistake { title, text, expected } in cases.iter().filter(|case| case.is_judged()) {
        let problems = errors(text);
        let lines: Vec<&str> = text.split('\n').collect();
        let json: Option<serde_json::Value> = serde_json::from_str(text).ok();
        for Problem { position, .. } in &problems {
            let line = lines.get(position.line - 1).unwrap_or_else(|| panic!("{title}: {position}"));
            assert!(
                position.column <= line.chars().count() + 1,
                "{title}: {position} is past the end of its line"
            );
            let found = json.as_ref().is_none_or(|json| json.pointer(&position.pointer).is_some());
            assert!(found || title.contains("surrogate"), "{title}: {} leads nowhere", position.pointer);
        }
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        if found != *expected || found.is_empty() {
            wrong.push(format!("{title}: {found:#?}"));
        }
        written += &format!("== {title}\n{text}{}", if text.is_empty() { "" } else { "\n" });
        written.extend(found.iter().map(|line| format!("> {line}\n")));
    }
    if std::env::var_os("UPDATE_MISTAKES").is_some() {
        assert!(cases.iter().all(Mistake::is_judged), "this build judges a part of the cases");
        fs::write(&path, written).unwrap();
    } else {
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A file in which everything is wrong is reported in part, and refused all the same.
#[test]
fn at_most_a_thousand_errors_are_reported_and_as_many_warnings() {
    let tools = |count: usize, tool: &str| {
        format!("{{ \"manifest\": 1, \"tools\": [{}] }}", vec![tool; count].join(",\n"))
    };
    // One error each: a name is missing.
    let wrong = r#"{ "description": "x", "argv": ["/dev/null"] }"#;
    assert_eq!(errors(&tools(999, wrong)).len(), 999);
    let problems = errors(&tools(2000, wrong));
    assert_eq!(problems.len(), 1000);
    assert_eq!(
        problems[999].to_string(),
        "m.json:1000:1: /tools/999: there are more like these, which are not shown (problems_max); correct these first"
    );
    // Warnings do not hide the error after them.
    let risky = format!(
        "{{ \"manifest\": 1, \"prompts\": [{}], \"x\": 1 }}",
        (0..1500).map(|name| format!(r#"{{ "name": "{name}", "text": "x" }}"#)).collect::<Vec<_>>().join(",")
    );
    let problems = Manifest::from_text("m.json", &risky, &environment).unwrap_err();
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems.last().unwrap().severity, Severity::Error);
}

/// Columns count characters, lines end at LF, and both are right past the marks that are kept of a long text.
#[test]
fn positions_are_those_of_the_naive_count() {
    for filler in ["a", "é", "\n", "🦀\n"] {
        for length in [0, 1, 4000, 4095, 4096, 4097, 9000] {
            let text = format!(
                "{{ \"manifest\": 1, \"server\": {{ {}\"x\": 1 }} }}",
                filler.replace("a", " ").replace("é", "\t").replace("🦀", "").repeat(length)
                    + &format!("\"title\": \"{}\", ", filler.replace('\n', "").repeat(length + 1))
            );
            let problems = errors(&text);
            let before = &text[..text.find("\"x\"").unwrap()];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
            if filler != "\n" {
                assert_eq!(problems.len(), 1, "{problems:?}");
            }
            assert_eq!(
                problems.last().unwrap().to_string().split(": ").next().unwrap(),
                format!("m.json:{line}:{column}")
            );
        }
    }
}

/// The command line that a call of a tool with this `argv` and these arguments runs, without the program.
fn argv(argv: &str, arguments: &str) -> Result<Vec<String>, String> {
    let text = format!(
        r#"{{ "manifest": 1, "tools": [ {{ "name": "t", "dash": ["free"], "argv": ["/bin/echo", {argv}],
            "inputSchema": {{ "type": "object", "required": ["x"], "additionalProperties": false, "properties": {{
                "x": {{ "type": "string" }}, "y": {{ "type": "string" }}, "free": {{ "type": "string" }},
                "n": {{ "type": "number" }}, "b": {{ "type": "boolean" }}, "null": {{ "type": ["string", "null"] }},
                "l": {{ "type": "array", "items": {{ "type": ["string", "number", "boolean"] }} }},
                "o": {{ "type": "object" }}, "d": {{ "type": "string", "default": "5" }} }} }} }} ] }}"#
    );
    let (manifest, _) = Manifest::from_text("m.json", &text, &environment).unwrap_or_else(|problems| {
        panic!("{argv}: {}", problems.iter().map(|problem| format!("{problem}\n")).collect::<String>())
    });
    let mut elements = manifest.argv("t", arguments)?;
    assert_eq!(elements.remove(0), "/bin/echo");
    Ok(elements)
}

/// No text of a caller becomes more than one element, an option, another placeholder, or anything that a shell would make
/// of it.
#[test]
fn a_text_is_one_element_whatever_is_in_it() {
    let texts = [
        "",
        " ",
        "a b",
        "  a  b  ",
        "\t",
        "a\nb",
        "a\r\nb",
        "\n",
        "'",
        "\"",
        "'a' \"b\"",
        "it's",
        "\\",
        "\\\\",
        "a\\ b",
        "\\n",
        "$(reboot)",
        "`reboot`",
        "${IFS}",
        "$HOME",
        "${HOME}",
        "$((1+1))",
        "; reboot",
        "a; reboot #",
        "| sh",
        "|| reboot",
        "& reboot &",
        "&& reboot",
        "> /etc/passwd",
        "< /etc/shadow",
        "2>&1",
        "<(reboot)",
        "*",
        "?",
        "[a-z]*",
        "~",
        "~root",
        "{a,b}",
        "!!",
        "#",
        "%s%n",
        "%00",
        "%2e%2e%2f",
        "..",
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\Windows",
        "@/etc/passwd",
        "+x",
        "=",
        "a=b",
        "LD_PRELOAD=/tmp/x.so",
        "http://127.0.0.1/",
        "' OR 1=1 --",
        "a -rf /",
        "a --help",
        "{x}",
        "{y}",
        "{x:json}",
        "{*:json}",
        "{{x}}",
        "{",
        "}",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{1}",
        "\u{85}",
        "\u{a0}",
        "\u{2028}",
        "\u{200b}",
        "\u{202e}txt",
        "\u{feff}",
        "\u{fffd}",
        "é",
        "e\u{301}",
        "日本語",
        "🦀",
        // What looks like the beginning of an option and is none.
        " -rf",
        "\n-rf",
        "\u{2010}rf",
        "\u{2013}rf",
        "\u{2212}rf",
        "\u{ff0d}rf",
    ];
    assert!(texts.len() >= 80, "{} texts", texts.len());
    for text in texts {
        let json = serde_json::json!({ "x": text, "y": "y" }).to_string();
        let one = |elements: Vec<String>| assert_eq!(argv(r#""{x}""#, &json).unwrap(), elements, "{text:?}");
        one(vec![text.to_owned()]);
        let before = |text: &str| vec!["--".to_owned(), text.to_owned(), "y".to_owned()];
        assert_eq!(argv(r#""--", "{x}", ["{y}"]"#, &json).unwrap(), before(text), "{text:?}");
        assert_eq!(argv(r#""-o{x}=", ["{y}"]"#, &json).unwrap(), [format!("-o{text}="), "y".to_owned()]);
        let encoded = argv(r#""{x:json}", "{*:json}""#, &json).unwrap();
        let decoded: Vec<serde_json::Value> =
            encoded.iter().map(|element| serde_json::from_str(element).unwrap()).collect();
        assert_eq!(decoded, [serde_json::json!(text), serde_json::json!({ "x": text, "y": "y", "d": "5" })]);
        assert!(encoded.iter().all(|element| !element.contains(['\n', '\r'])), "{encoded:?}");
        // As an item of an array, too.
        let json = serde_json::json!({ "x": "x", "l": [text, text] }).to_string();
        assert_eq!(argv(r#"["{l}"]"#, &json).unwrap(), [text, text], "{text:?}");
    }
}

/// The elements of a template, arguments, and what they become: the elements of a command line, or a part of the refusal.
type Case<'a> = (&'a str, &'a str, Result<&'a [&'a str], &'a str>);

/// What arguments become, and which are refused: a part of the sentence.
#[test]
fn arguments_become_elements_or_are_refused() {
    let dash = "begins with `-`";
    let cases: &[Case<'_>] = &[
        // A dash where the program could take the text for an option.
        (r#""{x}""#, r#"{"x":"-"}"#, Err(dash)),
        (r#""{x}""#, r#"{"x":"--"}"#, Err(dash)),
        (r#""{x}""#, r#"{"x":"-rf"}"#, Err(dash)),
        (r#""{x}""#, r#"{"x":"--help"}"#, Err("`x` begins with `-`")),
        (r#""{x}""#, r#"{"x":"\u002drf"}"#, Err(dash)),
        (r#""{x}""#, r#"{"x":"-\n"}"#, Err(dash)),
        (r#""{x}.txt""#, r#"{"x":"-a"}"#, Err(dash)),
        (r#"["{y}{x}"]"#, r#"{"x":"-a","y":""}"#, Err("`x` begins with `-`")),
        (r#"["{y}{x}"]"#, r#"{"x":"-a","y":"b"}"#, Ok(&["b-a"])),
        (r#""-I", "{x}""#, r#"{"x":"-a"}"#, Err(dash)),
        (r#""--host={x}""#, r#"{"x":"-a"}"#, Ok(&["--host=-a"])),
        (r#""-{x}""#, r#"{"x":"-a"}"#, Ok(&["--a"])),
        (r#""--", "{x}""#, r#"{"x":"-rf"}"#, Ok(&["--", "-rf"])),
        (r#""--", "a", "{x}""#, r#"{"x":"--"}"#, Ok(&["--", "a", "--"])),
        (r#""{x}", "--""#, r#"{"x":"-rf"}"#, Err(dash)),
        // Only an element of the template ends the options: not one that is like it, and not an argument.
        (r#""-- ", "{x}""#, r#"{"x":"-rf"}"#, Err(dash)),
        (r#""---", "{x}""#, r#"{"x":"-rf"}"#, Err(dash)),
        (r#"["{free}"], "{x}""#, r#"{"x":"-rf","free":"--"}"#, Err("`x` begins with `-`")),
        (r#"["{free}"], "{x}""#, r#"{"x":"a","free":"-rf"}"#, Ok(&["-rf", "a"])),
        (r#"["{y}{free}"], "{x}""#, r#"{"x":"a","y":"-","free":"f"}"#, Err("`y` begins with `-`")),
        // A group that drops out takes its `--` with it.
        (r#"["--", "{y}"], "{x}""#, r#"{"x":"-rf"}"#, Err(dash)),
        (r#"["--", "{y}"], "{x}""#, r#"{"x":"-rf","y":"-y"}"#, Ok(&["--", "-y", "-rf"])),
        (r#"{"when":"b","argv":["--"]}, "{x}""#, r#"{"x":"-rf","b":false}"#, Err(dash)),
        (r#"{"when":"b","argv":["--"]}, "{x}""#, r#"{"x":"-rf","b":true}"#, Ok(&["--", "-rf"])),
        (r#"["{l}"]"#, r#"{"x":"","l":["a","-b"]}"#, Err("`l` begins with `-`")),
        (r#""--", ["{l}"]"#, r#"{"x":"","l":["a","-b"]}"#, Ok(&["--", "a", "-b"])),
        // Numbers are no strings.
        (r#"["{n}"]"#, r#"{"x":"","n":-5}"#, Ok(&["-5"])),
        (r#"["{n}"]"#, r#"{"x":"","n":3.0}"#, Ok(&["3"])),
        (r#"["{n}"]"#, r#"{"x":"","n":1e2}"#, Ok(&["100"])),
        (r#"["{n}"]"#, r#"{"x":"","n":-0.0}"#, Ok(&["0"])),
        (r#"["{n}"]"#, r#"{"x":"","n":0.1}"#, Ok(&["0.1"])),
        (r#"["{n:json}"]"#, r#"{"x":"","n":1e2}"#, Ok(&["1e2"])),
        (r#"["{n}"]"#, r#"{"x":"","n":"5"}"#, Err("`n`")),
        (r#"["{b}"]"#, r#"{"x":"","b":true}"#, Ok(&["true"])),
        (r#"["{b}"]"#, r#"{"x":"","b":false}"#, Ok(&["false"])),
        (r#"["{b}"]"#, r#"{"x":"","b":"true"}"#, Err("`b`")),
        // What ends a text for the system, and what is no text.
        (r#""{x}""#, r#"{"x":"a\u0000b"}"#, Err("NUL")),
        (r#""--", "{x}""#, r#"{"x":"\u0000"}"#, Err("`x` has a NUL")),
        (r#"["{l}"]"#, r#"{"x":"","l":["a\u0000"]}"#, Err("NUL")),
        (r#""{x:json}""#, r#"{"x":"a\u0000b"}"#, Ok(&["\"a\\u0000b\""])),
        (r#""{x}""#, r#"{"x":"\ud800"}"#, Err("surrogate")),
        (r#""{x}""#, r#"{"x":"\udc00\ud800"}"#, Err("surrogate")),
        (r#""{x:json}""#, r#"{"x":"\ud800"}"#, Err("surrogate")),
        (r#""{*:json}""#, r#"{"x":"","o":{"\ud800":1}}"#, Err("surrogate")),
        (r#""{x}""#, r#"{"x":"\ud83e\udd80"}"#, Ok(&["🦀"])),
        // Arguments that are not what the schema wants.
        (r#""{x}""#, r#"{}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":null}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":1}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":["-rf"]}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":{"y":1}}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":"a","x":"-rf"}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":"a","\u0078":"-rf"}"#, Err("`x`")),
        (r#""{x}""#, r#"{"x":"a","z":1}"#, Err("`z`")),
        (r#""{x}""#, r#"["a"]"#, Err("object")),
        (r#""{x}""#, r#"null"#, Err("object")),
        (r#""{x}""#, r#"{"x":"a"} {"x":"b"}"#, Err("JSON")),
        (r#""{x}""#, r#"{"x":"a""#, Err("JSON")),
        // Groups, `when`, defaults, arrays.
        (r#"["-y", "{y}"], "{x}""#, r#"{"x":"a"}"#, Ok(&["a"])),
        (r#"["-y", "{y}"], "{x}""#, r#"{"x":"a","y":""}"#, Ok(&["-y", "", "a"])),
        (r#"["{y}", "{n}"]"#, r#"{"x":"a","y":"y"}"#, Ok(&[])),
        (r#"["{y}", ["{n}"]]"#, r#"{"x":"a","y":"y"}"#, Ok(&["y"])),
        (r#"["{y}", ["{n}"]]"#, r#"{"x":"a","n":1}"#, Ok(&[])),
        (r#"["{null}"]"#, r#"{"x":"a","null":null}"#, Ok(&[])),
        (r#"["{null}"]"#, r#"{"x":"a","null":"null"}"#, Ok(&["null"])),
        (r#"["{y:json}"]"#, r#"{"x":"a"}"#, Ok(&[])),
        (r#"{"when":"b","argv":["-b"]}"#, r#"{"x":"a"}"#, Ok(&[])),
        (r#"{"when":"b","argv":["-b"]}"#, r#"{"x":"a","b":false}"#, Ok(&[])),
        (r#"{"when":"b","argv":["-b"]}"#, r#"{"x":"a","b":true}"#, Ok(&["-b"])),
        (r#"{"when":"y","argv":["-y","{y}"]}"#, r#"{"x":"a","y":"false"}"#, Ok(&["-y", "false"])),
        (r#"{"when":"n","argv":["-n","{n}"]}"#, r#"{"x":"a","n":0}"#, Ok(&["-n", "0"])),
        (r#"{"when":"null","argv":["-n"]}"#, r#"{"x":"a","null":null}"#, Ok(&[])),
        (r#"{"when":"l","argv":["-l","{l}"]}"#, r#"{"x":"a","l":[]}"#, Ok(&["-l"])),
        (r#"["{l}"]"#, r#"{"x":"a","l":[1.0,true,"a b"]}"#, Ok(&["1", "true", "a b"])),
        (r#"["{l:json}"]"#, "{\"x\":\"a\",\"l\":[1,\n\"b\"]}", Ok(&["[1, \"b\"]"])),
        (r#"["{o:json}"]"#, r#"{"x":"a","o":{"a":{"b":[]}}}"#, Ok(&[r#"{"a":{"b":[]}}"#])),
        (r#""{d}""#, r#"{"x":"a"}"#, Ok(&["5"])),
        (r#""{d}""#, r#"{"x":"a","d":"6"}"#, Ok(&["6"])),
        (r#""{*:json}""#, r#"{"x":"a"}"#, Ok(&[r#"{"x":"a","d":"5"}"#])),
        // Braces of the template.
        (r#""{{x}}""#, r#"{"x":"a"}"#, Ok(&["{x}"])),
        (r#""{{{x}}}""#, r#"{"x":"a"}"#, Ok(&["{a}"])),
        (r#""{{{{", "}}", """#, r#"{"x":"a"}"#, Ok(&["{{", "}", ""])),
        (r#""{{\"x\":{x:json}}}""#, r#"{"x":"a\"b"}"#, Ok(&[r#"{"x":"a\"b"}"#])),
    ];
    assert!(cases.len() >= 80, "{} cases", cases.len());
    for (template, arguments, expected) in cases {
        match (argv(template, arguments), expected) {
            (Ok(elements), Ok(expected)) => assert_eq!(elements, *expected, "{template} {arguments}"),
            (Err(problem), Err(part)) => assert!(problem.contains(part), "{template} {arguments}: {problem}"),
            (other, _) => panic!("{template} {arguments}: {other:?}"),
        }
    }
}

/// The system takes no longer element; a program would not be started at all.
#[test]
fn an_element_has_at_most_as_many_bytes_as_the_system_takes() {
    let arguments = |length: usize| serde_json::json!({ "x": "é".repeat(length / 2) + "a" }).to_string();
    assert_eq!(argv(r#""{x}""#, &arguments(131_070)).unwrap()[0].len(), 131_071);
    let problem = argv(r#""{x}""#, &arguments(131_072)).unwrap_err();
    assert!(problem.contains("`x` makes an element") && problem.contains("131071"), "{problem}");
    assert!(argv(r#""ab{x}""#, &arguments(131_068)).is_ok());
    assert!(argv(r#""abc{x}""#, &arguments(131_070)).is_err());
    assert!(argv(r#""{x}abc""#, &arguments(131_070)).is_err());
    assert!(argv(r#""{x:json}""#, &arguments(131_070)).is_err());
}
