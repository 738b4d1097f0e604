"""curl as a command."""

import subprocess

from report import true


def curl(*arguments: str, body: bytes | None = None) -> tuple[int, str]:
    """Status and body of one request."""
    command = ["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *arguments]
    if body is not None:
        command += ["--data-binary", "@-"]
    done = subprocess.run(command, input=body, capture_output=True, timeout=15)
    text, _, status = done.stdout.decode().rpartition("\n")
    true(done.returncode == 0, f"curl: exit code {done.returncode}, {done.stderr.decode()}")
    return int(status), text
