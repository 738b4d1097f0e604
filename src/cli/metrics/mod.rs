//! `--metrics`: what has happened so far, as numbers for Prometheus.
//!
//! *Scope:* counting events, and the page `/metrics`. *Not in scope:* the text format (`page`), facts of the process (`process`), and
//! which address answers.
//!
//! Names and labels of calls and sessions are those of OpenTelemetry's conventions for MCP, as dashboards query them. What else there
//! is begins with `mcp_rill_`.
//!
//! ```text
//!  Event::CallEnded, RequestEnded, SessionClosed, Refused ──▶ Counted ──┐
//!  turns of the loop ───────────────────────────────────────▶           ├──▶ page ──▶ GET /metrics
//!  Stats, /proc/self ───────────────────────────────────────────────────┘
//! ```

mod calls;
mod histogram;
mod page;
#[cfg(target_os = "linux")]
mod process;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use calls::{Calls, network_of};
use histogram::{Histogram, OPERATION_SECONDS, TURN_SECONDS};
use page::{Kind, Page};

use super::Failure;
use super::log::call::transport_name;
use crate::engine::observe::{Event, Transport};
use crate::engine::pages::StatusPage;
use crate::http::response::reason_phrase;
use crate::limits::Limits;
use crate::net::Listening;
use crate::protocol::revision::Revision;
use crate::server::stats::Stats;

/// Where the page is.
pub(super) const PATH: &str = "/metrics";
const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The numbers so far. Clones share them.
#[derive(Clone)]
pub(super) struct Metrics(Arc<Mutex<Counted>>);

struct Counted {
    calls: Calls,
    /// How long sessions were open, by network, revision.
    sessions: BTreeMap<(&'static str, Revision), Histogram>,
    /// Sessions that are open now.
    open: BTreeMap<&'static str, u64>,
    /// Refused requests, by status. A status without a phrase counts as 0.
    refusals: BTreeMap<u16, u64>,
    turns: Histogram,
    buffered_bytes_max: usize,
    workers: usize,
    started: SystemTime,
}

impl Metrics {
    pub(super) fn new(limits: &Limits) -> Metrics {
        let open = [Transport::Sse, Transport::Streamable, Transport::Lines]
            .map(|transport| (transport_name(transport), 0));
        Metrics(Arc::new(Mutex::new(Counted {
            calls: Calls::default(),
            sessions: BTreeMap::new(),
            open: BTreeMap::from(open),
            refusals: BTreeMap::new(),
            turns: Histogram::new(TURN_SECONDS),
            buffered_bytes_max: limits.buffered_bytes_max,
            workers: limits.workers,
            started: started(),
        })))
    }

    pub(super) fn observe(&self, event: &Event<'_>) {
        let mut counted = self.counted();
        match event {
            Event::CallEnded { .. } | Event::RequestEnded { .. } => counted.calls.add(event),
            Event::SessionOpened { transport, .. } => {
                *counted.open.entry(transport_name(*transport)).or_default() += 1
            }
            Event::SessionClosed { peer, transport, revision, lasted, .. } => {
                let open = counted.open.entry(transport_name(*transport)).or_default();
                *open = open.saturating_sub(1);
                let labels = (network_of(*transport, peer), *revision);
                let durations =
                    counted.sessions.entry(labels).or_insert_with(|| Histogram::new(OPERATION_SECONDS));
                durations.add(*lasted);
            }
            Event::Refused { status, .. } => {
                let status = if reason_phrase(*status) == reason_phrase(0) { 0 } else { *status };
                *counted.refusals.entry(status).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Counts a turn of the loop.
    pub(super) fn turned(&self, time: Duration) {
        self.counted().turns.add(time);
    }

    /// Has the page answered at [`PATH`] on the addresses for health checks, and for clients too if `for_clients`.
    pub(super) fn add_to(&self, listening: &mut Listening, for_clients: bool) -> Result<(), Failure> {
        let metrics = self.clone();
        let page = StatusPage::new(PATH, MEDIA_TYPE, move |stats| metrics.counted().page(stats));
        let added = listening.add_page(page.for_clients(for_clients));
        added.map_err(|error| Failure::usage(format!("--metrics: {error}")))
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "the start of the process is a fact of the machine")]
fn started() -> SystemTime {
    SystemTime::now()
}

impl Counted {
    fn page(&self, stats: &Stats) -> Vec<u8> {
        let mut page = Page::default();
        self.calls.write(&mut page);
        let name = "mcp_server_session_duration_seconds";
        page.family(name, Kind::Histogram, "How long sessions were open that have ended.");
        for ((network, revision), durations) in &self.sessions {
            let labels = [("network_transport", *network), ("mcp_protocol_version", revision.name())];
            page.histogram(name, &labels, durations);
        }
        let name = "mcp_rill_sessions";
        page.family(name, Kind::Gauge, "Sessions that are open.");
        self.open.iter().for_each(|(transport, count)| page.sample(name, &[("transport", transport)], count));
        let name = "mcp_rill_refusals_total";
        page.family(name, Kind::Counter, "Requests that were refused.");
        for (status, count) in &self.refusals {
            let reason = reason_phrase(*status).to_ascii_lowercase().replace([' ', '-'], "_");
            page.sample(name, &[("reason", &reason), ("status", &status.to_string())], count);
        }
        self.write_stats(stats, &mut page);
        let name = "mcp_rill_loop_turn_seconds";
        page.family(
            name,
            Kind::Histogram,
            "How long turns of the loop took, in which nobody else was served.",
        );
        page.histogram(name, &[], &self.turns);
        let name = "mcp_rill_build_info";
        page.family(name, Kind::Gauge, "1, with the version of the program.");
        page.sample(name, &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        page.single("process_start_time_seconds", Kind::Gauge, "When it started.", started.as_secs_f64());
        #[cfg(target_os = "linux")]
        process::write(&mut page);
        page.finish()
    }

    fn write_stats(&self, stats: &Stats, page: &mut Page) {
        use Kind::{Counter, Gauge};
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        for (name, kind, help, value) in [
            ("connections", Gauge, "Connections that are open.", count(stats.connections)),
            ("calls", Gauge, "Calls that are open.", count(stats.calls)),
            ("workers_busy", Gauge, "Worker threads that run a handler.", count(stats.workers_busy)),
            ("workers_stuck", Gauge, "Worker threads past their call's timeout.", count(stats.workers_stuck)),
            ("workers_queued", Gauge, "Calls that wait for a worker thread.", count(stats.workers_queued)),
            ("workers_max", Gauge, "The limit workers.", count(self.workers)),
            ("buffered_bytes", Gauge, "Bytes of peers' data that are held.", count(stats.buffered_bytes)),
            ("remembered_bytes", Gauge, "Bytes of heads that are remembered.", count(stats.remembered_bytes)),
            ("buffered_bytes_max", Gauge, "The limit buffered_bytes_max.", count(self.buffered_bytes_max)),
            ("connections_opened_total", Counter, "Connections opened.", stats.connections_opened),
            ("sessions_opened_total", Counter, "Sessions opened.", stats.sessions_opened),
            ("sessions_evicted_total", Counter, "Sessions ended for new ones.", stats.sessions_evicted),
            ("sessions_shed_total", Counter, "Sessions ended for lack of memory.", stats.sessions_shed),
            ("replays_shed_total", Counter, "Sessions whose kept events were dropped.", stats.replays_shed),
            ("messages_received_total", Counter, "Messages taken from clients.", stats.messages_received),
            ("messages_sent_total", Counter, "Messages queued to clients.", stats.messages_queued),
            ("busy_total", Counter, "Requests refused because a limit was reached.", stats.busy),
            (
                "slow_readers_total",
                Counter,
                "Connections closed, their client not reading.",
                stats.slow_readers,
            ),
            ("oversized_total", Counter, "Messages over message_bytes_max.", stats.oversized),
            ("late_results_total", Counter, "Results for calls that were over.", stats.late),
            ("stray_answers_total", Counter, "Answers that no request waited for.", stats.stray_answers),
            ("logs_dropped_total", Counter, "Log messages that clients did not get.", stats.logs_dropped),
        ] {
            page.single(&format!("mcp_rill_{name}"), kind, help, value);
        }
    }
}

#[cfg(test)]
mod tests {
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
}
