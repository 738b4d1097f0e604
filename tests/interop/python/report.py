"""One line per check on standard output: `ok NAME` or `FAIL NAME: why`; `run` counts them."""

import sys
import traceback

_failed = 0


def ok(name: str, detail: str = "") -> None:
    print(f"ok {name}" + (f" ({detail})" if detail else ""), flush=True)


def fail(name: str, why: object) -> None:
    global _failed
    _failed += 1
    print(f"FAIL {name}: " + " ".join(str(why).split())[:600], flush=True)


class check:
    """`with check("name") as notes:` passes unless its body raises; what is put into `notes` is shown with the result."""

    def __init__(self, name: str):
        self.name, self.notes = name, []

    def __enter__(self) -> list[str]:
        return self.notes

    def __exit__(self, _kind, error, trace) -> bool:
        if error is None:
            ok(self.name, "; ".join(self.notes))
        elif isinstance(error, Exception):
            where = traceback.extract_tb(trace)[0]
            fail(self.name, f"{type(error).__name__}: {error} (line {where.lineno})")
        else:
            return False
        return True


def equal(found: object, wanted: object, what: str = "value") -> None:
    if found != wanted:
        raise AssertionError(f"{what} is {found!r}, not {wanted!r}")


def true(condition: object, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def finish() -> None:
    sys.exit(1 if _failed else 0)
