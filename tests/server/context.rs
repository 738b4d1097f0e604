//! What a handler knows of its request, also after a question and on another thread; structured results; many at once.

use std::collections::BTreeMap;
use std::sync::mpsc;
use std::time::Duration;

use mcp_rill::{Call, Elicited, Json, Limits, Reply, Server, Tool, ToolResult, schema};
use mcp_rill::{Peer, Principal};
use serde_json::{Value, json};

use crate::common::World;
use crate::common::http::{call, request};
use crate::common::questions::{ALL, Client, Pool, one, text};
use mcp_rill::testing::Random;

schema! { struct Name { name: String } }
schema! { struct Number { n: usize } }
schema! { struct Weather { temperature: f64, wind: Option<i64> { max 12 } } }

/// Everything, as one text.
fn known(call: &Call) -> String {
    let client = call.client().map(|client| format!("{} {}", client.name, client.version));
    let can = call.capabilities();
    [
        call.session_id().unwrap_or_default(),
        call.revision().to_string(),
        format!("{client:?}"),
        format!("{} {} {}", can.roots, can.sampling_tools, can.elicitation_url),
        format!("{:?} {}", call.peer().address, call.peer().loopback),
        format!("{:?}", call.principal().map(Principal::name)),
        format!("{:?} {:?} {:?}", call.header("x-trace"), call.header("HOST"), call.header("x-trac")),
        format!("{:?} {:?}", call.header("x-twice"), call.headers("x-twice").collect::<Vec<_>>()),
        format!("{:?} {:?}", call.meta().map(|meta| meta.text()), call.progress_token()),
        call.is_cancelled().to_string(),
    ]
    .join("|")
}

#[test]
fn a_handler_knows_its_request_in_every_run_and_on_every_thread() {
    let about = |call: &mut Call| -> mcp_rill::Result<String> {
        let first = known(call);
        call.elicit::<Name>("name", &first)?;
        Ok(format!("{first}|{:?}", call.timeout()))
    };
    let server = Server::new("who", "1").tool("inline", "Who", move |(), call| about(call)).blocking_tool(
        "blocking",
        "Who",
        move |(), call| about(call),
    );
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let peer = Peer {
        address: Some("127.0.0.1:5555".parse().unwrap()),
        loopback: true,
        unix: false,
        principal: Some(Principal::new("ada")),
    };
    let stream_sock = world.connect_as(peer.clone());
    let stream = world.open_sse_on(stream_sock, "/sse");
    let sock = world.connect_as(peer);
    let client = Client::on(stream, sock);
    client.initialize(&mut world, "2025-11-25", ALL);
    for (tool, deadline) in [("inline", "None"), ("blocking", "Some(60s)")] {
        let meta = r#"{"progressToken": "p", "x": [1]}"#;
        let body = request(1, "tools/call", &format!(r#"{{"name":"{tool}","_meta":{meta}}}"#));
        let post = crate::common::http::post(&client.stream.endpoint, &body);
        world.send(
            sock,
            post.replace(
                "Host: localhost\r\n",
                "Host: localhost\r\nX-Trace: t 1\r\nX-Twice: 1\r\nX-Twice: 2\r\n",
            ),
        );
        assert_eq!(world.response(sock).status, 202);
        let question = match client.hear(&mut world).pop() {
            Some(question) => question,
            None => one(pool.heard(&mut world, &client, 1)),
        };
        let expected = [
            client.stream.id(),
            "2025-11-25",
            r#"Some("tester 9")"#,
            "true true true",
            "Some(127.0.0.1:5555) true",
            r#"Some("ada")"#,
            r#"Some("t 1") Some("localhost") None"#,
            r#"None ["1", "2"]"#,
            r#"Some("{\"progressToken\": \"p\", \"x\": [1]}") Some("\"p\"")"#,
            "false",
        ]
        .join("|");
        assert_eq!(question["params"]["message"], expected);
        let reply = match client.answer(&mut world, &question, r#"{"action":"cancel"}"#).pop() {
            Some(reply) => reply,
            None => one(pool.heard(&mut world, &client, 1)),
        };
        assert_eq!(text(&reply), format!("{expected}|{deadline}"));
    }
    world.quiesce();
}

#[test]
fn a_stranger_can_answer_no_question_of_anothers_session() {
    let server = Server::new("ask", "1").tool("ask", "Ask", |(), call| -> mcp_rill::Result<_> {
        call.elicit::<Name>("name", "Who?")?;
        Ok("asked")
    });
    let mut world = World::new(server);
    let ada = world.connect_as(crate::common::principal("ada"));
    let stream = world.open_sse_on(ada, "/sse");
    let own = world.connect_as(crate::common::principal("ada"));
    let client = Client::on(stream, own);
    let question = client.ask(&mut world, &call(1, "ask", "{}"));
    let eve = world.connect_as(crate::common::principal("eve"));
    let answer = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{{"action":"cancel"}}}}"#, question["id"]);
    let response = world.post(eve, &client.stream.endpoint, &answer);
    assert_eq!((response.status, response.text()), (400, "No transport found for sessionId"));
    assert_eq!(text(&one(client.answer(&mut world, &question, r#"{"action":"cancel"}"#))), "asked");
}

#[test]
fn a_session_without_initialize_speaks_the_revision_of_its_header() {
    let server = Server::new("who", "1").tool("who", "Who", |(), call| {
        format!("{} {:?} {:?}", call.revision(), call.client(), call.capabilities().sampling)
    });
    let mut world = World::new(server);
    let client = Client::silent(&mut world);
    let sock = world.connect();
    let post = crate::common::http::post(&client.stream.endpoint, &call(1, "who", "{}"));
    world.send(sock, post.replace("Host:", "MCP-Protocol-Version: 2025-03-26\r\nHost:"));
    assert_eq!(text(&one(client.hear(&mut world))), "2025-03-26 None false");
}

#[test]
fn a_long_name_of_a_client_is_cut_by_bytes() {
    let server = Server::new("who", "1")
        .tool("who", "Who", |(), call| call.client().map_or(0, |client| client.name.len()));
    let mut world = World::new(server);
    let client = Client::silent(&mut world);
    let info = format!(r#"{{"name":"{}","version":"1"}}"#, "€".repeat(100_000));
    let params = format!(r#"{{"protocolVersion":"2025-11-25","capabilities":{{}},"clientInfo":{info}}}"#);
    client.ask(&mut world, &request(1, "initialize", &params));
    assert_eq!(text(&client.ask(&mut world, &call(1, "who", "{}"))), "126");
}

#[test]
fn what_an_open_call_holds_counts_towards_the_budget() {
    let (jobs, queue) = mpsc::channel::<Reply>();
    let server = Server::new("hold", "1")
        .tool("hold", "Hold", move |_: Value, call| call.defer(|reply| jobs.send(reply)))
        .limits(Limits { id_bytes_max: 64 << 10, ..Limits::DEFAULT });
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let long = "x".repeat(50_000);
    let before = world.stats().buffered_bytes;
    let held = |world: &mut World, body: &str, header: &str| {
        let sock = world.connect();
        let post = crate::common::http::post(&client.stream.endpoint, body);
        world.send(sock, post.replace("Host:", &format!("{header}Host:")));
        assert_eq!(world.response(sock).status, 202);
        let held = world.stats().buffered_bytes - before;
        drop(queue.recv().unwrap());
        world.advance(Duration::from_millis(1));
        assert_eq!((client.hear(world).len(), world.stats().buffered_bytes), (1, before));
        held
    };
    let none = held(&mut world, &call(1, "hold", "{}"), "");
    assert!(none < 2000, "{none}");
    assert!(held(&mut world, &call(1, "hold", &format!(r#"{{"a":"{long}"}}"#)), "") > 50_000, "arguments");
    assert!(held(&mut world, &call(format!("\"{long}\""), "hold", "{}"), "") > 50_000, "the id");
    let meta = request(1, "tools/call", &format!(r#"{{"name":"hold","_meta":{{"m":"{long}"}}}}"#));
    assert!(held(&mut world, &meta, "") > 50_000, "_meta");
    let header = format!("X-Long: {}\r\n", "h".repeat(9_000));
    assert!(held(&mut world, &call(1, "hold", "{}"), &header) > 9_000, "headers");
}

#[test]
fn a_structured_result_that_breaks_its_schema_is_an_error() {
    let schema = r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
    let structured = |json: &'static str| move |(): (), _: &mut Call| ToolResult::text("x").structured(json);
    let server = Server::new("typed", "1")
        .offer(Tool::new("right", "Right").output_schema(schema).handler(structured(r#"{"n":1}"#)))
        .offer(Tool::new("wrong", "Wrong").output_schema(schema).handler(structured(r#"{"n":"1"}"#)))
        .offer(Tool::new("missing", "Missing").output_schema(schema).handler(|(), _| "only text"))
        .offer(
            Tool::new("failed", "Failed")
                .output_schema(schema)
                .handler(|(), _| -> mcp_rill::Result<&str> { Err("no".into()) }),
        )
        .tool("high", "Too much", |(), _| Json(Weather { temperature: 1.0, wind: Some(13) }));
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    let reply = client.ask(&mut world, &call(1, "right", "{}"));
    assert_eq!(reply["result"]["structuredContent"], json!({ "n": 1 }));
    for (tool, named) in
        [("wrong", "`n` is \"1\""), ("high", "`wind` is 13"), ("missing", "no structured content")]
    {
        let reply = client.ask(&mut world, &call(1, tool, "{}"));
        assert_eq!(reply["error"]["code"], -32603, "{reply}");
        assert!(reply["error"]["message"].as_str().unwrap().contains(named), "{reply}");
    }
    let reply = client.ask(&mut world, &call(1, "failed", "{}"));
    assert_eq!(reply["result"]["isError"], true, "an error needs no structure: {reply}");
}

/// Brings a list into an order that is the same every time.
fn shuffle<T>(list: &mut [T], seed: u64) {
    let mut random = Random::new(seed);
    for at in (1..list.len()).rev() {
        list.swap(at, random.below(at + 1));
    }
}

#[test]
fn of_64_sessions_with_everything_open_nothing_is_lost_or_crossed() {
    const SESSIONS: usize = 64;
    for seed in 1..=5 {
        let (jobs, queue) = mpsc::channel();
        let server = Server::new("busy", "1")
            .tool("work", "Work", move |Number { n }: Number, call| call.defer(|reply| jobs.send((n, reply))))
            .tool("ask", "Ask", |Number { n }: Number, call| -> mcp_rill::Result<_> {
                Ok(match call.elicit::<Name>("name", &n.to_string())? {
                    Elicited::Accepted(Name { name }) => format!("{n} {name}"),
                    _ => "nobody".to_owned(),
                })
            })
            .template("busy:///{n}", "n", |vars, _| vars.get("n").unwrap_or_default().to_owned());
        let mut world = World::new(server.limits(Limits { sessions_max: SESSIONS, ..Limits::DEFAULT }));
        let clients: Vec<Client> =
            (0..SESSIONS).map(|_| Client::new(&mut world, "2025-11-25", ALL)).collect();
        let mut questions = BTreeMap::new();
        for (n, client) in clients.iter().enumerate() {
            let uri = format!(r#"{{"uri":"busy:///{n}"}}"#);
            client.ask(&mut world, &request(1, "resources/subscribe", &uri));
            client.tell(&mut world, &call(2, "work", &format!(r#"{{"n":{n}}}"#)));
            let question = client.ask(&mut world, &call(3, "ask", &format!(r#"{{"n":{n}}}"#)));
            assert_eq!(question["params"]["message"], n.to_string());
            questions.insert(n, question);
        }
        assert_eq!(world.stats().calls, 2 * SESSIONS);
        let mut replies: BTreeMap<usize, Reply> = queue.try_iter().collect();
        let mut steps: Vec<(usize, usize)> = (0..3 * SESSIONS).map(|step| (step / 3, step % 3)).collect();
        shuffle(&mut steps, seed);
        let handle = world.engine.handle();
        let mut heard: Vec<Vec<Value>> = vec![Vec::new(); SESSIONS];
        for (n, step) in steps {
            match step {
                0 => handle.resource_updated(&format!("busy:///{n}")),
                1 => replies.remove(&n).unwrap().finish(n.to_string()),
                _ => {
                    let answer = format!(r#"{{"action":"accept","content":{{"name":"n{n}"}}}}"#);
                    heard[n].extend(clients[n].answer(&mut world, &questions[&n], &answer));
                }
            }
            // Some turns take up several things.
            if n % 3 == 0 {
                world.advance(Duration::from_millis(1));
            }
        }
        world.advance(Duration::from_millis(1));
        for (n, client) in clients.iter().enumerate() {
            heard[n].extend(client.hear(&mut world));
            heard[n].sort_by_key(|frame| frame["id"].as_i64().unwrap_or(0));
            let [updated, worked, asked] = &heard[n][..] else { panic!("{n}: {:?}", heard[n]) };
            assert_eq!(updated["params"], json!({ "uri": format!("busy:///{n}") }));
            assert_eq!((&worked["id"], text(worked)), (&json!(2), &*n.to_string()));
            assert_eq!((&asked["id"], text(asked)), (&json!(3), &*format!("{n} n{n}")));
        }
        let stats = world.stats();
        assert_eq!((stats.calls, stats.late, stats.stray_answers, stats.busy), (0, 0, 0, 0));
        world.quiesce();
    }
}
