//! Forms, URLs and roots; rounds; what a client may answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use mcp_rill::{Call, CallError, ClientAnswer, Elicited, Limits, Server, schema};
use serde_json::json;

use crate::common::World;
use crate::common::http::{call, ping, request};
use crate::common::questions::{ALL, Client, Pool, error_text, one, text};

schema! { enum Size { Small = "s", Large = "l" } }
schema! { enum Colour { Red = "r" "Bright red", Blue = "b" "Deep blue" } }

schema! { struct Order {
    /// Who pays.
    name: String { length 1..=40, title "Your name" },
    mail: Option<String> { format "email" },
    count: i64 { min 1, max 9 } = 2,
    weight: Option<f64>,
    gift: bool = false,
    size: Size,
    colour: Colour = Colour::Red,
    extras: Vec<Colour> { items 0..=2 } = vec![],
} }

schema! { struct Name { name: String } }
schema! { struct Sure { sure: bool } }

/// Asks for a name, says what came back.
fn ask_name(call: &mut Call) -> mcp_rill::Result<String> {
    Ok(match call.elicit::<Name>("name", "Who?")? {
        Elicited::Accepted(Name { name }) => format!("hello {name}"),
        Elicited::Declined => "declined".to_owned(),
        Elicited::Cancelled => "cancelled".to_owned(),
        Elicited::Unavailable(why) => format!("unavailable: {why}"),
    })
}

fn asking() -> Server {
    Server::new("asking", "1").tool("ask", "Ask", |(), call| ask_name(call))
}

const NAME_FORM: &str = r#"{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}"#;

fn value(json: &str) -> serde_json::Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_question_goes_out_as_a_request_and_its_answer_finishes_the_call() {
    let mut world = World::new(asking());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &call(7, "ask", "{}"));
    let params = json!({ "mode": "form", "message": "Who?", "requestedSchema": value(NAME_FORM) });
    let expected = json!({ "jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": params });
    assert_eq!(question, expected);
    assert_eq!(world.stats().calls, 1);
    let reply = one(client.answer(&mut world, &question, r#"{"action":"accept","content":{"name":"Ada"}}"#));
    assert_eq!((text(&reply), &reply["id"]), ("hello Ada", &json!(7)));
    assert_eq!((world.stats().calls, world.stats().stray_answers), (0, 0));
    // The next question has an id of its own.
    assert_eq!(client.ask(&mut world, &call(8, "ask", "{}"))["id"], 2);
    world.quiesce();
}

#[test]
fn a_form_has_every_type_of_field_and_its_defaults() {
    let mut world =
        World::new(Server::new("shop", "1").tool("order", "Order", |(), call| -> mcp_rill::Result<_> {
            let order = call.elicit::<Order>("order", "What?")?.accepted().ok_or("no order")?;
            let Order { name, mail, count, weight, gift, size, colour, extras } = order;
            let small = matches!(size, Size::Small);
            let red = matches!(colour, Colour::Red);
            let blues = extras.iter().filter(|extra| matches!(extra, Colour::Blue)).count();
            Ok(format!("{name} {mail:?} {count} {weight:?} {gift} {small} {red} {blues}"))
        }));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &call(1, "order", "{}"));
    let titles = r#"[{"const":"r","title":"Bright red"},{"const":"b","title":"Deep blue"}]"#;
    let form = format!(
        r#"{{"type":"object","properties":{{
        "name":{{"type":"string","title":"Your name","description":"Who pays.","minLength":1,"maxLength":40}},
        "mail":{{"type":"string","format":"email"}},
        "count":{{"type":"integer","minimum":1,"maximum":9,"default":2}},
        "weight":{{"type":"number"}},
        "gift":{{"type":"boolean","default":false}},
        "size":{{"type":"string","enum":["s","l"]}},
        "colour":{{"type":"string","oneOf":{titles},"default":"r"}},
        "extras":{{"type":"array","items":{{"anyOf":{titles}}},"maxItems":2,"default":[]}}
        }},"required":["name","size"]}}"#
    );
    assert_eq!(question["params"]["requestedSchema"], value(&form));
    let content = r#"{"name":"Ada","mail":"a@b.c","count":9,"weight":1.5,"gift":true,"size":"l","colour":"b","extras":["b","r"]}"#;
    let reply =
        one(client.answer(&mut world, &question, &format!(r#"{{"action":"accept","content":{content}}}"#)));
    assert_eq!(text(&reply), r#"Ada Some("a@b.c") 9 Some(1.5) true false false 1"#);
    let question = client.ask(&mut world, &call(2, "order", "{}"));
    let content = r#"{"name":"Ada","size":"s"}"#;
    let reply =
        one(client.answer(&mut world, &question, &format!(r#"{{"action":"accept","content":{content}}}"#)));
    assert_eq!(text(&reply), "Ada None 2 None false true true 0");
}

schema! { struct Paint {
    colour: Colour { header "Colour" } = Colour::Red,
    size: Option<Size>,
    gift: bool = false,
    count: i64 = 2,
} }

#[test]
fn a_client_of_2025_06_18_gets_forms_in_its_own_words() {
    let server = asking()
        .tool("paint", "Paint", |(), call| -> mcp_rill::Result<_> {
            let paint = call.elicit::<Paint>("paint", "How?")?.accepted().ok_or("no")?;
            Ok(matches!(paint.colour, Colour::Blue))
        })
        .tool("order", "Order", |(), call| -> mcp_rill::Result<_> {
            call.elicit::<Order>("order", "What?")?.required()?;
            Ok("never")
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-06-18", r#"{"elicitation":{}}"#);
    let question = client.ask(&mut world, &call(1, "paint", "{}"));
    let form = r#"{"type":"object","properties":{
        "colour":{"type":"string","enum":["r","b"],"enumNames":["Bright red","Deep blue"]},
        "size":{"type":"string","enum":["s","l"]},
        "gift":{"type":"boolean","default":false},"count":{"type":"integer"}}}"#;
    assert_eq!(question["params"], json!({ "message": "How?", "requestedSchema": value(form) }));
    let reply = one(client.answer(&mut world, &question, r#"{"action":"accept","content":{"colour":"b"}}"#));
    assert_eq!(text(&reply), "true");
    let reply = client.ask(&mut world, &call(2, "order", "{}"));
    assert!(error_text(&reply).contains("`extras`; since 2025-11-25"), "{reply}");
}

#[test]
fn a_form_of_ones_own_is_sent_as_it_is_and_its_content_is_given_as_it_came() {
    let server = Server::new("raw", "1")
        .tool("raw", "Ask", |(), call| -> mcp_rill::Result<_> {
            let schema = "{\n\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"string\"},\"a\":{\"type\":\"string\"}}}";
            Ok(match call.elicit_raw("raw", "Well?", schema)? {
                Elicited::Accepted(content) => content.get().to_owned(),
                other => format!("{other:?}"),
            })
        })
        .tool("open", "Ask", |(), call| -> mcp_rill::Result<_> {
            let open = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
            call.elicit_raw("open", "Well?", open)?;
            Ok("never")
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", r#"{"elicitation":{"form":{}}}"#);
    let question = client.ask(&mut world, &call(1, "raw", "{}"));
    assert!(question["params"]["requestedSchema"]["properties"]["z"].is_object());
    let reply =
        one(client.answer(&mut world, &question, r#"{"action":"accept","content":{"z":1.50,"a":"x"}}"#));
    assert_eq!(text(&reply), r#"{"z":1.50,"a":"x"}"#);
    let question = client.ask(&mut world, &call(2, "raw", "{}"));
    assert_eq!(text(&one(client.answer(&mut world, &question, r#"{"action":"accept"}"#))), "{}");
    let reply = client.ask(&mut world, &call(3, "open", "{}"));
    let message = "Internal error: the form of `open` has `additionalProperties`; a form may only have `$schema`, `type`, \
                   `properties`, `required`";
    assert_eq!(reply["error"], json!({ "code": -32603, "message": message }));
}

#[test]
fn declining_and_cancelling_are_answers() {
    let mut world = World::new(asking());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (action, said) in [("decline", "declined"), ("cancel", "cancelled")] {
        let question = client.ask(&mut world, &call(1, "ask", "{}"));
        let reply = one(client.answer(&mut world, &question, &format!(r#"{{"action":"{action}"}}"#)));
        assert_eq!(text(&reply), said);
    }
}

#[test]
fn a_url_is_for_clients_of_2025_11_25_that_open_urls() {
    let server = Server::new("bank", "1").tool("login", "Log in", |(), call| -> mcp_rill::Result<_> {
        Ok(match call.elicit_url("login", "Please log in", "https://bank.example/login?x=1")? {
            Elicited::Accepted(()) => "agreed",
            Elicited::Unavailable(why) => return Err(why.into()),
            _ => "not agreed",
        })
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", r#"{"elicitation":{"url":{}}}"#);
    let question = client.ask(&mut world, &call(1, "login", "{}"));
    let params = question["params"].as_object().unwrap();
    assert_eq!(question["method"], "elicitation/create");
    let names: Vec<_> = params.keys().map(String::as_str).collect();
    assert_eq!(names, ["elicitationId", "message", "mode", "url"]);
    assert_eq!((&params["mode"], &params["url"]), (&json!("url"), &json!("https://bank.example/login?x=1")));
    let again = client.ask(&mut world, &call(2, "login", "{}"));
    assert_ne!(again["params"]["elicitationId"], params["elicitationId"]);
    assert_eq!(text(&one(client.answer(&mut world, &question, r#"{"action":"accept"}"#))), "agreed");
    assert_eq!(text(&one(client.answer(&mut world, &again, r#"{"action":"decline"}"#))), "not agreed");
    for (revision, capabilities) in [
        ("2025-06-18", ALL),
        ("2025-11-25", r#"{"elicitation":{}}"#),
        ("2025-11-25", r#"{"elicitation":{"form":{}}}"#),
    ] {
        let client = Client::new(&mut world, revision, capabilities);
        let reply = client.ask(&mut world, &call(1, "login", "{}"));
        assert!(error_text(&reply).contains("open URLs"), "{revision} {capabilities}: {reply}");
    }
}

#[test]
fn roots_are_read_in_order() {
    let server = Server::new("roots", "1").tool("roots", "Roots", |(), call| -> mcp_rill::Result<_> {
        let roots = call.roots("roots")?.required()?;
        Ok(roots.into_iter().map(|root| format!("{}={:?};", root.uri, root.name)).collect::<String>())
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2024-11-05", r#"{"roots":{}}"#);
    let question = client.ask(&mut world, &call(1, "roots", "{}"));
    assert_eq!(question, json!({ "jsonrpc": "2.0", "id": 1, "method": "roots/list" }));
    let roots = r#"{"roots":[{"uri":"file:///b","name":"B"},{"uri":"file:///a"}]}"#;
    let reply = one(client.answer(&mut world, &question, roots));
    assert_eq!(text(&reply), r#"file:///b=Some("B");file:///a=None;"#);
    for (answer, named) in [
        ("{}", "`roots` is missing"),
        (r#"{"roots":{}}"#, "`roots` must be an array"),
        (r#"{"roots":[{"name":"x"}]}"#, "`roots[].uri`"),
        ("[]", "expected an object"),
    ] {
        let question = client.ask(&mut world, &call(2, "roots", "{}"));
        let reply = one(client.answer(&mut world, &question, answer));
        assert!(error_text(&reply).contains(named), "{answer}: {reply}");
    }
}

#[test]
fn an_answer_of_the_wrong_shape_names_the_field() {
    let mut world = World::new(asking());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (answer, named) in [
        (r#"{"action":"accept","content":{"name":7}}"#, "`name`"),
        (r#"{"action":"accept","content":{}}"#, "`name`"),
        (r#"{"action":"accept"}"#, "`name`"),
        (r#"{"action":"accept","content":{"name":"x","age":3}}"#, "`age`"),
        (r#"{"action":"accept","content":[]}"#, "expected an object"),
        (r#"{"action":"perhaps"}"#, "`action`"),
        ("{}", "`action`"),
        ("null", "expected an object"),
        (r#"{"action":"accept","action":"decline"}"#, "`action` occurs twice"),
    ] {
        let question = client.ask(&mut world, &call(1, "ask", "{}"));
        let reply = one(client.answer(&mut world, &question, answer));
        assert!(error_text(&reply).contains(named), "{answer}: {reply}");
    }
    world.quiesce();
}

/// The client's model and its roots, and what it says if it has none.
fn sample_and_roots() -> Server {
    asking()
        .tool("sample", "Sample", |(), call| -> mcp_rill::Result<_> {
            Ok(match call.sample("s", "Hi")? {
                ClientAnswer::Given(sampled) => sampled.text(),
                ClientAnswer::Unavailable(why) => format!("unavailable: {why}"),
            })
        })
        .tool("roots", "Roots", |(), call| -> mcp_rill::Result<_> {
            Ok(match call.roots("r")? {
                ClientAnswer::Given(roots) => roots.len().to_string(),
                ClientAnswer::Unavailable(why) => format!("unavailable: {why}"),
            })
        })
}

#[test]
fn that_a_client_cannot_be_asked_is_a_value() {
    let mut world = World::new(sample_and_roots());
    let nothing = Client::new(&mut world, "2025-11-25", "{}");
    for (tool, can) in [
        ("ask", "show forms (elicitation)"),
        ("sample", "ask its model (sampling)"),
        ("roots", "list its roots (roots)"),
    ] {
        let reply = nothing.ask(&mut world, &call(1, tool, "{}"));
        let says = format!("unavailable: this needs a client that can {can}, and this one cannot");
        assert_eq!((text(&reply), reply["result"].get("isError")), (&*says, None));
    }
    // Elicitation came with 2025-06-18, whatever a client declares.
    let old = Client::new(&mut world, "2025-03-26", ALL);
    assert!(text(&old.ask(&mut world, &call(1, "ask", "{}"))).contains("show forms (elicitation)"));
    assert_eq!(old.ask(&mut world, &call(2, "roots", "{}"))["method"], "roots/list");
}

#[test]
fn a_handler_that_needs_an_answer_fails_for_a_client_that_cannot_be_asked() {
    let needs = |(): (), call: &mut Call| -> mcp_rill::Result<String> {
        let name = call.elicit::<Name>("name", "Who?")?.required()?.accepted();
        Ok(name.map_or("nobody".to_owned(), |Name { name }| name))
    };
    let server = Server::new("needs", "1")
        .tool("needs", "Need a name", needs)
        .prompt("needs", "Need a name", needs)
        .tool("own", "With a type of error", |(), call| -> Result<usize, CallError> {
            Ok(call.roots("r")?.required()?.len())
        });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", "{}");
    let says = "this needs a client that can show forms (elicitation), and this one cannot";
    assert_eq!(error_text(&client.ask(&mut world, &call(1, "needs", "{}"))), says);
    let reply = client.ask(&mut world, &request(2, "prompts/get", r#"{"name":"needs"}"#));
    assert_eq!(reply["error"], json!({ "code": -32603, "message": format!("Internal error: {says}") }));
    assert!(error_text(&client.ask(&mut world, &call(3, "own", "{}"))).contains("list its roots (roots)"));
    let able = Client::new(&mut world, "2025-11-25", ALL);
    let question = able.ask(&mut world, &call(1, "needs", "{}"));
    assert_eq!(text(&one(able.answer(&mut world, &question, r#"{"action":"decline"}"#))), "nobody");
}

#[test]
fn a_client_that_never_initialized_is_asked_to_find_out() {
    let mut world = World::new(sample_and_roots());
    let client = Client::silent(&mut world);
    // These two say that it does not know the question, so that nobody has seen it.
    for (code, message) in [(-32601, "Method not found"), (-32602, "no form")] {
        let question = client.ask(&mut world, &call(1, "ask", "{}"));
        let error = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        let reply = one(client.refuse(&mut world, &question, &error));
        let says = format!("unavailable: the client refused `name` (elicitation/create): {message} ({code})");
        assert_eq!(text(&reply), says);
    }
    // After any other the user may have seen it, and that is no inability: the call ends.
    for code in [-32603, -1, 1] {
        let question = client.ask(&mut world, &call(1, "ask", "{}"));
        let reply =
            one(client.refuse(&mut world, &question, &format!(r#"{{"code":{code},"message":"no"}}"#)));
        let says = format!("the client refused `name` (elicitation/create): no ({code})");
        assert_eq!(error_text(&reply), says);
    }
    for (tool, method) in [("sample", "`s` (sampling/createMessage)"), ("roots", "`r` (roots/list)")] {
        let question = client.ask(&mut world, &call(1, tool, "{}"));
        let reply = one(client.refuse(&mut world, &question, r#"{"code":-1,"message":"no"}"#));
        assert_eq!(text(&reply), format!("unavailable: the client refused {method}: no (-1)"));
    }
    let question = client.ask(&mut world, &call(2, "ask", "{}"));
    let reply = one(client.answer(&mut world, &question, r#"{"action":"accept","content":{"name":"x"}}"#));
    assert_eq!(text(&reply), "hello x");
}

#[test]
fn no_answer_in_time_is_no_consent_and_the_client_hears_that_it_need_not_answer() {
    let mut world = World::new(sample_and_roots());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (tool, says) in [
        ("ask", "cancelled"),
        ("sample", "unavailable: the client did not answer `s` (sampling/createMessage) in time"),
        ("roots", "unavailable: the client did not answer `r` (roots/list) in time"),
    ] {
        let stray = world.stats().stray_answers;
        let question = client.ask(&mut world, &call(1, tool, "{}"));
        world.advance(Limits::DEFAULT.question_timeout - Duration::from_millis(1));
        assert!(client.hear(&mut world).is_empty());
        world.advance(Duration::from_millis(1));
        let [cancelled, reply] = client.hear(&mut world).try_into().unwrap();
        assert_eq!(cancelled["method"], "notifications/cancelled");
        assert_eq!(cancelled["params"]["requestId"], question["id"]);
        assert_eq!((text(&reply), reply["result"].get("isError")), (says, None));
        // An answer that comes now is nobody's.
        let heard = client.answer(&mut world, &question, r#"{"action":"cancel"}"#);
        assert!(heard.is_empty() && world.stats().stray_answers == stray + 1);
        assert_eq!((world.stats().calls, world.stats().sessions), (0, 1));
    }
    world.advance(Duration::from_secs(60));
    world.quiesce();
}

#[test]
fn several_questions_go_out_in_one_round_and_all_answers_are_awaited() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let server = Server::new("both", "1").tool("both", "Ask twice", move |(), call| -> mcp_rill::Result<_> {
        counted.fetch_add(1, Ordering::Relaxed);
        let (name, roots) = (call.elicit::<Name>("name", "Who?"), call.roots("roots"));
        let (name, roots) = (name?, roots?.required()?);
        Ok(format!("{} {}", name.accepted().ok_or("nobody")?.name, roots.len()))
    });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let [name, roots] = client.say(&mut world, &call(1, "both", "{}")).try_into().unwrap();
    assert_eq!((&name["method"], &roots["method"]), (&json!("elicitation/create"), &json!("roots/list")));
    // In the other order.
    assert!(client.answer(&mut world, &roots, r#"{"roots":[]}"#).is_empty());
    let reply = one(client.answer(&mut world, &name, r#"{"action":"accept","content":{"name":"Ada"}}"#));
    assert_eq!((text(&reply), runs.load(Ordering::Relaxed)), ("Ada 0", 2));
}

schema! { struct Rounds { rounds: usize } }

fn chain() -> Server {
    Server::new("chain", "1").tool(
        "chain",
        "Ask again",
        |Rounds { rounds }: Rounds, call| -> mcp_rill::Result<_> {
            let mut all = String::new();
            for round in 0..rounds {
                let name = call.elicit::<Name>(&format!("q{round}"), &format!("{round}: {all}"))?;
                all.push_str(&name.accepted().ok_or("no")?.name);
            }
            Ok(all)
        },
    )
}

#[test]
fn a_question_may_depend_on_the_answer_before_up_to_the_limit_of_rounds() {
    let mut world = World::new(chain().limits(Limits { rounds_max: 3, ..Limits::DEFAULT }));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for (rounds, works) in [(3, true), (4, false)] {
        let mut heard = client.ask(&mut world, &call(1, "chain", &format!(r#"{{"rounds":{rounds}}}"#)));
        for round in 0..3 {
            assert_eq!(heard["params"]["message"], format!("{round}: {}", &"012"[..round]));
            let answer = format!(r#"{{"action":"accept","content":{{"name":"{round}"}}}}"#);
            heard = one(client.answer(&mut world, &heard, &answer));
        }
        match works {
            true => assert_eq!(text(&heard), "012"),
            false => assert!(error_text(&heard).contains("rounds_max"), "{heard}"),
        }
    }
    assert_eq!(world.stats().calls, 0);
}

/// A server that does the same in an inline tool, a blocking tool, a prompt, a resource and a template; and how often.
fn everywhere() -> (Server, Arc<AtomicU32>) {
    let effects = Arc::new(AtomicU32::new(0));
    let work = {
        let effects = effects.clone();
        move |call: &mut Call| -> mcp_rill::Result<String> {
            call.log(mcp_rill::Level::Warning, "before");
            let number: u32 = call.once("effect", || effects.fetch_add(1, Ordering::Relaxed) + 1)?;
            let hello = ask_name(call)?;
            call.log(mcp_rill::Level::Warning, "between");
            let sure = call.elicit::<Sure>("sure", &hello)?.accepted().is_some_and(|Sure { sure }| sure);
            call.log(mcp_rill::Level::Warning, "after");
            Ok(format!("{hello} {sure} {number}"))
        }
    };
    let [inline, blocking, prompt, resource, template] = std::array::from_fn(|_| work.clone());
    let server = Server::new("all", "1")
        .tool("inline", "Ask", move |(), call| inline(call))
        .blocking_tool("blocking", "Ask", move |(), call| blocking(call))
        .prompt("prompt", "Ask", move |(), call| prompt(call))
        .resource("all:///one", "one", move |call| resource(call))
        .template("all:///many/{n}", "many", move |_, call| template(call));
    (server, effects)
}

#[test]
fn questions_are_asked_from_every_kind_of_handler_and_nothing_is_said_or_done_twice() {
    let (server, effects) = everywhere();
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let requests = [
        call(1, "inline", "{}"),
        call(1, "blocking", "{}"),
        request(1, "prompts/get", r#"{"name":"prompt"}"#),
        request(1, "resources/read", r#"{"uri":"all:///one"}"#),
        request(1, "resources/read", r#"{"uri":"all:///many/7"}"#),
    ];
    for (n, body) in requests.iter().enumerate() {
        let log = |frame: &serde_json::Value, said: &str| {
            assert_eq!(
                (&frame["method"], &frame["params"]["data"]),
                (&json!("notifications/message"), &json!(said))
            );
        };
        let next = |world: &mut World, early: Vec<serde_json::Value>| {
            let mut all = early;
            while all.len() < 2 {
                let left = 2 - all.len();
                all.extend(pool.heard(world, &client, left));
            }
            let pair: [_; 2] = all.try_into().unwrap();
            pair
        };
        let early = client.say(&mut world, body);
        let [before, question] = next(&mut world, early);
        log(&before, "before");
        let early = client.answer(&mut world, &question, r#"{"action":"accept","content":{"name":"Ada"}}"#);
        let [between, question] = next(&mut world, early);
        log(&between, "between");
        assert_eq!(question["params"]["message"], "hello Ada", "{body}");
        let early = client.answer(&mut world, &question, r#"{"action":"accept","content":{"sure":true}}"#);
        let [after, reply] = next(&mut world, early);
        log(&after, "after");
        let expected = format!("hello Ada true {}", n + 1);
        assert!(reply["result"].to_string().contains(&expected), "{body}: {reply}");
    }
    assert_eq!(effects.load(Ordering::Relaxed), 5, "once each");
    world.quiesce();
}

#[test]
fn a_refusal_from_a_prompt_or_resource_is_an_error_of_the_request() {
    let (server, _) = everywhere();
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    for body in [
        request(1, "prompts/get", r#"{"name":"prompt"}"#),
        request(1, "resources/read", r#"{"uri":"all:///one"}"#),
    ] {
        let question = client.say(&mut world, &body).pop().unwrap();
        let reply = one(client.refuse(&mut world, &question, r#"{"code":-1,"message":"no user"}"#));
        assert_eq!(reply["error"]["code"], -32603, "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains("no user"), "{reply}");
    }
}

#[test]
fn only_the_session_that_was_asked_can_answer() {
    let mut world = World::new(asking());
    let (one_client, other) =
        (Client::new(&mut world, "2025-11-25", ALL), Client::new(&mut world, "2025-11-25", ALL));
    let question = one_client.ask(&mut world, &call(1, "ask", "{}"));
    let accept = r#"{"action":"accept","content":{"name":"Eve"}}"#;
    assert!(other.answer(&mut world, &question, accept).is_empty());
    for id in [json!("01"), json!(99), json!(0), json!(-1)] {
        assert!(one_client.answer(&mut world, &json!({ "id": id }), accept).is_empty());
    }
    one_client.tell(&mut world, r#"{"jsonrpc":"2.0","error":{"code":1,"message":"no id"}}"#);
    assert_eq!(world.stats().stray_answers, 6);
    let reply = one(one_client.answer(&mut world, &question, r#"{"action":"decline"}"#));
    assert_eq!(text(&reply), "declined");
    // The same answer again is nobody's.
    assert!(one_client.answer(&mut world, &question, accept).is_empty());
    assert_eq!(world.stats().stray_answers, 7);
}

#[test]
fn pending_questions_fill_the_slots_and_answers_free_them() {
    let limits = Limits { calls_max: 3, ..Limits::DEFAULT };
    let mut world = World::new(asking().limits(limits));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let questions: Vec<_> = (1..=3).map(|id| client.ask(&mut world, &call(id, "ask", "{}"))).collect();
    let busy = client.ask(&mut world, &call(4, "ask", "{}"));
    assert_eq!((&busy["id"], &busy["error"]["code"]), (&json!(4), &json!(-32000)));
    assert!(busy["error"]["message"].as_str().unwrap().contains("calls_max"));
    assert_eq!((world.stats().busy, world.stats().calls), (1, 3));
    // A ping needs no slot, and notifications are taken.
    assert_eq!(client.ask(&mut world, &ping(5))["result"], json!({}));
    let heard = client.cancel(&mut world, "2");
    assert_eq!(one(heard)["params"]["requestId"], questions[1]["id"]);
    let question = client.ask(&mut world, &call(6, "ask", "{}"));
    for question in [&questions[0], &questions[2], &question] {
        assert_eq!(text(&one(client.answer(&mut world, question, r#"{"action":"decline"}"#))), "declined");
    }
    assert_eq!(world.stats().calls, 0);
    client.ask(&mut world, &call(7, "ask", "{}"));
}

#[test]
fn a_request_whose_id_is_in_flight_is_refused_before_the_stream_hears_of_it() {
    let mut world = World::new(asking());
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &call(1, "ask", "{}"));
    let response = client.post(&mut world, &ping(1));
    assert_eq!(response.status, 400);
    assert!(response.text().contains("in flight"), "{}", response.text());
    assert!(client.hear(&mut world).is_empty());
    // "1" is another id.
    assert_eq!(client.ask(&mut world, &ping("\"1\""))["id"], "1");
    client.answer(&mut world, &question, r#"{"action":"decline"}"#);
    assert_eq!(client.ask(&mut world, &ping(1))["id"], 1);
}

#[test]
fn a_question_that_is_too_long_for_a_message_is_an_error_at_once() {
    let server = Server::new("long", "1").tool("long", "Ask", |(), call| -> mcp_rill::Result<_> {
        call.elicit::<Sure>("sure", &"x".repeat(2000))?;
        Ok("never")
    });
    let limits = Limits { message_bytes_max: 1500, page_bytes_max: 1000, ..Limits::DEFAULT };
    let mut world = World::new(server.limits(limits));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = client.ask(&mut world, &call(1, "long", "{}"));
    assert!(error_text(&reply).contains("message_bytes_max"), "{reply}");
    world.quiesce();
}

#[test]
fn a_shutdown_waits_for_no_answer_and_begins_nothing_for_want_of_one() {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let mut world = World::new(Server::new("asking", "1").tool("ask", "Ask", move |(), call| {
        counted.fetch_add(1, Ordering::Relaxed);
        ask_name(call)
    }));
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let question = client.ask(&mut world, &call(7, "ask", "{}"));
    world.shutdown(Duration::from_secs(10));
    let heard = client.hear(&mut world);
    assert_eq!(heard[0]["params"]["requestId"], question["id"]);
    assert_eq!(error_text(&heard[1]), "the client did not answer `name` before the server shut down");
    assert!(world.ended(client.stream.sock));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_asked_during_a_shutdown_is_not_sent() {
    let gate = Arc::new(Barrier::new(2));
    let held = gate.clone();
    let server = Server::new("slow", "1").blocking_tool("ask", "Ask", move |(), call| {
        held.wait();
        ask_name(call)
    });
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    client.tell(&mut world, &call(7, "ask", "{}"));
    pool.turn(&mut world);
    world.shutdown(Duration::from_secs(10));
    gate.wait();
    let reply = one(pool.heard(&mut world, &client, 1));
    assert_eq!(error_text(&reply), "the server is shutting down, so its client cannot be asked");
}
