"""The codecs under atheris, which looks for inputs that reach more of the code: in a process of its own."""

import subprocess
import sys
from importlib.util import find_spec

AVAILABLE = find_spec("atheris") is not None
"""It has wheels for Linux and some versions of Python only."""
SEED = 1


def fuzz(inputs: int) -> str:
    """So many inputs for all codecs together; raises what the process has said if one fails."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.coverage", f"-runs={inputs}", f"-seed={SEED}", "-max_len=300"],
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise AssertionError(run.stdout + run.stderr)
    (found,) = [line for line in run.stderr.splitlines() if line.startswith("Done ")]
    return f"{inputs} inputs ({found})"


def main() -> None:
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["fuota"]):
        from tests.fuzz import codecs

    readers = [read for read, _ in codecs.TARGETS.values()]

    def one(octets: bytes) -> None:
        if octets:
            readers[octets[0] % len(readers)](octets[1:])

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
