//! Tools and a prompt that ask the client while they run.
//!
//! A question that has no answer yet ends the handler with `?`; the handler runs again when the answer is there. So
//! everything here is written as if the answer came at once.

use mcp_rill::schema::Object;
use mcp_rill::{Capabilities, Elicited, Level, Result, Sample, Server, Tool, schema};
use mcp_rill::{Root, ToolChoice};

schema! { struct Prompt {
    /// What to ask the model.
    prompt: String,
} }

schema! { struct Message {
    /// What to tell the user.
    message: String,
} }

schema! { struct User {
    /// User's response
    username: String,
    /// User's email address
    email: String,
} }

schema! { enum Status { Active = "active", Inactive = "inactive", Pending = "pending" } }

schema! { struct Defaults {
    /// User name
    name: String = "John Doe",
    /// User age
    age: i64 = 30,
    /// User score
    score: f64 = 95.5,
    /// User status
    status: Status = Status::Active,
    /// Verification status
    verified: bool = true,
} }

schema! { enum Size { Small = "s" "Small", Large = "l" "Large" } }
schema! { enum Topping { Cheese = "cheese", Olives = "olives", Onions = "onions" } }

schema! { struct Order {
    /// How large it should be
    size: Size = Size::Large,
    /// What should be on it
    toppings: Vec<Topping> { items 1..=2 },
    email: String { format "email", title "Your address" },
    day: Option<String> { format "date" },
    count: i64 { min 1, max 9 } = 1,
    note: String { length 0..=80 } = "",
} }

schema! { struct Weather { city: String } }
schema! { struct UserName { name: String } }
schema! { struct Color { color: String } }
schema! { struct Confirm { ok: bool } }
schema! { struct Context { context: String } }

/// All forms that an enum can have, with one that only older clients know, `enumNames`.
const ENUMS: &str = concat!(
    r#"{"type":"object","properties":{"#,
    r#""untitledSingle":{"type":"string","enum":["option1","option2","option3"]},"#,
    r#""titledSingle":{"type":"string","oneOf":[{"const":"value1","title":"First Option"},"#,
    r#"{"const":"value2","title":"Second Option"},{"const":"value3","title":"Third Option"}]},"#,
    r#""legacyEnum":{"type":"string","enum":["opt1","opt2","opt3"],"#,
    r#""enumNames":["Option One","Option Two","Option Three"]},"#,
    r#""untitledMulti":{"type":"array","minItems":1,"maxItems":3,"#,
    r#""items":{"type":"string","enum":["option1","option2","option3"]}},"#,
    r#""titledMulti":{"type":"array","minItems":1,"maxItems":3,"#,
    r#""items":{"anyOf":[{"const":"value1","title":"First Choice"},"#,
    r#"{"const":"value2","title":"Second Choice"},{"const":"value3","title":"Third Choice"}]}}}}"#,
);

pub fn add(server: Server) -> Server {
    add_rounds(add_elicitations(add_sampling(server)))
}

fn add_sampling(server: Server) -> Server {
    server
        .tool("test_sampling", "Ask the client's model", |Prompt { prompt }: Prompt, call| -> Result<_> {
            let answer = call.sample("answer", Sample::new(100).user(prompt))?.required()?;
            Ok(format!("LLM response: {}", answer.text()))
        })
        .tool(
            "test_sampling_tools",
            "Let the client's model use a tool, and tell it the result",
            |(), call| -> Result<_> {
                let weather = Tool::new("weather", "The weather in a city")
                    .input_schema(schema::schema_text::<Weather>());
                let question = Sample::new(200)
                    .system("You are terse.")
                    .user("What is the weather in Ulm?")
                    .temperature(0.5)
                    .priorities(0.2, 0.3, 0.5)
                    .model_hint("small")
                    .stop("END")
                    .tool(weather)
                    .tool_choice(ToolChoice::Auto);
                let mut answer = call.sample("question", question.clone())?.required()?;
                let uses = answer.tool_uses();
                if !uses.is_empty() {
                    let told = question.answered(&answer);
                    let told = uses
                        .into_iter()
                        .fold(told, |told, one| told.tool_result(one.id, format!("rain: {}", one.input)));
                    answer = call.sample("told", told)?.required()?;
                }
                Ok(format!("{}: {}", answer.model, answer.text()))
            },
        )
        .tool("test_missing_capability", "Need a client that can sample", |(), call| -> Result<_> {
            call.require(Capabilities::SAMPLING)?;
            Ok("The client can sample")
        })
        .tool(
            "test_input_required_result_sampling",
            "Ask the client's model for a capital",
            |(), call| -> Result<_> {
                let question = Sample::new(100).user("What is the capital of France?");
                Ok(call.sample("capital_question", question)?.required()?.text())
            },
        )
        .tool(
            "test_input_required_result_list_roots",
            "Ask for the client's roots",
            |(), call| -> Result<_> { Ok(told_roots(&call.roots("client_roots")?.required()?)) },
        )
}

fn add_elicitations(server: Server) -> Server {
    server
        .tool(
            "test_elicitation",
            "Ask the user for a name and an address",
            |Message { message }: Message, call| -> Result<_> {
                Ok(format!("User response: {}", told(call.elicit::<User>("user", &message)?)?))
            },
        )
        .tool(
            "test_elicitation_sep1034_defaults",
            "Show a form with default values",
            |(), call| -> Result<_> {
                let answer = call
                    .elicit::<Defaults>("form", "Please review and update the form fields with defaults")?;
                Ok(format!("Elicitation completed: {}", told(answer)?))
            },
        )
        .tool(
            "test_elicitation_sep1330_enums",
            "Show a form with every form of enum",
            |(), call| -> Result<_> {
                let answer = call.elicit_raw("form", "Please select options from the enum fields", ENUMS)?;
                Ok(format!(
                    "Elicitation completed: {}",
                    told_json(answer, |content| content.get().to_owned())?
                ))
            },
        )
        .tool(
            "test_elicitation_order",
            "Show a form with every rule that a field can have",
            |(), call| -> Result<_> { told(call.elicit::<Order>("order", "What may we bring you?")?) },
        )
        .tool("test_elicitation_url", "Ask the user to open a page", |(), call| -> Result<_> {
            let answer = call.elicit_url("page", "Please sign in", "https://example.com/sign-in")?;
            told_json(answer, |()| "{}".to_owned())
        })
        .tool(
            "test_streaming_elicitation",
            "Log, report progress, then ask the user",
            |(), call| -> Result<_> {
                call.log(Level::Info, "About to ask");
                call.progress(50.0, Some(100.0), None);
                let answer = call.elicit::<Confirm>("confirm", "Go on?")?;
                call.progress(100.0, Some(100.0), None);
                told(answer)
            },
        )
}

/// What 2026-07-28 calls results that need input: the same code as above, in one round and in several.
fn add_rounds(server: Server) -> Server {
    server
        .tool("test_input_required_result_elicitation", "Ask for a name", |(), call| -> Result<_> {
            let name = accepted(call.elicit::<UserName>("user_name", "What is your name?")?)?;
            Ok(format!("Hello, {}!", name.name))
        })
        .tool(
            "test_input_required_result_request_state",
            "Remember something between two rounds",
            |(), call| -> Result<_> {
                let state = call.once("state", || "state-ok".to_owned())?;
                let answer = accepted(call.elicit::<Confirm>("confirm", "Please confirm")?)?;
                Ok(format!("{state}, confirmed: {}", answer.ok))
            },
        )
        .tool(
            "test_input_required_result_tampered_state",
            "Remember something that nobody may alter",
            |(), call| -> Result<_> {
                let state = call.once("state", || "state-ok".to_owned())?;
                let answer = accepted(call.elicit::<Confirm>("confirm", "Please confirm")?)?;
                Ok(format!("{state}, confirmed: {}", answer.ok))
            },
        )
        .tool(
            "test_input_required_result_multiple_inputs",
            "Ask three questions at once",
            |(), call| -> Result<_> {
                let name = call.elicit::<UserName>("user_name", "What is your name?");
                let greeting = call.sample("greeting", Sample::new(50).user("Generate a greeting"));
                let roots = call.roots("client_roots");
                let (name, greeting, roots) = (accepted(name?)?, greeting?.required()?, roots?.required()?);
                Ok(format!("{} ({}), {}", greeting.text(), name.name, told_roots(&roots)))
            },
        )
        .tool(
            "test_input_required_result_multi_round",
            "Ask two questions, one after the other",
            |(), call| -> Result<_> {
                let name = accepted(call.elicit::<UserName>("step1", "Step 1: What is your name?")?)?.name;
                let color = call.elicit::<Color>("step2", "Step 2: What is your favorite color?")?;
                Ok(format!("{name} likes {}", accepted(color)?.color))
            },
        )
        .tool(
            "test_input_required_result_capabilities",
            "Ask only what the client can answer",
            |(), call| -> Result<_> {
                let name = call.elicit::<UserName>("user_name", "What is your name?");
                let greeting = call.sample("greeting", Sample::new(50).user("Generate a greeting"));
                let roots = call.roots("client_roots");
                let (name, greeting, roots) = (name?, greeting?.given(), roots?.given());
                let answers = [
                    told(name).ok(),
                    greeting.map(|answer| answer.text()),
                    roots.map(|answer| told_roots(&answer)),
                ];
                Ok(format!("Answers: {}", answers.into_iter().flatten().collect::<Vec<_>>().join(", ")))
            },
        )
        .prompt("test_input_required_result_prompt", "Ask for context first", |(), call| -> Result<String> {
            let answer = call.elicit::<Context>("user_context", "What context should the prompt use?")?;
            Ok(format!("Use this context: {}", accepted(answer)?.context))
        })
}

/// `action=accept, content={…}`.
fn told<T: Object>(answer: Elicited<T>) -> Result<String> {
    told_json(answer, schema::to_json)
}

fn told_json<T>(answer: Elicited<T>, json: impl Fn(&T) -> String) -> Result<String> {
    Ok(match answer {
        Elicited::Accepted(content) => format!("action=accept, content={}", json(&content)),
        Elicited::Declined => "action=decline, content={}".to_owned(),
        Elicited::Cancelled => "action=cancel, content={}".to_owned(),
        Elicited::Unavailable(why) => return Err(why.into()),
    })
}

fn told_roots(roots: &[Root]) -> String {
    let uris: Vec<&str> = roots.iter().map(|root| root.uri.as_str()).collect();
    format!("{} roots: {}", roots.len(), uris.join(" "))
}

/// For tools that are of no use without the answer.
fn accepted<T>(answer: Elicited<T>) -> Result<T> {
    answer.required()?.accepted().ok_or_else(|| "the user gave no answer".into())
}
