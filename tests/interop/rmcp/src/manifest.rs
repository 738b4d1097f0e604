//! A server made of a manifest: what its commands, files and prompts become, and a manifest that changes.

use std::time::Instant;

use rmcp::model::{GetPromptRequestParams, ReadResourceRequestParams, SubscriptionFilter};
use serde_json::{Value, json};

use crate::{Client, PATIENCE, Result, call, equal, report, text};

/// Whether every check of this era passed. `unable` is a client that cannot answer questions.
pub(crate) async fn run(era: &str, client: &Client, unable: &Client, stateless: bool) -> bool {
    let mut passed = report(era, "lists", lists(client).await);
    passed &= report(era, "calls with right and wrong arguments", calls(client).await);
    passed &= report(era, "outputs of each kind", outputs(client).await);
    passed &= report(era, "files, a folder, commands, and what is not allowed", resources(client).await);
    passed &= report(era, "prompts and their completion", prompts(client).await);
    passed &= report(
        era,
        "a confirmation: yes, no, a client that cannot ask",
        confirmation(client, unable, stateless).await,
    );
    passed & report(era, "a reload is announced", reload(client, stateless).await)
}

async fn lists(client: &Client) -> Result {
    let tools: Vec<String> =
        client.list_all_tools().await?.iter().map(|tool| tool.name.to_string()).collect();
    equal(tools.len(), 11)?;
    equal((tools.contains(&"say".to_owned()), tools.contains(&"secret".to_owned())), (true, false))?;
    equal(client.list_all_resources().await?.len(), 5)?;
    equal(client.list_all_prompts().await?.len(), 2)
}

async fn calls(client: &Client) -> Result {
    for words in ["one", "é ✓ 𝄞", "$(id) `id` ; \"x\"", "-n", "", "two\nlines"] {
        equal(text(client, "say", json!({"text": words, "times": 2})).await?, format!("{words}, 2"))?;
    }
    for (arguments, named) in
        [(json!({}), "text"), (json!({"text": 5}), "text"), (json!({"text": "x", "times": 4}), "times")]
    {
        let told = refusal(client, "say", arguments).await?;
        equal(told.contains(named), true).map_err(|_| told)?;
    }
    let told = refusal(client, "fail", Value::Null).await?;
    equal((told.contains('3'), told.contains("went wrong")), (true, true)).map_err(|_| told.into())
}

async fn outputs(client: &Client) -> Result {
    let image = serde_json::to_value(call(client, "dot", Value::Null).await?.content)?;
    equal((&image[0]["type"], &image[0]["mimeType"]), (&json!("image"), &json!("image/png")))?;
    let facts = call(client, "facts", Value::Null).await?.structured_content;
    equal(facts, Some(json!({"name": "router", "up": true})))?;
    client.service().take_progress();
    equal(text(client, "count", Value::Null).await?.trim(), "line 1\nline 2\nline 3")?;
    equal(client.service().take_progress().last().copied(), Some(3.0))
}

async fn resources(client: &Client) -> Result {
    for (uri, wanted) in
        [("x:///note", "first\n"), ("docs:///sub/b.md", "# Below\n"), ("x:///said/hello", "said hello")]
    {
        let read = client.read_resource(ReadResourceRequestParams::new(uri)).await?;
        equal(&serde_json::to_value(&read.contents)?[0]["text"], &json!(wanted))?;
    }
    for path in ["../note.txt", "%2e%2e/note.txt", "link", "inside", ".hidden", "sub"] {
        let uri = format!("docs:///{path}");
        if client.read_resource(ReadResourceRequestParams::new(&uri)).await.is_ok() {
            return Err(format!("{uri} was read").into());
        }
    }
    Ok(())
}

async fn prompts(client: &Client) -> Result {
    let params =
        GetPromptRequestParams::new("slow").with_arguments(serde_json::from_value(json!({"host": "wan"}))?);
    let found = serde_json::to_value(&client.get_prompt(params).await?.messages)?;
    equal(&found[0]["content"]["text"], &json!("Find out why wan is slow."))?;
    let completed = client.complete_prompt_simple("slow", "host", "la").await?;
    equal(completed, vec!["lan".to_owned(), "lab".to_owned()])
}

async fn confirmation(client: &Client, unable: &Client, stateless: bool) -> Result {
    equal(text(client, "sure", json!({"host": "wan"})).await?.as_str(), "restarted")?;
    let told = refusal(client, "sure", json!({"host": "not this one"})).await?;
    equal(told.contains("does not want"), true).map_err(|_| told)?;
    // Since 2026-07-28 it is an error of the request, for the client to handle.
    let told = match refusal(unable, "sure", json!({"host": "wan"})).await {
        Err(error) if stateless && error.to_string().contains("-32021") => error.to_string(),
        told => told?,
    };
    equal(told.contains("elicitation"), true).map_err(|_| told)?;
    equal(text(unable, "anyway", Value::Null).await?.as_str(), "went on")
}

async fn reload(client: &Client, stateless: bool) -> Result {
    let filter =
        SubscriptionFilter::builder().tools_list_changed().resources_list_changed().prompts_list_changed();
    let mut subscription = match stateless {
        true => Some(client.listen(filter.build()).await?),
        false => None,
    };
    for (to, there) in [("two", true), ("one", false)] {
        client.service().take_changes();
        text(client, "change", json!({"to": to})).await?;
        let mut changed = Vec::new();
        let begun = Instant::now();
        while changed.len() < 3 {
            match &mut subscription {
                Some(subscription) => {
                    let next = tokio::time::timeout(PATIENCE, subscription.next()).await??;
                    let next = serde_json::to_value(&next.ok_or("the subscription ended")?)?;
                    changed.push(next["method"].as_str().unwrap_or_default().to_owned());
                }
                None => {
                    let lists = client.service().take_changes();
                    changed.extend(lists.iter().map(|list| format!("notifications/{list}/list_changed")));
                    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                }
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("only these were announced: {changed:?}").into());
            }
        }
        changed.sort();
        let wanted =
            ["prompts", "resources", "tools"].map(|list| format!("notifications/{list}/list_changed"));
        equal(changed, wanted.to_vec())?;
        equal(client.list_all_tools().await?.iter().any(|tool| tool.name == "extra"), there)?;
    }
    match subscription {
        Some(mut subscription) => Ok(subscription.cancel().await?),
        None => Ok(()),
    }
}

/// The text of a call that the model has to read as an error.
async fn refusal(client: &Client, tool: &'static str, arguments: Value) -> Result<String> {
    let result = call(client, tool, arguments).await?;
    let text = result.content.first().and_then(|block| block.as_text()).ok_or("no text")?.text.clone();
    if result.is_error == Some(true) { Ok(text) } else { Err(format!("{tool} succeeded: {text}").into()) }
}
