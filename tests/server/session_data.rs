//! Handlers keep values for a session.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_rill::engine::{Engine, Event};
use mcp_rill::{Limits, Now, Peer, Prompt, PromptArgument, Resource, ResourceTemplate, Server, schema};
use serde_json::{Value, json};

use crate::common::http::call;
use crate::common::questions::{ALL, Client, Pool, one, text};
use crate::common::{World, counted};
use crate::ways::{Visitor, Way, ways, world};

schema! { struct Name { name: String } }

/// Counts those that are dropped.
struct Visits(usize, Arc<AtomicUsize>);

impl Drop for Visits {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::SeqCst);
    }
}

/// Handlers of all kinds count the calls of their session, and one keeps a value of another type.
fn server() -> (Server, Arc<AtomicUsize>) {
    let dropped = Arc::new(AtomicUsize::new(0));
    let own = dropped.clone();
    let visit = move |call: &mut mcp_rill::Call| {
        let visits = call.session_data_or_insert_with(|| Visits(0, own.clone()))?;
        visits.0 += 1;
        Some(visits.0)
    };
    let count =
        move |call: &mut mcp_rill::Call| visit(call).map_or("none".to_owned(), |count| count.to_string());
    let (in_resource, in_list, in_prompt) = (count.clone(), count.clone(), count.clone());
    let server = Server::new("visits", "1")
        .tool("visit", "", move |(), call| count(call))
        .tool("word", "", |Name { name }: Name, call| {
            let before = call.session_data::<String>().cloned().unwrap_or_default();
            if let Some(word) = call.session_data_or_insert_with(String::new) {
                *word = name;
            }
            before
        })
        .blocking_tool("elsewhere", "", |(), call| {
            call.session_data::<Visits>().is_none() && call.session_data_or_insert_with(|| 5_u8).is_none()
        })
        .resource("visits:///", "visits", move |call| in_resource(call))
        .offer(
            ResourceTemplate::new("visit:///{number}", "visit")
                .list(move |_, call| vec![Resource::new(format!("visit:///{}", in_list(call)), "visit")])
                .handler(|_, _| "x"),
        )
        .offer(
            Prompt::new("prompt", "")
                .argument(PromptArgument::new("x"))
                .handler(move |_: Value, call| in_prompt(call)),
        );
    (server, dropped)
}

#[test]
fn each_session_has_its_own() {
    for way in ways() {
        let (server, dropped) = server();
        let mut world = world(way, server);
        let kept = match way {
            Way::Sse(_) | Way::Lines(_) => true,
            #[cfg(feature = "streamable")]
            Way::Streamable(_) => true,
            #[cfg(any(feature = "streamable", feature = "stateless"))]
            _ => false,
        };
        let mut visitors = ["ada", "ada", "bob"].map(|name| Visitor::new(&mut world, way, name));
        for visitor in &mut visitors {
            let requests = [
                ("tools/call", json!({"name": "visit"}), "\"text\":\"{}\""),
                ("tools/call", json!({"name": "visit"}), "\"text\":\"{}\""),
                ("resources/read", json!({"uri": "visits:///"}), "\"text\":\"{}\""),
                ("resources/list", json!({"cursor": "of visit:///{number} "}), "\"uri\":\"visit:///{}\""),
                ("prompts/get", json!({"name": "prompt"}), "\"text\":\"{}\""),
            ];
            for (at, (method, params, form)) in requests.into_iter().enumerate() {
                let heard = visitor.ask(&mut world, method, params);
                let expected = if kept { (at + 1).to_string() } else { "none".to_owned() };
                assert!(heard.contains(&form.replace("{}", &expected)), "{way:?} {method} {heard}");
            }
            let word = |name: &str| json!({"name": "word", "arguments": {"name": name}});
            visitor.ask(&mut world, "tools/call", word("one"));
            let heard = visitor.ask(&mut world, "tools/call", word("two"));
            let expected = if kept { r#""text":"one""# } else { r#""text":"""# };
            assert!(heard.contains(expected), "{way:?} {heard}");
        }
        assert_eq!(dropped.load(Ordering::SeqCst), 0);
        for (gone, visitor) in visitors.iter_mut().enumerate() {
            visitor.leave(&mut world);
            assert_eq!(dropped.load(Ordering::SeqCst), if kept { gone + 1 } else { 0 }, "{way:?}");
        }
    }
}

#[test]
fn a_worker_thread_has_none() {
    let (server, dropped) = server();
    let mut world = World::new(server);
    let pool = Pool::new(&mut world);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(text(&client.ask(&mut world, &call(1, "visit", "{}"))), "1");
    client.tell(&mut world, &call(2, "elsewhere", "{}"));
    assert_eq!(text(&one(pool.heard(&mut world, &client, 1))), "true");
    assert_eq!(text(&client.ask(&mut world, &call(3, "visit", "{}"))), "2");
    drop(world);
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// A session that makes room for another one, and one that panicked in between.
#[test]
fn it_is_dropped_with_its_session_and_not_before() {
    let (server, dropped) = server();
    let server = server.limits(Limits { sessions_max: 1, connections_max: 8, ..Limits::DEFAULT }).tool(
        "panic",
        "",
        |(), _| -> String { panic!("a bug in a handler") },
    );
    let mut world = World::new(server);
    let client = Client::new(&mut world, "2025-11-25", ALL);
    assert_eq!(text(&client.ask(&mut world, &call(1, "visit", "{}"))), "1");
    client.ask(&mut world, &call(2, "panic", "{}"));
    assert_eq!(text(&client.ask(&mut world, &call(3, "visit", "{}"))), "2");
    world.engine.handle().shutdown(Duration::ZERO);
    world.advance(Duration::from_secs(10));
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

#[test]
fn events_name_the_session_and_print_its_id_cut() {
    let mut engine =
        Engine::new(Server::new("s", "1").tool("id", "", |(), call| call.session_id().unwrap()), counted())
            .unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events = seen.clone();
    engine.on_event(move |event| {
        if let Event::SessionOpened { id, .. } | Event::SessionClosed { id, .. } = event {
            events.lock().unwrap().push((id.whole(), format!("{event:?} {id}")));
        }
    });
    let conn = engine.open_lines(Now::default(), Peer::default());
    engine.receive(Now::default(), conn, format!("{}\n", call(1, "id", "{}")).as_bytes());
    let answer = String::from_utf8(engine.outgoing(conn).to_vec()).unwrap();
    engine.hang_up(Now::default(), conn);
    while !matches!(engine.poll(), mcp_rill::engine::Action::Wait(_)) {}
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    for (whole, printed) in &*seen {
        assert!(answer.contains(&format!(r#""text":"{whole}""#)), "{answer}");
        assert!(!printed.contains(&whole[9..]) && printed.contains(&whole[..8]), "{printed}");
    }
}
