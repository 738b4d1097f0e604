//! Questions of handlers, and the answers of the test.

use mcp_rill::testing::{Answer, Harness, Way};
use mcp_rill::{Call, ClientAnswer, Elicited, Limits, Revision, Server, schema};
use serde_json::json;

schema! { struct Name { name: String } }

fn server() -> Server {
    let limits = Limits { question_timeout: std::time::Duration::from_secs(300), ..Limits::default() };
    Server::new("asks", "1")
        .limits(limits)
        .tool("name", "Ask for a name", |(), call: &mut Call| -> mcp_rill::Result<_> {
            Ok(match call.elicit::<Name>("name", "Who are you?")? {
                Elicited::Accepted(Name { name }) => format!("hello {name}"),
                Elicited::Declined => "declined".to_owned(),
                Elicited::Cancelled => "cancelled".to_owned(),
                Elicited::Unavailable(_) => "unavailable".to_owned(),
            })
        })
        .tool("all", "Ask for everything", |(), call: &mut Call| -> mcp_rill::Result<_> {
            let (name, roots) = (call.elicit::<Name>("who", "Who?"), call.roots("roots"));
            let name = name?.accepted().map_or("nobody".to_owned(), |Name { name }| name);
            let roots = roots?.given().unwrap_or_default();
            let short = match call.sample("short", format!("Shorten {name}"))? {
                ClientAnswer::Given(short) => short.text(),
                ClientAnswer::Unavailable(_) => "unsaid".to_owned(),
            };
            Ok(format!("{name} {} {short}", roots.first().map_or("", |root| &*root.uri)))
        })
}

/// True if clients can be asked for forms there: since 2025-06-18.
fn has_forms(way: Way) -> bool {
    way.revision() >= Revision::V2025_06_18
}

#[test]
fn questions_are_answered_by_their_keys() {
    for way in Way::all() {
        let harness = Harness::new(server()).over(way).answer("name", json!({"name": "Ada"}));
        let mut harness = harness
            .answer("who", json!({"name": "Bob"}))
            .answer("roots", json!(["file:///srv"]))
            .answer("short", "B.");
        let (name, all) = (harness.call("name", json!({})), harness.call("all", json!({})));
        match has_forms(way) {
            true => assert_eq!((&*name.text(), &*all.text()), ("hello Ada", "Bob file:///srv B."), "{way}"),
            false => {
                assert_eq!((&*name.text(), &*all.text()), ("unavailable", "nobody file:///srv B."), "{way}");
            }
        }
        let asked: Vec<_> = all.questions().iter().filter_map(|question| question.key.as_deref()).collect();
        let mut expected = vec!["who", "roots", "short"];
        expected.retain(|key| has_forms(way) || *key != "who");
        let sorted = |mut keys: Vec<&'static str>| {
            keys.sort_unstable();
            keys
        };
        let mut asked: Vec<String> = asked.into_iter().map(str::to_owned).collect();
        asked.sort_unstable();
        assert_eq!(asked, sorted(expected), "{way}");
        if has_forms(way) {
            let question = &name.questions()[0];
            assert_eq!(
                (&*question.method, &question.params["message"]),
                ("elicitation/create", &json!("Who are you?"))
            );
        }
    }
}

#[test]
fn the_user_declines_closes_the_form_or_does_not_answer() {
    for way in Way::all().into_iter().filter(|way| has_forms(*way)) {
        let call =
            |answer: Answer| Harness::new(server()).over(way).answer("name", answer).call("name", json!({}));
        assert_eq!(call(Answer::Declined).text(), "declined", "{way}");
        assert_eq!(call(Answer::Cancelled).text(), "cancelled", "{way}");
        let raw = call(Answer::Raw(json!({"action": "accept", "content": {"name": 7}})));
        assert!(raw.tool_error().contains("name"), "{way}: {raw}");
        let (refused, silent) = (call(Answer::Error(-32601, "no".into())), call(Answer::Nothing));
        if !way.revision().has_sessions() {
            // There the client would have to call again, and does not.
            assert!(refused.to_string().contains("did not call again"), "{refused}");
            assert!(silent.to_string().contains("did not answer, so it did not call again"), "{silent}");
        } else {
            assert_eq!((&*refused.text(), &*silent.text()), ("unavailable", "cancelled"), "{way}");
        }
    }
}

#[test]
fn a_closure_answers_what_has_no_answer_by_its_key() {
    let mut harness = Harness::new(server()).answer("name", json!({"name": "Ada"})).on_question(|question| {
        let text = question.params["message"].as_str().unwrap_or("?").to_owned();
        json!({"name": format!("{text}!")}).into()
    });
    if has_forms(Way::of(Revision::NEWEST_WITH_SESSIONS)) {
        assert_eq!(harness.call("name", json!({})).text(), "hello Ada");
        let all = harness.call("all", json!({}));
        assert_eq!(all.questions().len(), 2, "{all}");
        assert!(all.tool_error().contains("`roots` is not valid"), "{all}");
    }
}

#[test]
fn a_client_that_can_be_asked_nothing() {
    for way in Way::all() {
        let mut harness = Harness::new(server()).over(way).capabilities(json!({}));
        assert_eq!(harness.call("name", json!({})).text(), "unavailable", "{way}");
    }
}
