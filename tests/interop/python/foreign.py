"""Two foreign HTTP/1.1 parsers, h11 and llhttp, read what mcp-rill reads.

What mcp-rill accepts, one of them at least has to read alike: method, target and body of each request. Where neither
does, or where one of them reads a different request at the same place, there has to be a reason in `REASONS`.
"""

import collections
import json
import subprocess
import sys
from pathlib import Path

import h11

import report

REPOSITORY = Path(__file__).resolve().parents[3]
CORPUS = REPOSITORY / "fuzz" / "corpus"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

Request = tuple[str, str, str]


def inputs(cases: Path) -> dict[str, bytes]:
    """The bytes of one connection each: the fuzzers' corpus, and the cases that the tests wrote out."""
    found = {}
    for folder, before, skipped in [("head", b"", 0), ("connection", b"", 2), ("chunked", CHUNKED, 0)]:
        for file in sorted((CORPUS / folder).iterdir()):
            found[f"{folder}/{file.name}"] = before + file.read_bytes()[skipped:]
    corpus = len(found)
    for file in sorted(cases.iterdir()):
        found[f"case/{file.name}"] = file.read_bytes()
    report.true(corpus > 100 and len(found) > corpus + 100, f"{corpus} of {len(found)} inputs are of the corpus")
    return found


def of_h11(bytes_: bytes) -> tuple[list[Request], str | None]:
    requests, conn = [], h11.Connection(h11.SERVER)
    conn.receive_data(bytes_)
    try:
        while True:
            match conn.next_event():
                case h11.Request() as request:
                    body = b""
                case h11.Data(data=data):
                    body += bytes(data)
                case h11.EndOfMessage():
                    requests.append((request.method.decode(), request.target.decode("latin-1"), body.hex()))
                    # Not 2xx: after CONNECT that would be another protocol.
                    conn.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                    conn.send(h11.EndOfMessage())
                    if conn.our_state is not h11.DONE:
                        return requests, None
                    conn.start_next_cycle()
                case _:
                    return requests, None
    except h11.RemoteProtocolError as error:
        return requests, str(error)


def of_program(command: list[str], lines: str) -> list[dict]:
    done = subprocess.run(command, input=lines, check=True, stdout=subprocess.PIPE, text=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


# Why a parser may see it differently: in which input, whose other reading, and why ours is right.
WHITESPACE = "RFC 9112, section 7.1.1: whitespace before a chunk extension is bad, and a recipient has to parse it"
REASONS = [
    ("chunked/extension-bad-whitespace", "both", WHITESPACE),
    ("case/whitespace before an extension", "both", WHITESPACE),
]


def reason(name: str, parser: str) -> str | None:
    return next((why for of, whose, why in REASONS if of == name and whose in (parser, "both")), None)


def main() -> None:
    verdicts, node, cases = sys.argv[1:]
    found = inputs(Path(cases))
    lines = "".join(bytes_.hex() + "\n" for bytes_ in found.values())
    ours = of_program([verdicts], lines)
    llhttp = [([tuple(one) for one in other["requests"]], other["error"])
              for other in of_program([node, "--no-warnings", str(Path(__file__).parents[1] / "node" / "llhttp.mjs")], lines)]
    report.equal((len(ours), len(llhttp)), (len(found), len(found)), "verdicts")
    counts, problems, used = collections.Counter(), [], set()

    def judge(problem: str, name: str, parser: str) -> None:
        why = reason(name, parser)
        used.add((name, parser))
        if why is None:
            problems.append(f"{name}, {parser}: {problem}")
        else:
            print(f"{name}, {parser}: {problem}; {why}")

    for (name, bytes_), mine, of_node in zip(found.items(), ours, llhttp):
        others = {"h11": of_h11(bytes_), "llhttp": of_node}
        counts["inputs"] += 1
        counts["inputs refused"] += mine["status"] is not None
        for at, request in enumerate(map(tuple, mine["requests"])):
            counts["requests accepted"] += 1
            agree = []
            for parser, (requests, error) in others.items():
                if at < len(requests) and requests[at] == request:
                    agree.append(parser)
                elif at < len(requests):
                    judge(f"reads {requests[at]!r}, not {request!r}", name, parser)
                else:
                    counts[f"refused by {parser}"] += 1
            counts[f"accepted by {' and '.join(agree) or 'neither'}"] += 1
            if not agree:
                judge(f"refuse {request!r}: {others['h11'][1]}; {others['llhttp'][1]}", name, "both")
        for parser, (requests, _) in others.items():
            more = len(requests) - len(mine["requests"])
            counts[f"refused here, accepted by {parser}"] += max(more, 0)
    for what, count in sorted(counts.items()):
        print(f"{what}: {count}")
    with report.check("what is accepted, a foreign parser accepts alike"):
        report.equal(problems, [], "disagreements without a reason")
    with report.check("every reason is about an input"):
        report.equal([one for one in REASONS if (one[0], one[1]) not in used], [], "reasons without use")


if __name__ == "__main__":
    with report.check("inputs and parsers"):
        main()
    report.finish()
