//! Tools that answer at once, with every type of content; resources, prompts and completion.

use mcp_rill::{
    Content, Prompt, PromptMessage, Resource, ResourceContents, ResourceTemplate, Server, Tool, ToolResult,
    schema,
};

schema! { struct Region {
    /// Where to ask. Since 2026-07-28 this also travels as the header `Mcp-Param-Region`.
    region: String { header "Region" },
} }

schema! { struct TwoArguments {
    /// The first argument.
    arg1: String,
    /// The second argument.
    arg2: String,
} }

schema! { struct ResourceUri {
    /// The URI that the embedded resource gets.
    uri: String { name "resourceUri" },
} }

schema! { struct TemplateData {
    id: String,
    template_test: bool { name "templateTest" },
    data: String,
} }

/// A picture of one blue pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
    \0\0\0\x0cIDATx\xdac``\xf8\x0f\0\x01\x03\x01\0\x36t\x11@\0\0\0\0IEND\xaeB`\x82";

/// A sound of eight silent samples.
const WAV: &[u8] = b"RIFF,\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0\
    data\x08\0\0\0\x80\x80\x80\x80\x80\x80\x80\x80";

/// A schema that no argument type gives: it has to arrive as it stands here.
const SCHEMA_2020_12: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } }
        }
    },
    "properties": {
        "name": { "type": "string" },
        "address": { "$ref": "#/$defs/address" },
        "contactMethod": { "type": "string", "enum": ["phone", "email"] },
        "phone": { "type": "string" },
        "email": { "type": "string" }
    },
    "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
    "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
    "then": { "required": ["phone"] },
    "else": { "required": ["email"] },
    "additionalProperties": false
}"##;

pub fn add(server: Server) -> Server {
    add_prompts(add_resources(add_tools(server)))
}

fn add_tools(server: Server) -> Server {
    server
        .tool("test_simple_text", "Give a text", |(), _| "This is a simple text response for testing.")
        .tool("test_image_content", "Give a picture", |(), _| Content::image(PNG, "image/png"))
        .tool("test_audio_content", "Give a sound", |(), _| Content::audio(WAV, "audio/wav"))
        .tool("test_embedded_resource", "Give a resource with its contents", |(), _| {
            Content::resource(
                ResourceContents::text("This is an embedded resource content.")
                    .uri("test://embedded-resource")
                    .mime_type("text/plain"),
            )
        })
        .tool("test_multiple_content_types", "Give a text, a picture and a resource", |(), _| {
            vec![
                Content::text("Multiple content types test:"),
                Content::image(PNG, "image/png"),
                Content::resource(
                    ResourceContents::text(r#"{"test":"data","value":123}"#)
                        .uri("test://mixed-content-resource")
                        .mime_type("application/json"),
                ),
            ]
        })
        .tool("test_error_handling", "Fail in a way that the model reads", |(), _| {
            ToolResult::error("This tool intentionally returns an error for testing")
        })
        .offer(
            Tool::new("json_schema_2020_12_tool", "Take arguments of a schema written by hand")
                .input_schema(one_line(SCHEMA_2020_12))
                .handler(|arguments: serde_json::Value, _| format!("arguments: {arguments}")),
        )
        .tool(
            "test_x_mcp_header",
            "Take an argument that is also a header",
            |Region { region }: Region, _| format!("region: {region}"),
        )
}

/// What is sent in an event has no line breaks; none of these stands within a string.
fn one_line(json: &str) -> String {
    json.lines().map(str::trim).collect()
}

fn add_resources(server: Server) -> Server {
    let text = Resource::new("test://static-text", "static-text")
        .description("A text that never changes")
        .mime_type("text/plain");
    let binary = Resource::new("test://static-binary", "static-binary")
        .description("A picture that never changes")
        .mime_type("image/png");
    let template = ResourceTemplate::new("test://template/{id}/data", "template-data")
        .description("What there is of one id")
        .mime_type("application/json");
    server
        .offer(text.handler(|_| "This is the content of the static text resource."))
        .offer(binary.handler(|_| PNG.to_vec()))
        .offer(template.handler(|vars, _| {
            let id = vars.get("id").unwrap_or_default().to_owned();
            let data = format!("Data for ID: {id}");
            schema::to_json(&TemplateData { id, template_test: true, data })
        }))
        .complete_template("test://template/{id}/data", "id", ["1", "12", "123"])
}

fn add_prompts(server: Server) -> Server {
    server
        .prompt(
            "test_simple_prompt",
            "Ask for nothing in particular",
            |(), _| "This is a simple prompt for testing.",
        )
        .prompt(
            "test_prompt_with_arguments",
            "Repeat two arguments",
            |TwoArguments { arg1, arg2 }: TwoArguments, _| {
                format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")
            },
        )
        .complete_prompt("test_prompt_with_arguments", "arg1", ["testValue1", "testing", "other"])
        .prompt(
            "test_prompt_with_embedded_resource",
            "Ask about a resource that comes along",
            |ResourceUri { uri }: ResourceUri, _| {
                let contents = ResourceContents::text("Embedded resource content for testing.");
                vec![
                    PromptMessage::user(Content::resource(contents.uri(uri).mime_type("text/plain"))),
                    PromptMessage::user("Please process the embedded resource above."),
                ]
            },
        )
        .offer(Prompt::new("test_prompt_with_image", "Ask about a picture that comes along").handler(
            |(), _| {
                vec![
                    PromptMessage::user(Content::image(PNG, "image/png")),
                    PromptMessage::user("Please analyze the image above."),
                ]
            },
        ))
}
