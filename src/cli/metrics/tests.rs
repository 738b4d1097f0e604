//! The page as it is served, after events of all kinds.

use std::time::Duration;

use super::*;
use crate::access::peer::{Peer, Principal};
use crate::cli::bounds::METRIC_SERIES_MAX;
use crate::service::ended::{CallKind, CallOutcome};
use crate::service::session::SessionId;

fn call(name: &str, is_known: bool, outcome: CallOutcome) -> Event<'_> {
    const PEER: &Peer = &Peer { address: None, loopback: true, unix: false, principal: None };
    Event::CallEnded {
        kind: CallKind::Tool,
        name,
        is_known,
        peer: PEER,
        principal: None,
        session: None,
        transport: Transport::Streamable,
        revision: Revision::NEWEST,
        queued: Duration::from_millis(1),
        ran: Duration::from_millis(2),
        outcome,
        runs: 1,
        bytes: 0,
        request_bytes: 0,
        trace: None,
        arguments: None,
    }
}

fn metrics() -> Metrics {
    Metrics::new(&Limits::DEFAULT)
}

fn text(metrics: &Metrics) -> String {
    let stats = Stats { workers_queued: 3, slow_readers: 4, ..Stats::default() };
    String::from_utf8(metrics.counted().page(&stats)).unwrap()
}

fn series(metrics: &Metrics) -> usize {
    metrics.counted().calls.len()
}

#[test]
fn calls_are_counted_under_the_names_of_opentelemetry() {
    let metrics = metrics();
    metrics.observe(&call("ping", true, CallOutcome::Result));
    metrics.observe(&call("ping", true, CallOutcome::Result));
    metrics.observe(&call("ping", true, CallOutcome::Error(-32602)));
    let text = text(&metrics);
    let name = "mcp_server_operation_duration_seconds";
    let labels = |error: &str| {
        format!(
            "mcp_method_name=\"tools/call\",gen_ai_tool_name=\"ping\",error_type=\"{error}\",network_transport=\"tcp\",mcp_protocol_version=\"{}\"",
            Revision::NEWEST
        )
    };
    for line in [
        format!("# TYPE {name} histogram"),
        format!("{name}_bucket{{{},le=\"0.002\"}} 0", labels("")),
        format!("{name}_bucket{{{},le=\"0.005\"}} 2", labels("")),
        format!("{name}_bucket{{{},le=\"+Inf\"}} 2", labels("")),
        format!("{name}_sum{{{}}} 0.006", labels("")),
        format!("{name}_count{{{}}} 1", labels("-32602")),
        "mcp_rill_workers_queued 3".to_owned(),
        "mcp_rill_slow_readers_total 4".to_owned(),
        format!("mcp_rill_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        format!("mcp_rill_buffered_bytes_max {}", Limits::DEFAULT.buffered_bytes_max),
    ] {
        assert!(text.lines().any(|other| other == line), "no {line} in\n{text}");
    }
    assert!(text.ends_with('\n'));
}

#[test]
fn names_that_clients_make_up_have_one_series_together() {
    let metrics = metrics();
    let names: Vec<String> = (0..10_000).map(|number| format!("made up {number}")).collect();
    names.iter().for_each(|name| metrics.observe(&call(name, false, CallOutcome::Error(-32602))));
    assert_eq!(series(&metrics), 1);
    let text = text(&metrics);
    assert!(text.contains("gen_ai_tool_name=\"_other\"") && !text.contains("made up"), "{text}");
    // Codes that an author makes up have one, too.
    (1..1000).for_each(|code| metrics.observe(&call("x", false, CallOutcome::Error(code))));
    assert_eq!(series(&metrics), 2);
}

#[test]
fn a_tool_that_was_found_once_keeps_its_name() {
    let metrics = metrics();
    metrics.observe(&call("bridged", true, CallOutcome::Result));
    metrics.observe(&call("bridged", false, CallOutcome::ToolError));
    assert!(text(&metrics).contains("gen_ai_tool_name=\"bridged\",error_type=\"tool_error\""));
}

#[test]
fn series_have_a_bound_and_nothing_is_lost_beyond_it() {
    let metrics = metrics();
    let names: Vec<String> = (0..METRIC_SERIES_MAX + 100).map(|number| format!("tool{number}")).collect();
    names
        .iter()
        .take(METRIC_SERIES_MAX)
        .for_each(|name| metrics.observe(&call(name, true, CallOutcome::Result)));
    assert_eq!(series(&metrics), METRIC_SERIES_MAX);
    assert!(!text(&metrics).contains("_other"));
    names.iter().for_each(|name| metrics.observe(&call(name, true, CallOutcome::Result)));
    assert_eq!(series(&metrics), METRIC_SERIES_MAX + 1, "one more, for all others");
    assert_eq!(metrics.counted().calls.total(), 2 * METRIC_SERIES_MAX as u64 + 100);
    metrics.observe(&call("tool1", true, CallOutcome::ToolError));
    assert_eq!(series(&metrics), METRIC_SERIES_MAX + 1);
}

#[test]
fn sessions_and_refusals_are_counted_by_transport_and_reason() {
    let metrics = metrics();
    let (ada, id) = (
        Peer { principal: Some(Principal::new("ada")), unix: true, ..Peer::default() },
        SessionId(uuid::Uuid::nil()),
    );
    let opened = |transport| metrics.observe(&Event::SessionOpened { peer: &ada, id, transport });
    opened(Transport::Sse);
    opened(Transport::Sse);
    opened(Transport::Lines);
    let (transport, revision, lasted) = (Transport::Sse, Revision::V2025_06_18, Duration::from_secs(4));
    metrics.observe(&Event::SessionClosed { peer: &ada, id, transport, revision, lasted });
    for status in [401, 401, 503, 799] {
        metrics.observe(&Event::Refused { peer: &ada, status, reason: "never shown" });
    }
    let text = text(&metrics);
    for line in [
        "mcp_rill_sessions{transport=\"sse\"} 1",
        "mcp_rill_sessions{transport=\"stdio\"} 1",
        "mcp_rill_sessions{transport=\"streamable\"} 0",
        "mcp_rill_refusals_total{reason=\"unauthorized\",status=\"401\"} 2",
        "mcp_rill_refusals_total{reason=\"service_unavailable\",status=\"503\"} 1",
        "mcp_rill_refusals_total{reason=\"unknown\",status=\"0\"} 1",
        "mcp_server_session_duration_seconds_bucket{network_transport=\"unix\",mcp_protocol_version=\"2025-06-18\",le=\"2\"} 0",
        "mcp_server_session_duration_seconds_bucket{network_transport=\"unix\",mcp_protocol_version=\"2025-06-18\",le=\"5\"} 1",
    ] {
        assert!(text.lines().any(|other| other == line), "no {line} in\n{text}");
    }
    assert!(!text.contains("ada") && !text.contains("never"), "no one is named");
}

#[test]
fn initialize_and_lists_are_counted_among_the_calls() {
    let metrics = metrics();
    let ended = |method, millis, outcome| {
        let (ran, peer) = (Duration::from_millis(millis), &Peer::default());
        let (transport, revision) = (Transport::Lines, Revision::V2025_06_18);
        metrics.observe(&Event::RequestEnded { method, peer, transport, revision, ran, outcome });
    };
    ended("initialize", 3, CallOutcome::Result);
    ended("tools/list", 7, CallOutcome::Result);
    ended("tools/list", 700, CallOutcome::Cancelled);
    let text = text(&metrics);
    let name = "mcp_server_operation_duration_seconds";
    let labels = |method: &str, error: &str| {
        format!(
            "mcp_method_name=\"{method}\",gen_ai_tool_name=\"\",error_type=\"{error}\",network_transport=\"pipe\",mcp_protocol_version=\"2025-06-18\""
        )
    };
    for line in [
        format!("{name}_sum{{{}}} 0.003", labels("initialize", "")),
        format!("{name}_bucket{{{},le=\"0.01\"}} 1", labels("tools/list", "")),
        format!("{name}_count{{{}}} 1", labels("tools/list", "cancelled")),
    ] {
        assert!(text.lines().any(|other| other == line), "no {line} in\n{text}");
    }
    assert_eq!(series(&metrics), 3);
}

#[test]
fn turns_are_counted() {
    let metrics = metrics();
    metrics.turned(Duration::from_micros(700));
    assert!(text(&metrics).contains("mcp_rill_loop_turn_seconds_bucket{le=\"0.001\"} 1\n"));
    assert!(text(&metrics).contains("mcp_rill_loop_turn_seconds_bucket{le=\"0.0005\"} 0\n"));
}
