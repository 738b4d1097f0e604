//! Heads and responses as values: what a lawful one is read as, and what a client refuses.

use std::time::Duration;

use mcp_rill::Limits;
use mcp_rill::http::client::parse_response;
use mcp_rill::http::head::{Fields, Framing, Head, Host, Search, Single, Version, parse};
use mcp_rill::http::response::{Common, RequestTraits, Response, TEXT, reason_phrase};

fn head<R>(bytes: &[u8], check: impl FnOnce(Head<'_>) -> R) -> R {
    let limits = Limits::DEFAULT;
    let range = Search::default().find(bytes, &limits).unwrap().unwrap();
    let mut fields = Fields::new();
    check(parse(&bytes[range], &mut fields, &limits).unwrap())
}

#[test]
fn a_head_is_read() {
    let bytes = b"POST http://LocalHost:80?a=b HTTP/1.1\r\nHost: localhost:80\r\nX: 1\r\nx: 2\r\n\
        Transfer-Encoding: Chunked\r\nExpect: 100-continue\r\nBytes: \xff\r\n\r\n";
    head(bytes, |head| {
        assert_eq!((head.method, head.target), ("POST", "http://LocalHost:80?a=b"));
        assert_eq!((head.path, head.query), ("/", Some("a=b")));
        assert_eq!((head.version, head.framing), (Version::Http11, Framing::Chunked));
        assert!(head.keep_alive && head.expect_continue);
        let host = Host { text: "localhost:80", name: "localhost", port: Some(80) };
        assert_eq!(head.host, Some(host));
        assert_eq!(
            (head.header("X"), head.header_str("x"), head.header("y")),
            (Some(&b"1"[..]), Some("1"), None)
        );
        assert_eq!((head.header("bytes"), head.header_str("bytes")), (Some(&b"\xff"[..]), None));
        assert_eq!(head.headers_named("x").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!((head.single("x"), head.single("y")), (Single::Several, Single::Absent));
        assert_eq!(head.single("HOST"), Single::One(b"localhost:80"));
        assert_eq!(head.headers().count(), 6);
    });
    head(b"GET /a?? HTTP/1.0\r\n\r\n", |head| {
        assert_eq!((head.path, head.query, head.host), ("/a", Some("?"), None));
        assert_eq!((head.version, head.framing, head.keep_alive), (Version::Http10, Framing::None, false));
    });
    head(b"GET http://[::1]:8/ HTTP/1.0\r\n\r\n", |head| {
        let host = head.host.unwrap();
        assert_eq!((host.text, host.name, host.port), ("[::1]:8", "::1", Some(8)));
    });
    head(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", |head| assert_eq!((head.path, head.query), ("*", None)));
}

#[test]
fn responses_are_written() {
    let common = Common::new(Limits::DEFAULT);
    let write = |response: &Response<'_>, head_only, keep_alive| {
        let mut out = Vec::new();
        common.write(&mut out, response, RequestTraits { head_only, keep_alive, chunks: true });
        String::from_utf8(out).unwrap()
    };
    let response = Response { headers: &[("A", "b\r\nC: d")], ..Response::text(404, "no") };
    assert_eq!(
        write(&response, false, true),
        "HTTP/1.1 404 Not Found\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: 2\r\nA: b  C: d\r\nConnection: keep-alive\r\nKeep-Alive: timeout=54\r\n\r\nno"
    );
    assert!(
        write(&response, true, false)
            .ends_with("Content-Length: 2\r\nA: b  C: d\r\nConnection: close\r\n\r\n")
    );
    for status in [100, 204, 304] {
        let text =
            write(&Response { status, body: b"never", content_type: Some(TEXT), headers: &[] }, false, true);
        assert!(!text.contains("Content-") && text.ends_with("\r\n\r\n"), "{text}");
    }
    assert_eq!(reason_phrase(299), "Unknown");
}

#[test]
fn keep_alive_is_announced_a_tenth_shorter() {
    for (ms, announced) in [(60_000, "54"), (10_000, "9"), (1000, "1"), (500, "1"), (3_600_000, "3240")] {
        let limits = Limits { idle_timeout: Duration::from_millis(ms), ..Limits::DEFAULT };
        let mut out = Vec::new();
        Common::new(limits).write(
            &mut out,
            &Response::new(200),
            RequestTraits { head_only: false, keep_alive: true, chunks: true },
        );
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("Keep-Alive: timeout={announced}\r\n")), "{ms}: {text}");
    }
}

fn response(method: &str, text: &str) -> Result<(u16, Option<Framing>, bool), String> {
    let limits = Limits { headers_max: 4, ..Limits::DEFAULT };
    // Found byte by byte and whole at the same place, or refused with the same words.
    let mut search = Search::in_response();
    let mut found = Ok(None);
    for end in 0..=text.len() {
        found = search.find(&text.as_bytes()[..end], &limits);
        if !matches!(found, Ok(None)) {
            break;
        }
    }
    assert_eq!(Search::in_response().find(text.as_bytes(), &limits), found);
    let range = found.map_err(|refusal| refusal.to_string())?.ok_or("not whole")?;
    let mut fields = Fields::new();
    let head = parse_response(&text.as_bytes()[range], &mut fields, method, &limits);
    let head = head.map_err(|refusal| refusal.to_string())?;
    Ok((head.status, head.framing, head.keep_alive))
}

#[test]
fn responses_are_read_by_the_client() {
    let length = |n| Some(Framing::Length(n));
    for (method, text, expected) in [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (200, length(5), true)),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", (200, length(5), false)),
        ("GET", "HTTP/1.1 200 \r\nTransfer-Encoding: CHUNKED\r\n\r\n", (200, Some(Framing::Chunked), true)),
        ("GET", "HTTP/1.1 200\r\nA: b\r\n\r\n", (200, None, false)),
        ("GET", "HTTP/1.0 200 OK\r\n\r\n", (200, None, false)),
        ("GET", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", (200, length(0), false)),
        (
            "GET",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            (200, length(0), true),
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", (200, Some(Framing::None), true)),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", (204, Some(Framing::None), true)),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, Some(Framing::None), true)),
        ("POST", "HTTP/1.1 100 Continue\r\n\r\n", (100, Some(Framing::None), true)),
    ] {
        assert_eq!(response(method, text), Ok(expected), "{text:?}");
    }
}

#[test]
fn responses_are_refused_by_the_client() {
    for (text, says) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "twice"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "twice"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "twice"),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.0"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "`gzip`"),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "`-5`"),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "colon"),
        ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "fold"),
        ("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", "control"),
        ("HTTP/1.1 200 OK\nA: b\r\n\r\n", "bare LF"),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", "empty lines"),
        ("HTTP/2 200\r\n\r\n", "status line `HTTP/2 200`"),
        ("HTTP/1.1 20 OK\r\n\r\n", "status line"),
        ("HTTP/1.1 2000 OK\r\n\r\n", "status line"),
        ("HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n", "more than 4"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "SSH-2.0"),
        (&format!("HTTP/1.1 200 OK\r\nA: {}", "b".repeat(20_000)), "16384"),
    ] {
        let refused = response("GET", text).unwrap_err();
        assert!(refused.contains(says), "{text:.80?}: {refused}");
    }
}
