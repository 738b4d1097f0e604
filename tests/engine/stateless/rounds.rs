//! Questions in results, and their answers in the next request.

use std::time::Duration;

use mcp_rill::{CallError, Elicited, Level, Limits, Server, StateKey, schema};
use serde_json::{Value, json};

use super::clients::{Request, accepted, call, request};
use crate::common::{Seen, World, demo, principal};

schema! { struct Name { name: String } }
schema! { struct Color { color: String } }

const S: Duration = Duration::from_secs(1);

fn server() -> Server {
    let mut runs = 0;
    demo::streaming(demo::server())
        .tool("hello", "Greet", |(), call| -> mcp_rill::Result<String> {
            match call.elicit::<Name>("user", "What is your name?")? {
                Elicited::Accepted(Name { name }) => Ok(format!("Hello, {name}!")),
                Elicited::Declined => Ok("declined".to_owned()),
                Elicited::Cancelled => Ok("cancelled".to_owned()),
                Elicited::Unavailable(why) => Ok(format!("unavailable: {why}")),
            }
        })
        .tool("two", "Ask twice", move |(), call| -> mcp_rill::Result<String> {
            runs += 1;
            call.log(Level::Info, "before");
            let order = call.once("order", || runs)?;
            let name = call.elicit::<Name>("step1", "Name?")?.accepted().map_or_else(String::new, |n| n.name);
            call.log(Level::Info, "between");
            let color =
                call.elicit::<Color>("step2", "Color?")?.accepted().map_or_else(String::new, |c| c.color);
            Ok(format!("{order}: {name} {color}"))
        })
        .tool("three", "Ask three things at once", |(), call| -> mcp_rill::Result<String> {
            let name = call.elicit::<Name>("name", "Name?");
            let (said, roots) = (call.sample("said", "Say something"), call.roots("roots"));
            let (name, said, roots) = (name?.required()?, said?.required()?, roots?.required()?);
            Ok(format!("{:?} {} {}", name.accepted().map(|n| n.name), said.text(), roots.len()))
        })
        .tool("forever", "Ask again and again", |(), call| -> mcp_rill::Result<String> {
            (0..100).try_for_each(|n| call.roots(&format!("r{n}")).map(drop))?;
            Ok("at last".to_owned())
        })
        .tool("page", "Open a page", |(), call| -> Result<&'static str, CallError> {
            Ok(call
                .elicit_url("page", "Sign in", "https://example.com/")?
                .required()?
                .accepted()
                .map_or("no", |()| "yes"))
        })
        .prompt("who", "Who is it", |(), call| -> mcp_rill::Result<String> {
            let name = call.elicit::<Name>("user", "Who?")?.accepted().map_or_else(String::new, |n| n.name);
            Ok(format!("It is {name}."))
        })
        .resource("ask:///name", "name", |call| -> mcp_rill::Result<String> {
            Ok(call.elicit::<Name>("user", "Who?")?.accepted().map_or_else(String::new, |n| n.name))
        })
}

fn world() -> World {
    World::new(server())
}

fn text(reply: &Value) -> &str {
    reply["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{reply}"))
}

fn hello() -> Request {
    call(1, "hello", json!({}))
}

fn asked(reply: &Value) -> Vec<String> {
    assert_eq!(reply["result"]["resultType"], "input_required", "{reply}");
    reply["result"]["inputRequests"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_question_travels_in_the_result() {
    let mut world = world();
    let first = hello().reply(&mut world);
    assert_eq!(asked(&first), ["user"]);
    let question = &first["result"]["inputRequests"]["user"];
    assert_eq!(question.as_object().unwrap().len(), 2);
    assert_eq!(
        (&question["method"], &question["params"]["message"]),
        (&json!("elicitation/create"), &json!("What is your name?"))
    );
    assert_eq!(question["params"]["requestedSchema"]["required"], json!(["name"]));
    assert_eq!(first["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "demo");
    assert!(first["result"].get("ttlMs").is_none());
    // Nothing of it is kept here.
    let stats = world.stats();
    assert_eq!((stats.calls, stats.sessions, stats.buffered_bytes), (0, 0, 0));

    let mut second = hello().answered(&first, json!({"user": accepted(json!({"name": "Ada"}))}));
    second.body["id"] = json!("another");
    let done = second.reply(&mut world);
    assert_eq!((text(&done), &done["result"]["resultType"]), ("Hello, Ada!", &json!("complete")));
    // The same again is answered again.
    assert_eq!(text(&second.reply(&mut world)), "Hello, Ada!");
    for (action, says) in [("decline", "declined"), ("cancel", "cancelled")] {
        let answer = hello().answered(&first, json!({"user": {"action": action}}));
        assert_eq!(text(&answer.reply(&mut world)), says);
    }
    world.quiesce();
}

#[test]
fn all_three_methods_can_ask() {
    let mut world = world();
    let name = || json!({"user": accepted(json!({"name": "Ada"}))});
    let prompt = request(1, "prompts/get", json!({"name": "who"}));
    let first = prompt.reply(&mut world);
    assert_eq!(asked(&first), ["user"]);
    let done = prompt.answered(&first, name()).reply(&mut world);
    assert_eq!(done["result"]["messages"][0]["content"]["text"], "It is Ada.");
    let resource = request(1, "resources/read", json!({"uri": "ask:///name"}));
    let first = resource.reply(&mut world);
    assert_eq!(asked(&first), ["user"]);
    let done = resource.answered(&first, name()).reply(&mut world);
    assert_eq!(
        (&done["result"]["contents"][0]["text"], &done["result"]["ttlMs"]),
        (&json!("Ada"), &json!(0))
    );
}

#[test]
fn several_rounds_remember_what_was_said() {
    let mut world = world();
    let level = "io.modelcontextprotocol/logLevel";
    let two = || call(1, "two", json!({})).meta(level, "info");
    let mut logs = Vec::new();
    let mut round = |world: &mut World, request: Request| {
        let mut messages = request.response(world).messages();
        let reply = messages.pop().unwrap();
        logs.extend(messages.iter().map(|message| message["params"]["data"].as_str().unwrap().to_owned()));
        reply
    };
    let first = round(&mut world, two());
    assert_eq!(asked(&first), ["step1"]);
    let second =
        round(&mut world, two().answered(&first, json!({"step1": accepted(json!({"name": "Ada"}))})));
    assert_eq!(asked(&second), ["step2"]);
    assert_ne!(first["result"]["requestState"], second["result"]["requestState"]);
    let third =
        round(&mut world, two().answered(&second, json!({"step2": accepted(json!({"color": "red"}))})));
    // `once` gave its value in the first run, and each log was sent once.
    assert_eq!(text(&third), "1: Ada red");
    assert_eq!(logs, ["before", "between"]);
    let other = two().reply_of(&mut world);
    assert_eq!(asked(&other), ["step1"]);
}

impl Request {
    fn reply_of(&self, world: &mut World) -> Value {
        self.response(world).messages().pop().unwrap()
    }
}

#[test]
fn what_is_missing_is_asked_again() {
    let mut world = world();
    let three = || call(1, "three", json!({}));
    let first = three().reply(&mut world);
    assert_eq!(asked(&first), ["name", "roots", "said"]);
    assert_eq!(first["result"]["inputRequests"]["roots"], json!({"method": "roots/list", "params": {}}));
    let some =
        three().answered(&first, json!({"roots": {"roots": [{"uri": "file:///a"}]}, "other": {"a": 1}}));
    let second = some.reply(&mut world);
    assert_eq!(asked(&second), ["name", "said"]);
    let rest = json!({
        "name": accepted(json!({"name": "Ada"})),
        "said": {"role": "assistant", "model": "m", "content": {"type": "text", "text": "hm"}},
    });
    let third = three().answered(&second, rest).reply(&mut world);
    assert_eq!(text(&third), "Some(\"Ada\") hm 1");
    // What nobody asked for in this round is no answer: not without a state, not in place of one given before.
    let unasked = three().param("inputResponses", json!({"roots": {"roots": []}}));
    assert_eq!(asked(&unasked.reply(&mut world)).len(), 3);
    let again = three().answered(&second, json!({"roots": {"roots": []}}));
    assert_eq!(asked(&again.reply(&mut world)), ["name", "said"]);
}

#[test]
fn answers_that_are_none() {
    let mut world = world();
    let first = hello().reply(&mut world);
    for responses in [json!(7), json!([]), json!({"user": 7}), json!({"user": "Ada"})] {
        let reply = hello().answered(&first, responses.clone()).reply(&mut world);
        assert_eq!(reply["error"]["code"], -32602, "{responses}: {reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains("inputResponses"), "{reply}");
    }
    // None that is there: it is asked for again.
    for responses in [Value::Null, json!({"user": null})] {
        let reply = hello().answered(&first, responses).reply(&mut world);
        assert_eq!(asked(&reply), asked(&first), "{reply}");
    }
    for response in [json!({}), json!({"action": "perhaps"}), accepted(json!({"name": 7}))] {
        let reply = hello().answered(&first, json!({"user": response})).reply(&mut world);
        assert_eq!(reply["result"]["isError"], true, "{reply}");
    }
}

fn assert_refused(reply: &Value, says: &str) {
    assert_eq!(reply["error"]["code"], -32602, "{reply}");
    assert!(reply["error"]["message"].as_str().unwrap().contains(says), "{reply}");
}

#[test]
fn a_state_that_is_not_ours_for_this() {
    let mut world = world();
    let answer = || json!({"user": accepted(json!({"name": "Ada"}))});
    let first = hello().reply(&mut world);
    let state = first["result"]["requestState"].as_str().unwrap().to_owned();
    let swapped = if state.starts_with('A') { "B" } else { "A" };
    for forged in
        [swapped.to_owned() + &state[1..], state[..state.len() - 4].to_owned(), String::new(), "x".to_owned()]
    {
        let forged = hello().param("requestState", forged).param("inputResponses", answer());
        assert_refused(&forged.reply(&mut world), "not what this server sent");
    }
    assert_refused(&hello().param("requestState", 7).reply(&mut world), "`requestState` must be a string");
    // Of another request.
    let other = call(1, "two", json!({})).answered(&first, answer());
    assert_refused(&other.reply(&mut world), "not what this server sent");
    let changed = call(1, "hello", json!({"x": 1})).answered(&first, answer());
    assert_refused(&changed.reply(&mut world), "not what this server sent");
    let prompt =
        request(1, "prompts/get", json!({"name": "hello", "arguments": {}})).answered(&first, answer());
    assert_refused(&prompt.reply(&mut world), "not what this server sent");
    // Of another principal.
    for (owner, thief) in [("ada", "bob"), ("bob", "ada")] {
        let (mine, theirs) = (world.connect_as(principal(owner)), world.connect_as(principal(thief)));
        world.send(mine, hello().text());
        let asked = world.response(mine).messages().remove(0);
        let answered = hello().answered(&asked, answer());
        world.send(theirs, answered.text());
        assert_refused(&world.response(theirs).messages()[0], "not what this server sent");
        assert_refused(&answered.reply(&mut world), "not what this server sent");
        world.send(mine, answered.text());
        assert_eq!(text(&world.response(mine).messages()[0]), "Hello, Ada!");
    }
    // Of another server.
    let stranger = World::new(server().state_key(StateKey::new([1; 16])));
    let reply = hello().answered(&first, answer()).reply(&mut { stranger });
    assert_refused(&reply, "not what this server sent");
}

/// `request_state_ttl`
#[test]
fn a_state_that_is_too_old() {
    let limits = Limits { request_state_ttl: 60 * S, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let first = hello().reply(&mut world);
    let answered = hello().answered(&first, json!({"user": accepted(json!({"name": "Ada"}))}));
    world.advance(60 * S);
    assert_eq!(text(&answered.reply(&mut world)), "Hello, Ada!");
    world.advance(S);
    assert_refused(&answered.reply(&mut world), "request_state_ttl");
}

#[test]
fn a_state_does_not_outlive_a_clock_that_is_set_back() {
    let limits = Limits { request_state_ttl: 60 * S, ..Limits::DEFAULT };
    let mut world = World::new(server().limits(limits));
    let first = hello().reply(&mut world);
    let answered = hello().answered(&first, json!({"user": accepted(json!({"name": "Ada"}))}));
    // The clocks of two servers may be a minute apart.
    world.now.unix -= 60 * S;
    assert_eq!(text(&answered.reply(&mut world)), "Hello, Ada!");
    world.now.unix -= S;
    assert_refused(&answered.reply(&mut world), "yet to come");
    world.now.unix += 121 * S;
    assert_eq!(text(&answered.reply(&mut world)), "Hello, Ada!");
    world.now.unix += S;
    assert_refused(&answered.reply(&mut world), "request_state_ttl");
}

#[test]
fn a_server_of_another_name_does_not_go_on() {
    let key = StateKey::new([7; 16]);
    let named = |name: &str| {
        Server::new(name, "1").tool("hello", "Greet", |(), call| -> mcp_rill::Result<String> {
            Ok(call.elicit::<Name>("user", "Who?")?.accepted().map_or_else(String::new, |n| n.name))
        })
    };
    // However the key came to the server.
    let mut set_later = World::new(named("a"));
    set_later.engine.handle().set_state_keys(key, None);
    set_later.jump(set_later.now.mono);
    for mut asking in [World::new(named("a").state_key(key)), set_later] {
        let first = hello().reply(&mut asking);
        let answered = hello().answered(&first, json!({"user": accepted(json!({"name": "Ada"}))}));
        let next = World::new(named("b").state_key(key));
        assert_refused(&answered.reply(&mut { next }), "not what this server sent");
        let rotated = World::new(named("b").state_key(StateKey::new([5; 16])).previous_state_key(key));
        assert_refused(&answered.reply(&mut { rotated }), "not what this server sent");
        let same = World::new(named("a").state_key(StateKey::new([5; 16])).previous_state_key(key));
        assert_eq!(text(&answered.reply(&mut { same })), "Ada");
    }
}

/// `rounds_max`, where there is no session
#[test]
fn rounds_are_counted_in_the_state() {
    let mut world = World::new(server().limits(Limits { rounds_max: 3, ..Limits::DEFAULT }));
    let forever = || call(1, "forever", json!({}));
    let mut reply = forever().reply(&mut world);
    for round in 0..3 {
        assert_eq!(asked(&reply), [format!("r{round}")]);
        let answers = json!({format!("r{round}"): {"roots": []}});
        reply = forever().answered(&reply, answers).reply(&mut world);
    }
    assert_eq!(reply["result"]["isError"], true);
    assert!(text(&reply).contains("rounds_max"), "{reply}");
}

#[test]
fn another_node_goes_on() {
    let key = || StateKey::read("000102030405060708090a0b0c0d0e0f").unwrap();
    let mut one = World::new(server().state_key(key()));
    let mut two = World::new(server().state_key(key()));
    let first = hello().reply(&mut one);
    let answered = hello().answered(&first, json!({"user": accepted(json!({"name": "Ada"}))}));
    assert_eq!(text(&answered.reply(&mut two)), "Hello, Ada!");
    let mut rotated = World::new(server().state_key(StateKey::new([5; 16])).previous_state_key(key()));
    assert_eq!(text(&answered.reply(&mut rotated)), "Hello, Ada!");
    let mut forgotten = World::new(server().state_key(StateKey::new([5; 16])));
    assert_refused(&answered.reply(&mut forgotten), "not what this server sent");
}

#[test]
fn only_what_was_declared_is_asked() {
    let mut world = world();
    let three = call(1, "three", json!({})).capabilities(json!({"sampling": {}, "roots": {}}));
    let response = three.response(&mut world);
    let error = &response.messages()[0]["error"];
    assert_eq!((response.status, &error["code"]), (400, &json!(-32021)));
    assert_eq!(error["data"], json!({"requiredCapabilities": {"elicitation": {"form": {}}}}));
    let page = || call(1, "page", json!({}));
    assert_eq!(page().response(&mut world).status, 400);
    let able = page().capabilities(json!({"elicitation": {"url": {}}}));
    let first = able.reply(&mut world);
    let params = &first["result"]["inputRequests"]["page"]["params"];
    assert_eq!(params, &json!({"mode": "url", "message": "Sign in", "url": "https://example.com/"}));
    let done = able.answered(&first, json!({"page": {"action": "accept"}})).reply(&mut world);
    assert_eq!(text(&done), "yes");
}

#[test]
fn an_answer_is_for_the_question_that_was_asked() {
    let (mut n, mut m) = (0, 0);
    let server = Server::new("keys", "1")
        .tool("varies", "Ask something else in each run", move |(), call| -> mcp_rill::Result<_> {
            n += 1;
            let answer = call.elicit::<Name>("name", &format!("Who is number {n}?"))?;
            Ok(answer.accepted().map_or_else(String::new, |Name { name }| name))
        })
        .tool("twice", "Ask two things under one key", |(), call| -> mcp_rill::Result<_> {
            let one = call.elicit::<Name>("name", "Who?")?.accepted().map_or_else(String::new, |n| n.name);
            let two =
                call.elicit::<Name>("name", "And who?")?.accepted().map_or_else(String::new, |n| n.name);
            Ok(one + &two)
        })
        .tool("later", "Take another value in the last run", move |(), call| -> mcp_rill::Result<_> {
            m += 1;
            if m < 3 {
                call.once("value", || 1u8)?;
            } else {
                call.once("value", || "one".to_owned())?;
            }
            call.elicit::<Name>("one", "One?")?;
            call.elicit::<Name>("two", "Two?")?;
            Ok("done")
        });
    let mut world = World::new(server);
    let wrong = |reply: &Value, key: &str| {
        let error = &reply["error"];
        assert_eq!(error["code"], -32603, "{reply}");
        assert!(error["message"].as_str().unwrap().contains(&format!("the key `{key}` ")), "{reply}");
    };
    for tool in ["varies", "twice"] {
        let first = call(1, tool, json!({})).reply(&mut world);
        let answers = json!({"name": accepted(json!({"name": "Ada"}))});
        wrong(&call(1, tool, json!({})).answered(&first, answers).reply(&mut world), "name");
    }
    // What was sealed two rounds ago is still for what it was.
    let mut reply = call(1, "later", json!({})).reply(&mut world);
    for key in ["one", "two"] {
        assert_eq!(asked(&reply), [key]);
        let answers = json!({key: accepted(json!({"name": "Ada"}))});
        reply = call(1, "later", json!({})).answered(&reply, answers).reply(&mut world);
    }
    wrong(&reply, "value");
}

#[test]
fn a_question_that_was_swallowed_is_not_asked() {
    let server = Server::new("lossy", "1").tool("delete", "Delete", |(), call| {
        call.elicit::<Name>("sure", "Sure?").map_or("deleted anyway", |_| "asked")
    });
    let mut world = World::new(server);
    let reply = call(1, "delete", json!({})).reply(&mut world);
    let message = reply["error"]["message"].as_str().unwrap();
    assert!(message.contains("the tool `delete` went on after its question `sure`"), "{reply}");
    assert_eq!(reply["error"]["code"], -32603);
    let reported = |event: &Seen| matches!(event, Seen::HandlerFault(problem) if message.contains(problem));
    assert_eq!(world.events().iter().filter(|event| reported(event)).count(), 1);
}

#[test]
fn that_a_client_cannot_be_asked_is_a_value() {
    let mut world = world();
    let reply = hello().capabilities(json!({"sampling": {}})).reply(&mut world);
    let says = "unavailable: this needs a client that can show forms (elicitation), and this one cannot";
    assert_eq!(text(&reply), says);
}

#[test]
fn a_client_that_takes_only_json_can_be_asked() {
    let mut world = world();
    let json_only = || hello().header("Accept", "application/json");
    let first = json_only().reply(&mut world);
    let done = json_only().answered(&first, json!({"user": accepted(json!({"name": "Ada"}))}));
    assert_eq!(text(&done.reply(&mut world)), "Hello, Ada!");
}
