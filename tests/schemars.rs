//! The feature `schemars`: structs with the derives of serde and schemars as arguments and results.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use mcp_rill::mcp::{Arguments, IntoToolResult};
use mcp_rill::{Server, Typed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    let raw = |text| serde_json::from_str(text).unwrap();
    let Typed(search) = Typed::<Search>::read(Some(raw(r#"{"query":"x","limit":3}"#))).unwrap();
    assert_eq!(search, Search { query: "x".into(), limit: Some(3) });
    for (text, named) in
        [("{}", "query"), (r#"{"query":1}"#, "string"), (r#"{"query":"x","more":1}"#, "more")]
    {
        let error = Typed::<Search>::read(Some(raw(text))).unwrap_err();
        assert!(error.contains(named), "{error}");
    }
    assert!(Typed::<Search>::read(None).unwrap_err().contains("query"));
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
