//! The official Rust SDK as a client of the fixture, or with the argument `manifest` of a manifest's server, in a session and
//! without one.
//!
//! Reads `INTEROP_URL` and prints a line for each check, `ok NAME` or `FAIL NAME: why`; 1 if one failed.

// What is deprecated since 2026-07-28 is what older clients use.
#![allow(deprecated)]

mod answers;
mod manifest;

use std::process::ExitCode;
use std::time::Duration;

use answers::Answers;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, GetPromptRequestParams, ProtocolVersion,
    ReadResourceRequestParams, SubscriptionFilter,
};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Value, json};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;
type Client = RunningService<RoleClient, Answers>;

const PATIENCE: Duration = Duration::from_secs(20);
const CALLS: usize = 20;
const WATCHED: &str = "test://watched-resource";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Some(url) =
        std::env::var("INTEROP_URL").ok().and_then(|url| Some(format!("{}/mcp", url.strip_suffix("/sse")?)))
    else {
        eprintln!("INTEROP_URL has to be the address of an event stream, …/sse");
        return ExitCode::from(2);
    };
    let newest = vec![ProtocolVersion::V_2026_07_28];
    let eras = [
        ("session", ClientLifecycleMode::Initialize, false),
        ("stateless", ClientLifecycleMode::Discover { preferred_versions: newest.clone() }, true),
        ("auto", ClientLifecycleMode::Auto { preferred_versions: newest, legacy_version: None }, true),
    ];
    let of_manifest = std::env::args().nth(1).is_some_and(|argument| argument == "manifest");
    let mut failed = false;
    for (era, lifecycle, stateless) in eras {
        let connect = |answers: Answers| {
            answers
                .serve_with_lifecycle(StreamableHttpClientTransport::from_uri(url.clone()), lifecycle.clone())
        };
        let passed = match (connect(Answers::default()).await, connect(Answers::unable()).await) {
            (Ok(client), Ok(unable)) if of_manifest => manifest::run(era, &client, &unable, stateless).await,
            (Ok(client), Ok(_)) => run(era, &client, stateless).await,
            (Err(error), _) | (_, Err(error)) => report(era, "connect", Err(error.into())),
        };
        failed |= !passed;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Whether every check of this era passed.
async fn run(era: &str, client: &Client, stateless: bool) -> bool {
    let mut passed = report(era, "lists, page by page", lists(client).await);
    passed &= report(era, "calls with every type of content", contents(client).await);
    passed &= report(era, "resources and prompts", reads(client).await);
    passed &= report(era, "errors", errors(client).await);
    passed &= report(era, "progress", progress(client).await);
    passed &= report(era, "questions: a form, the model, the roots", questions(client).await);
    passed &= report(era, "several questions, at once and one after the other", rounds(client).await);
    passed &= report(era, "a call that is given up stops", cancelled(client).await);
    passed &= report(era, "20 calls at once", parallel(client).await);
    if stateless {
        passed &= report(era, "listening", listening(client).await);
    }
    passed
}

fn report(era: &str, name: &str, outcome: Result) -> bool {
    match &outcome {
        Ok(()) => println!("ok {era}: {name}"),
        Err(error) => println!("FAIL {era}: {name}: {error}"),
    }
    outcome.is_ok()
}

fn equal<T: PartialEq + std::fmt::Debug>(found: T, wanted: T) -> Result {
    if found == wanted { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}").into()) }
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> Result<CallToolResult> {
    let mut params = CallToolRequestParams::new(tool);
    if let Value::Object(arguments) = arguments {
        params = params.with_arguments(arguments);
    }
    Ok(tokio::time::timeout(PATIENCE, client.call_tool(params)).await??)
}

/// The text of a call that has to succeed.
async fn text(client: &Client, tool: &'static str, arguments: Value) -> Result<String> {
    let result = call(client, tool, arguments).await?;
    let text = result.content.first().and_then(|block| block.as_text()).ok_or("no text")?.text.clone();
    if result.is_error == Some(true) { Err(text.into()) } else { Ok(text) }
}

async fn lists(client: &Client) -> Result {
    let tools = client.list_all_tools().await?;
    let named = |name: &str| tools.iter().any(|tool| tool.name == name);
    equal((named("test_simple_text"), named("test_x_mcp_header")), (true, true))?;
    equal(client.list_all_resources().await?.len(), 3)?;
    equal(client.list_all_resource_templates().await?.len(), 1)?;
    equal(client.list_all_prompts().await?.iter().any(|prompt| prompt.name == "test_simple_prompt"), true)
}

async fn contents(client: &Client) -> Result {
    equal(
        text(client, "test_simple_text", Value::Null).await?.as_str(),
        "This is a simple text response for testing.",
    )?;
    for (tool, types) in [
        ("test_image_content", &["image"][..]),
        ("test_audio_content", &["audio"]),
        ("test_embedded_resource", &["resource"]),
        ("test_multiple_content_types", &["text", "image", "resource"]),
    ] {
        let content = serde_json::to_value(call(client, tool, Value::Null).await?.content)?;
        let found: Vec<_> =
            content.as_array().into_iter().flatten().filter_map(|block| block["type"].as_str()).collect();
        equal(&found[..], types)?;
    }
    let region = text(client, "test_x_mcp_header", json!({"region": "Zürich"})).await?;
    equal(region.as_str(), "region: Zürich")
}

async fn reads(client: &Client) -> Result {
    let read = client.read_resource(ReadResourceRequestParams::new("test://template/123/data")).await?;
    let found = serde_json::to_value(&read.contents)?;
    equal(&found[0]["text"], &json!(r#"{"id":"123","templateTest":true,"data":"Data for ID: 123"}"#))?;
    let arguments = serde_json::from_value(json!({"arg1": "one", "arg2": "two"}))?;
    let params = GetPromptRequestParams::new("test_prompt_with_arguments").with_arguments(arguments);
    let found = serde_json::to_value(&client.get_prompt(params).await?.messages)?;
    equal(&found[0]["content"]["text"], &json!("Prompt with arguments: arg1='one', arg2='two'"))?;
    let completed = client.complete_prompt_simple("test_prompt_with_arguments", "arg1", "test").await?;
    equal(completed, vec!["testValue1".to_owned(), "testing".to_owned()])
}

async fn errors(client: &Client) -> Result {
    equal(call(client, "test_error_handling", Value::Null).await?.is_error, Some(true))?;
    equal(call(client, "test_sampling", json!({"prompt": 5})).await?.is_error, Some(true))?;
    match call(client, "no_such_tool", Value::Null).await {
        Err(error) if error.to_string().contains("no_such_tool") => Ok(()),
        other => Err(format!("an unknown tool: {other:?}").into()),
    }
}

async fn progress(client: &Client) -> Result {
    client.service().take_progress();
    text(client, "test_tool_with_progress", Value::Null).await?;
    equal(client.service().take_progress(), vec![0.0, 50.0, 100.0])
}

async fn questions(client: &Client) -> Result {
    let told = text(client, "test_elicitation", json!({"message": "Who are you?"})).await?;
    equal(
        told.as_str(),
        r#"User response: action=accept, content={"username":"ada","email":"ada@example.com"}"#,
    )?;
    let told = text(client, "test_sampling", json!({"prompt": "é ✓"})).await?;
    equal(told.as_str(), "LLM response: heard é ✓")?;
    equal(
        text(client, "test_input_required_result_list_roots", Value::Null).await?.as_str(),
        "1 roots: file:///a",
    )
}

async fn rounds(client: &Client) -> Result {
    let told = text(client, "test_input_required_result_multiple_inputs", Value::Null).await?;
    equal(told.as_str(), "heard Generate a greeting (Ada), 1 roots: file:///a")?;
    let told = text(client, "test_input_required_result_multi_round", Value::Null).await?;
    equal(told.as_str(), "Ada likes green")?;
    let told = text(client, "test_input_required_result_request_state", Value::Null).await?;
    equal(told.as_str(), "state-ok, confirmed: true")
}

async fn cancelled(client: &Client) -> Result {
    let before: u64 = text(client, "test_wait_cancelled", Value::Null).await?.parse()?;
    let given_up =
        tokio::time::timeout(Duration::from_millis(300), call(client, "test_wait", json!({"seconds": 30.0})));
    equal(given_up.await.is_err(), true)?;
    for _ in 0..100 {
        if text(client, "test_wait_cancelled", Value::Null).await?.parse() == Ok(before + 1) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err("the tool does not see that it is cancelled".into())
}

async fn parallel(client: &Client) -> Result {
    let calls =
        (0..CALLS).map(|number| text(client, "test_sampling", json!({"prompt": format!("call {number}")})));
    for (number, told) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        equal(told?, format!("LLM response: heard call {number}"))?;
    }
    Ok(())
}

async fn listening(client: &Client) -> Result {
    let filter = SubscriptionFilter::builder().tools_list_changed().resource_subscription(WATCHED).build();
    let mut subscription = client.listen(filter).await?;
    for (tool, method) in [
        ("test_trigger_tool_change", "notifications/tools/list_changed"),
        ("test_update_watched_resource", "notifications/resources/updated"),
        ("test_trigger_tool_change", "notifications/tools/list_changed"),
    ] {
        // Nobody asked for this one: had it been sent, it would come first, and be an error to the SDK.
        text(client, "test_trigger_prompt_change", Value::Null).await?;
        text(client, tool, Value::Null).await?;
        let heard =
            tokio::time::timeout(PATIENCE, subscription.next()).await??.ok_or("the subscription ended")?;
        equal(&serde_json::to_value(&heard)?["method"], &json!(method))?;
    }
    Ok(subscription.cancel().await?)
}
