//! Faults on the connections, by chance from a seed.

use mcp_rill::engine::Transport;
use mcp_rill::testing::{Faults, FaultsSeen, Harness, Notification, Way};
use mcp_rill::{Call, Elicited, Level, Server, schema};
use serde_json::json;

schema! { struct Confirm { sure: bool } }

fn server() -> Server {
    Server::new("talks", "1")
        .tool("talk", "Log, ask, and answer at length", |(), call: &mut Call| -> mcp_rill::Result<_> {
            for number in 0..20 {
                call.log(Level::Info, format!("line {number}"));
            }
            let sure = call.elicit::<Confirm>("sure", "Sure?")?;
            for number in 20..40 {
                call.log(Level::Info, format!("line {number}"));
            }
            Ok(match sure {
                Elicited::Accepted(Confirm { sure: true }) => "yes ".repeat(200),
                _ => "no ".repeat(200),
            })
        })
        .resource("talk:///", "talk", |_| "talk ".repeat(200))
}

/// Runs the same test; returns what has gone wrong.
fn run(way: Way, faults: Faults) -> FaultsSeen {
    let harness = Harness::new(server()).over(way).faults(faults);
    let mut harness = harness.answer("sure", json!({"sure": true}));
    let mut other = harness.another().over(way);
    assert!(other.subscribe("talk:///"), "{way} {faults:?}");
    for _ in 0..3 {
        let response = harness.call("talk", json!({}));
        let text = response.text();
        assert!(text == "yes ".repeat(200) || text == "no ".repeat(200), "{way} {faults:?}: {text}");
        // No log is lost or comes twice.
        let logs: Vec<_> = response.notifications().iter().filter_map(data).collect();
        let expected: Vec<_> = (0..40).map(|number| json!(format!("line {number}"))).collect();
        assert_eq!(logs, expected, "{way} {faults:?}");
        assert_eq!(harness.read("talk:///").text(), "talk ".repeat(200), "{way} {faults:?}");
        harness.handle().resource_updated("talk:///");
        assert_eq!(
            other.notifications(),
            [Notification::ResourceUpdated("talk:///".into())],
            "{way} {faults:?}"
        );
    }
    harness.faults_seen()
}

fn data(notification: &Notification) -> Option<serde_json::Value> {
    match notification {
        Notification::Log { data, .. } => Some(data.clone()),
        _ => None,
    }
}

#[test]
fn nothing_is_lost_whatever_the_seed() {
    for way in Way::all() {
        let mut lost = 0;
        for seed in 0..10 {
            let seen = run(way, Faults::seed(seed));
            assert!(seen.cut_writes > 0 && seen.stalls > 0, "{way} {seed}: {seen:?}");
            lost += seen.lost_streams;
        }
        let in_session = way.transport() == Transport::Streamable && way.revision().has_sessions();
        let resumes = cfg!(feature = "resume") && in_session;
        assert_eq!(lost > 0, resumes, "{way}: {lost} streams were lost");
    }
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    for way in Way::all() {
        let seen: Vec<FaultsSeen> = (0..3).map(|seed| run(way, Faults::seed(seed))).collect();
        let again: Vec<FaultsSeen> = (0..3).map(|seed| run(way, Faults::seed(seed))).collect();
        assert_eq!(seen, again, "{way}");
        assert!(seen.iter().any(|other| *other != seen[0]), "{way}: seeds make no difference");
    }
}

#[test]
fn each_fault_can_be_left_out() {
    let way = Way::of(mcp_rill::Revision::NEWEST_WITH_SESSIONS);
    let none = |seed| Faults::seed(seed).torn(false).lost_streams(false).slow_readers(false);
    assert_eq!(run(way, none(3)), FaultsSeen::default());
    let torn = run(way, none(3).torn(true));
    assert!(torn.cut_writes > 0 && torn.stalls == 0 && torn.lost_streams == 0, "{torn:?}");
    let slow = run(way, none(3).slow_readers(true));
    assert!(slow.stalls > 0 && slow.lost_streams == 0, "{slow:?}");
    let lost: Vec<FaultsSeen> = (0..10).map(|seed| run(way, none(seed).lost_streams(true))).collect();
    assert!(lost.iter().all(|seen| seen.stalls == 0 && seen.cut_writes == 0), "{lost:?}");
    assert_eq!(lost.iter().any(|seen| seen.lost_streams > 0), cfg!(feature = "resume"), "{lost:?}");
}
