//! The promise of `schema!`: the schema says what the reader accepts, every refusal names its argument, and what is
//! written can be read.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at the first surprise"
)]

use mcp_rill::IntoToolResult;
use mcp_rill::Json;
use mcp_rill::json::Tape;
use mcp_rill::schema::{self, Schema, Subject, parse, schema_text, to_json};
use serde_json::Value;
use serde_json::value::RawValue;

mcp_rill::schema! {
    /// A place on
    /// earth.
    #[derive(Debug, Clone, PartialEq)]
    struct Point {
        /// Degrees north.
        lat: f64 { min -90.0, max 90.0 },
        lon: f64,
    }
}

mcp_rill::schema! {
    /// A unit of temperature.
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Unit { Celsius = "celsius", Fahrenheit = "fahrenheit", Kelvin }
}

mcp_rill::schema! {
    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Size { Small = "s" "Small one", Large = "l" "Large one", r#Static }
}

mcp_rill::schema! {
    #[derive(Debug, PartialEq)]
    struct Search {
        /// What to look for.
        query: String { length 1..=20 },
        /// Most results.
        limit: i64 { min 1, max 100 } = 30,
        tags: Vec<String> { items 0..=3, length 1..=5 } = vec![],
        unit: Option<Unit>,
        near: Option<Point>,
    }
}

mcp_rill::schema! { #[derive(Debug)] struct Add { a: f64, b: f64 } }
mcp_rill::schema! { #[derive(Debug)] struct One { value: i64 } }
mcp_rill::schema! { #[derive(Debug)] struct Whole { tiny: Option<i8>, byte: Option<u8>, signed: Option<i64>, unsigned: Option<u64> } }
mcp_rill::schema! { #[derive(Debug)] struct Text { text: String, small: Option<Box<str>> } }
mcp_rill::schema! { #[derive(Debug)] struct Free { any: Value, raw: Option<Box<RawValue>> } }
mcp_rill::schema! { #[derive(Debug)] struct Lists { points: Vec<Point>, grid: Vec<Vec<i64>> { items 1..=2, min 0 } = vec![vec![1]] } }
mcp_rill::schema! { #[derive(Debug)] struct Pick { sizes: Vec<Size> { items 1..=2 } } }
mcp_rill::schema! { #[derive(Debug, PartialEq)] struct Empty {} }

/// The schema of an object with one field of this type and these rules.
macro_rules! property {
    ($($field:tt)*) => {{
        mcp_rill::schema! { #[allow(dead_code)] struct Holder { $($field)* } }
        schema_text::<Holder>()
    }};
}

#[test]
fn every_type_has_its_schema() {
    for (text, schema) in [
        (schema_text::<bool>(), r#"{"type":"boolean"}"#),
        (schema_text::<i8>(), r#"{"type":"integer","minimum":-128,"maximum":127}"#),
        (schema_text::<i16>(), r#"{"type":"integer","minimum":-32768,"maximum":32767}"#),
        (schema_text::<i32>(), r#"{"type":"integer","minimum":-2147483648,"maximum":2147483647}"#),
        (schema_text::<i64>(), r#"{"type":"integer"}"#),
        (schema_text::<u8>(), r#"{"type":"integer","minimum":0,"maximum":255}"#),
        (schema_text::<u16>(), r#"{"type":"integer","minimum":0,"maximum":65535}"#),
        (schema_text::<u32>(), r#"{"type":"integer","minimum":0,"maximum":4294967295}"#),
        (schema_text::<u64>(), r#"{"type":"integer","minimum":0}"#),
        (schema_text::<f32>(), r#"{"type":"number"}"#),
        (schema_text::<f64>(), r#"{"type":"number"}"#),
        (schema_text::<String>(), r#"{"type":"string"}"#),
        (schema_text::<Box<str>>(), r#"{"type":"string"}"#),
        (schema_text::<Option<bool>>(), r#"{"type":"boolean"}"#),
        (
            schema_text::<Vec<Vec<bool>>>(),
            r#"{"type":"array","items":{"type":"array","items":{"type":"boolean"}}}"#,
        ),
        (schema_text::<Value>(), "{}"),
        (schema_text::<Box<RawValue>>(), "{}"),
        (schema_text::<Vec<Value>>(), r#"{"type":"array","items":{}}"#),
        (schema_text::<Unit>(), r#"{"type":"string","enum":["celsius","fahrenheit","Kelvin"]}"#),
        (
            schema_text::<Vec<Unit>>(),
            r#"{"type":"array","items":{"type":"string","enum":["celsius","fahrenheit","Kelvin"]}}"#,
        ),
        (schema_text::<()>(), r#"{"type":"object","properties":{},"additionalProperties":false}"#),
        (schema_text::<Empty>(), r#"{"type":"object","properties":{},"additionalProperties":false}"#),
        (
            schema_text::<Size>(),
            r#"{"type":"string","oneOf":[{"const":"s","title":"Small one"},{"const":"l","title":"Large one"},{"const":"Static","title":"Static"}]}"#,
        ),
        (
            schema_text::<Vec<Size>>(),
            r#"{"type":"array","items":{"anyOf":[{"const":"s","title":"Small one"},{"const":"l","title":"Large one"},{"const":"Static","title":"Static"}]}}"#,
        ),
    ] {
        assert_eq!(text, schema);
    }
}

#[test]
fn every_rule_has_its_keyword() {
    const LIMIT: i64 = 5_000_000_000;
    for (text, schema) in [
        (
            property! { x: i64 { min 1, max LIMIT } },
            r#""x":{"type":"integer","minimum":1,"maximum":5000000000}"#,
        ),
        (
            property! { x: Option<i32> { min -5 } },
            r#""x":{"type":"integer","minimum":-5,"maximum":2147483647}"#,
        ),
        (property! { x: u8 { max 200 } }, r#""x":{"type":"integer","minimum":0,"maximum":200}"#),
        (property! { x: u64 { max u64::MAX } }, r#""x":{"type":"integer","minimum":0}"#),
        (property! { x: f64 { min 0.5, max 1.0 } }, r#""x":{"type":"number","minimum":0.5,"maximum":1}"#),
        (
            property! { x: String { length 1..=200 } },
            r#""x":{"type":"string","minLength":1,"maxLength":200}"#,
        ),
        (property! { x: String { length 0..=9 } }, r#""x":{"type":"string","maxLength":9}"#),
        (property! { x: String { length 2..=usize::MAX } }, r#""x":{"type":"string","minLength":2}"#),
        (property! { x: String { format "date-time" } }, r#""x":{"type":"string","format":"date-time"}"#),
        (property! { x: String { pattern "^[a-z]+$" } }, r#""x":{"type":"string","pattern":"^[a-z]+$"}"#),
        (
            property! { x: Vec<String> { pattern "^x" } },
            r#""x":{"type":"array","items":{"type":"string","pattern":"^x"}}"#,
        ),
        (property! { x: Option<Box<str>> { format "email" } }, r#""x":{"type":"string","format":"email"}"#),
        (property! { x: String { header "Region" } }, r#""x":{"type":"string","x-mcp-header":"Region"}"#),
        (property! { x: String { title "A \"name\"" } }, r#""x":{"type":"string","title":"A \"name\""}"#),
        (
            property! { x: String { name "x-y", length 1..=2, } },
            r#""x-y":{"type":"string","minLength":1,"maxLength":2}"#,
        ),
        (property! { r#type: bool }, r#""type":{"type":"boolean"}"#),
        (
            property! { x: Vec<String> { items 1..=3, length 1..=5, format "uri" } },
            r#""x":{"type":"array","items":{"type":"string","minLength":1,"maxLength":5,"format":"uri"},"minItems":1,"maxItems":3}"#,
        ),
        (
            property! { x: Vec<Vec<i64>> { items 1..=3, min 0 } },
            r#""x":{"type":"array","items":{"type":"array","items":{"type":"integer","minimum":0}},"minItems":1,"maxItems":3}"#,
        ),
        (
            property! { x: Vec<Size> { items 1..=2, title "Sizes" } },
            r#""x":{"type":"array","title":"Sizes","items":{"anyOf":[{"const":"s","title":"Small one"},{"const":"l","title":"Large one"},{"const":"Static","title":"Static"}]},"minItems":1,"maxItems":2}"#,
        ),
        (property! { x: i64 = 30 }, r#""x":{"type":"integer","default":30}"#),
        (property! { x: f64 { min 0.0 } = 95.5 }, r#""x":{"type":"number","minimum":0,"default":95.5}"#),
        (property! { x: bool = true }, r#""x":{"type":"boolean","default":true}"#),
        (property! { x: String = "John \"Doe\"" }, r#""x":{"type":"string","default":"John \"Doe\""}"#),
        (
            property! { x: String { header "X" } = String::from("y") },
            r#""x":{"type":"string","default":"y","x-mcp-header":"X"}"#,
        ),
        (
            property! { x: Vec<Unit> = vec![Unit::Kelvin] },
            r#""x":{"type":"array","items":{"type":"string","enum":["celsius","fahrenheit","Kelvin"]},"default":["Kelvin"]}"#,
        ),
        (property! { x: Option<u64> = Some(7) }, r#""x":{"type":"integer","minimum":0,"default":7}"#),
        (property! { x: Option<i64> = None }, r#""x":{"type":"integer"}"#),
        (property! { x: f64 = f64::NAN }, r#""x":{"type":"number"}"#),
        (property! { x: Value = Value::Null }, r#""x":{"default":null}"#),
    ] {
        let whole = format!(r#"{{"type":"object","properties":{{{schema}}},"#);
        assert!(text.starts_with(&whole), "{text} does not start with {whole}");
    }
}

#[test]
fn a_result_says_nothing_of_header_fields() {
    mcp_rill::schema! { #[allow(dead_code)] struct Place { region: String { header "Region" } } }
    mcp_rill::schema! { #[allow(dead_code)] struct Both { place: Place, dry: bool { header "Dry" } } }
    let of_result = <Json<Both> as IntoToolResult>::output_schema().unwrap();
    let of_arguments = schema_text::<Both>();
    assert!(of_arguments.contains(r#""x-mcp-header":"Region""#) && of_arguments.contains("Dry"));
    let without =
        of_arguments.replace(r#","x-mcp-header":"Region""#, "").replace(r#","x-mcp-header":"Dry""#, "");
    assert_eq!(of_result, without);
}

#[test]
fn whole_schemas_keep_the_declared_order() {
    assert_eq!(
        schema_text::<Search>(),
        concat!(
            r#"{"type":"object","properties":{"#,
            r#""query":{"type":"string","description":"What to look for.","minLength":1,"maxLength":20},"#,
            r#""limit":{"type":"integer","description":"Most results.","minimum":1,"maximum":100,"default":30},"#,
            r#""tags":{"type":"array","items":{"type":"string","minLength":1,"maxLength":5},"maxItems":3,"default":[]},"#,
            r#""unit":{"type":"string","description":"A unit of temperature.","enum":["celsius","fahrenheit","Kelvin"]},"#,
            r#""near":{"type":"object","description":"A place on earth.","properties":{"#,
            r#""lat":{"type":"number","description":"Degrees north.","minimum":-90,"maximum":90},"lon":{"type":"number"}},"#,
            r#""required":["lat","lon"],"additionalProperties":false}},"#,
            r#""required":["query"],"additionalProperties":false}"#,
        )
    );
    assert_eq!(
        schema_text::<Lists>(),
        concat!(
            r#"{"type":"object","properties":{"#,
            r#""points":{"type":"array","items":{"type":"object","description":"A place on earth.","properties":{"#,
            r#""lat":{"type":"number","description":"Degrees north.","minimum":-90,"maximum":90},"lon":{"type":"number"}},"#,
            r#""required":["lat","lon"],"additionalProperties":false}},"#,
            r#""grid":{"type":"array","items":{"type":"array","items":{"type":"integer","minimum":0}},"minItems":1,"maxItems":2,"default":[[1]]}},"#,
            r#""required":["points"],"additionalProperties":false}"#,
        )
    );
}

#[test]
fn documentation_becomes_a_description() {
    mcp_rill::schema! {
        #[allow(dead_code)]
        struct Documented {
            /// Says "hi" with a \ and an ö — 🦀
            /// on two lines.
            ///
            /// A second paragraph.
            #[allow(unused)]
            quoted: Option<bool>,
            /** A block
                of text. */
            block: Option<bool>,
            #[doc = concat!("made of ", "parts")]
            built: Option<bool>,
            ///
            empty: Option<bool>,
            /// Its own.
            point: Option<Unit>,
        }
    }
    assert_eq!(
        schema_text::<Documented>(),
        concat!(
            r#"{"type":"object","properties":{"#,
            r#""quoted":{"type":"boolean","description":"Says \"hi\" with a \\ and an ö — 🦀 on two lines.\n\nA second paragraph."},"#,
            r#""block":{"type":"boolean","description":"A block of text."},"#,
            r#""built":{"type":"boolean","description":"made of parts"},"#,
            r#""empty":{"type":"boolean"},"#,
            r#""point":{"type":"string","description":"Its own.","enum":["celsius","fahrenheit","Kelvin"]}},"#,
            r#""additionalProperties":false}"#,
        )
    );
}

#[test]
fn good_arguments_are_read() {
    let search: Search = parse(
        r#" { "near" : {"lon":2,"lat":-1.5e1} , "tags":["ä\u00f6","c"], "unit":"Kelvin", "\u0071uery":"x\n\"y\"" } "#,
    )
    .unwrap();
    assert_eq!(
        search,
        Search {
            query: "x\n\"y\"".into(),
            limit: 30,
            tags: vec!["äö".into(), "c".into()],
            unit: Some(Unit::Kelvin),
            near: Some(Point { lat: -15.0, lon: 2.0 }),
        }
    );
    let search: Search =
        parse(r#"{"query":"12345678901234567890","limit":null,"unit":null,"tags":null,"near":null}"#)
            .unwrap();
    assert_eq!((search.limit, search.tags.len(), search.unit, search.near), (30, 0, None, None));

    for (json, value) in [("3", 3), ("3.0", 3), ("-0", 0), ("1e2", 100), ("-9223372036854775808", i64::MIN)] {
        assert_eq!(parse::<One>(&format!(r#"{{"value":{json}}}"#)).unwrap().value, value, "{json}");
    }
    let whole: Whole =
        parse(r#"{"tiny":-128,"byte":255.0,"signed":9223372036854775807,"unsigned":18446744073709551615}"#)
            .unwrap();
    assert_eq!(
        (whole.tiny, whole.byte, whole.signed, whole.unsigned),
        (Some(-128), Some(255), Some(i64::MAX), Some(u64::MAX))
    );

    let free: Free = parse(r#"{"any":null,"raw":{"b": 1,"a":0.10}}"#).unwrap();
    assert_eq!((free.any, free.raw.unwrap().get()), (Value::Null, r#"{"b": 1,"a":0.10}"#));
    assert_eq!(parse::<Pick>(r#"{"sizes":["Static","s"]}"#).unwrap().sizes, [Size::r#Static, Size::Small]);
    let lists: Lists = parse(r#"{"points":[]}"#).unwrap();
    assert_eq!((lists.points.len(), lists.grid), (0, vec![vec![1]]));
}

#[test]
fn absent_arguments_are_an_empty_object() {
    assert_eq!(schema::read::<()>(Subject::Argument, None), Ok(()));
    assert_eq!(schema::read::<Empty>(Subject::Argument, None), Ok(Empty {}));
    assert_eq!(parse::<()>("{}"), Ok(()));
    assert_eq!(parse::<()>("null"), Ok(()));
    assert_eq!(
        schema::read::<One>(Subject::Argument, None).unwrap_err().to_string(),
        "missing argument `value` (an integer)"
    );
}

#[track_caller]
fn refused<T: schema::Object + std::fmt::Debug>(json: &str, error: &str) {
    assert_eq!(parse::<T>(json).unwrap_err().to_string(), error, "{json}");
}

#[test]
fn wrong_members_are_named() {
    refused::<Add>(r#"{"a":1}"#, "missing argument `b` (a number)");
    refused::<Add>(r#"{"a":null,"b":1}"#, "argument `a`: expected a number, got null");
    refused::<Add>(r#"{"a":1,"b":2,"c":3}"#, "unknown argument `c`; this tool takes `a` and `b`");
    refused::<Add>(r#"{"a":1,"b":2,"a":3}"#, "argument `a`: given twice");
    refused::<Add>(r#"{"a":1,"\u0061":1,"b":2}"#, "argument `a`: given twice");
    refused::<Add>(r#"[1,2]"#, "arguments: expected an object, got an array");
    refused::<Add>(r#""a""#, r#"arguments: expected an object, got the string "a""#);
    refused::<Add>("7", "arguments: expected an object, got the number 7");
    refused::<Add>("null", "missing argument `a` (a number)");
    for text in ["{", "{} x", "", "{'a':1}"] {
        assert!(parse::<Add>(text).unwrap_err().to_string().starts_with("arguments: not JSON: "), "{text}");
    }
    refused::<()>(r#"{"x":1}"#, "unknown argument `x`; this tool takes none");
    refused::<One>(r#"{"x":1}"#, "unknown argument `x`; this tool takes `value`");
    refused::<Search>("{}", "missing argument `query` (a string)");
    refused::<Search>(
        r#"{"Query":""}"#,
        "unknown argument `Query`; this tool takes `query`, `limit`, `tags`, `unit` and `near`",
    );
    refused::<Search>(r#"{"query":"x","near":{"lat":1}}"#, "missing argument `near.lon` (a number)");
    refused::<Search>(
        r#"{"query":"x","near":{"lat":1,"lon":1,"alt":1}}"#,
        "unknown argument `near.alt`; `near` takes `lat` and `lon`",
    );
    refused::<Search>(r#"{"query":"x","near":{"lat":1,"lat":1}}"#, "argument `near.lat`: given twice");
    refused::<Lists>(
        r#"{"points":[{"lat":1,"lon":1},{"lat":1,"lon":1,"":0}]}"#,
        "unknown argument `points[1].`; `points[1]` takes `lat` and `lon`",
    );
    refused::<One>(
        &format!(r#"{{"{}":1}}"#, "é".repeat(90)),
        &format!("unknown argument `{}…`; this tool takes `value`", "é".repeat(80)),
    );
    refused::<One>(r#"{"a\u001b\n":1}"#, "unknown argument `a\\u{1b}\\u{a}`; this tool takes `value`");
    refused::<One>(r#"{"\ud800":1}"#, "arguments: a name has an escape that is no character");
}

#[test]
fn wrong_values_are_named() {
    refused::<Add>(r#"{"a":1,"b":"x"}"#, r#"argument `b`: expected a number, got the string "x""#);
    refused::<Add>(r#"{"a":1,"b":true}"#, "argument `b`: expected a number, got true");
    refused::<Add>(r#"{"a":1,"b":[1]}"#, "argument `b`: expected a number, got an array");
    refused::<Add>(r#"{"a":1,"b":1e400}"#, "argument `b`: 1e400 is too large a number");
    refused::<Search>(
        r#"{"query":"x","near":{"lat":"x","lon":1}}"#,
        r#"argument `near.lat`: expected a number, got the string "x""#,
    );
    refused::<Search>(
        r#"{"query":"x","near":{"lat":90.5,"lon":1}}"#,
        "argument `near.lat`: 90.5 is more than the maximum 90",
    );
    refused::<Search>(
        r#"{"query":"x","near":{"lat":-91,"lon":1}}"#,
        "argument `near.lat`: -91 is less than the minimum -90",
    );
    refused::<Search>(r#"{"query":"x","near":[]}"#, "argument `near`: expected an object, got an array");
    refused::<Search>(r#"{"query":{}}"#, "argument `query`: expected a string, got an object");
    refused::<Search>(r#"{"query":7}"#, "argument `query`: expected a string, got the number 7");
    refused::<Search>(r#"{"query":""}"#, "argument `query`: 0 characters, but at least 1 needed");
    refused::<Search>(
        r#"{"query":"ööööööööööööööööööööö"}"#,
        "argument `query`: 21 characters, but at most 20 allowed",
    );
    refused::<Search>(
        r#"{"query":"\ud800"}"#,
        "argument `query`: the string has an escape that is no character",
    );
    refused::<Search>(r#"{"query":"x","limit":500}"#, "argument `limit`: 500 is more than the maximum 100");
    refused::<Search>(r#"{"query":"x","limit":0}"#, "argument `limit`: 0 is less than the minimum 1");
    refused::<Search>(
        r#"{"query":"x","limit":1.5}"#,
        "argument `limit`: expected an integer, got the number 1.5",
    );
    refused::<Search>(
        r#"{"query":"x","limit":"5"}"#,
        r#"argument `limit`: expected an integer, got the string "5""#,
    );
    refused::<Search>(
        r#"{"query":"x","tags":"a"}"#,
        r#"argument `tags`: expected an array, got the string "a""#,
    );
    refused::<Search>(
        r#"{"query":"x","tags":["a",1]}"#,
        "argument `tags[1]`: expected a string, got the number 1",
    );
    refused::<Search>(
        r#"{"query":"x","tags":["a","b","c","d"]}"#,
        "argument `tags`: 4 items, but at most 3 allowed",
    );
    refused::<Search>(
        r#"{"query":"x","tags":["a",""]}"#,
        "argument `tags[1]`: 0 characters, but at least 1 needed",
    );
    refused::<Search>(
        r#"{"query":"x","unit":"celcius"}"#,
        r#"argument `unit`: expected "celsius", "fahrenheit" or "Kelvin", got the string "celcius""#,
    );
    refused::<Search>(
        r#"{"query":"x","unit":1}"#,
        r#"argument `unit`: expected "celsius", "fahrenheit" or "Kelvin", got the number 1"#,
    );
    refused::<Pick>("{}", "missing argument `sizes` (an array)");
    refused::<Pick>(r#"{"sizes":[]}"#, "argument `sizes`: 0 items, but at least 1 needed");
    refused::<Pick>(
        r#"{"sizes":["s",null]}"#,
        r#"argument `sizes[1]`: expected "s", "l" or "Static", got null"#,
    );
    refused::<Lists>(
        r#"{"points":[],"grid":[[1],[2,-3]]}"#,
        "argument `grid[1][1]`: -3 is less than the minimum 0",
    );
    refused::<Whole>(r#"{"tiny":-129}"#, "argument `tiny`: -129 is less than the minimum -128");
    refused::<Whole>(r#"{"byte":-1}"#, "argument `byte`: -1 is less than the minimum 0");
    refused::<Whole>(r#"{"byte":256}"#, "argument `byte`: 256 is more than the maximum 255");
    refused::<Whole>(
        r#"{"signed":9223372036854775808}"#,
        "argument `signed`: 9223372036854775808 is more than the maximum 9223372036854775807",
    );
    refused::<Whole>(
        r#"{"unsigned":1e30}"#,
        "argument `unsigned`: 1e30 is more than the maximum 18446744073709551615",
    );
    refused::<Whole>(r#"{"unsigned":1e-3}"#, "argument `unsigned`: expected an integer, got the number 1e-3");
    let long = "é".repeat(4000);
    refused::<One>(
        &format!(r#"{{"value":"{long}"}}"#),
        &format!(r#"argument `value`: expected an integer, got the string "{}…"#, "é".repeat(79)),
    );
    let deep = format!(r#"{{"any":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    refused::<Free>(
        &deep,
        "argument `any`: nested too deeply, or with a number or an escape that does not fit",
    );
}

#[test]
fn the_subject_chooses_the_nouns() {
    let mut tape = Tape::new();
    let empty = tape.read(r#"{"x":1}"#).unwrap();
    let error = |subject, value| schema::read::<One>(subject, value).unwrap_err().to_string();
    assert_eq!(error(Subject::Answer, Some(empty)), "unknown answer `x`; this form takes `value`");
    assert_eq!(error(Subject::Member, Some(empty)), "unknown member `x`; this object takes `value`");
    assert_eq!(error(Subject::Member, None), "missing member `value` (an integer)");
}

#[test]
fn values_are_written_as_one_line() {
    assert_eq!(to_json(&Empty {}), "{}");
    assert_eq!(to_json(&()), "{}");
    assert_eq!(to_json(&Add { a: 1.0, b: f64::NAN }), r#"{"a":1,"b":null}"#);
    assert_eq!(to_json(&vec![Size::r#Static, Size::Small]), r#"["Static","s"]"#);
    assert_eq!(to_json(&Text { text: "a\"\\\n\u{1}é".into(), small: None }), r#"{"text":"a\"\\\n\u0001é"}"#);
    let raw: Box<RawValue> = serde_json::from_str("{\r\n\"a\": \"\\n\"\n}").unwrap();
    assert_eq!(to_json(&raw), r#"{  "a": "\n" }"#);
    let search = Search {
        query: "q".into(),
        limit: 5,
        tags: vec!["t".into()],
        unit: None,
        near: Some(Point { lat: 0.5, lon: -1e300 }),
    };
    assert_eq!(to_json(&search), r#"{"query":"q","limit":5,"tags":["t"],"near":{"lat":0.5,"lon":-1e+300}}"#);
}

mcp_rill::schema! {
    #[derive(Debug, PartialEq)]
    struct Twenty {
        a: i8, b: i16, c: i32, d: i64, e: u8, f: u16, g: u32, h: u64, i: isize, j: usize,
        k: f32, l: f64, m: bool, n: String, o: Box<str>, p: Vec<String>, q: Option<i64>, r#move: Vec<Vec<u64>>,
        s: Option<Unit>, t: Vec<Point> { name "t-t" },
    }
}

/// A small generator with a fixed seed: the same values in every run.
struct Seed(u64);

impl Seed {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // Small numbers are as likely as large ones.
        (mixed ^ (mixed >> 31)) >> (mixed & 63)
    }

    fn float(&mut self) -> f64 {
        Some(f64::from_bits(self.next())).filter(|float| float.is_finite()).unwrap_or(0.1)
    }

    fn string(&mut self) -> String {
        (0..self.next() % 8).filter_map(|_| char::from_u32(self.next() as u32 % 0x11_0000)).collect()
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Seed) -> T) -> Vec<T> {
        (0..self.next() % 4).map(|_| item(self)).collect()
    }

    fn point(&mut self) -> Point {
        Point { lat: self.float() % 90.0, lon: self.float() }
    }

    fn twenty(&mut self) -> Twenty {
        let units = [None, Some(Unit::Celsius), Some(Unit::Fahrenheit), Some(Unit::Kelvin)];
        Twenty {
            a: self.next() as i8,
            b: self.next() as i16,
            c: self.next() as i32,
            d: self.next() as i64,
            e: self.next() as u8,
            f: self.next() as u16,
            g: self.next() as u32,
            h: self.next(),
            i: self.next() as isize,
            j: self.next() as usize,
            k: Some(f32::from_bits(self.next() as u32)).filter(|float| float.is_finite()).unwrap_or(0.1),
            l: self.float(),
            m: self.next().is_multiple_of(2),
            n: self.string(),
            o: self.string().into(),
            p: self.list(Seed::string),
            q: Some(self.next() as i64).filter(|n| n % 2 == 0),
            r#move: self.list(|seed| seed.list(Seed::next)),
            s: units[self.next() as usize % 4],
            t: self.list(Seed::point),
        }
    }
}

#[test]
fn what_is_written_can_be_read() {
    let mut seed = Seed(7);
    for _ in 0..2000 {
        let value = seed.twenty();
        let json = to_json(&value);
        assert!(!json.contains('\n'));
        assert_eq!(parse::<Twenty>(&json).unwrap(), value, "{json}");
    }
}

#[test]
fn no_mutation_of_a_text_panics() {
    let mut seed = Seed(11);
    for _ in 0..20_000 {
        let mut json = to_json(&seed.twenty()).into_bytes();
        for _ in 0..1 + seed.next() % 3 {
            let at = seed.next() as usize % json.len();
            json[at] = b"{}[]\",:0eE.-\\u\xc3n"[seed.next() as usize % 16];
        }
        if let Ok(text) = std::str::from_utf8(&json) {
            let _ = parse::<Twenty>(text).map(|value| to_json(&value));
        }
    }
}

#[test]
fn forms_are_flat() {
    mcp_rill::schema! { #[allow(dead_code)] struct Form { a: String, b: Option<i64>, c: bool = true, d: Unit, e: Vec<Size>, f: f64 } }
    mcp_rill::schema! { #[allow(dead_code)] struct Strings { a: Vec<String> } }
    mcp_rill::schema! { #[allow(dead_code)] struct Lots { a: Vec<Vec<Unit>> } }
    const { assert!(Form::KIND.is_flat() && Empty::KIND.is_flat()) }
    for kind in [Search::KIND, Strings::KIND, Lots::KIND, Free::KIND, Lists::KIND, Unit::KIND, bool::KIND] {
        assert!(!kind.is_flat(), "{kind:?}");
    }
}

#[test]
fn schemas_are_json() {
    for text in
        [schema_text::<Search>(), schema_text::<Twenty>(), schema_text::<Lists>(), schema_text::<Pick>()]
    {
        serde_json::from_str::<Value>(&text).unwrap();
    }
    assert!(schema_text::<Twenty>().contains(r#""move":{"type":"array""#));
    assert!(schema_text::<Twenty>().contains(r#""t-t":{"type":"array""#));
}
