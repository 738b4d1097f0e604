//! Changes that are announced to the clients of one principal only.

use std::time::Duration;

use mcp_rill::{Limits, Principal, Server};
use serde_json::json;

use crate::common::World;
use crate::ways::{Visitor, Way, ways, world};

const NEW: &str = "inbox:///new";

fn server() -> Server {
    Server::new("inbox", "1")
        .resource(NEW, "new", |call| call.principal().unwrap().name().to_owned())
        .resource("inbox:///old", "old", |_| "x")
        .tool("t", "", |(), _| "x")
        .prompt("p", "", |(), _| "x")
}

/// Clients of two principals, who all have subscribed; one of the first has so twice.
fn visitors(world: &mut World, way: Way) -> Vec<Visitor> {
    let mut visitors: Vec<Visitor> =
        ["ada", "bob", "ada"].into_iter().map(|name| Visitor::new(world, way, name)).collect();
    for visitor in &mut visitors {
        match visitor.has_sessions() {
            true => {
                for uri in [NEW, "inbox:///old"] {
                    visitor.ask(world, "resources/subscribe", json!({ "uri": uri }));
                }
            }
            false => {
                let filter = json!({"toolsListChanged": true, "promptsListChanged": true,
                    "resourcesListChanged": true, "resourceSubscriptions": [NEW, "inbox:///old"]});
                visitor.ask(world, "subscriptions/listen", json!({ "notifications": filter }));
            }
        }
    }
    // Of the handlers that decide whether a client may listen, one runs in a turn.
    world.advance(Duration::from_millis(1));
    visitors.iter_mut().for_each(|visitor| drop(visitor.listen(world)));
    visitors
}

/// How often each of them has heard this.
fn heard(world: &mut World, visitors: &mut [Visitor], what: &str) -> Vec<usize> {
    world.advance(Duration::from_millis(1));
    visitors.iter_mut().map(|visitor| visitor.listen(world).matches(what).count()).collect()
}

fn announcing() -> impl Iterator<Item = Way> {
    #[cfg(feature = "streamable")]
    return ways().into_iter().filter(|way| *way != Way::Sessionless);
    #[cfg(not(feature = "streamable"))]
    ways().into_iter()
}

#[test]
fn only_clients_of_the_principal_hear_of_it() {
    let (ada, bob, eve) = (Principal::new("ada"), Principal::new("bob"), Principal::new("eve"));
    for way in announcing() {
        let mut world = world(way, server());
        let mut visitors = visitors(&mut world, way);
        let handle = world.engine.handle();
        let updated = "notifications/resources/updated";
        let mut told = |what: &str| heard(&mut world, &mut visitors, what);
        handle.resource_updated_for(&ada, NEW);
        handle.resource_updated_for(&ada, "INBOX:///new");
        handle.resource_updated_for(&eve, NEW);
        assert_eq!(told(updated), [1, 0, 1], "{way:?}");
        handle.resource_updated_for(&bob, NEW);
        handle.resource_updated_for(&bob, "inbox:///none");
        assert_eq!(told(updated), [0, 1, 0], "{way:?}");
        // It is said once to those whom a wider announcement reaches, too.
        handle.resource_updated_for(&ada, NEW);
        handle.resource_updated(NEW);
        assert_eq!(told(updated), [1, 1, 1], "{way:?}");
        handle.resources_changed_for(&bob);
        assert_eq!(told("notifications/resources/list_changed"), [0, 1, 0], "{way:?}");
        handle.tools_changed_for(&ada);
        handle.tools_changed_for(&bob);
        assert_eq!(told("notifications/tools/list_changed"), [1, 1, 1], "{way:?}");
        handle.prompts_changed_for(&ada);
        assert_eq!(told("notifications/prompts/list_changed"), [1, 0, 1], "{way:?}");
        handle.tools_changed_for(&ada);
        handle.tools_changed();
        assert_eq!(told("notifications/tools/list_changed"), [1, 1, 1], "{way:?}");
        handle.tools_changed_for(&eve);
        assert_eq!(told("notifications"), [0, 0, 0], "{way:?}");
    }
}

/// Beyond `mailbox_max`, all hear that something may have changed: nothing is lost, and of what they have subscribed to only.
#[test]
fn what_finds_no_room_is_announced_to_all() {
    let limits = Limits { mailbox_max: 2, ..Limits::DEFAULT };
    let way = Way::Sse("2025-11-25");
    let mut world = world(way, server().limits(limits));
    let mut visitors = visitors(&mut world, way);
    let handle = world.engine.handle();
    let names = ["ada", "eve", "eve", "ada"].map(Principal::new);
    names.iter().for_each(|name| handle.resource_updated_for(name, NEW));
    assert_eq!(heard(&mut world, &mut visitors, "resources/updated"), [1, 0, 1]);
    handle.resource_updated_for(&names[0], NEW);
    handle.resource_updated_for(&names[1], NEW);
    handle.resource_updated_for(&Principal::new("bob"), NEW);
    assert_eq!(heard(&mut world, &mut visitors, "resources/updated"), [2, 2, 2]);
    names.iter().for_each(|name| handle.tools_changed_for(name));
    assert_eq!(heard(&mut world, &mut visitors, "list_changed"), [1, 0, 1]);
    for name in ["ada", "eve", "mallory"] {
        handle.tools_changed_for(&Principal::new(name));
    }
    assert_eq!(heard(&mut world, &mut visitors, "list_changed"), [1, 1, 1]);
}

/// A handler's own announcement comes before its result.
#[test]
fn a_handler_announces_it_before_its_result() {
    let server = server().tool("receive", "", |(), call| {
        let principal = call.principal().unwrap().clone();
        call.handle().resource_updated_for(&principal, NEW);
        call.handle().resources_changed_for(&principal);
    });
    let way = Way::Lines("2025-11-25");
    let mut world = world(way, server);
    let mut visitors = visitors(&mut world, way);
    let text = visitors[0].ask(&mut world, "tools/call", json!({"name": "receive"}));
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} in {text}"));
    assert!(at("list_changed") < at("\"result\"") && at("resources/updated") < at("\"result\""), "{text}");
    assert_eq!(heard(&mut world, &mut visitors[1..], "notifications"), [0, 2]);
}
