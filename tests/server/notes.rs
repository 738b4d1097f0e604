//! The example `notes`: each user sees, changes and hears of their own notes only, over every transport and revision.

#[path = "../../examples/notes.rs"]
#[allow(dead_code, reason = "its `main` is for a shell")]
mod example;

use std::fs;

use mcp_rill::testing::{Faults, Harness, Notification, Way};
use serde_json::json;

use example::{Notes, server};

/// A file that is removed with the test.
struct Store(String);

impl Store {
    fn new(name: &str) -> Store {
        let path = std::env::temp_dir().join(format!("mcp-rill-notes-{}-{name}", std::process::id()));
        let _ = fs::remove_file(&path);
        Store(path.to_str().unwrap().to_owned())
    }

    fn client(&self) -> Harness {
        Harness::new(server(Notes::open(&self.0).unwrap()))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn users_have_notes_of_their_own() {
    for (seed, way) in (1..).zip(Way::all()) {
        let store = Store::new("own");
        let mut ada = store.client().over(way).principal("ada").faults(Faults::seed(seed));
        let mut bob = ada.another().principal("bob");
        for (id, text) in [(1, "buy milk"), (2, "call Bob")] {
            assert_eq!(ada.call("put", json!({"text": text})).text(), format!("wrote note:///{id}"), "{way}");
        }
        assert_eq!(bob.call("put", json!({"text": "buy nuts"})).text(), "wrote note:///3");
        assert_eq!(ada.call("find", json!({"word": "buy"})).text(), "1: buy milk\n");
        assert_eq!(ada.call("count", json!({})).text(), "2");
        // What is somebody else's does not exist.
        for id in [1, 9] {
            let stolen = bob.call("put", json!({"id": id, "text": "mine"})).tool_error();
            assert_eq!(stolen, format!("you have no note {id}; `find` lists your notes"), "{way}");
            assert!(bob.read(&format!("note:///{id}")).error().message.contains("not found"));
        }
        assert_eq!(ada.read("note:///1").text(), "buy milk");
        assert_eq!(
            (ada.resources(), bob.resources()),
            (vec!["note:///1".into(), "note:///2".into()], vec!["note:///3".into()])
        );
        assert_eq!(ada.complete_template("note:///{id}", "id", "").completions(), ["1", "2"]);
        assert_eq!(ada.call("delete", json!({"id": 1})).text(), "deleted");
        assert_eq!(ada.call("count", json!({})).text(), "1");
        let nobody = ada.another().call("count", json!({})).error();
        assert_eq!((nobody.code, &*nobody.message), (4001, "notes belong to somebody: send a token"));
    }
}

#[test]
fn another_client_of_the_same_user_hears_of_changes() {
    for way in Way::all() {
        let store = Store::new("heard");
        let mut ada = store.client().over(way).principal("ada");
        let mut clients = [ada.another().principal("ada"), ada.another().principal("bob")];
        let mut heard = |ada: &mut Harness, call: serde_json::Value| {
            let _before = clients.each_mut().map(Harness::notifications);
            assert!(ada.call("put", call).is_ok(), "{way}");
            clients.each_mut().map(Harness::notifications)
        };
        assert_eq!(
            heard(&mut ada, json!({"text": "buy milk"})),
            [vec![Notification::ResourcesChanged], vec![]],
            "{way}"
        );
        assert_eq!(clients.each_mut().map(|client| client.subscribe("note:///1")), [true, false], "{way}");
        let mut heard = |call: serde_json::Value| {
            assert_eq!(ada.call("put", call).text(), "replaced note:///1");
            clients.each_mut().map(Harness::notifications)
        };
        let updated = Notification::ResourceUpdated("note:///1".into());
        assert_eq!(heard(json!({"id": 1, "text": "buy bread"})), [vec![updated], vec![]], "{way}");
    }
}

#[test]
fn notes_are_there_after_a_restart() {
    let store = Store::new("again");
    let mut ada = store.client().principal("ada");
    for text in ["kept", "gone"] {
        assert!(ada.call("put", json!({"text": text})).is_ok());
    }
    assert!(ada.call("delete", json!({"id": 2})).is_ok());
    drop(ada);
    let mut ada = store.client().principal("ada");
    assert_eq!(ada.call("find", json!({"word": "e"})).text(), "1: kept\n");
    assert_eq!(ada.call("put", json!({"text": "next"})).text(), "wrote note:///3");
}
