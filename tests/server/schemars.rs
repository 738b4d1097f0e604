//! The feature `schemars`: structs with the derives of serde and schemars as arguments and results.

use std::collections::BTreeMap;

use crate::common::World;
use crate::common::http::{call, request};
use crate::common::questions::{Client, error_text, one, text};
use mcp_rill::json::Tape;
use mcp_rill::schema::Subject;
use mcp_rill::{Arguments, IntoToolResult};
use mcp_rill::{Json, Server, Typed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
struct Search {
    /// What to look for.
    query: String,
    #[serde(default)]
    limit: Option<u8>,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    hits: Vec<String>,
}

#[test]
fn arguments_are_described_and_read() {
    let schema: Value = serde_json::from_str(&Typed::<Search>::schema()).unwrap();
    assert_eq!(schema["type"], "object");
    assert_eq!(schema["properties"]["query"]["description"], "What to look for.");
    assert_eq!(schema["required"], serde_json::json!(["query"]));
    let (mut one, mut other) = (Tape::new(), Tape::new());
    let Typed(search) =
        Typed::<Search>::read(Subject::Argument, Some(one.read(r#"{"query":"x","limit":3}"#).unwrap()))
            .unwrap();
    assert_eq!(search, Search { query: "x".into(), limit: Some(3) });
    for (text, named) in
        [("{}", "query"), (r#"{"query":1}"#, "string"), (r#"{"query":"x","more":1}"#, "more")]
    {
        let error = Typed::<Search>::read(Subject::Argument, Some(other.read(text).unwrap())).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
    assert!(Typed::<Search>::read(Subject::Argument, None).unwrap_err().contains("query"));
}

#[test]
fn results_are_structured() {
    let schema: Value = serde_json::from_str(&Typed::<Found>::output_schema().unwrap()).unwrap();
    assert_eq!(schema["properties"]["hits"]["type"], "array");
    let result = Typed(Found { hits: vec!["a".into()] }).into_tool_result().unwrap();
    assert!(format!("{result:?}").contains(r#"{\"hits\":[\"a\"]}"#));
}

#[test]
fn a_server_takes_them() {
    let server =
        Server::new("search", "1.0.0").tool("search", "Search", |Typed(search): Typed<Search>, _| {
            Typed(Found { hits: vec![search.query] })
        });
    mcp_rill::engine::Engine::new(server, || 1).unwrap();
}

/// Where it is.
#[derive(Deserialize, Serialize, JsonSchema)]
struct Point {
    lat: f32,
    height: Option<u16>,
}

#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Unit {
    Metre,
    Foot,
}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Nothing {}

#[derive(Deserialize, Serialize, JsonSchema)]
struct Walk {
    from: Point,
    via: Vec<Point>,
    unit: Unit,
    extra: Value,
    nothing: Nothing,
    #[schemars(extend("format" = "date"))]
    day: String,
    #[serde(default)]
    steps: u64,
    counts: BTreeMap<String, i32>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

/// A tree.
#[derive(Deserialize, JsonSchema)]
struct Tree {
    #[allow(dead_code, reason = "only its schema is looked at")]
    children: Vec<Tree>,
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn schemas_are_plain() {
    let point = json!({
        "description": "Where it is.",
        "type": "object",
        "properties": {
            "lat": { "type": "number" },
            "height": { "type": ["integer", "null"], "minimum": 0, "maximum": 65535 },
        },
        "required": ["lat"],
    });
    let mut walk = json!({
        "type": "object",
        "properties": {
            "from": point,
            "via": { "type": "array", "items": point },
            "unit": { "type": "string", "enum": ["metre", "foot"] },
            "extra": {},
            "nothing": { "type": "object", "properties": {} },
            "day": { "type": "string", "format": "date" },
            "steps": { "type": "integer", "minimum": 0, "default": 0 },
            "counts": { "type": "object", "properties": {}, "additionalProperties": { "type": "integer" } },
        },
        "required": ["from", "via", "unit", "extra", "nothing", "day", "counts"],
        "additionalProperties": true,
    });
    assert_eq!(parsed(&Typed::<Walk>::schema()), walk);
    // What is always written is required of a result.
    for from in ["/properties/from", "/properties/via/items"] {
        walk.pointer_mut(from).unwrap()["required"] = json!(["lat", "height"]);
    }
    walk["required"] = json!(["from", "via", "unit", "extra", "nothing", "day", "steps", "counts"]);
    assert_eq!(parsed(&Typed::<Walk>::output_schema().unwrap()), walk);
    // A type that contains itself cannot do without a reference.
    let tree = json!({
        "description": "A tree.",
        "type": "object",
        "properties": { "children": { "type": "array", "items": { "$ref": "#" } } },
        "required": ["children"],
    });
    assert_eq!(parsed(&Typed::<Tree>::schema()), tree);
    let any = parsed(&Typed::<BTreeMap<String, Value>>::schema());
    assert_eq!(any, json!({ "type": "object", "properties": {}, "additionalProperties": true }));
    let server = Server::new("s", "1").tool("walk", "Walk", |Typed(walk): Typed<Walk>, _| Typed(walk)).tool(
        "tree",
        "Tree",
        |_: Typed<Tree>, _| "x",
    );
    mcp_rill::engine::Engine::new(server, || 1).unwrap();
}

#[test]
fn errors_name_the_argument() {
    for (text, expected) in [
        (r#"{}"#, "arguments: missing field `query`"),
        (r#"{"query":1}"#, "argument `query`: invalid type: integer `1`, expected a string"),
        (r#"{"query":"x","limit":300}"#, "argument `limit`: invalid value: integer `300`, expected u8"),
        (r#"{"query":"x","more":1}"#, "arguments: unknown field `more`, expected `query` or `limit`"),
    ] {
        let mut tape = Tape::new();
        let raw = tape.read(text).unwrap();
        assert_eq!(Typed::<Search>::read(Subject::Argument, Some(raw)).unwrap_err(), expected);
    }
    let walk = |from: &str, via: &str, unit: &str| {
        let text = format!("{{\n  \"from\": {from},\n  \"via\": {via}, \"unit\": {unit}\n}}");
        let mut tape = Tape::new();
        let raw = tape.read(&text).unwrap();
        match Typed::<Path>::read(Subject::Argument, Some(raw)) {
            Ok(_) => String::new(),
            Err(problem) => problem,
        }
    };
    let point = r#"{"lat":1}"#;
    assert_eq!(walk(point, "[]", r#""foot""#), "");
    assert_eq!(walk("{}", "[]", r#""foot""#), "argument `from`: missing field `lat`");
    assert_eq!(
        walk(r#"{"height":2,"lat":"x"}"#, "[]", r#""foot""#),
        r#"argument `from.lat`: invalid type: string "x", expected f32"#
    );
    assert_eq!(
        walk(point, r#"[{"lat":1},{"lat":1,"height":2},{}]"#, r#""foot""#),
        "argument `via[2]`: missing field `lat`"
    );
    assert_eq!(walk(point, "{}", r#""foot""#), "argument `via`: invalid type: map, expected a sequence");
    assert_eq!(
        walk(point, "[]", r#""yard""#),
        "argument `unit`: unknown variant `yard`, expected `metre` or `foot`"
    );
}

#[derive(Deserialize, JsonSchema)]
#[allow(dead_code, reason = "only read")]
struct Path {
    from: Point,
    via: Vec<Point>,
    unit: Unit,
}

#[derive(Deserialize, JsonSchema)]
struct Review {
    /// The file's path.
    file: String,
    tone: Option<Tone>,
    #[serde(default)]
    unit: Option<Unit>,
    note: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
enum Tone {
    /// As in a letter.
    Formal,
    /// As among friends.
    Friendly,
}

fn server_of_prompts() -> Server {
    Server::new("prompts", "1").prompt("review", "Review", |Typed(given): Typed<Review>, _| {
        let Review { file, tone, unit, note } = given;
        let formal = tone.map(|tone| matches!(tone, Tone::Formal));
        let metre = unit.map(|unit| matches!(unit, Unit::Metre));
        format!("{file:?} {formal:?} {metre:?} {note:?}")
    })
}

#[test]
fn a_prompt_has_the_arguments_of_its_type() {
    let mut world = World::new(server_of_prompts());
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let reply = client.ask(&mut world, &request(1, "prompts/list", "{}"));
    let arguments = json!([
        { "name": "file", "description": "The file's path.", "required": true },
        { "name": "note", "required": false },
        { "name": "tone", "required": false },
        { "name": "unit", "required": false },
    ]);
    assert_eq!(reply["result"]["prompts"][0]["arguments"], arguments);
    let complete = |world: &mut World, argument: &str| {
        let params = json!({
            "ref": { "type": "ref/prompt", "name": "review" },
            "argument": { "name": argument, "value": "F" },
        });
        let reply = client.ask(world, &request(1, "completion/complete", &params.to_string()));
        reply["result"]["completion"]["values"].clone()
    };
    assert_eq!(complete(&mut world, "tone"), json!(["Formal", "Friendly"]));
    assert_eq!(complete(&mut world, "unit"), json!(["foot"]));
    assert_eq!(complete(&mut world, "note"), json!([]));
    let mut get = |arguments: Value| {
        let params = json!({ "name": "review", "arguments": arguments });
        client.ask(&mut world, &request(1, "prompts/get", &params.to_string()))
    };
    let text_of = |reply: &Value| reply["result"]["messages"][0]["content"]["text"].clone();
    let reply = get(json!({ "file": "", "tone": "", "unit": "", "note": "" }));
    assert_eq!(text_of(&reply), json!(r#""" None None Some("")"#), "{reply}");
    let reply = get(json!({ "file": "a.rs", "tone": "Formal", "unit": "foot" }));
    assert_eq!(text_of(&reply), json!(r#""a.rs" Some(true) Some(false) None"#), "{reply}");
    let error = &get(json!({ "file": "a.rs", "tone": "rude" }))["error"];
    let message = "Invalid params: argument `tone`: unknown variant `rude`, expected `Formal` or `Friendly`";
    assert_eq!((&error["code"], &error["message"]), (&json!(-32602), &json!(message)));
}

#[test]
fn a_prompt_whose_arguments_are_not_text_is_refused_at_the_start() {
    #[derive(Deserialize, JsonSchema)]
    #[serde(untagged)]
    enum Either {
        One(Review),
        Other(Search),
    }
    let problem = |server: Server| mcp_rill::engine::Engine::new(server, || 1).unwrap_err();
    let server = Server::new("s", "1").prompt("search", "Search", |_: Typed<Search>, _| "x");
    assert_eq!(
        problem(server),
        "prompt `search`: argument `limit` must be text: clients send every argument as a string"
    );
    let server =
        Server::new("s", "1").prompt("either", "Either", |Typed(either): Typed<Either>, _| match either {
            Either::One(review) => review.file,
            Either::Other(search) => search.query,
        });
    assert_eq!(
        problem(server),
        "prompt `either`: the schema of its arguments does not list them one by one; take a struct of strings"
    );
}

/// How fast it goes.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Speed {
    /// By ship
    Slow,
    /// By plane
    Fast,
}

/// Everything that a form can have, as derives describe it.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema counts")]
struct Parcel {
    /// To whom?
    #[schemars(length(min = 1, max = 20))]
    to: String,
    #[schemars(email)]
    mail: Option<String>,
    #[schemars(regex(pattern = "^[0-9]+$"))]
    zip: Option<String>,
    weight: f64,
    count: u8,
    #[serde(default)]
    fragile: bool,
    speed: Option<Speed>,
    unit: Option<Unit>,
    stops: Vec<Unit>,
    ways: std::collections::BTreeSet<SpeedOnce>,
}

#[derive(Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
enum SpeedOnce {
    /// Only once
    Once,
}

#[test]
fn a_form_has_what_forms_may_have() {
    let form: Value = serde_json::from_str(&<Typed<Parcel> as mcp_rill::Form>::form().unwrap()).unwrap();
    assert_eq!(
        form,
        json!({
            "type": "object",
            "properties": {
                "to": {"description": "To whom?", "type": "string", "minLength": 1, "maxLength": 20},
                "mail": {"type": "string", "format": "email"},
                "zip": {"type": "string"},
                "weight": {"type": "number"},
                "count": {"type": "integer", "minimum": 0, "maximum": 255},
                "fragile": {"type": "boolean", "default": false},
                "speed": {"type": "string", "description": "How fast it goes.",
                    "oneOf": [{"const": "slow", "title": "By ship"}, {"const": "fast", "title": "By plane"}]},
                "unit": {"type": "string", "enum": ["metre", "foot"]},
                "stops": {"type": "array", "items": {"type": "string", "enum": ["metre", "foot"]}},
                "ways": {"type": "array", "items": {"anyOf": [{"const": "Once", "title": "Only once"}]}},
            },
            "required": ["to", "weight", "count", "stops", "ways"],
        })
    );
}

#[derive(Deserialize, JsonSchema)]
struct Nested {
    #[allow(dead_code, reason = "only its schema counts")]
    point: Point,
}

fn asking() -> Server {
    Server::new("forms", "1")
        .tool("send", "Send it", |(), call| -> mcp_rill::Result<_> {
            Ok(match call.elicit::<Typed<Parcel>>("parcel", "What is it?")?.accepted() {
                Some(Typed(parcel)) => format!("{} to {} {:?}", parcel.count, parcel.to, parcel.speed),
                None => "nothing".to_owned(),
            })
        })
        .tool("nested", "Ask in vain", |(), call| -> mcp_rill::Result<_> {
            call.elicit::<Typed<Nested>>("nested", "Where?")?;
            Ok("asked")
        })
}

#[test]
fn a_form_is_filled_in() {
    let mut world = World::new(asking());
    let client = Client::new(&mut world, "2025-11-25", r#"{"elicitation":{}}"#);
    let mut answered = |content: &str| {
        let question = one(client.say(&mut world, &call(1, "send", "{}")));
        one(client.answer(&mut world, &question, &format!(r#"{{"action":"accept","content":{content}}}"#)))
    };
    let rest = r#""weight":1,"stops":[],"ways":["Once"]"#;
    let reply = answered(&format!(r#"{{"to":"Ada","count":3,"speed":"fast",{rest}}}"#));
    assert_eq!(text(&reply), "3 to Ada Some(Fast)");
    let reply = answered(&format!(r#"{{"to":"Ada","count":300,{rest}}}"#));
    let error = "the client's answer to `parcel` is not valid: answer `count`: invalid value: integer `300`, expected u8";
    assert_eq!(error_text(&reply), error);
    let reply = answered(r#"{"to":"Ada"}"#);
    assert!(error_text(&reply).contains("answers: missing field `weight`"), "{reply}");
}

#[test]
fn what_cannot_be_a_form_is_named() {
    let mut world = World::new(asking());
    let client = Client::new(&mut world, "2025-11-25", r#"{"elicitation":{}}"#);
    let reply = client.ask(&mut world, &call(1, "nested", "{}"));
    assert_eq!(reply["error"]["code"], -32603);
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.contains("the form of `nested` has `properties.point.type` \"object\""), "{message}");
}

#[test]
fn a_value_is_kept_across_runs() {
    let mut made = 0;
    let server = Server::new("keep", "1").tool("keep", "Keep it", move |(), call| -> mcp_rill::Result<_> {
        let Typed(point) = call.once("point", || {
            made += 1;
            Typed(Point { lat: 0.5 + made as f32, height: None })
        })?;
        call.elicit::<Typed<Search>>("search", "What?")?;
        Ok(Json(Typed(point)))
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", r#"{"elicitation":{}}"#);
    let tools = client.ask(&mut world, &request(0, "tools/list", "{}"));
    assert_eq!(tools["result"]["tools"][0]["outputSchema"]["properties"]["lat"]["type"], "number");
    let question = one(client.say(&mut world, &call(1, "keep", "{}")));
    let reply = one(client.answer(&mut world, &question, r#"{"action":"decline"}"#));
    assert_eq!(reply["result"]["structuredContent"], json!({"lat": 1.5, "height": null}), "{reply}");
}
