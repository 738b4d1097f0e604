//! One process for all clients: nothing of one reaches another.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mcp_rill::Level;
use mcp_rill::client::{Client, Transport};
use mcp_rill::json::JsonRef;

use super::{Bridge, bridge, call, refused, wait_until};

const SHARED: &[&str] = &["--isolate", "shared"];

type Told = Arc<Mutex<Vec<String>>>;

/// A client over HTTP+SSE, whose stream is always there, and what it was told.
fn client(bridge: &Bridge) -> (Client, Told) {
    let told = Told::default();
    let tells = told.clone();
    let on_notification = move |method: &str, params: Option<JsonRef<'_>>| {
        tells.lock().unwrap().push(format!("{method} {}", params.map_or("", JsonRef::text)));
    };
    let builder = bridge.builder(Transport::Sse).on_notification(on_notification);
    (builder.connect(&bridge.url(Transport::Sse)).unwrap(), told)
}

/// What a client was told until its next answer.
fn heard(client: &mut Client, told: &Told) -> Vec<String> {
    client.ping().unwrap();
    std::mem::take(&mut *told.lock().unwrap())
}

#[test]
fn all_have_one_process_and_each_its_own_revision() {
    let bridge = bridge(SHARED, "serve");
    let url = bridge.url(Transport::Streamable);
    let mut pids = Vec::new();
    for (asked, spoken) in
        [("2025-11-25", "2025-06-18"), ("2025-06-18", "2025-06-18"), ("2025-03-26", "2025-03-26")]
    {
        let mut client = bridge.builder(Transport::Streamable).revision(asked).connect(&url).unwrap();
        let result = client.initialize_result().unwrap().text().to_owned();
        assert!(result.contains(&format!(r#""protocolVersion":"{spoken}""#)), "{result}");
        assert!(result.contains(r#""x-own":{"a":1.50}"#), "{result}");
        pids.push(call(&mut client, "pid", "{}"));
    }
    pids.dedup();
    assert_eq!(pids.len(), 1);
}

/// Every client uses the same ids and the same tokens, and each call carries a word of its own.
fn nothing_crosses(clients: usize, calls: usize) {
    let bridge = bridge(SHARED, "serve");
    let all: Vec<_> = (0..clients)
        .map(|own| {
            let transport = if own % 2 == 0 { Transport::Sse } else { Transport::Streamable };
            let told = Told::default();
            let tells = told.clone();
            let on_notification = move |_: &str, params: Option<JsonRef<'_>>| {
                tells.lock().unwrap().push(params.unwrap().text().to_owned());
            };
            let builder = bridge.builder(transport).on_notification(on_notification);
            let mut client = builder.connect(&bridge.url(transport)).unwrap();
            thread::spawn(move || {
                for at in 0..calls {
                    let word = format!("{own}-{at}-123456789012345678901234567890.{at}0");
                    let name = if at % 10 == 0 { "progress" } else { "echo" };
                    // Integers beyond 64 bits, fractions, text: all of them stand for themselves.
                    let token = [format!("{own}"), format!("\"{own}\""), format!("{own}.50"), format!("1{own:020}")];
                    let token = &token[at % 4];
                    let params =
                        format!(r#"{{"name":"{name}","word":"{word}","n":{at}.0{own}00,"_meta":{{"progressToken":{token}}}}}"#);
                    let result = client.request("tools/call", Some(&params)).unwrap();
                    if name == "echo" {
                        assert!(result.get().contains(&format!(r#""word":"{word}","n":{at}.0{own}00,"#)), "{}", result.get());
                    } else {
                        let told = std::mem::take(&mut *told.lock().unwrap());
                        let begin = format!(r#"{{"progressToken":{token},"#);
                        assert!(told.iter().all(|params| params.starts_with(&begin)), "{token} {told:?}");
                    }
                }
            })
        })
        .collect();
    all.into_iter().for_each(|client| client.join().unwrap());
}

#[test]
fn no_answer_reaches_another_client() {
    nothing_crosses(20, 100);
}

/// 100,000 calls of 50 clients: `cargo test --release --test bridge -- --ignored crosses`.
#[test]
#[ignore = "it takes a minute or more"]
fn no_answer_crosses_of_very_many() {
    nothing_crosses(50, 2000);
}

#[test]
fn notifications_reach_those_whom_they_concern() {
    let bridge = bridge(SHARED, "serve");
    let ((mut one, told_one), (mut other, told_other)) = (client(&bridge), client(&bridge));
    for subscribed in [&mut one, &mut other] {
        subscribed.request("resources/subscribe", Some(r#"{"uri":"a:all"}"#)).unwrap();
    }
    one.request("resources/subscribe", Some(r#"{"uri":"a:one"}"#)).unwrap();
    call(&mut other, "update", r#"{"uri":"a:one"}"#);
    assert_eq!(heard(&mut one, &told_one), [r#"notifications/resources/updated {"uri":"a:one"}"#]);
    assert_eq!(heard(&mut other, &told_other), [""; 0]);
    call(&mut one, "update", r#"{"uri":"a:all/part"}"#);
    let part = [r#"notifications/resources/updated {"uri":"a:all/part"}"#];
    assert_eq!(
        (heard(&mut one, &told_one), heard(&mut other, &told_other)),
        (part.map(str::to_owned).into(), part.map(str::to_owned).into())
    );

    // The process is told to forget what the last one gives up.
    one.request("resources/unsubscribe", Some(r#"{"uri":"a:all"}"#)).unwrap();
    one.request("resources/unsubscribe", Some(r#"{"uri":"a:one"}"#)).unwrap();
    call(&mut one, "update", r#"{"uri":"a:all"}"#);
    assert_eq!(heard(&mut one, &told_one), [""; 0]);
    assert_eq!(heard(&mut other, &told_other).len(), 1);
    let asked = call(&mut one, "kept", r#"{"of":"asked"}"#);
    assert!(asked.contains(r#"resources/unsubscribe{"uri":"a:one"}"#), "{asked}");
    assert!(!asked.contains(r#"resources/unsubscribe{"uri":"a:all"}"#), "{asked}");
    other.close();
    wait_until("the subscription ends with its session", || {
        call(&mut one, "kept", r#"{"of":"asked"}"#).contains(r#"resources/unsubscribe{"uri":"a:all"}"#)
    });
}

#[test]
fn each_session_has_its_level_of_logs() {
    let bridge = bridge(SHARED, "serve");
    let ((mut one, told_one), (mut other, told_other)) = (client(&bridge), client(&bridge));
    one.set_level(Level::Error).unwrap();
    other.set_level(Level::Debug).unwrap();
    call(&mut one, "log", "{}");
    assert_eq!(heard(&mut one, &told_one), [r#"notifications/message {"level":"error","data":"error"}"#]);
    assert_eq!(heard(&mut other, &told_other).len(), 3);
    let asked = call(&mut one, "kept", r#"{"of":"asked"}"#);
    assert_eq!(asked, r#"logging/setLevel{"level":"error"} logging/setLevel{"level":"debug"} "#);
}

#[test]
fn a_question_is_asked_where_it_is_sure_whose_it_is() {
    let bridge = bridge(SHARED, "serve");
    let connect = |name: &'static str, capabilities: &str| {
        bridge
            .builder(Transport::Sse)
            .capabilities(capabilities)
            .on_request(move |_, _| Ok(format!(r#"{{"action":"{name}"}}"#)))
            .connect(&bridge.url(Transport::Sse))
            .unwrap()
    };
    let (mut one, mut other) = (connect("one", r#"{"elicitation":{}}"#), connect("other", "{}"));
    assert_eq!(call(&mut one, "ask", "{}"), r#""q-1" {"action":"one"}"#);
    let answer = call(&mut other, "ask", "{}");
    assert!(answer.contains("it has not declared the capability"), "{answer}");
    // The other has a request open too.
    let silent = other.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap();
    let answer = call(&mut one, "ask", "{}");
    assert!(answer.contains("it cannot be told which client is meant"), "{answer}");
    other.cancel(&silent, "enough").unwrap();
    wait_until("it is sure again", || call(&mut one, "ask", "{}").contains(r#"{"action":"one"}"#));
}

#[test]
fn as_many_questions_are_open_as_child_questions_max_says() {
    let bridge = bridge(SHARED, "serve");
    // It does not read what it is asked.
    let mut asked = bridge
        .builder(Transport::Streamable)
        .capabilities(r#"{"elicitation":{}}"#)
        .connect(&bridge.url(Transport::Streamable))
        .unwrap();
    asked.send("tools/call", Some(r#"{"name":"hoard"}"#)).unwrap();
    // With another request open it would not be sure whose questions they are.
    bridge.says("has asked");
    let mut other = bridge.client();
    let mut fates = String::new();
    wait_until("a question is refused", || {
        fates = call(&mut other, "kept", r#"{"of":"fates"}"#);
        fates != "nothing"
    });
    let refused: Vec<&str> = fates.split("; ").filter(|fate| !fate.is_empty()).collect();
    assert!(refused.len() == 1 && refused[0].starts_with("64: "), "{fates}");
    assert!(
        fates.contains("as many questions of this server are open as may be (child_questions_max)"),
        "{fates}"
    );
}

#[test]
fn all_are_told_when_the_process_dies_and_go_on_with_the_next() {
    let bridge = bridge(SHARED, "serve");
    let ((mut one, told_one), (mut other, _)) = (client(&bridge), client(&bridge));
    one.request("resources/subscribe", Some(r#"{"uri":"a:one"}"#)).unwrap();
    one.set_level(Level::Warning).unwrap();
    let silent = one.send("tools/call", Some(r#"{"name":"silent"}"#)).unwrap();
    assert!(refused(&mut other, "exit", "{}").contains("exit code 3"));
    assert!(one.wait(&silent).unwrap_err().to_string().contains("exit code 3"));
    // What was asked of the first is asked of the second.
    let asked = call(&mut other, "kept", r#"{"of":"asked"}"#);
    assert_eq!(asked, r#"logging/setLevel{"level":"warning"} resources/subscribe{"uri":"a:one"} "#);
    call(&mut other, "update", r#"{"uri":"a:one"}"#);
    assert_eq!(heard(&mut one, &told_one).len(), 1);
}

#[test]
fn a_process_that_never_starts_is_tried_less_and_less_often() {
    let bridge = bridge(SHARED, "die");
    let url = bridge.url(Transport::Streamable);
    let connect = || bridge.builder(Transport::Streamable).connect(&url).unwrap_err().to_string();
    assert!(connect().contains("ended with exit code 7"));
    let mut started = 1;
    let end = std::time::Instant::now() + Duration::from_millis(1500);
    let mut refused = 0;
    while std::time::Instant::now() < end {
        let error = connect();
        if error.contains("it is started again in") {
            refused += 1;
        } else {
            assert!(error.contains("ended with exit code 7"), "{error}");
            started += 1;
        }
        thread::sleep(Duration::from_millis(5));
    }
    // After 100, 200, 400 and 800 ms, and the time that each start takes.
    assert!((2..=5).contains(&started) && refused > 10, "{started} {refused}");
}
