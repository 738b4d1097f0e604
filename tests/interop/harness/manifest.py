"""The folder that a manifest's server serves: what is kept in `manifest/`, and what is made of it."""

import base64
import json
import secrets
import shutil
from pathlib import Path

KEPT = Path(__file__).resolve().parent.parent / "manifest"
# One red pixel.
PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP8z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")


def write(folder: Path) -> dict[str, str]:
    """Fills an empty folder: `manifest.json`, and the manifests `one`, `two` and `wrong` that may take its place; files; tokens.
    Returns the tokens by name."""
    shutil.copytree(KEPT, folder, dirs_exist_ok=True)
    (folder / "docs/dot.png").write_bytes(PNG)
    # One leads out of the folder, the other stays in it: neither is served.
    (folder / "docs/link").symlink_to("/etc/passwd")
    (folder / "docs/inside").symlink_to("a.txt")
    one = json.loads((folder / "one.json").read_text())
    extra = {"name": "extra", "description": "Only there for a while"}
    two = one | {"tools": [*one["tools"], extra | {"argv": ["/usr/bin/printf", "more"]}],
                 "resources": [*one["resources"], extra | {"uri": "x:///extra", "file": "note.txt"}],
                 "prompts": [*one["prompts"], extra | {"text": "More."}]}
    (folder / "two.json").write_text(json.dumps(two))
    (folder / "wrong.json").write_text(json.dumps(two | {"tool": []}))
    shutil.copy(folder / "one.json", folder / "manifest.json")
    tokens = {name: secrets.token_hex(16) for name in ["ada", "bob"]}
    file = folder / "tokens"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}:{token}\n" for name, token in tokens.items()))
    return tokens
