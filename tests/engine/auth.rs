//! Who is let in, in memory: what transcripts do not show, because it takes hooks, time, or every route at once.

use std::sync::{Arc, Mutex};

use crate::common::http::{self, Response, call, ping, request};
use crate::common::{Cut, Seen, Sock, World, demo, local};
use mcp_rill::Principal;
use mcp_rill::{Denied, Limits, ProtectedResource, Server, Settings, Tokens};

const ADA: &str = "2a0f0b5e3c6d4a798f1e1d5c7b9a3e60";
const BOB: &str = "b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0";
const UNKNOWN: &str = "00000000-0000-4000-8000-0000000fffff";

/// A list of tokens that a test can exchange.
type List = Arc<Mutex<Tokens>>;

fn list() -> List {
    Arc::new(Mutex::new(Tokens::read(&format!("ada:{ADA}\nbob:{BOB}")).unwrap()))
}

fn server(list: &List) -> Server {
    let list = list.clone();
    demo::streaming(demo::server())
        .tool("principal", "Say who is asking", |(), call| {
            let of_call = call.principal().map(Principal::name);
            assert_eq!(of_call, call.peer().principal.as_ref().map(Principal::name));
            of_call.unwrap_or("nobody").to_owned()
        })
        .authorize(move |request| list.lock().unwrap().authorize(request))
}

fn world() -> World {
    World::new(server(&list()))
}

fn hello() -> String {
    let params =
        r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}"#;
    request(0, "initialize", params)
}

/// A request with a body, or an empty one, and these fields besides.
fn req(line: &str, fields: &[&str], body: &str) -> String {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = match body {
        "" => String::new(),
        body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
    };
    format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}{length}\r\n{body}")
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

fn open_sse(world: &mut World, token: &str) -> (Sock, String) {
    let sock = world.connect();
    world.send(sock, req("GET /sse", &[&bearer(token)], ""));
    let text = world.take_text(sock);
    let id = text.split("sessionId=").nth(1).unwrap_or_else(|| panic!("{text}"));
    (sock, id.trim_end().to_owned())
}

fn initialize(world: &mut World, sock: Sock, token: &str) -> String {
    world.send(sock, req("POST /mcp", &[&bearer(token)], &hello()));
    world.response(sock).header("Mcp-Session-Id").unwrap().to_owned()
}

fn ask(world: &mut World, sock: Sock, request: impl AsRef<[u8]>) -> Response {
    world.send(sock, request);
    world.response(sock)
}

/// Every route, and what is none, as method, path, session header and body.
fn routes(sse: &str, mcp: &str) -> Vec<(String, Option<String>, String)> {
    let mcp = || Some(mcp.to_owned());
    let line = |text: &str| text.to_owned();
    vec![
        (line("GET /sse"), None, String::new()),
        (format!("POST /messages?sessionId={sse}"), None, ping(1)),
        (line("POST /mcp"), None, hello()),
        (line("POST /mcp"), mcp(), ping(1)),
        (line("GET /mcp"), mcp(), String::new()),
        (line("DELETE /mcp"), mcp(), String::new()),
        (line("OPTIONS /mcp"), None, String::new()),
        (line("GET /nothing"), None, String::new()),
        (line("DELETE /sse"), None, String::new()),
        (line("OPTIONS *"), None, String::new()),
    ]
}

/// A request of revision 2026-07-28, which has no session.
fn alone(token: &str, method: &str, name: &str, params: &str) -> String {
    let meta = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
    let info = r#""io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"}"#;
    let body = request(1, method, &format!(r#"{{{params},"_meta":{{{meta},{info}}}}}"#));
    let (method, name) = (format!("Mcp-Method: {method}"), format!("Mcp-Name: {name}"));
    let fields = [&bearer(token), "MCP-Protocol-Version: 2026-07-28", &method, &name];
    let count = if name.ends_with(' ') { 3 } else { 4 };
    req("POST /mcp", &fields[..count], &body)
}

#[test]
fn a_request_without_a_session_has_its_own_principal() {
    let mut world = world();
    let sock = world.connect();
    let who = |token: &str| alone(token, "tools/call", "principal", r#""name":"principal","arguments":{}"#);
    for (token, name) in [(ADA, "ada"), (BOB, "bob"), (ADA, "ada")] {
        let response = ask(&mut world, sock, who(token));
        assert_eq!(response.messages()[0]["result"]["content"][0]["text"], name, "{response:?}");
    }
    assert_eq!(ask(&mut world, sock, who("wrong-wrong-wrong-wrong")).status, 401);
    world.quiesce();
}

#[test]
fn no_route_is_open() {
    for cut in [Cut::Whole, Cut::Bytes, Cut::Torn(3)] {
        let mut world = World::cut(server(&list()), cut, cut);
        let (stream, sse) = open_sse(&mut world, ADA);
        let sock = world.connect();
        let mcp = initialize(&mut world, sock, ADA);
        let before = world.stats();
        for (line, session, body) in routes(&sse, &mcp) {
            let session = session.map(|id| format!("Mcp-Session-Id: {id}"));
            for (credentials, status, error) in [
                (vec![], 401, None),
                (vec![bearer("no-such-token-no-such-token")], 401, Some("invalid_token")),
                (vec![bearer(&ADA[..31])], 401, Some("invalid_token")),
                (vec![bearer("")], 400, Some("invalid_request")),
                // RFC 9110 §11.4: spaces, and nothing else.
                (vec![format!("Authorization: Bearer \t{ADA}")], 400, Some("invalid_request")),
                (vec![format!("Authorization: Bearer\t{ADA}")], 401, None),
                (vec![bearer(ADA), bearer(ADA)], 400, Some("invalid_request")),
                (vec![bearer(ADA), "authorization: x".to_owned()], 400, Some("invalid_request")),
            ] {
                let fields: Vec<&str> = credentials.iter().chain(&session).map(String::as_str).collect();
                let response = ask(&mut world, sock, req(&line, &fields, &body));
                assert_eq!(response.status, status, "{line} {credentials:?}");
                let challenge = response.header("WWW-Authenticate").unwrap();
                let named = challenge.split("error=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
                assert_eq!(named, error, "{line}: {challenge}");
                let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
                assert!(body["error"].is_string() && body["error_description"].is_string(), "{body}");
                assert!(response.keeps_alive());
            }
        }
        assert_eq!(world.stats().messages_received, before.messages_received);
        assert_eq!(world.stats().sessions, 2);
        assert_eq!(world.take_text(stream), "");
        // With the right ones they are what they are without authentication.
        let statuses: Vec<u16> = routes(&sse, &mcp)
            .into_iter()
            .map(|(line, session, body)| {
                let session = session.map(|id| format!("Mcp-Session-Id: {id}"));
                let credentials = format!("Authorization: bearer   {ADA}");
                let fields: Vec<&str> =
                    [credentials.as_str()].into_iter().chain(session.as_deref()).collect();
                let sock = world.connect();
                world.send(sock, req(&line, &fields, &body));
                let text = world.take_text(sock);
                text["HTTP/1.1 ".len()..][..3].parse().unwrap()
            })
            .collect();
        assert_eq!(statuses, [200, 202, 200, 200, 200, 200, 405, 404, 405, 204]);
        world.quiesce();
    }
}

/// The same bytes, whether the session is somebody else's or was never there.
#[test]
fn a_strangers_session_is_unknown_on_every_route() {
    let mut world = world();
    let (stream, sse) = open_sse(&mut world, ADA);
    let sock = world.connect();
    let mcp = initialize(&mut world, sock, ADA);
    let bob = bearer(BOB);
    for body in [ping(1), "no JSON".to_owned(), hello(), r#"{"jsonrpc":"2.0","id":0,"result":{}}"#.to_owned()]
    {
        for (foreign, unknown) in [(&sse, UNKNOWN), (&mcp, UNKNOWN)] {
            let line = |id: &str| format!("POST /messages?sessionId={id}");
            let theirs = ask(&mut world, sock, req(&line(foreign), &[&bob], &body));
            assert_eq!(theirs, ask(&mut world, sock, req(&line(unknown), &[&bob], &body)), "{body}");
            assert_eq!(theirs.status, 400);
            for method in ["POST", "GET", "DELETE"] {
                let line = format!("{method} /mcp");
                let body = if method == "POST" { &body } else { "" };
                let send = |id: &str| req(&line, &[&bob, &format!("Mcp-Session-Id: {id}")], body);
                let theirs = ask(&mut world, sock, send(foreign));
                assert_eq!(theirs, ask(&mut world, sock, send(unknown)), "{line} {body}");
                let malformed = body == "no JSON";
                assert_eq!(theirs.status, if malformed { 400 } else { 404 }, "{line}: {theirs:?}");
            }
        }
    }
    assert_eq!((world.take_text(stream).as_str(), world.stats().sessions), ("", 2));
    // And to its owner it is there.
    let own = format!("Mcp-Session-Id: {mcp}");
    assert_eq!(ask(&mut world, sock, req("POST /mcp", &[&bearer(ADA), &own], &ping(1))).status, 200);
    world.quiesce();
}

#[test]
fn one_connection_carries_requests_of_several() {
    let mut world = world();
    let sock = world.connect();
    let (ada, bob) = (initialize(&mut world, sock, ADA), initialize(&mut world, sock, BOB));
    let who = |token: &str, id: &str| {
        req("POST /mcp", &[&bearer(token), &format!("Mcp-Session-Id: {id}")], &call(1, "principal", "{}"))
    };
    // Pipelined, so that they are in one read; then one by one.
    let all = [who(ADA, &ada), who(BOB, &bob), who(BOB, &ada), who(ADA, &bob), who(ADA, &ada)];
    let names = |responses: Vec<Response>| -> Vec<String> {
        let name = |response: &Response| match response.status {
            200 => response.messages()[0]["result"]["content"][0]["text"].as_str().unwrap().to_owned(),
            status => status.to_string(),
        };
        responses.iter().map(name).collect()
    };
    world.send(sock, all.concat());
    let expected = ["ada", "bob", "404", "404", "ada"];
    assert_eq!(names(world.responses(sock)), expected);
    let one_by_one: Vec<Response> = all.iter().map(|request| ask(&mut world, sock, request)).collect();
    assert_eq!(names(one_by_one), expected);
    // Nobody stays who he was: without credentials there is no principal.
    world.send(sock, [who(ADA, &ada), req("GET /nothing", &[], ""), who(BOB, &bob)].concat());
    assert_eq!(names(world.responses(sock)), ["ada", "401", "bob"]);
    world.quiesce();
}

/// A body that comes piece by piece belongs to the principal of its own head.
#[test]
fn a_principal_lasts_as_long_as_its_request() {
    let mut world = world();
    let sock = world.connect();
    let ada = initialize(&mut world, sock, ADA);
    let own = format!("Mcp-Session-Id: {ada}");
    let whole = req("POST /mcp", &[&bearer(ADA), &own], &call(1, "principal", "{}"));
    ask(&mut world, sock, req("POST /mcp", &[&bearer(BOB)], &hello()));
    let (head, body) = whole.split_at(whole.len() - 5);
    world.send(sock, head);
    let other = world.connect();
    initialize(&mut world, other, BOB);
    world.send(sock, body);
    assert_eq!(world.response(sock).messages()[0]["result"]["content"][0]["text"], "ada");
    world.quiesce();
}

#[test]
fn a_hook_that_panics_admits_no_request() {
    let server = demo::server().authorize(|request| match request.bearer()? {
        "panic" => panic!("out of order"),
        name => Ok(Principal::new(name)),
    });
    let mut world = World::new(server);
    let sock = world.connect();
    for (line, _, body) in routes(UNKNOWN, UNKNOWN) {
        let response = ask(&mut world, sock, req(&line, &[&bearer("panic")], &body));
        assert_eq!((response.status, response.header("WWW-Authenticate")), (500, None), "{line}");
        assert!(response.text().contains("server_error"), "{}", response.text());
    }
    assert_eq!((world.stats().sessions, world.stats().messages_received), (0, 0));
    // The server goes on.
    assert_eq!(ask(&mut world, sock, req("POST /mcp", &[&bearer("ada")], &hello())).status, 200);
    world.quiesce();
}

/// What the hook sees: the method, the path without its query, fields by name, and the transport's word on the peer.
#[test]
fn a_hook_sees_the_head_and_the_peer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let server = demo::server().authorize(move |request| {
        let transport = request.peer().principal.as_ref().map(|principal| principal.name().to_owned());
        let line = format!("{} {} {:?}", request.method(), request.path(), request.header("x-key"));
        sink.lock().unwrap().push((line, transport));
        assert!(!format!("{request:?}").contains("sesame"), "a secret in a log");
        match request.header("X-KEY") {
            Some("sesame") => Ok(Principal::new("ali")),
            _ => Err(Denied::missing()),
        }
    });
    let mut world = World::new(server);
    let sock = world.connect_as(crate::common::principal("uid 7"));
    for fields in [&["X-Key: sesame"][..], &[], &["X-Key: sesame"]] {
        ask(&mut world, sock, req("GET /nothing/%41?sessionId=1", fields, ""));
    }
    // A preflight, the document and a foreign host are not asked about.
    ask(&mut world, sock, req("GET /.well-known/oauth-protected-resource", &[], ""));
    ask(&mut world, sock, "GET /sse HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    let line = |key: &str| (format!("GET /nothing/%41 {key}"), Some("uid 7".to_owned()));
    assert_eq!(*seen.lock().unwrap(), [line(r#"Some("sesame")"#), line("None"), line(r#"Some("sesame")"#)]);
    world.quiesce();
}

/// Once a request, however its bytes arrive.
#[test]
fn a_hook_is_asked_once() {
    for cut in Cut::kinds() {
        let count = Arc::new(Mutex::new(0));
        let asked = count.clone();
        let server = demo::server().authorize(move |_| {
            *asked.lock().unwrap() += 1;
            Ok(Principal::new("ada"))
        });
        let mut world = World::cut(server, cut, cut);
        let sock = world.connect();
        for requests in 1..4 {
            ask(&mut world, sock, req("POST /mcp", &[], &hello()));
            assert_eq!(*count.lock().unwrap(), requests, "{cut:?}");
        }
        world.quiesce();
    }
}

/// Events name who it was, and no secrets.
#[test]
fn a_denial_is_an_event() {
    let mut world = world();
    let sock = world.connect();
    let wrong = "wrong-wrong-wrong-wrong-wrong";
    ask(&mut world, sock, req("GET /sse", &[&bearer(wrong)], ""));
    let events = world.events();
    let [Seen::Refused(401, reason)] = &events[..] else { panic!("{events:?}") };
    assert!(reason.contains("not known here") && !reason.contains(wrong), "{reason}");
    assert_eq!(world.stats().refused, 1);
    // What is open to everybody is no refusal.
    let server = demo::server()
        .cors()
        .protected_resource(ProtectedResource::new("https://mcp.example", "https://login.example"));
    let mut world = World::new(server);
    let sock = world.connect();
    ask(&mut world, sock, http::get("/.well-known/oauth-protected-resource"));
    let preflight = ["Origin: http://localhost:1", "Access-Control-Request-Method: POST"];
    assert_eq!(ask(&mut world, sock, req("OPTIONS /mcp", &preflight, "")).status, 204);
    assert_eq!((world.events(), world.stats().refused), (vec![], 0));
    world.quiesce();
}

/// Regression: answers that wait for the rest of a body were held and not counted, as long as a head lets them be.
#[test]
fn an_answer_that_waits_for_a_body_counts() {
    let mut world = World::new(demo::server().cors());
    let names: Vec<String> = (0..90).map(|n| format!("mcp-param-{n}-{}", "x".repeat(100))).collect();
    let preflight = format!(
        "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 3\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: {}\r\n\r\n",
        names.join(",")
    );
    let sock = world.connect();
    world.send(sock, preflight);
    let held = world.stats().buffered_bytes;
    assert!((10_000..40_000).contains(&held), "{held}");
    world.send(sock, "ab");
    assert_eq!((world.take_text(sock).as_str(), world.stats().buffered_bytes), ("", held));
    world.send(sock, "c");
    let response = world.response(sock);
    assert_eq!((response.status, response.keeps_alive(), world.stats().buffered_bytes), (204, true, 0));
    assert!(response.header("Access-Control-Allow-Headers").unwrap().contains("mcp-param-89-xxx"));
    world.quiesce();
}

/// Regression: a 404 repeated the whole path, in the event as well.
#[test]
fn a_long_path_is_not_repeated() {
    let mut world = world();
    let sock = world.connect();
    let line = format!("GET /{}", "x".repeat(8000));
    let response = ask(&mut world, sock, req(&line, &[&bearer(ADA)], ""));
    assert!(response.status == 404 && response.text().contains("xxx...`") && response.text().len() < 200);
    assert_eq!(world.events(), [Seen::Refused(404, response.text().to_owned())]);
    world.quiesce();
}

/// Regression: refusals of malformed heads quoted whole lines, with the token or the session's id in them, in the event and
/// in the response.
#[test]
fn a_refusal_of_a_malformed_head_quotes_no_secret() {
    let mut world = world();
    let (_, id) = open_sse(&mut world, ADA);
    world.events();
    let host = "Host: localhost";
    let get = format!("GET /sse HTTP/1.1\r\n{host}\r\n");
    let post = format!("POST /messages?sessionId={id}");
    for (head, named) in [
        (format!("{get}Authorization : Bearer {ADA}\r\n\r\n"), "header line `Authorization` has whitespace"),
        (
            format!("{get}Authorization: Bearer {ADA}\x07\r\n\r\n"),
            "header line `Authorization` has a control",
        ),
        (format!("{get}Authorization: Bearer {ADA}\n\r\n"), "header line `Authorization` ends in a bare LF"),
        (format!("{get}Authorization: Bearer\r\n {ADA}\r\n\r\n"), "header line 3 begins with whitespace"),
        (format!("{get}Authorization: Bearer\r\n {ADA}\n"), "header line 3 ends in a bare LF"),
        (format!("{get}Authorization Bearer {ADA}\r\n\r\n"), "header line 2 has no colon"),
        (format!("{get}Authorization Bearer {ADA}:\r\n\r\n"), "header line `Authorization` has a name with"),
        (format!("{get}: {ADA}\r\n\r\n"), "header line 2 has no name"),
        (format!("{get}Mcp-Session-Id\t: {id}\r\n\r\n"), "header line `Mcp-Session-Id` has whitespace"),
        (format!("{post}\r\n{host}\r\n\r\n"), "the request line `POST /messages?...` does not end"),
        (format!("{post} HTTP/1.1\n{host}\r\n\r\n"), "the line `POST /messages?...` ends in a bare LF"),
        (
            format!("{post}\x01 HTTP/1.1\r\n{host}\r\n\r\n"),
            "the request line `POST /messages?...` is malformed",
        ),
        (format!("{post}#a HTTP/1.1\r\n{host}\r\n\r\n"), "the request target `/messages?...` holds a `#`"),
    ] {
        let sock = world.connect();
        let response = ask(&mut world, sock, &head);
        let [Seen::Refused(400, reason)] = &world.events()[..] else { panic!("{head}") };
        assert_eq!((response.status, response.text()), (400, &**reason));
        assert!(reason.contains(named), "{head}: {reason}");
        assert!(!reason.contains(&ADA[..8]) && !reason.contains(&id[..8]), "{reason}");
    }
    world.quiesce();
}

/// Regression: `{:?}` of a call printed the token and the whole id of the session, on its first run and when it ran again.
#[test]
fn a_call_is_printed_without_secrets() {
    let printed = Arc::new(Mutex::new(Vec::new()));
    let (sink, tokens) = (printed.clone(), list());
    let server = demo::server()
        .tool("print", "Print the call", move |(), call| -> mcp_rill::Result<&str> {
            sink.lock().unwrap().push(format!("{call:?} {call:#?}"));
            call.roots("again")?;
            Ok("printed")
        })
        .authorize(move |request| tokens.lock().unwrap().authorize(request));
    let mut world = World::new(server);
    let (stream, id) = open_sse(&mut world, ADA);
    let sock = world.connect();
    let line = format!("POST /messages?sessionId={id}");
    let mut post = |body: &str| ask(&mut world, sock, req(&line, &[&bearer(ADA)], body)).status;
    assert_eq!(post(&call(1, "print", "{}")), 202);
    assert_eq!(post(r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#), 202);
    assert!(world.take_text(stream).contains("printed"));
    let printed = printed.lock().unwrap();
    assert_eq!(printed.len(), 2);
    for text in &*printed {
        assert!(!text.contains(&ADA[..8]) && !text.contains(&id), "{text}");
        // What it is good for.
        assert!(text.contains(&format!("{}...", &id[..8])) && text.contains("ada"), "{text}");
        assert!(text.contains("Authorization") && !text.contains("Bearer"), "{text}");
    }
    assert!(printed[0].contains("/messages"), "{}", printed[0]);
    world.quiesce();
}

#[test]
fn a_body_of_a_denied_request_is_not_held() {
    let mut world = world();
    let big = 200_000;
    let head = http::post_head("/mcp", big);
    let sock = world.connect();
    world.send(sock, &head);
    for _ in 0..10 {
        world.send(sock, vec![b'{'; big / 20]);
        // The answer that waits for the end of it is.
        assert!((1..=1024).contains(&world.stats().buffered_bytes), "{:?}", world.stats());
    }
    world.send(sock, vec![b'{'; big / 2]);
    let response = world.response(sock);
    assert_eq!((response.status, response.keeps_alive()), (401, true));
    // Over linger_bytes_max nobody waits for it.
    let max = Limits::DEFAULT.linger_bytes_max;
    for (length, answered) in [(max, false), (max + 1, true)] {
        let sock = world.connect();
        world.send(sock, http::post_head("/mcp", length));
        assert_eq!(!world.take(sock).is_empty(), answered, "{length}");
        assert_eq!(world.ended(sock), answered, "{length}");
    }
    assert_eq!(world.stats().messages_received, 0);
    world.quiesce();
}

/// A token is withdrawn: streams that it opened end, other streams go on, and its sessions' next request is 401.
#[test]
fn a_token_that_is_withdrawn_closes_what_it_opened() {
    let tokens = list();
    let mut world = World::new(server(&tokens));
    let (ada_sse, ada_id) = open_sse(&mut world, ADA);
    let (bob_sse, _) = open_sse(&mut world, BOB);
    let sock = world.connect();
    let (ada_mcp, bob_mcp) = (initialize(&mut world, sock, ADA), initialize(&mut world, sock, BOB));
    let stream = |world: &mut World, token: &str, id: &str| {
        let sock = world.connect();
        world.send(sock, req("GET /mcp", &[&bearer(token), &format!("Mcp-Session-Id: {id}")], ""));
        assert!(world.take_text(sock).starts_with("HTTP/1.1 200 OK"));
        sock
    };
    let (ada_get, bob_get) = (stream(&mut world, ADA, &ada_mcp), stream(&mut world, BOB, &bob_mcp));
    // One more waits for the answer to a question.
    let waiting = world.connect();
    let slow =
        req("POST /mcp", &[&bearer(ADA), &format!("Mcp-Session-Id: {ada_mcp}")], &call(7, "later", "{}"));
    world.send(waiting, slow);
    // And one listens without a session.
    let listener = world.connect();
    let filter = r#""notifications":{"toolsListChanged":true}"#;
    world.send(listener, alone(ADA, "subscriptions/listen", "", filter));
    assert!(world.take_text(listener).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(world.stats().sessions, 4);
    assert!(world.stats().buffered_bytes > 0, "heads are kept, and count");

    // Nothing has changed: nothing happens.
    world.engine.handle().reauthorize();
    world.tick();
    assert!([ada_sse, bob_sse, ada_get, bob_get].into_iter().all(|sock| !world.closed(sock)));

    *tokens.lock().unwrap() = Tokens::read(&format!("bob:{BOB}")).unwrap();
    world.engine.handle().reauthorize();
    world.tick();
    assert!([ada_sse, ada_get, waiting, listener].into_iter().all(|sock| world.closed(sock)));
    assert!(![bob_sse, bob_get, sock].into_iter().any(|sock| world.closed(sock)));
    // Over HTTP+SSE the session is gone with its stream; over Streamable HTTP it is out of reach.
    assert_eq!(world.stats().sessions, 3);
    let own = format!("Mcp-Session-Id: {ada_mcp}");
    let posts = [
        req(&format!("POST /messages?sessionId={ada_id}"), &[&bearer(ADA)], &ping(1)),
        req("POST /mcp", &[&bearer(ADA), &own], &ping(1)),
    ];
    for post in posts {
        assert_eq!(ask(&mut world, sock, post).status, 401);
    }
    world.quiesce();
}

/// Regression: a request whose body was on its way when its token was withdrawn was served, and a stream that it opened
/// lived on without a token.
#[test]
fn a_withdrawn_token_does_not_open_a_stream_with_a_body_that_was_on_its_way() {
    let listen = alone(ADA, "subscriptions/listen", "", r#""notifications":{"toolsListChanged":true}"#);
    let chunked = |whole: &str| {
        let (head, body) = whole.split_once("\r\n\r\n").unwrap();
        let head = head.split("\r\n").filter(|line| !line.starts_with("Content-Length"));
        let head: Vec<&str> = head.chain(["Transfer-Encoding: chunked"]).collect();
        format!("{}\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", head.join("\r\n"), body.len())
    };
    let waits = |whole: &str| whole.replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let initialize = req("POST /mcp", &[&bearer(ADA)], &hello());
    for whole in [chunked(&listen), chunked(&initialize), waits(&listen), listen, initialize] {
        let (head, rest) = match whole.contains("Expect") {
            true => whole.split_at(whole.find("\r\n\r\n").unwrap() + 4),
            false => whole.split_at(whole.len() - 5),
        };
        for (list, status) in [
            (format!("ada:{ADA}\nbob:{BOB}"), 200),
            (format!("bob:{BOB}"), 401),
            // The same token, and somebody else's.
            (format!("bob:{ADA}"), 401),
        ] {
            let tokens = self::list();
            let mut world = World::new(server(&tokens));
            let sock = world.connect();
            world.send(sock, head);
            world.take(sock);
            *tokens.lock().unwrap() = Tokens::read(&list).unwrap();
            world.engine.handle().reauthorize();
            world.jump(world.now.mono);
            world.send(sock, rest);
            let text = world.take_text(sock);
            assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{list}: {text}");
            let opened = !text.contains("text/event-stream") && status == 200;
            assert_eq!(world.stats().sessions, usize::from(opened), "{list}: {text}");
            if status == 401 {
                assert!(text.contains("error=\"invalid_token\""), "{text}");
                assert_eq!((world.stats().messages_received, world.stats().buffered_bytes), (0, 0));
                assert_eq!(ask(&mut world, sock, req("GET /nothing", &[&bearer(BOB)], "")).status, {
                    if list.contains(BOB) { 404 } else { 401 }
                });
            }
            world.quiesce();
        }
    }
}

/// A new token of the same name is the same principal; the old one's stream ends with it.
#[test]
fn tokens_are_rotated() {
    let tokens = list();
    let mut world = World::new(server(&tokens));
    let sock = world.connect();
    let id = initialize(&mut world, sock, ADA);
    let new = "another-token-for-ada-which-is-new";
    *tokens.lock().unwrap() = Tokens::read(&format!("ada:{ADA}\nada:{new}")).unwrap();
    world.engine.handle().reauthorize();
    let (old_stream, _) = open_sse(&mut world, ADA);
    let (new_stream, _) = open_sse(&mut world, new);
    *tokens.lock().unwrap() = Tokens::read(&format!("ada:{new}\nbob:{ADA}")).unwrap();
    world.engine.handle().reauthorize();
    world.tick();
    assert!(world.closed(old_stream), "the old token is somebody else's now");
    assert!(!world.closed(new_stream));
    let own = format!("Mcp-Session-Id: {id}");
    assert_eq!(ask(&mut world, sock, req("POST /mcp", &[&bearer(new), &own], &ping(1))).status, 200);
    assert_eq!(ask(&mut world, sock, req("POST /mcp", &[&bearer(ADA), &own], &ping(1))).status, 404);
    world.quiesce();
}

/// Heads are kept as long as something is open, and no longer.
#[test]
fn heads_are_kept_for_what_is_open() {
    let mut world = world();
    let (stream, id) = open_sse(&mut world, ADA);
    let kept = world.stats().buffered_bytes;
    assert!((50..300).contains(&kept), "{kept}");
    let sock = world.connect();
    for n in 0..5 {
        let post = req(&format!("POST /messages?sessionId={id}"), &[&bearer(ADA)], &ping(n));
        assert_eq!(ask(&mut world, sock, post).status, 202);
        initialize(&mut world, sock, ADA);
        world.take(stream);
        assert_eq!(world.stats().buffered_bytes, kept);
    }
    world.reset(stream);
    assert_eq!(world.stats().buffered_bytes, 0);
    world.quiesce();
}

/// RFC 9728 §2 and §3: the document is JSON with the members that must be there, and names what it was configured with.
#[test]
fn the_metadata_document_is_what_the_rfc_says() {
    let resource = ProtectedResource {
        resource: "https://mcp.example/mcp".to_owned(),
        authorization_servers: vec!["https://a.example".to_owned(), "https://b.example/t".to_owned()],
        scopes: Vec::new(),
    };
    let mut world = World::new(server(&list()).protected_resource(resource));
    let sock = world.connect();
    let denied = ask(&mut world, sock, req("POST /mcp", &[], &hello()));
    let challenge = denied.header("WWW-Authenticate").unwrap();
    let url = challenge.split("resource_metadata=\"").nth(1).unwrap().split('"').next().unwrap();
    let path = url.strip_prefix("https://mcp.example").unwrap();
    let response = ask(&mut world, sock, http::get(path));
    assert_eq!((response.status, response.header("Content-Type")), (200, Some("application/json")));
    let document: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        document,
        serde_json::json!({
            "resource": "https://mcp.example/mcp",
            "authorization_servers": ["https://a.example", "https://b.example/t"],
            "bearer_methods_supported": ["header"],
        })
    );
    let head = ask(&mut world, sock, http::get("/.well-known/oauth-protected-resource"));
    assert_eq!(head.body, response.body);
    world.quiesce();
}

/// MCP 2025-11-25, authorization: a 401 says which scopes to ask for, those that the hook names or else those that there are.
#[test]
fn a_challenge_names_the_scopes() {
    let resource =
        ProtectedResource::new("https://mcp.example", "https://login.example").scope("a").scope("b");
    let server = demo::server().protected_resource(resource).authorize(|request| match request.bearer()? {
        "old" => Err(Denied::invalid_token("expired")),
        "own" => Err(Denied::invalid_token("expired").scope("c")),
        "low" => Err(Denied::insufficient_scope("d", "more is needed")),
        _ => Err(Denied::malformed("what is this?")),
    });
    let mut world = World::new(server);
    let sock = world.connect();
    let cases = [("old", Some("a b")), ("own", Some("c")), ("low", Some("d")), ("odd", None)];
    for (token, scope) in cases.into_iter().chain([("", None)]) {
        let credentials = bearer(token);
        let response = ask(&mut world, sock, req("GET /sse", &[&credentials], ""));
        let challenge = response.header("WWW-Authenticate").unwrap();
        let named = challenge.split("scope=\"").nth(1).map(|rest| rest.split('"').next().unwrap());
        assert_eq!(named, scope, "{token}: {challenge}");
    }
    let nothing = ask(&mut world, sock, req("GET /sse", &[], ""));
    assert!(nothing.header("WWW-Authenticate").unwrap().contains("scope=\"a b\""));
    world.quiesce();
}

/// Who asks from where, with and without CORS.
#[test]
fn the_cors_matrix() {
    let listed = "https://app.example";
    let local_page = "http://localhost:6274";
    for cors in [false, true] {
        for loopback in [false, true] {
            let settings = Settings { cors, origins: vec![listed.to_owned()], ..Settings::default() };
            let mut world = World::new(server(&list()).settings(settings));
            for origin in [None, Some(listed), Some(local_page), Some("https://evil.example"), Some("null")] {
                let sock = world.connect_as(mcp_rill::Peer { loopback, ..local() });
                let allowed = origin == Some(listed) || (origin == Some(local_page) && loopback);
                let field = origin.map(|origin| format!("Origin: {origin}"));
                let field: Vec<&str> = field.iter().map(String::as_str).collect();
                let host = if loopback { "localhost" } else { "127.0.0.1" };
                let mut get = |line: &str, more: &[&str]| {
                    let text =
                        req(line, &[&field, more].concat(), "").replace("localhost\r", &format!("{host}\r"));
                    ask(&mut world, sock, text)
                };
                let preflight = get("OPTIONS /sse", &["Access-Control-Request-Method: GET"]);
                let forbidden = origin.is_some() && !allowed;
                let expected = if forbidden {
                    403
                } else if cors && allowed {
                    204
                } else {
                    401
                };
                assert_eq!(preflight.status, expected, "{origin:?} cors {cors} loopback {loopback}");
                let answer = get("GET /nothing", &[&bearer(ADA)]);
                assert_eq!(answer.status, if forbidden { 403 } else { 404 });
                for response in [preflight, answer] {
                    let echoed = response.header("Access-Control-Allow-Origin");
                    assert_eq!(echoed, origin.filter(|_| cors && allowed), "{origin:?}");
                    // What is without them is not for a cache to give to who gets them.
                    assert_eq!(response.header("Vary"), cors.then_some("Origin"));
                    assert_eq!(response.header("Access-Control-Allow-Credentials"), None);
                }
            }
            world.quiesce();
        }
    }
}

/// `headers_max` at the limit and one past it: a request cannot have more fields anyway.
#[test]
fn a_preflight_names_no_more_fields_than_a_request_may_have() {
    let mut world = World::new(demo::server().cors());
    let sock = world.connect();
    let max = Limits::DEFAULT.headers_max;
    for count in [max, max + 1] {
        let names: Vec<String> = (0..count).map(|n| format!("mcp-param-{n}")).collect();
        let asked = format!("Access-Control-Request-Headers: {}", names.join(", "));
        let fields = ["Origin: http://localhost", "Access-Control-Request-Method: POST", &asked];
        let response = ask(&mut world, sock, req("OPTIONS /mcp", &fields, ""));
        let named = response.header("Access-Control-Allow-Headers").unwrap().matches("mcp-param-").count();
        assert_eq!(named, max);
    }
    world.quiesce();
}

#[test]
fn what_cannot_be_is_refused_at_the_start() {
    let problem = |server: Server| mcp_rill::engine::Engine::new(server, || 1).unwrap_err();
    let resource = ProtectedResource::new("mcp.example", "https://login.example");
    assert!(problem(Server::new("a", "1").protected_resource(resource)).contains("`mcp.example`"));
    let settings = Settings { node_id: "a.b".to_owned(), ..Settings::default() };
    assert!(problem(Server::new("a", "1").settings(settings)).contains("`a.b`"));
}

/// The body of a request that is denied is dropped, so it takes no memory, however long the answer is that waits for its end.
#[test]
fn a_long_denial_waits_for_the_end_of_the_body() {
    for bytes in [30_000, 40_000, 100_000] {
        let denied = move || Denied::insufficient_scope("all", "x".repeat(bytes));
        let mut world = World::new(demo::server().authorize(move |_| Err(denied())));
        let sock = world.connect();
        for part in [&*http::post_head("/mcp", 2), "{", "}"] {
            assert_eq!(world.take_text(sock), "");
            world.send(sock, part);
        }
        let response = world.response(sock);
        assert!(response.status == 403 && response.text().len() > bytes, "{}", response.status);
        world.quiesce();
    }
}
