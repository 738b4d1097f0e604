"""The parser of prometheus-client reads /metrics while clients work and make up names of tools."""

import http.client
import json
import os
import threading
import time
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from report import check, equal, finish, true

ADDRESS = urlsplit(os.environ["INTEROP_URL"]).netloc
WORKERS = 8
CALLS = 1250
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
DURATION = "mcp_server_operation_duration_seconds"
# Of dashboards for OpenTelemetry's metrics of MCP.
LABELS = {"mcp_method_name", "gen_ai_tool_name", "error_type", "network_transport", "mcp_protocol_version"}


def work(number: int, done: list[int]) -> None:
    """Half of the calls are of a tool that there is."""
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    for call in range(CALLS):
        name = "echo" if call % 2 else f"made-up-{number}-{call}"
        params = {"name": name, "arguments": {"text": "x"}, "_meta": META}
        message = json.dumps({"jsonrpc": "2.0", "id": call, "method": "tools/call", "params": params})
        connection.request("POST", "/mcp", message, {
            "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call", "Mcp-Name": name})
        connection.getresponse().read()
        done[number] += 1


def scrape() -> tuple[dict[str, list], int]:
    connection = http.client.HTTPConnection(ADDRESS, timeout=30)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    text = response.read().decode()
    equal((response.status, response.getheader("Content-Type")), (200, "text/plain; version=0.0.4; charset=utf-8"))
    families = list(text_string_to_metric_families(text))
    equal(len(families), len({family.name for family in families}), "number of families")
    return {family.name: family.samples for family in families}, len(text)


def calls(families: dict[str, list]) -> dict[str, float]:
    found: dict[str, float] = {}
    for sample in families.get(DURATION, []):
        if sample.name == f"{DURATION}_count":
            equal(set(sample.labels), LABELS, "labels")
            tool = sample.labels["gen_ai_tool_name"]
            found[tool] = found.get(tool, 0) + sample.value
    return found


def check_histograms(families: dict[str, list]) -> int:
    """Buckets grow, and the last one has all."""
    seen = 0
    for name, samples in families.items():
        last: dict[tuple, float] = {}
        for sample in samples:
            key = tuple(sorted((label, value) for label, value in sample.labels.items() if label != "le"))
            if sample.name == f"{name}_bucket":
                true(sample.value >= last.get(key, 0), f"a bucket of {name} is less than the one before")
                last[key] = sample.value
            if sample.name == f"{name}_count":
                equal(sample.value, last[key], f"the count of {name}")
                seen += 1
    return seen


def main() -> None:
    done = [0] * WORKERS
    workers = [threading.Thread(target=work, args=(number, done)) for number in range(WORKERS)]
    with check(f"every page parses while {WORKERS} clients make {WORKERS * CALLS} calls") as notes:
        for worker in workers:
            worker.start()
        pages, before, longest = 0, 0.0, 0
        while any(worker.is_alive() for worker in workers):
            families, length = scrape()
            check_histograms(families)
            total = sum(calls(families).values())
            true(total >= before, f"{total} calls after {before}")
            pages, before, longest = pages + 1, total, max(longest, length)
            time.sleep(0.02)
        true(pages >= 5, f"only {pages} pages")
        notes.append(f"{pages} pages, at most {longest} bytes")
    with check("every call is counted, and names that clients make up have one series together"):
        equal(done, [CALLS] * WORKERS, "calls")
        families, _ = scrape()
        half = WORKERS * CALLS / 2
        equal(calls(families), {"echo": half, "_other": half}, "calls by tool")
        series = [sample for sample in families[DURATION] if sample.name.endswith("_count")]
        equal(len(series), 2, "number of series")
    with check("what dashboards ask for is there") as notes:
        families, _ = scrape()
        for name in [DURATION, "mcp_rill_sessions", "mcp_rill_loop_turn_seconds", "mcp_rill_buffered_bytes", "mcp_rill_workers_busy",
                     "mcp_rill_workers_queued", "mcp_rill_slow_readers", "mcp_rill_build_info", "process_cpu_seconds",
                     "process_resident_memory_bytes", "process_open_fds", "process_start_time_seconds"]:
            true(name in families and families[name], f"no {name}")
        notes.append(f"{check_histograms(families)} histograms")
    finish()


if __name__ == "__main__":
    main()
