//! A table of inputs: each with the section of RFC 9110 or 9112 it is about, the statuses it gets, and a part of the
//! last response's text. `!` after the statuses: the server closes; what follows is then never looked at.

use crate::faults;
use crate::harness::{SMALL, responses, run_all_ways};

struct Case {
    name: &'static str,
    section: &'static str,
    input: Vec<u8>,
    expected: &'static str,
    says: &'static str,
}

fn case(
    name: &'static str,
    section: &'static str,
    input: impl Into<Vec<u8>>,
    expected: &'static str,
    says: &'static str,
) -> Case {
    Case { name, section, input: input.into(), expected, says }
}

const FOLLOWING: &[u8] = b"GET /after HTTP/1.1\r\nHost: a\r\n\r\n";

fn check(cases: Vec<Case>) {
    let mut names = std::collections::HashSet::new();
    for case in cases {
        // For `tests/interop/run foreign`, where other parsers read the same.
        if let Some(folder) = std::env::var_os("HTTP_CASES") {
            let folder = std::path::PathBuf::from(folder);
            std::fs::write(folder.join(case.name.replace('/', "-")), &case.input).unwrap();
        }
        // For `fuzz/pack`, which hands the cases to others with what is expected of them.
        if let Some(folder) = std::env::var_os("CORPUS") {
            let folder = std::path::PathBuf::from(folder).join("http");
            let name = case.name.replace('/', "-");
            let statuses =
                case.expected.trim_end_matches('!').split_whitespace().collect::<Vec<_>>().join(",");
            let (section, closes) = (case.section, case.expected.ends_with('!'));
            let sizes = ["413", "414", "431"].iter().any(|status| case.expected.contains(status))
                || ["limit", "extensions that add up", "trailers that add up"]
                    .iter()
                    .any(|word| case.name.contains(word));
            let verdict = format!(
                "{{\"section\":\"RFC {section}\",\"statuses\":[{statuses}],\"closes\":{closes},\"sizes\":{sizes}}}\n"
            );
            std::fs::write(folder.join(format!("{name}.input")), &case.input).unwrap();
            std::fs::write(folder.join(format!("{name}.json")), verdict).unwrap();
        }
        assert!(names.insert(case.name), "two cases are named {}", case.name);
        let (statuses, closes) = match case.expected.strip_suffix('!') {
            Some(statuses) => (statuses, true),
            None => (case.expected, false),
        };
        let statuses: Vec<u16> = statuses.split_whitespace().map(|s| s.parse().unwrap()).collect();
        let method = if case.name.starts_with("HEAD") { "HEAD" } else { "GET" };
        let mut inputs = vec![case.input.clone()];
        if closes {
            inputs.push([&case.input[..], FOLLOWING].concat());
        }
        for input in inputs {
            let outcome = run_all_ways(case.name, &SMALL, &input, false);
            faults::change_nothing(case.name, &SMALL, &input);
            let shown = String::from_utf8_lossy(&outcome.output).into_owned();
            let got = responses(&outcome.output, method);
            let name = format!("{} ({})", case.name, case.section);
            assert_eq!(got.iter().map(|r| r.status).collect::<Vec<_>>(), statuses, "{name}: {shown}");
            assert_eq!(outcome.ended, closes, "{name}: closed");
            let answered = statuses.iter().filter(|s| **s < 400 || **s == 500).count();
            assert_eq!(outcome.seen.len(), answered, "{name}: requests that reached the handler");
            assert!(outcome.seen.iter().all(|seen| seen.target != "/after"), "{name}: read on after the end");
            if let Some(last) = got.last() {
                assert!(last.text().contains(case.says), "{name}: {shown}");
                let connection = if closes { "close" } else { "keep-alive" };
                assert_eq!(last.header("connection"), Some(connection), "{name}");
                assert_eq!(last.header("keep-alive").is_some(), !closes, "{name}");
                assert_eq!(last.header("date").map(str::len), Some(29), "{name}");
            }
        }
    }
}

/// A GET with these header lines after Host.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

fn post(lines: &str, body: &str) -> String {
    format!("POST /p HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn host(value: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n")
}

fn target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[test]
fn request_lines() {
    check(vec![
        case("plain GET", "9112 3", get(""), "200", ""),
        case("nothing", "9112 2", "", "", ""),
        case("one empty line before", "9112 2.2", format!("\r\n{}", get("")), "200", ""),
        case("an empty line only", "9112 2.2", "\r\n", "", ""),
        case("two empty lines before", "9112 2.2", format!("\r\n\r\n{}", get("")), "400!", "empty lines"),
        case("an empty line between", "9112 2.2", format!("{}\r\n{}", get(""), get("")), "200 200", ""),
        case("an empty line after a body", "9112 2.2", post("Content-Length: 2\r\n", "ab\r\n"), "200", ""),
        case("a bare LF before", "9112 2.2", format!("\n{}", get("")), "400!", "bare LF"),
        case("a bare CR before", "9112 2.2", format!("\r{}", get("")), "400!", "malformed"),
        case("a space before", "9112 2.2", format!(" {}", get("")), "400!", "0x20"),
        case("a NUL before", "9112 2.2", format!("\0{}", get("")), "400!", "0x00"),
        case(
            "a TLS handshake",
            "9110 4.2.2",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
            "400!",
            "TLS",
        ),
        case("a bare LF after the line", "9112 2.2", "GET / HTTP/1.1\nHost: a\r\n\r\n", "400!", "bare LF"),
        case(
            "a bare CR in the line",
            "9112 2.2",
            "GET /\rx HTTP/1.1\r\nHost: a\r\n\r\n",
            "400!",
            "malformed",
        ),
        case("two spaces", "9112 3", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "400!", "malformed"),
        case(
            "two spaces before the version",
            "9112 3",
            "GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            "400!",
            "malformed",
        ),
        case("a tab for a space", "9112 3", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", "400!", "malformed"),
        case("a space at the end", "9112 3", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "400!", "does not end"),
        case("no target", "9112 3", "GET HTTP/1.1\r\nHost: a\r\n\r\n", "400!", "malformed"),
        case("no method", "9112 3", "/ HTTP/1.1\r\nHost: a\r\n\r\n", "400!", "0x2f"),
        case("version alone", "9112 3", "HTTP/1.1\r\nHost: a\r\n\r\n", "400!", "malformed"),
        case("a method with a colon", "9110 9.1", "G:T / HTTP/1.1\r\nHost: a\r\n\r\n", "400!", "malformed"),
        case("a space in the target", "9112 3.2", target("/a b"), "400!", "malformed"),
        case("lower-case method", "9110 9.1", "get / HTTP/1.1\r\nHost: a\r\n\r\n", "501!", "`get`"),
        case("unknown method", "9110 9.1", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n", "501!", "`BREW`"),
        case("TRACE", "9110 9.3.8", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "501!", "use GET, POST or DELETE"),
        case("CONNECT", "9110 9.3.6", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "501!", "`CONNECT`"),
        case("DELETE without a body", "9110 9.3.5", "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n", "200", ""),
        case("HTTP/0.9", "9112 2.3", "GET /\r\n", "400!", "HTTP/1.1"),
        case("HTTP/1.0", "9112 2.3", "GET / HTTP/1.0\r\n\r\n", "200!", ""),
        case("HTTP/1.2", "9110 6.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "505!", "`HTTP/1.2`"),
        case("HTTP/2.0", "9110 15.6.6", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", "505!", "`HTTP/2.0`"),
        case("HTTP/2 preface", "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505!", "`HTTP/2.0`"),
        case("HTTP/11", "9112 2.3", "GET / HTTP/11\r\nHost: a\r\n\r\n", "505!", "`HTTP/11`"),
        case("lower-case version", "9112 2.3", "GET / http/1.1\r\nHost: a\r\n\r\n", "400!", "does not end"),
        case(
            "version with a letter",
            "9112 2.3",
            "GET / HTTP/1.x\r\nHost: a\r\n\r\n",
            "400!",
            "does not end",
        ),
        case("HEAD has no body", "9110 9.3.2", "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "200", ""),
        case("HEAD refused has no body", "9110 9.3.2", "HEAD / HTTP/1.1\r\n\r\n", "400!", ""),
        case("HEAD refused at the line", "9110 9.3.2", "HEAD / HTTP/1.3\r\n", "505!", ""),
        case("HEAD silent", "9110 9.3.2", "HEAD /silent HTTP/1.1\r\nHost: a\r\n\r\n", "500", ""),
        case("HEAD of a stream", "9110 9.3.2", "HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n", "200!", ""),
        case(
            "a handler that is silent",
            "9110 15.6.1",
            "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n",
            "500",
            "GET /silent",
        ),
        case("a handler that closes", "9112 9.6", "GET /close HTTP/1.1\r\nHost: a\r\n\r\n", "200!", "bye"),
        case("202", "9110 15.3.3", "GET /accepted HTTP/1.1\r\nHost: a\r\n\r\n", "202", "Accepted"),
        case("HEAD 202", "9110 15.3.3", "HEAD /accepted HTTP/1.1\r\nHost: a\r\n\r\n", "202", ""),
    ]);
}

#[test]
fn targets() {
    let long = |count: usize| target(&format!("/{}", "x".repeat(count - 1)));
    check(vec![
        case("a query", "9110 4.2.3", target("/x?a=b&c=d?e"), "200", ""),
        case("a fragment", "9110 4.2.5", target("/x#y"), "400!", "`/x#y`"),
        case("UTF-8", "9112 3.2", target("/\u{e9}"), "400!", "visible ASCII"),
        case(
            "a byte that is not UTF-8",
            "9112 3.2",
            b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            "400!",
            "",
        ),
        case("a control byte", "9112 3.2", target("/\x01"), "400!", "malformed"),
        case("DEL", "9112 3.2", target("/\x7f"), "400!", ""),
        case("a relative path", "9112 3.2.1", target("x"), "400!", "`x`"),
        case("two slashes", "9112 3.2.1", target("//b/c"), "200", ""),
        case("absolute-form", "9112 3.2.2", target("http://a/x"), "200", ""),
        case("absolute-form without a path", "9112 3.2.2", target("http://a"), "200", ""),
        case("absolute-form with a query only", "9112 3.2.2", target("http://a?x"), "200", ""),
        case("absolute-form in capitals", "9112 3.2.2", target("HTTPS://A/"), "200", ""),
        case("absolute-form of another host", "9112 3.2.2", target("http://b/"), "400!", "`b`"),
        case("absolute-form with another port", "9112 3.2.2", target("http://a:80/"), "400!", "`a:80`"),
        case("absolute-form with a user", "9110 4.2.4", target("http://u@a/"), "400!", "user information"),
        case("absolute-form without a host", "9110 4.2.1", target("http:///x"), "400!", "not a host"),
        case("absolute-form of ftp", "9112 3.2.2", target("ftp://a/"), "400!", "`ftp://a/`"),
        case("absolute-form without Host", "9112 3.2", "GET http://a/ HTTP/1.1\r\n\r\n", "400!", "missing"),
        case("absolute-form in 1.0", "9112 3.2.2", "GET http://a/ HTTP/1.0\r\n\r\n", "200!", ""),
        case("asterisk-form", "9112 3.2.4", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "200", ""),
        case("asterisk-form with GET", "9112 3.2.4", target("*"), "400!", "OPTIONS"),
        case("authority-form with GET", "9112 3.2.3", target("a:80"), "400!", "`a:80`"),
        case("a target at the limit", "9110 15.5.15", long(100), "200", ""),
        case("a target one past the limit", "9110 15.5.15", long(101), "414!", "100 bytes"),
        case("a line far past the limit", "9110 15.5.15", long(250), "414!", "100 bytes"),
        case(
            "a target without end",
            "9110 15.5.15",
            format!("GET /{}", "x".repeat(200)),
            "414!",
            "100 bytes",
        ),
        case("a long line with a bare LF", "9110 15.5.15", format!("GET /{}\n", "x".repeat(200)), "414!", ""),
        case("a method without end", "9112 3", "M".repeat(165), "501!", "no method"),
        case(
            "a long method",
            "9112 3",
            format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "M".repeat(65)),
            "501!",
            "",
        ),
        case(
            "a long method and target",
            "9112 3",
            format!("{} /{}", "M".repeat(64), "x".repeat(99)),
            "501!",
            "",
        ),
        case(
            "a method that is not too long",
            "9112 3",
            format!("{} /{}", "M".repeat(63), "x".repeat(100)),
            "414!",
            "",
        ),
    ]);
}

#[test]
fn hosts() {
    check(vec![
        case("a name and port", "9110 7.2", host("localhost:3001"), "200", ""),
        case("a name in capitals", "9110 7.2", host("LocalHost"), "200", ""),
        case("an empty port", "9110 7.2", host("a:"), "200", ""),
        case("IPv4", "9110 7.2", host("127.0.0.1:1"), "200", ""),
        case("IPv6", "9110 7.2", host("[::1]"), "200", ""),
        case("IPv6 and port", "9110 7.2", host("[::1]:65535"), "200", ""),
        case("an underscore", "9110 7.2", host("my_service"), "200", ""),
        case("whitespace around", "9112 5.1", host(" \t a \t"), "200", ""),
        case("no Host", "9112 3.2", "GET / HTTP/1.1\r\n\r\n", "400!", "missing"),
        case("no Host in 1.0", "9112 3.2", "GET / HTTP/1.0\r\nX: y\r\n\r\n", "200!", ""),
        case("two Hosts", "9112 3.2", get("Host: a\r\n"), "400!", "more than once"),
        case("two Hosts in any case", "9112 3.2", get("hOST: b\r\n"), "400!", "more than once"),
        case(
            "two Hosts in 1.0",
            "9112 3.2",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n",
            "400!",
            "more than once",
        ),
        case("an empty Host", "9112 3.2", host(""), "400!", "``"),
        case("a port too high", "9110 7.2", host("a:65536"), "400!", "`a:65536`"),
        case("a port in letters", "9110 7.2", host("a:b"), "400!", "`a:b`"),
        case("a port with a sign", "9110 7.2", host("a:+1"), "400!", "`a:+1`"),
        case("a port alone", "9110 7.2", host(":1"), "400!", "`:1`"),
        case("IPv6 without brackets", "9110 7.2", host("::1"), "400!", "`::1`"),
        case("IPv6 not closed", "9110 7.2", host("[::1"), "400!", "`[::1`"),
        case("IPv6 with rubbish after", "9110 7.2", host("[::1]x"), "400!", "`[::1]x`"),
        case("a name in brackets", "9110 7.2", host("[a]"), "400!", "`[a]`"),
        case("a zone", "9110 7.2", host("[fe80::1%251]"), "400!", ""),
        case("two hosts in one value", "9110 7.2", host("a, b"), "400!", "`a, b`"),
        case("a user in the Host", "9110 7.2", host("u@a"), "400!", "`u@a`"),
        case("a path in the Host", "9110 7.2", host("a/b"), "400!", "`a/b`"),
        case("a URL as the Host", "9110 7.2", host("http://a"), "400!", "`http://a`"),
        case("UTF-8 in the Host", "9110 7.2", host("\u{e9}"), "400!", "`??`"),
    ]);
}

#[test]
fn header_fields() {
    let padded = |len: usize| {
        let shortest = get("X: \r\n").len();
        get(&format!("X: {}\r\n", "y".repeat(len - shortest)))
    };
    let shown = "x".repeat(90);
    check(vec![
        case("no space after the colon", "9112 5", get("X:y\r\n"), "200", ""),
        case("an empty value", "9112 5", get("X:\r\n"), "200", ""),
        case("a tab in a value", "9110 5.5", get("X: a\tb\r\n"), "200", ""),
        case("bytes over 127 in a value", "9110 5.5", get("X: \u{e9}\r\n"), "200", ""),
        case("all token bytes in a name", "9110 5.6.2", get("!#$%&'*+-.^_`|~09aZ: y\r\n"), "200", ""),
        case(
            "a bare LF after a field",
            "9112 2.2",
            get("X: y\nZ: w\r\n"),
            "400!",
            "the header line `X` ends in a bare LF",
        ),
        case("a bare LF as the empty line", "9112 2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n", "400!", "bare LF"),
        case("a bare CR in a value", "9112 2.2", get("X: a\rb\r\n"), "400!", "control byte"),
        case("a bare CR in a name", "9112 2.2", get("X\r: b\r\n"), "400!", "forbidden"),
        case("CR CR LF", "9112 2.2", get("X: a\r\r\n"), "400!", "control byte"),
        case("a folded line", "9112 5.2", get("X: a\r\n b\r\n"), "400!", "fold"),
        case("a line folded with a tab", "9112 5.2", get("X: a\r\n\tb\r\n"), "400!", "fold"),
        case("a fold of whitespace only", "9112 5.2", get("X: a\r\n \r\n"), "400!", "fold"),
        case(
            "a space before the first field",
            "9112 2.2",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "400!",
            "fold",
        ),
        case("a space before the colon", "9112 5.1", get("X : y\r\n"), "400!", "whitespace before its colon"),
        case("a tab before the colon", "9112 5.1", get("X\t: y\r\n"), "400!", "whitespace before its colon"),
        case("Content-Length with a space", "9112 5.1", post("Content-Length : 1\r\n", "a"), "400!", "colon"),
        case("a space in a name", "9110 5.1", get("X y: z\r\n"), "400!", "forbidden"),
        case("no name", "9110 5.1", get(": y\r\n"), "400!", "no name"),
        case("no colon", "9112 5", get("Xy\r\n"), "400!", "no colon"),
        case("UTF-8 in a name", "9110 5.1", get("\u{e9}: y\r\n"), "400!", "forbidden"),
        case("a NUL in a name", "9110 5.5", get("X\0: y\r\n"), "400!", "forbidden"),
        case("a NUL in a value", "9110 5.5", get("X: a\0b\r\n"), "400!", "`X` has a control byte"),
        case("a control byte in a value", "9110 5.5", get("X: a\x01b\r\n"), "400!", "control byte"),
        case("an escape in a value", "9110 5.5", get("X: a\x1b[1mb\r\n"), "400!", "`X` has a control byte"),
        case("DEL in a value", "9110 5.5", get("X: a\x7fb\r\n"), "400!", "control byte"),
        case("a long line is cut", "9110 15.5.1", get(&format!("{shown} : y\r\n")), "400!", "xx...`"),
        case("fields at the limit", "6585 5", get(&"X: y\r\n".repeat(7)), "200", ""),
        case("fields one past the limit", "6585 5", get(&"X: y\r\n".repeat(8)), "431!", "more than 8"),
        case("a head at the limit", "6585 5", padded(300), "200", ""),
        case("a head one past the limit", "6585 5", padded(301), "431!", "300 bytes"),
        case("a head without end", "6585 5", get(&format!("X: {}", "y".repeat(300))), "431!", "300 bytes"),
        case("the empty line does not count", "6585 5", format!("\r\n{}", padded(300)), "200", ""),
        case("a long head with a bare LF", "6585 5", get(&format!("X: {}\n", "y".repeat(300))), "431!", ""),
    ]);
}

#[test]
fn framing() {
    let te = |value: &str, body: &str| post(&format!("Transfer-Encoding: {value}\r\n"), body);
    let cl = |value: &str| post(&format!("Content-Length: {value}\r\n"), "abc");
    let full = "x".repeat(64);
    check(vec![
        case("a length", "9112 6.2", cl("3"), "200", "abc"),
        case("a length with zeros", "9112 6.2", cl("0003"), "200", "abc"),
        case("a length of nothing", "9112 6.2", post("Content-Length: 0\r\n", ""), "200", ""),
        case("a body that is not whole", "9112 8", cl("4"), "", ""),
        case(
            "two lengths",
            "9112 6.3",
            post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"),
            "400!",
            "once",
        ),
        case(
            "two equal lengths",
            "9112 6.3",
            post("Content-Length: 3\r\ncontent-length: 3\r\n", "abc"),
            "400!",
            "once",
        ),
        case("a list of lengths", "9112 6.3", cl("3, 3"), "400!", "`3, 3`"),
        case("an empty length", "9110 8.6", cl(""), "400!", "``"),
        case("a length with plus", "9110 8.6", cl("+3"), "400!", "`+3`"),
        case("a length with minus", "9110 8.6", cl("-3"), "400!", "`-3`"),
        case("a length with a space", "9110 8.6", cl("3 3"), "400!", "`3 3`"),
        case("a length in hexadecimal", "9110 8.6", cl("0x3"), "400!", "`0x3`"),
        case("a length with an underscore", "9110 8.6", cl("1_0"), "400!", "`1_0`"),
        case("a length with a fraction", "9110 8.6", cl("3.0"), "400!", "`3.0`"),
        case("a length in other digits", "9110 8.6", cl("\u{663}"), "400!", "`??`"),
        case("a length over u64", "9110 8.6", cl("18446744073709551616"), "400!", "not a number"),
        case("the largest length", "9110 15.5.14", cl("18446744073709551615"), "413!", "longer than 64"),
        case("a length at the limit", "9110 15.5.14", post("Content-Length: 64\r\n", &full), "200", "xxxx"),
        case(
            "a length one past the limit",
            "9110 15.5.14",
            post("Content-Length: 65\r\n", ""),
            "413!",
            "65 bytes",
        ),
        case(
            "both framings",
            "9112 6.3",
            te("chunked\r\nContent-Length: 3", "0\r\n\r\n"),
            "400!",
            "together",
        ),
        case(
            "both framings turned",
            "9112 6.3",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            "400!",
            "together",
        ),
        case(
            "both, length zero",
            "9112 6.3",
            te("chunked\r\nContent-Length: 0", "0\r\n\r\n"),
            "400!",
            "together",
        ),
        case("both, coding unknown", "9112 6.3", te("x\r\nContent-Length: 3", "abc"), "400!", "together"),
        case("chunked", "9112 7.1", te("chunked", "3\r\nabc\r\n0\r\n\r\n"), "200", "abc"),
        case("Chunked", "9112 7", te("ChunKed", "3\r\nabc\r\n0\r\n\r\n"), "200", "abc"),
        case(
            "chunked with spaces around",
            "9112 5.1",
            te(" \tchunked\t ", "3\r\nabc\r\n0\r\n\r\n"),
            "200",
            "abc",
        ),
        case(
            "chunked twice",
            "9112 6.1",
            te("chunked\r\nTransfer-Encoding: chunked", "0\r\n\r\n"),
            "400!",
            "once",
        ),
        case("chunked twice in a list", "9112 6.1", te("chunked, chunked", "0\r\n\r\n"), "400!", "alone"),
        case("gzip before chunked", "9112 6.1", te("gzip, chunked", "0\r\n\r\n"), "501!", "`gzip, chunked`"),
        case("gzip after chunked", "9112 6.3", te("chunked, gzip", "0\r\n\r\n"), "400!", "alone"),
        case("identity", "9112 6.3", te("identity", "0\r\n\r\n"), "400!", "`identity`"),
        case("an empty coding", "9112 6.3", te("", "0\r\n\r\n"), "400!", "``"),
        case("xchunked", "9112 6.3", te("xchunked", "0\r\n\r\n"), "400!", "`xchunked`"),
        case("a quoted coding", "9112 6.3", te("\"chunked\"", "0\r\n\r\n"), "400!", "alone"),
        case("a coding with a parameter", "9112 7", te("chunked;q=1", "0\r\n\r\n"), "400!", "alone"),
        case("a coding with a vertical tab", "9112 7", te("\x0bchunked", "0\r\n\r\n"), "400!", "control"),
        case("a list with an empty member", "9112 7", te(",chunked", "0\r\n\r\n"), "501!", "alone"),
        case(
            "chunked in 1.0",
            "9112 6.1",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400!",
            "HTTP/1.0",
        ),
        case("a length in 1.0", "9112 6.2", "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", "200!", "ab"),
        case("POST without a length", "9110 15.5.12", post("", ""), "411!", "POST"),
        case("PUT without a length", "9112 6.3", "PUT / HTTP/1.1\r\nHost: a\r\n\r\n", "200", ""),
        case("PATCH without a length", "9112 6.3", "PATCH / HTTP/1.1\r\nHost: a\r\n\r\n", "200", ""),
        case("GET with a body", "9110 9.3.1", get("Content-Length: 1\r\n") + "a", "400!", "GET"),
        case("GET with a length of zero", "9110 9.3.1", get("Content-Length: 0\r\n"), "200", ""),
        case(
            "GET with chunks",
            "9110 9.3.1",
            get("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            "400!",
            "GET",
        ),
        case(
            "HEAD with a body",
            "9110 9.3.2",
            "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
            "400!",
            "",
        ),
        case(
            "DELETE with a body",
            "9110 9.3.5",
            "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
            "200",
            "a",
        ),
        case("Expect", "9110 10.1.1", post("Expect: 100-continue\r\nContent-Length: 1\r\n", "a"), "200", "a"),
        case(
            "Expect in capitals",
            "9110 10.1.1",
            post("Expect: 100-Continue\r\nContent-Length: 1\r\n", "a"),
            "200",
            "a",
        ),
        case("Expect without a body", "9110 10.1.1", get("Expect: 100-continue\r\n"), "200", ""),
        case("Expect another thing", "9110 10.1.1", get("Expect: tea\r\n"), "417!", "`tea`"),
        case("Expect in 1.0", "9110 10.1.1", "GET / HTTP/1.0\r\nExpect: tea\r\n\r\n", "200!", ""),
        case("Expect twice", "9110 10.1.1", get("Expect: 100-continue\r\nExpect: tea\r\n"), "417!", "once"),
    ]);
}

#[test]
fn chunks() {
    let (fifteen, sixteen) = ("e".repeat(15), "e".repeat(16));
    let chunk = |size: usize| format!("{size:x}\r\n{}\r\n", "x".repeat(size));
    check(vec![
        case("several chunks", "9112 7.1", chunked("1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"), "200", "abc"),
        case("no data", "9112 7.1", chunked("0\r\n\r\n"), "200", ""),
        case("many zeros", "9112 7.1", chunked("0000000000000001\r\na\r\n000\r\n\r\n"), "200", "a"),
        case("17 digits", "9112 7.1", chunked("00000000000000001\r\na\r\n0\r\n\r\n"), "400!", "16 digits"),
        case("a size over u64", "9112 7.1", chunked("10000000000000000\r\n"), "400!", "16 digits"),
        case("the largest size", "9110 15.5.14", chunked("ffffffffffffffff\r\n"), "413!", "64 bytes"),
        case(
            "sizes that add up over u64",
            "9112 7.1",
            chunked("1\r\na\r\nffffffffffffffff\r\n"),
            "413!",
            "64 bytes",
        ),
        case(
            "hexadecimal in both cases",
            "9112 7.1",
            chunked("A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"),
            "200",
            "a",
        ),
        case("0x", "9112 7.1", chunked("0x1\r\na\r\n0\r\n\r\n"), "400!", "0x78"),
        case("an underscore in a size", "9112 7.1", chunked("1_0\r\n"), "400!", "0x5f"),
        case("a sign", "9112 7.1", chunked("+1\r\na\r\n0\r\n\r\n"), "400!", "0x2b"),
        case("an empty size", "9112 7.1", chunked("\r\na\r\n0\r\n\r\n"), "400!", "hexadecimal"),
        case(
            "a size of an extension only",
            "9112 7.1",
            chunked(";x\r\na\r\n0\r\n\r\n"),
            "400!",
            "hexadecimal",
        ),
        case("a space before a size", "9112 7.1", chunked(" 1\r\na\r\n0\r\n\r\n"), "400!", "hexadecimal"),
        case("a space after a size", "9112 7.1", chunked("1 \r\na\r\n0\r\n\r\n"), "400!", "whitespace"),
        case("a tab after a size", "9112 7.1", chunked("1\t\r\na\r\n0\r\n\r\n"), "400!", "whitespace"),
        case("a size with a bare LF", "9112 7.1", chunked("1\na\r\n0\r\n\r\n"), "400!", "0x0a"),
        case("a size with a bare CR", "9112 7.1", chunked("1\ra\r\n0\r\n\r\n"), "400!", "CR is not followed"),
        case("data with a bare LF", "9112 7.1", chunked("1\r\na\n0\r\n\r\n"), "400!", "longer than"),
        case("data with a bare CR", "9112 7.1", chunked("1\r\na\rx"), "400!", "longer than"),
        case("data longer than its size", "9112 7.1", chunked("1\r\nab\r\n0\r\n\r\n"), "400!", "longer than"),
        case("data shorter than its size", "9112 7.1", chunked("3\r\na\r\n0\r\n\r\n"), "400!", "longer than"),
        case("CR LF inside of data", "9112 7.1", chunked("4\r\na\r\nb\r\n0\r\n\r\n"), "200", "a\r\nb"),
        case("the end with a bare LF", "9112 7.1", chunked("0\r\n\n"), "400!", "0x0a"),
        case("the end with a bare CR", "9112 7.1", chunked("0\r\n\rx"), "400!", "CR is not followed"),
        case(
            "chunks at the limit",
            "9110 15.5.14",
            chunked(&format!("{}{}0\r\n\r\n", chunk(60), chunk(4))),
            "200",
            "xx",
        ),
        case(
            "chunks one past the limit",
            "9110 15.5.14",
            chunked(&format!("{}5\r\n", chunk(60))),
            "413!",
            "64 bytes",
        ),
        case("one chunk past the limit", "9110 15.5.14", chunked("41\r\n"), "413!", "64 bytes"),
        case("an extension", "9112 7.1.1", chunked("1;a=b;c\r\na\r\n0\r\n\r\n"), "200", "a"),
        case("a quoted extension", "9112 7.1.1", chunked("1;a=\"b;c\"\r\na\r\n0\r\n\r\n"), "200", "a"),
        case("whitespace before an extension", "9112 7.1.1", chunked("1 \t;a\r\na\r\n0\r\n\r\n"), "200", "a"),
        case(
            "whitespace and no extension",
            "9112 7.1.1",
            chunked("1 a\r\na\r\n0\r\n\r\n"),
            "400!",
            "whitespace",
        ),
        case(
            "an extension with a bare LF",
            "9112 7.1.1",
            chunked("1;a\nb\r\na\r\n0\r\n\r\n"),
            "400!",
            "extension",
        ),
        case("a quoted bare LF", "9112 7.1.1", chunked("1;a=\"\n\"\r\na\r\n0\r\n\r\n"), "400!", "extension"),
        case(
            "an extension with a bare CR",
            "9112 7.1.1",
            chunked("1;a\rb\r\na\r\n0\r\n\r\n"),
            "400!",
            "CR is not followed",
        ),
        case(
            "an extension with a NUL",
            "9112 7.1.1",
            chunked("1;a\0\r\na\r\n0\r\n\r\n"),
            "400!",
            "extension",
        ),
        case(
            "extensions at the limit",
            "9112 7.1.1",
            chunked(&format!("1;{fifteen}\r\na\r\n0\r\n\r\n")),
            "200",
            "a",
        ),
        case(
            "extensions one past the limit",
            "9112 7.1.1",
            chunked(&format!("1;{sixteen}\r\na\r\n0\r\n\r\n")),
            "400!",
            "16 bytes",
        ),
        case(
            "extensions that add up",
            "9112 7.1.1",
            chunked("1;1234567\r\na\r\n1;12345678\r\na\r\n0\r\n\r\n"),
            "400!",
            "16 bytes",
        ),
        case("trailers", "9112 7.1.2", chunked("0\r\nA: b\r\nC:\r\n\r\n"), "200", ""),
        case(
            "trailers at the limit",
            "9112 7.1.2",
            chunked(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(27))),
            "200",
            "",
        ),
        case(
            "trailers one past the limit",
            "9112 7.1.2",
            chunked(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(28))),
            "400!",
            "32 bytes",
        ),
        case(
            "trailers that add up",
            "9112 7.1.2",
            chunked(&format!("0\r\n{}\r\n", "A: bbb\r\n".repeat(5))),
            "400!",
            "32 bytes",
        ),
        case(
            "a trailer named Content-Length",
            "9110 6.5.1",
            chunked("0\r\nContent-Length: 9\r\n\r\n"),
            "200",
            "",
        ),
        case("a trailer with a bare LF", "9112 7.1.2", chunked("0\r\nA: b\n\r\n"), "400!", "control byte"),
        case("a trailer with a NUL", "9112 7.1.2", chunked("0\r\nA: \0\r\n\r\n"), "400!", "control byte"),
        case(
            "a trailer with a bare CR",
            "9112 7.1.2",
            chunked("0\r\nA: b\rc\r\n\r\n"),
            "400!",
            "CR is not followed",
        ),
        case("a folded trailer", "9112 7.1.2", chunked("0\r\nA: b\r\n c\r\n\r\n"), "400!", "name"),
        case("a trailer without a colon", "9112 7.1.2", chunked("0\r\nA\r\n\r\n"), "400!", "name"),
        case("a trailer without a name", "9112 7.1.2", chunked("0\r\n: b\r\n\r\n"), "400!", "name"),
        case(
            "a request where a trailer should be",
            "9112 7.1.2",
            chunked("0\r\nGET / HTTP/1.1\r\n\r\n"),
            "400!",
            "name",
        ),
    ]);
}

#[test]
fn persistence() {
    let refused = "POST /refuse HTTP/1.1\r\nHost: a\r\n";
    check(vec![
        case("two requests", "9112 9.3.2", get("") + &get(""), "200 200", ""),
        case("POST, then GET", "9112 9.3.2", post("Content-Length: 2\r\n", "ab") + &get(""), "200 200", ""),
        case("chunks, then GET", "9112 9.3.2", chunked("1\r\na\r\n0\r\n\r\n") + &get(""), "200 200", ""),
        case(
            "three of all kinds",
            "9112 9.3.2",
            get("") + &chunked("0\r\nA: b\r\n\r\n") + &post("Content-Length: 1\r\n", "z"),
            "200 200 200",
            "z",
        ),
        case("close", "9112 9.6", get("Connection: close\r\n"), "200!", ""),
        case("Close", "9112 9.6", get("Connection: CLOSE\r\n"), "200!", ""),
        case("close in a list", "9110 7.6.1", get("Connection: x ,\tclose,, y\r\n"), "200!", ""),
        case(
            "close in a second field",
            "9110 7.6.1",
            get("Connection: keep-alive\r\nConnection: close\r\n"),
            "200!",
            "",
        ),
        case("close as a part of a word", "9110 7.6.1", get("Connection: closed\r\n"), "200", ""),
        case("keep-alive in 1.1", "9112 9.3", get("Connection: keep-alive\r\n"), "200", ""),
        case("keep-alive in 1.0", "9112 9.3", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "200", ""),
        case(
            "both in 1.0",
            "9112 9.3",
            "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n",
            "200!",
            "",
        ),
        case("202 in 1.0", "9112 9.3", "GET /accepted HTTP/1.0\r\n\r\n", "202!", "Accepted"),
        case(
            "close after a body",
            "9112 9.6",
            post("Connection: close\r\nContent-Length: 1\r\n", "a"),
            "200!",
            "a",
        ),
        case(
            "refused after one",
            "9112 9.3.2",
            get("") + "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "200 400!",
            "",
        ),
        case(
            "refused, no body",
            "9110 15.5.5",
            "GET /refuse HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + &get(""),
            "404 200",
            "",
        ),
        case(
            "refused, body dropped",
            "9110 15.5.5",
            format!("{refused}Content-Length: 3\r\n\r\nabc") + &get(""),
            "404 200",
            "",
        ),
        case(
            "refused, chunks dropped",
            "9110 15.5.5",
            format!("{refused}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n") + &get(""),
            "404 200",
            "",
        ),
        case(
            "refused, then bad chunks",
            "9112 7.1",
            format!("{refused}Transfer-Encoding: chunked\r\n\r\nx\r\n"),
            "400!",
            "",
        ),
        case(
            "refused and close",
            "9112 9.6",
            format!("{refused}Connection: close\r\nContent-Length: 3\r\n\r\nabc"),
            "404!",
            "refused",
        ),
        case(
            "refused and expected",
            "9110 10.1.1",
            format!("{refused}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
            "404!",
            "refused",
        ),
        case(
            "refused, expected, sent",
            "9110 10.1.1",
            format!("{refused}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"),
            "404!",
            "refused",
        ),
    ]);
}
