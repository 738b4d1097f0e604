//! What is a JSON-RPC message and what is not, and that what is written is read back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod json;
mod same;

use std::borrow::Cow;

use mcp_rill::Limits;
use mcp_rill::json::{Array, JsonRef, Members, Object, Tape, write_raw, write_str};
use mcp_rill::jsonrpc::{self, Error, Id, IdRef, Message, Rejected};
use mcp_rill::testing::Random;
use serde_json::Value;
use serde_json::value::RawValue;

const LIMITS: &Limits = &Limits::DEFAULT;

fn parse(text: &str) -> Result<Message<'_>, Rejected> {
    jsonrpc::parse(text.as_bytes(), LIMITS, Box::leak(Box::default()))
}

fn value(text: &str) -> JsonRef<'_> {
    Box::leak(Box::new(Tape::new())).read(text).unwrap()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn show_id(id: &IdRef<'_>) -> String {
    let mut out = Vec::new();
    id.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// A message in a form that can be compared.
fn show(message: &Message<'_>) -> String {
    let text = |json: &Option<JsonRef<'_>>| json.map_or("-", JsonRef::text).to_owned();
    match message {
        Message::Request(m) => format!("request {} {:?} {}", show_id(&m.id), m.method, text(&m.params)),
        Message::Notification(m) => format!("notification {:?} {}", m.method, text(&m.params)),
        Message::Response(m) => {
            let id = m.id.as_ref().map_or("-".to_owned(), show_id);
            match m.outcome {
                Ok(result) => format!("result {id} {}", result.text()),
                Err(error) => format!("error {id} {}", error.text()),
            }
        }
    }
}

#[test]
fn messages() {
    let cases = [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, r#"request 1 "ping" -"#),
        (r#"{"method":"m","params":{"a": [1]},"id":"x","jsonrpc":"2.0"}"#, r#"request "x" "m" {"a": [1]}"#),
        (r#"{"jsonrpc":"2.0","method":"m"}"#, r#"notification "m" -"#),
        (r#"{"jsonrpc":"2.0","method":"m","params":{}}"#, r#"notification "m" {}"#),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "result 1 {}"),
        (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "result 1 null"),
        (
            r#"{"jsonrpc":"2.0","id":"1","error":{"code":1,"message":""}}"#,
            r#"error "1" {"code":1,"message":""}"#,
        ),
        (r#"{"jsonrpc":"2.0","error":1}"#, "error - 1"),
        (r#"{"jsonrpc":"2.0","id":null,"error":1}"#, "error - 1"),
        // Whitespace is JSON's: space, tab, CR, LF.
        ("\r\n\t {\r\n \"jsonrpc\" :\t\"2.0\" ,\n\"method\"\r:\"m\"\n}\r\n \t", r#"notification "m" -"#),
        // Escapes are resolved before anything is compared.
        (
            r#"{"jsonr\u0070c":"2\u002e0","i\u0064":"\u0031","m\u0065thod":"p\u0069ng\/\"\n"}"#,
            r#"request "1" "ping/\"\n" -"#,
        ),
        (r#"{"jsonrpc":"2.0","id":"\ud83d\ude00","method":"é"}"#, r#"request "😀" "é" -"#),
        (r#"{"jsonrpc":"2.0","id":"","method":""}"#, r#"request "" "" -"#),
        // Unknown members are ignored, even twice; so are params beside a result.
        (r#"{"jsonrpc":"2.0","x":1,"x":{"id":2},"ID":3,"method":"m"}"#, r#"notification "m" -"#),
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"params":[]}"#, "result 1 {}"),
        // What may be absent may be null.
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null}"#, r#"request 1 "m" -"#),
        (r#"{"jsonrpc":"2.0","method":"m","params":null}"#, r#"notification "m" -"#),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":null,"result":null,"error":null}"#,
            r#"request 1 "m" -"#,
        ),
        (r#"{"jsonrpc":"2.0","id":null,"method":"notifications/m"}"#, r#"notification "notifications/m" -"#),
        (r#"{"jsonrpc":"2.0","id":1,"method":null,"params":null,"result":{},"error":null}"#, "result 1 {}"),
        (r#"{"jsonrpc":"2.0","id":1,"result":null,"error":{"code":1}}"#, r#"error 1 {"code":1}"#),
        (r#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#, "result 1 null"),
        // A byte order mark is no part of the text (RFC 8259, section 8.1).
        ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"}", r#"request 1 "m" -"#),
        ("\u{feff} {\"jsonrpc\":\"2.0\",\"method\":\"m\"}", r#"notification "m" -"#),
        // Inside params anything goes here.
        (
            r#"{"jsonrpc":"2.0","method":"m","params":{"a":1,"a":"\ud800"}}"#,
            r#"notification "m" {"a":1,"a":"\ud800"}"#,
        ),
    ];
    for (text, expected) in cases {
        let message = parse(text).unwrap_or_else(|rejected| panic!("{text}: {rejected}"));
        assert_eq!(show(&message), expected, "{text}");
    }
}

#[test]
fn ids() {
    let good = [
        ("0", "0"),
        ("-1", "-1"),
        ("-0", "0"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        (r#""1""#, r#""1""#),
        (r#""""#, r#""""#),
        (r#""\u0061\n""#, r#""a\n""#),
        (r#""9223372036854775808""#, r#""9223372036854775808""#),
    ];
    for (id, echoed) in good {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
        let Ok(Message::Request(request)) = parse(&text) else { panic!("{text}") };
        assert_eq!(show_id(&request.id), echoed);
        assert_eq!(request.id.clone().into_owned(), request.id);
        let mut out = Vec::new();
        jsonrpc::write_result(&mut out, &request.id, |out| out.extend_from_slice(b"1"));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"jsonrpc":"2.0","id":{echoed},"result":1}}"#)
        );
    }
    let bad = [
        "null",
        "true",
        "1.0",
        "1.5",
        "1e2",
        "1E0",
        "-0.0",
        "9223372036854775808",
        "-9223372036854775809",
        "{}",
        "[1]",
        "1e999",
    ];
    for id in bad {
        for rest in [r#""method":"m""#, r#""result":{}"#, r#""error":{}"#] {
            let is_lawful = match rest {
                r#""method":"m""# => false,
                rest => matches!(id, "1.0" | "-0.0") || (id, rest) == ("null", r#""error":{}"#),
            };
            if is_lawful {
                continue;
            }
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}}}"#);
            let rejected = parse(&text).unwrap_err();
            assert_eq!((rejected.error.code, rejected.id), (Error::INVALID_REQUEST, None), "{text}");
        }
    }
}

#[test]
fn ids_of_responses_may_have_a_fraction_of_zeros() {
    for (id, expected) in
        [("1.0", 1), ("7.00", 7), ("-0.0", 0), ("-3.0", -3), ("9223372036854775807.0", i64::MAX)]
    {
        for rest in [r#""result":{}"#, r#""error":{"code":1,"message":""}"#] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},{rest}}}"#);
            let Ok(Message::Response(response)) = parse(&text) else { panic!("{text}") };
            assert_eq!(response.id, Some(IdRef::Int(expected)), "{text}");
        }
    }
    for id in ["1.5", "1.0e1", "1e0", "9223372036854775808.0", "1.01"] {
        let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#);
        assert_eq!(parse(&text).unwrap_err().error.code, Error::INVALID_REQUEST, "{text}");
    }
    let Ok(Message::Response(text)) = parse(r#"{"jsonrpc":"2.0","id":"1.0","result":{}}"#) else { panic!() };
    assert_eq!(text.id, Some(IdRef::Str("1.0".into())));
}

/// A refusal is told by the id of what it refuses also where the text is over a limit.
#[test]
fn ids_of_what_is_over_a_limit() {
    let limits = Limits { json_depth_max: 3, json_values_max: 9, id_bytes_max: 4, ..Limits::DEFAULT };
    let message = |id: &str, params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"m","params":{params},"id":{id}}}"#);
        let rejected = jsonrpc::parse(text.as_bytes(), &limits, &mut Tape::new()).unwrap_err();
        (rejected.error.code, rejected.id)
    };
    let (deep, long) = (r#"{"a":[[]]}"#, r#"{"a":[1,2,3,4,5]}"#);
    for params in [deep, long] {
        assert_eq!(message("7", params), (Error::PARSE_ERROR, Some(Id::Int(7))));
        assert_eq!(message(r#""four""#, params), (Error::PARSE_ERROR, Some("four".into())));
        // An id that is itself over its limit is not repeated, and what is no id cannot be.
        assert_eq!(message(r#""fives""#, params), (Error::PARSE_ERROR, None));
        assert_eq!(message("[]", params), (Error::PARSE_ERROR, None));
        assert_eq!(message("7,", params), (Error::PARSE_ERROR, None));
    }
    // However deep it is, looking for the id takes no stack.
    let depth = 1 << 20;
    let bottomless = format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_eq!(message("7", &bottomless), (Error::PARSE_ERROR, Some(Id::Int(7))));
    assert_eq!(message("7", &bottomless[..depth]), (Error::PARSE_ERROR, None));
    assert_eq!(message(r#""fives""#, "[]"), (Error::INVALID_REQUEST, None));
    assert_eq!(message(r#""four""#, "[]"), (Error::INVALID_REQUEST, Some("four".into())));
}

#[test]
fn borrowed_where_nothing_is_escaped() {
    let Ok(Message::Request(request)) = parse(r#"{"jsonrpc":"2.0","id":"a","method":"m"}"#) else { panic!() };
    assert!(matches!(request.id, IdRef::Str(Cow::Borrowed("a"))));
    assert!(matches!(request.method, Cow::Borrowed("m")));
    assert!(matches!(value(r#""a""#).as_str(), Some(Cow::Borrowed("a"))));
}

#[test]
fn invalid_requests() {
    let one = Some(Id::Int(1));
    let cases = [
        ("[]", None, "batches"),
        (r#" [{"jsonrpc":"2.0","id":1,"method":"m"}]"#, None, "batches"),
        ("1", None, "object"),
        ("null", None, "object"),
        (r#""{}""#, None, "object"),
        ("{}", None, "`jsonrpc` is missing"),
        (r#"{"id":1,"method":"m"}"#, one.clone(), "`jsonrpc` is missing"),
        (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, one.clone(), "`jsonrpc` must be \"2.0\""),
        (r#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, one.clone(), "`jsonrpc` must be a string"),
        (r#"{"jsonrpc":null,"id":1,"method":"m"}"#, one.clone(), "`jsonrpc` must be a string"),
        (r#"{"jsonrpc":"2.0 ","id":1,"method":"m"}"#, one.clone(), "`jsonrpc` must"),
        (r#"{"jsonrpc":"2.0"}"#, None, "no `method`"),
        (r#"{"jsonrpc":"2.0","id":1}"#, one.clone(), "no `method`"),
        (r#"{"jsonrpc":"2.0","id":1,"Method":"m"}"#, one.clone(), "no `method`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":null}"#, one.clone(), "no `method`"),
        (r#"{"jsonrpc":"2.0","id":1,"error":null}"#, one.clone(), "no `method`"),
        (r#"{"jsonrpc":"2.0","id":1,"method":["m"]}"#, one.clone(), "`method` must be a string"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, one.clone(), "`params` must be an object"),
        ("\u{feff}[]", None, "batches"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, None, "`id` must be"),
        (r#"{"jsonrpc":"2.0","method":"m","params":"{}"}"#, None, "`params` must be an object"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#, one.clone(), "only one of"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","error":{}}"#, one.clone(), "only one of"),
        // What answers is not answered.
        (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, None, "only one of"),
        (r#"{"jsonrpc":"1.0","id":1,"result":{}}"#, None, "`jsonrpc` must"),
        (r#"{"jsonrpc":"2.0","result":{}}"#, None, "a result needs an `id`"),
        (r#"{"jsonrpc":"2.0","id":null,"result":{}}"#, None, "`id` must be"),
        // Twice is refused, equal or not, escaped or not; an id that is there twice is not answered.
        (r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":1,"method":"m"}"#, one.clone(), "`jsonrpc` occurs twice"),
        (r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"m"}"#, None, "`id` occurs twice"),
        (r#"{"jsonrpc":"2.0","id":1,"\u0069d":2,"method":"m","method":"m"}"#, None, "`id` occurs twice"),
        (r#"{"jsonrpc":"2.0","method":"m","method":"m","id":1,"id":2}"#, None, "`id` occurs twice"),
        (r#"{"jsonrpc":"2.0","id":1,"m\u0065thod":"a","method":"b"}"#, one.clone(), "`method` occurs twice"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{},"params":{}}"#,
            one.clone(),
            "`params` occurs twice",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":1,"result":1}"#, None, "`result` occurs twice"),
        (r#"{"jsonrpc":"2.0","id":1,"error":1,"error":1}"#, None, "`error` occurs twice"),
    ];
    for (text, id, message) in cases {
        let rejected = parse(text).unwrap_err();
        assert_eq!(rejected.error.code, Error::INVALID_REQUEST, "{text}: {rejected}");
        assert!(rejected.error.message.contains(message), "{text}: {rejected}");
        assert_eq!(rejected.id, id, "{text}");
    }
}

#[test]
fn parse_errors() {
    let cases: &[&[u8]] = &[
        b"",
        b" \r\n",
        b"{",
        b"[",
        b"[1,",
        b"[1}",
        b"nul",
        b"ping",
        b"01",
        b"'a'",
        b"{'jsonrpc':1}",
        b"{\"jsonrpc\":\"2.0\",}",
        b"{\"jsonrpc\" \"2.0\"}",
        b"{1:2}",
        b"[1 2]",
        b"::::::::1",
        br#"["a"::::,1,2]"#,
        // Broken behind a defect of the envelope: still not JSON.
        br#"{"jsonrpc":"1.0","id":1,"id":1,"method":"m""#,
        // More than one value.
        br#"{"jsonrpc":"2.0","method":"m"}{}"#,
        br#"{"jsonrpc":"2.0","method":"m"} x"#,
        br#"{"jsonrpc":"2.0","method":"m"}}"#,
        br#"{"jsonrpc":"2.0","method":"m"},"#,
        b"{\"jsonrpc\":\"2.0\",\"method\":\"m\"}\0",
        b"[] []",
        // Whitespace that is not JSON's, and a byte order mark where it is none.
        b"\x0C{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
        b"\xC2\xA0{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
        b"\xEF\xBB\xBF\xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
        b" \xEF\xBB\xBF{\"jsonrpc\":\"2.0\",\"method\":\"m\"}",
        b"\xEF\xBB\xBF",
        b"\xFE\xFF\x00{\x00}",
        // Not UTF-8, be it in a member that nobody reads: bad byte, cut off, overlong, surrogate.
        b"{\"jsonrpc\":\"2.0\",\"method\":\"\xFF\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"x\":\"\xE2\x82\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"a\":\"\xC0\xAF\"}}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":{\"a\":\"\xED\xA0\x80\"}}",
        // Raw control characters and broken escapes in strings.
        b"{\"jsonrpc\":\"2.0\",\"method\":\"a\nb\"}",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"a\0b\"}",
        br#"{"jsonrpc":"2.0","method":"\x41"}"#,
        br#"{"jsonrpc":"2.0","method":"\u00"}"#,
        br#"{"jsonrpc":"2.0","method":"m\"#,
        // Half of a surrogate pair in what is read here.
        br#"{"jsonrpc":"2.0","method":"\ud800"}"#,
        br#"{"jsonrpc":"2.0","method":"\udc00\ud800"}"#,
        br#"{"jsonrpc":"2.0","id":"\ud800","method":"m"}"#,
        br#"{"jsonrpc":"2.0","\ud800":1,"method":"m"}"#,
        br#"{"jsonrpc":"\ud800","method":"m"}"#,
        // Broken inside what is borrowed.
        br#"{"jsonrpc":"2.0","method":"m","params":{"a":}}"#,
        br#"{"jsonrpc":"2.0","method":"m","params":{"a" 1}}"#,
        br#"{"jsonrpc":"2.0","method":"m","params":{"a":01}}"#,
        br#"{"jsonrpc":"2.0","method":"m","params":{"a":1.}}"#,
        br#"{"jsonrpc":"2.0","method":"m","params":{"a":[}}"#,
        br#"{"jsonrpc":"2.0","method":"m","params":{"a":NaN}}"#,
    ];
    for bytes in cases {
        let rejected = jsonrpc::parse(bytes, LIMITS, &mut Tape::new()).map(|m| show(&m)).unwrap_err();
        assert_eq!(rejected.error.code, Error::PARSE_ERROR, "{}: {rejected}", bytes.escape_ascii());
        assert!(rejected.id.is_none() || bytes.windows(4).any(|w| w == b"\\ud8"), "{}", bytes.escape_ascii());
    }
}

/// What is wrong with a text before anybody asks whether it is a message.
fn code(bytes: &[u8], limits: &Limits) -> Option<(i64, String)> {
    let error = jsonrpc::parse(bytes, limits, &mut Tape::new()).err()?.error;
    (error.code == Error::PARSE_ERROR).then(|| (error.code, error.message.into_owned()))
}

#[test]
fn depth_at_the_limit_and_one_past() {
    for max in [4, 64, 500] {
        let limits = Limits { json_depth_max: max, ..Limits::DEFAULT };
        let nested = |n: usize| {
            let (open, close) = ("[{\"a\":".repeat(n / 2), "}]".repeat(n / 2));
            let (odd, even) = if n % 2 == 1 { ("[", "]") } else { ("0", "") };
            format!(r#"{{"jsonrpc":"2.0","method":"m","x":{open}{odd}{even}{close}}}"#)
        };
        let at = nested(max - 1);
        assert!(jsonrpc::parse(at.as_bytes(), &limits, &mut Tape::new()).is_ok(), "{at}");
        let past = jsonrpc::parse(nested(max).as_bytes(), &limits, &mut Tape::new()).unwrap_err();
        let message = format!("Parse error: nested deeper than json_depth_max ({max})");
        assert_eq!((past.error.code, &*past.error.message), (Error::PARSE_ERROR, &*message));
    }
    let limits = Limits { json_depth_max: 2, ..Limits::DEFAULT };
    let shallow: [&[u8]; 4] =
        [b"[[],[],{}]", br#"["[[[[", "]]\"[[[{{{"]"#, br#"{"[[[[":"{{{{"}"#, br#"["\\",["\\\"[[["]]"#];
    for text in shallow {
        assert_eq!(code(text, &limits), None, "{}", text.escape_ascii());
    }
    for text in [&b"]]][["[..], br#"["unfinished [[["#, b"[] [[["] {
        let (_, message) = code(text, &limits).unwrap();
        assert!(!message.contains("json_depth_max"), "{message}: it ends before it is too deep");
    }
    let deep: [&[u8]; 4] = [b"[[[", br#"["\\",[["#, br#"["\"",["]",{"#, b"[] {[\"\"[ ]}"];
    for text in deep {
        assert!(code(text, &limits).is_some(), "{}", text.escape_ascii());
    }
}

#[test]
fn values_at_the_limit_and_one_past() {
    let cases: [(&str, usize); 11] = [
        ("1", 1),
        ("\"a\"", 1),
        ("[]", 1),
        ("{}", 1),
        ("[1,2,3]", 4),
        ("[ -1.5e+3 , true , null ,\"a\"]", 5),
        (r#"{"a":1}"#, 2),
        (r#"{"a" : "b" , "c" : {"d":[]}}"#, 4),
        (r#"["a,b:c",":",{"x:y":"z"}]"#, 5),
        ("[[[],[]],{}]", 5),
        (r#"["\"",1]"#, 3),
    ];
    for (text, count) in cases {
        let limits = |json_values_max| Limits { json_values_max, ..Limits::DEFAULT };
        assert_eq!(code(text.as_bytes(), &limits(count)), None, "{text}");
        let message = format!("Parse error: more values than json_values_max ({})", count - 1);
        assert_eq!(code(text.as_bytes(), &limits(count - 1)), Some((Error::PARSE_ERROR, message)), "{text}");
    }
}

#[test]
fn large_hostile_texts_end_soon() {
    const SIZE: usize = 4 << 20;
    let open_string = format!(r#"{{"jsonrpc":"2.0","method":"{}"#, "\\\\".repeat(SIZE / 2));
    let cases = [
        "[".repeat(SIZE),
        "{\"a\":".repeat(SIZE / 5),
        "]".repeat(SIZE),
        "\"".repeat(SIZE),
        "\"\"".repeat(90_000),
        ":".repeat(SIZE),
        format!("[{}1]", "1,".repeat(SIZE / 2)),
        format!("[{}{{}}]", "{},".repeat(SIZE / 3)),
        "1".repeat(SIZE),
        "\\".repeat(SIZE),
        " ".repeat(SIZE),
        open_string,
        format!(r#"{{"jsonrpc":"2.0","id":{},"method":"m"}}"#, "1".repeat(SIZE)),
        format!("{{{}\"jsonrpc\":\"1.0\"}}", r#""\u0078":1,"#.repeat(90_000)),
    ];
    let mut tape = Tape::new();
    for text in cases {
        let rejected = jsonrpc::parse(text.as_bytes(), LIMITS, &mut tape).unwrap_err();
        assert!(rejected.error.message.len() < 100, "{rejected}");
    }
}

#[test]
fn members() {
    let params = r#"{ "a" : 1, "\u0062": [2, 3], "c":{"a":1} }"#;
    let members = Members::of(value(params)).unwrap();
    let list: Vec<_> = members.iter().map(|(name, value)| (name, value.text())).collect();
    assert_eq!(list, [("a".into(), "1"), ("b".into(), "[2, 3]"), ("c".into(), r#"{"a":1}"#)]);
    assert_eq!(members.get("b").map(JsonRef::text), Some("[2, 3]"));
    assert!(members.get("d").is_none());
    assert_eq!(value(params).member("b").unwrap().map(JsonRef::text), Some("[2, 3]"));
    assert!(value(params).member("d").unwrap().is_none());
    assert_eq!(Members::of(value("{}")).unwrap().iter().count(), 0);

    for text in ["[]", "null", "1", "\"{}\"", r#"{"a":1,"\u0061":2}"#, r#"{"\ud800":1}"#] {
        assert_eq!(
            Members::of(value(text)).map_err(Error::from).unwrap_err().code,
            Error::INVALID_PARAMS,
            "{text}"
        );
        assert_eq!(
            value(text).member("a").map_err(Error::from).unwrap_err().code,
            Error::INVALID_PARAMS,
            "{text}"
        );
    }
    assert!(value(r#"{"a":1,"a":2}"#).member("b").unwrap().is_none());
    let long = "x".repeat(1 << 20);
    let error = Members::of(value(&format!(r#"{{"{long}":1,"{long}":2}}"#))).unwrap_err();
    assert!(error.to_string().len() < 200);
}

#[test]
fn members_that_are_null_are_absent() {
    let params = value(r#"{"a":null,"b":[null]}"#);
    let members = Members::of(params).unwrap();
    assert_eq!((members.get("a").is_none(), members.get("b").unwrap().text()), (true, "[null]"));
    assert_eq!(members.iter().map(|(name, value)| (name, value.text())).next(), Some(("a".into(), "null")));
    assert!(params.member("a").unwrap().is_none());
    assert!(value(r#"{"a":null,"a":1}"#).member("a").is_err(), "twice all the same");
    assert!(Error::read(value(r#"{"code":1,"message":"","data":null}"#)).unwrap().data.is_none());
}

#[test]
fn duplicates_among_many_members() {
    for count in [2, 31, 32, 33, 34, 90_000] {
        let mut names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        let text = |names: &[String]| {
            let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert_eq!(Members::of(value(&text(&names))).unwrap().iter().count(), count);
        names[count - 1] = "n0".to_owned();
        let error = Error::from(Members::of(value(&text(&names))).unwrap_err());
        assert_eq!(
            (error.code, &*error.message),
            (Error::INVALID_PARAMS, "Invalid params: member `n0` occurs twice")
        );
    }
}

#[test]
fn strings() {
    let cases = [
        (r#""""#, Some("")),
        (r#""a\u0000\"\\\/\b\f\n\r\t\ud83d\ude00é""#, Some("a\0\"\\/\u{8}\u{c}\n\r\t😀é")),
        (r#""\ud800""#, None),
        (r#""\ude00\ud83d""#, None),
        ("1", None),
        ("null", None),
        (r#"["a"]"#, None),
    ];
    for (text, expected) in cases {
        assert_eq!(value(text).as_str().as_deref(), expected, "{text}");
    }
}

#[test]
fn error_objects() {
    let error = Error::read(value(r#"{"code":-32002,"message":"no\n","data":{"uri": "x"}}"#)).unwrap();
    assert_eq!((error.code, &*error.message), (-32002, "no\n"));
    assert_eq!(error.data.unwrap().get(), r#"{"uri": "x"}"#);
    let bad = [
        "null",
        "[]",
        "{}",
        r#"{"code":1}"#,
        r#"{"message":""}"#,
        r#"{"code":1.0,"message":""}"#,
        r#"{"code":1,"code":1,"message":""}"#,
        r#"{"code":1,"message":null}"#,
    ];
    for text in bad {
        assert_eq!(Error::read(value(text)).unwrap_err().code, Error::INVALID_REQUEST, "{text}");
    }
}

#[test]
fn no_message_has_a_line_end_of_unicode_in_it() {
    let ends = "\u{85}\u{2028}\u{2029}";
    let (id, raw) =
        (Id::from(ends), RawValue::from_string(format!("{{\"{ends}\":\n[\"{ends}\"]}}")).unwrap());
    let error = Error::new(1, ends).with_data(raw.clone());
    let mut out = Vec::new();
    jsonrpc::write_result(&mut out, &id, |out| write_raw(out, raw.get()));
    jsonrpc::write_error(&mut out, Some((&id).into()), &error);
    jsonrpc::write_error_body(&mut out, Some((&id).into()), &error);
    jsonrpc::write_request(&mut out, &id, ends, |out| {
        Object::new(out).raw(ends, raw.get());
    });
    jsonrpc::write_notification(&mut out, ends, |out| {
        Array::new(out).raw(raw.get());
    });
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches(r"\u0085\u2028\u2029").count(), 19, "{text}");
    assert!(!text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\n']), "{text}");
}

#[test]
fn written_json() {
    let mut out = b"x".to_vec();
    let mut object = Object::new(&mut out);
    object.str("s", "\u{1}\u{7f}\u{2028}\"\\/").opt_str("none", None).opt_str("some", Some(""));
    object.bool("b", true).int("i", i64::MIN).f64("f", 0.1).f64("whole", 3.0);
    object.f64("nan", f64::NAN).f64("inf", f64::NEG_INFINITY).raw("raw", "[1,\r\n 2.50]");
    object.opt_field("left", |_| {}).opt_field("kept", |out| Object::new(out).end());
    object.field("a", |out| Array::new(out).end()).field("\"", |out| {
        Array::new(out).str("").raw("{\n}").item(|out| write_str(out, "\n"));
    });
    object.end();
    let expected = "x{\"s\":\"\\u0001\u{7f}\\u2028\\\"\\\\/\",\"some\":\"\",\"b\":true,\
        \"i\":-9223372036854775808,\"f\":0.1,\"whole\":3,\"raw\":[1,   2.50],\
        \"kept\":{},\"a\":[],\"\\\"\":[\"\",{ },\"\\n\"]}";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut out = Vec::new();
    Object::new(&mut out).opt_field("first", |_| {}).int("second", 2);
    assert_eq!(out, br#"{"second":2}"#);
}

#[test]
fn written_errors() {
    let error = Error::new(-32000, "a\n\"b\"").with_data(raw("{\n\"x\": 1}"));
    let object = r#""error":{"code":-32000,"message":"a\n\"b\"","data":{ "x": 1}}"#;
    let text = |write: fn(&mut Vec<u8>, Option<IdRef<'_>>, &Error), id| {
        let mut out = Vec::new();
        write(&mut out, id, &error);
        String::from_utf8(out).unwrap()
    };
    let id = Id::from("é");
    assert_eq!(text(jsonrpc::write_error, None), format!(r#"{{"jsonrpc":"2.0",{object}}}"#));
    assert_eq!(text(jsonrpc::write_error_body, None), format!(r#"{{"jsonrpc":"2.0","id":null,{object}}}"#));
    for write in [jsonrpc::write_error, jsonrpc::write_error_body] {
        assert_eq!(text(write, Some((&id).into())), format!(r#"{{"jsonrpc":"2.0","id":"é",{object}}}"#));
    }
}

/// Messages and their parts.
trait Draw {
    fn text(&mut self) -> String;
    fn id(&mut self) -> Id;
    fn value(&mut self, depth: usize) -> Value;
    fn object(&mut self, depth: usize) -> Value;
    fn message(&mut self) -> (Vec<u8>, String);
}

impl Draw for Random {
    fn text(&mut self) -> String {
        const PARTS: [&str; 14] =
            ["\n", "\r", "\"", "\\", "\\u0041", "{", "]", ":", "\0", "a", "é", "\u{FEFF}", "\u{2028}", "😀"];
        (0..self.below(6)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    fn id(&mut self) -> Id {
        match self.below(2) {
            0 => Id::Int(self.next() as i64 >> self.below(64)),
            _ => Id::Str(self.text().into()),
        }
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => Value::Bool(self.below(2) == 0),
            2 => Value::from(self.next() as i64 >> self.below(64)),
            3 => Value::String(self.text()),
            4 => Value::Array((0..self.below(4)).map(|_| self.value(depth - 1)).collect()),
            _ => self.object(depth - 1),
        }
    }

    fn object(&mut self, depth: usize) -> Value {
        Value::Object((0..self.below(4)).map(|_| (self.text(), self.value(depth))).collect())
    }

    /// A message as it is written, and what it must be read as.
    fn message(&mut self) -> (Vec<u8>, String) {
        let (id, method, value) = (self.id(), self.text(), self.object(4));
        // What JSON text looks like to others: sometimes in many lines.
        let pretty = if self.below(2) == 0 { format!("{value:#}") } else { value.to_string() };
        let shown = show_id(&(&id).into());
        let mut out = Vec::new();
        let write = |out: &mut Vec<u8>| write_raw(out, &pretty);
        let line = one_line(&pretty);
        let expected = match self.below(6) {
            0 => {
                jsonrpc::write_request(&mut out, &id, &method, write);
                format!("request {shown} {method:?} {line}")
            }
            1 => {
                jsonrpc::write_request(&mut out, &id, &method, |_| {});
                format!("request {shown} {method:?} -")
            }
            2 => {
                jsonrpc::write_notification(&mut out, &method, write);
                format!("notification {method:?} {line}")
            }
            3 => {
                jsonrpc::write_notification(&mut out, &method, |_| {});
                format!("notification {method:?} -")
            }
            4 => {
                jsonrpc::write_result(&mut out, &id, write);
                format!("result {shown} {line}")
            }
            _ => {
                let error = Error::new(self.next() as i64, method.clone()).with_data(raw(&pretty));
                jsonrpc::write_error(&mut out, Some((&id).into()), &error);
                let method = one_line(&Value::from(method).to_string());
                format!(r#"error {shown} {{"code":{},"message":{method},"data":{line}}}"#, error.code)
            }
        };
        (out, expected)
    }
}

/// JSON text as it is written.
fn one_line(json: &str) -> String {
    json.replace('\n', " ").replace('\u{2028}', r"\u2028")
}

#[test]
fn what_was_written_is_read_back() {
    let (mut random, mut tape) = (Random::new(0x5EED), Tape::new());
    for round in 0..3000 {
        let (out, expected) = random.message();
        assert!(!out.contains(&b'\n') && !out.contains(&b'\r'), "round {round}: one line");
        let message = jsonrpc::parse(&out, LIMITS, &mut tape)
            .unwrap_or_else(|e| panic!("{round}: {e} {}", out.escape_ascii()));
        assert_eq!(show(&message), expected, "round {round}");
    }
}

#[test]
fn a_prefix_of_a_message_is_no_message() {
    let (mut random, mut tape) = (Random::new(0xF00D), Tape::new());
    for _ in 0..300 {
        let (out, _) = random.message();
        for end in 0..out.len() {
            let rejected = jsonrpc::parse(&out[..end], LIMITS, &mut tape).unwrap_err();
            assert_eq!(rejected.error.code, Error::PARSE_ERROR, "{}", out[..end].escape_ascii());
        }
    }
}

#[test]
fn a_damaged_message_is_refused_or_still_a_message() {
    let (mut random, mut tape) = (Random::new(0xBAD), Tape::new());
    for _ in 0..20_000 {
        let (mut out, _) = random.message();
        for _ in 0..=random.below(3) {
            let at = random.below(out.len());
            out[at] = b"{}[]\",:\\ \n\x000e.\xFF"[random.below(15)];
        }
        let Ok(message) = jsonrpc::parse(&out, LIMITS, &mut tape) else { continue };
        // What is taken for a message is JSON to an independent reader, except for escapes nobody resolved.
        if let Ok(value) = serde_json::from_slice::<Value>(&out) {
            assert_eq!(value["jsonrpc"], "2.0", "{}", show(&message));
        }
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

#[test]
fn the_scan_counts_what_a_parser_counts() {
    let mut random = Random::new(0xC0117);
    for _ in 0..3000 {
        let value = random.value(5);
        let text = if random.below(2) == 0 { format!("{value:#}") } else { value.to_string() };
        let limits = |json_values_max| Limits { json_values_max, ..Limits::DEFAULT };
        assert_eq!(code(text.as_bytes(), &limits(count(&value))), None, "{text}");
        assert!(code(text.as_bytes(), &limits(count(&value) - 1)).is_some(), "{text}");
    }
}
