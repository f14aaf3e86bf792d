"""What hostile scenario files cost `load`: CPU seconds and peak memory for each specimen, one call each.

Knows files only, and nothing of what an error should say; the tests in tests/faults read the same specimens from here.
The process is warm: a scenario was read before, so imports are not counted. CPU seconds are those of the process, user
and system; memory is the peak that tracemalloc sees in a second call, which is what Python allocates.
``--json FILE`` also writes records {name, value, unit, target, peer}. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from wfl_sim.errors import ScenarioError
from wfl_sim.scenario import load

TARGET_S, TARGET_MIB = 0.1, 50.0
LEAST = """\
schema_version: 1
name: least
rounds: 2
channel: {path_loss: {kind: uma}}
clients: {count: 1, placement: {kind: disc, to: 50 m}, compute: {time: 1 s}}
method: {kind: head_only}
"""
FULL = 32_000  # characters: just below what a file may have


def _bomb() -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    return "\n".join([*lines, *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9))])


# Text or bytes of files that are wrong.
WRONG: dict[str, str | bytes] = {
    "empty": "",
    "only comments": "# nothing\n# here\n",
    "only a document mark": "---\n",
    "only spaces": " \n" * 1000,
    "a list": "- a\n- b\n",
    "a text": "just words\n",
    "too large": "#" * 40_000,
    "far too large": b"\0" * (64 << 20),
    "binary": bytes(range(256)) * 4,
    "an archive": b"PK\x03\x04\x14\x00\x00\x00\x08\x00" + b"\x80\x81" * 100,
    "latin-1": LEAST.encode() + b"description: caf\xe9\n",
    "utf-16 with a mark": LEAST.encode("utf-16"),
    "utf-16 without a mark": LEAST.encode("utf-16-le"),
    "utf-32": LEAST.encode("utf-32"),
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf" + LEAST.encode(),
    "a surrogate in utf-8": LEAST.encode() + b"description: \xed\xa0\x80\n",
    "an escaped surrogate": LEAST + 'description: "\\ud800"\n',
    "a zero byte": LEAST + "description: a\0b\n",
    "an escape sequence": LEAST + "description: \x1b[31mred\n",
    "a delete": LEAST + "description: a\x7fb\n",
    "an escape sequence in a key": LEAST + '"\\e[31mred": 1\n',
    "a line end in a key": LEAST + '"a\\nb": 1\n',
    "flow depth": "a: " + "[" * 5000 + "]" * 5000,
    "flow depth of mappings": "a: " + "{a: " * 5000,
    "flow depth never closed": "a: " + "[" * FULL,
    "closing brackets": "a: " + "]" * FULL,
    "block depth": "\n".join(f"{' ' * n}a:" for n in range(200)),
    "depth of dashes": "a:\n" + "- " * 5000,
    "dashes": "- " * (FULL // 2),
    "depth of question marks": "? " * (FULL // 2),
    "colons": ": " * (FULL // 2),
    "an alias bomb": _bomb(),
    "an alias in itself": "a: &a [*a]\n",
    "an alias in itself, by a mapping": "a: &a {b: {c: *a}}\n",
    "aliases": "a: &a 1\nb: [" + "*a, " * 5000 + "]\n",
    "unknown aliases": "b: [" + "*a, " * 5000 + "]\n",
    "anchors": "\n".join(f"k{n}: &a{n} 1" for n in range(2500)),
    "a python object": "rounds: !!python/object/apply:os.system [id]\n",
    "a tag": LEAST + "description: !secret 3\n",
    "a tag of a mapping": LEAST + "radio: !!omap {}\n",
    "a tag of binary": LEAST + "description: !!binary aGVsbG8=\n",
    "many tags": "\n".join(f"k{n}: !t 1" for n in range(1000)),
    "a tag directive": "%TAG ! tag:example.com,2000:\n---\n" + LEAST,
    "yaml 1.1": "%YAML 1.1\n---\n" + LEAST,
    "a merge key": LEAST + "radio: {<<: {carrier: 3 GHz}}\n",
    "duplicate keys": LEAST + LEAST,
    "many duplicate keys": "a: 1\n" * 1400,
    "many keys": "\n".join(f"k{n}: 1" for n in range(1400)),
    "too many keys": "\n".join(f"k{n}: 1" for n in range(3000)),
    "many long keys": "\n".join(f"{'k' * 90}{n}: 1" for n in range(300)),
    "a long key": "k" * 1000 + ": 1\n",
    "a key too long to be one": "k" * FULL + ": 1\n",
    "a long quoted key": '"' + "k" * FULL + '": 1\n',
    "a long scalar": LEAST.replace("least", "n" * FULL),
    "a long quoted scalar": LEAST.replace("least", '"' + "n " * (FULL // 2) + '"'),
    "a long block scalar": LEAST.replace("name: least", "name: |\n" + "  n\n" * 7000),
    "many lines of a scalar": LEAST.replace("least", "n\n  " * 6000),
    "a huge integer": LEAST.replace("rounds: 2", "rounds: " + "9" * FULL),
    "a count beyond floats": LEAST.replace("count: 1", "count: 1" + "0" * 400),
    "a huge hexadecimal": LEAST.replace("rounds: 2", "rounds: 0x" + "f" * 10_000),
    "a huge exponent": LEAST + "radio: {carrier: 1e999999999 Hz}\n",
    "a long number": LEAST + "radio: {carrier: 1" + "0" * 30_000 + " Hz}\n",
    "not a number": LEAST.replace("rounds: 2", "rounds: .nan"),
    "infinity": LEAST.replace("rounds: 2", "rounds: .inf"),
    "minus infinity": LEAST + "clients: {amplifier_efficiency: -.inf}\n",
    "a count of 1e3": LEAST.replace("rounds: 2", "rounds: 1e3"),
    "a count of no": LEAST.replace("rounds: 2", "rounds: no"),
    "many documents": LEAST + "---\na: 1\n" * 1000,
    "empty documents": "---\n" * 5000,
    "an unclosed double quote": LEAST + 'description: "never\n',
    "an unclosed single quote": LEAST + "description: 'never\n",
    "an unclosed list": LEAST + "seeds: [1, 2\n",
    "an unclosed mapping": LEAST + "radio: {carrier: 3 GHz\n",
    "a list closed as a mapping": LEAST + "seeds: [1, 2}\n",
    "a tab for indentation": LEAST + "radio:\n\tcarrier: 3 GHz\n",
    "many arms": LEAST + "arms:\n" + "".join(f"  a{n}: {{rounds: 0}}\n" for n in range(600)),
    "quotes": "a: " + "'" * FULL,
    "ampersands": "a: " + "&a " * 10_000,
    "exclamation marks": "a: " + "! " * 10_000,
    "percent signs": "%" * FULL,
    "words": "a " * (FULL // 2),
    "question marks in brackets": "a: [" + "? " * (FULL // 2) + "]",
    "colons in brackets": "a: [" + ": " * (FULL // 2) + "]",
    "colons without spaces": "a: {" + "b:" * (FULL // 2) + "}",
}  # fmt: skip

# Text or bytes of files that look odd and are right.
RIGHT: dict[str, str | bytes] = {
    "plain": LEAST,
    "windows line ends": LEAST.replace("\n", "\r\n").encode(),
    "old mac line ends": LEAST.replace("\n", "\r").encode(),
    "a byte order mark": b"\xef\xbb\xbf" + LEAST.encode(),
    "no line end at the end": LEAST.rstrip(),
    "a document mark": "---\n" + LEAST + "...\n",
    "a yaml 1.2 directive": "%YAML 1.2\n---\n" + LEAST,
    "a name that YAML 1.1 takes for false": LEAST.replace("least", "no"),
    "a rate of 1e-3": LEAST + "learning: {local: {lr: 1e-3}}\n",
    "a rate of 1e3": LEAST + "learning: {local: {lr: 1e3}}\n",
    "an alias": LEAST + "seeds: &s [1]\narms: {a: {rounds: &r 3}, b: {rounds: *r, protocol: {retry: 2 s}}}\n",
    "a zero-padded count": LEAST.replace("rounds: 2", "rounds: 02"),
    "letters of other languages": LEAST + "description: 10 Ger\u00e4te, \u7121\u7dda\n",
    "a long comment": LEAST + "#" * 5_000 + "\n",
    "many comments": LEAST + "# x\n" * 1200,
    "many arms": LEAST + "arms:\n" + "".join(f"  a{n}: {{rounds: {n + 1}}}\n" for n in range(100)),
    "JSON": json.dumps(
        {
            "schema_version": 1, "name": "j", "rounds": 1, "channel": {"path_loss": {"kind": "uma"}},
            "clients": {"count": 1, "placement": {"kind": "disc", "to": "50 m"}, "compute": {"time": "1 s"}},
            "method": {"kind": "head_only"},
        }
    ),
}  # fmt: skip


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo.yaml")
    return folder / "fifo.yaml"


def _loop(folder: Path) -> Path:
    (folder / "loop.yaml").symlink_to(folder / "loop.yaml")
    return folder / "loop.yaml"


# Paths that are no file, made in a folder.
PATHS: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "missing.yaml",
    "below a file": lambda folder: Path(__file__) / "s.yaml",
    "a directory": lambda folder: folder,
    "a pipe": _fifo,
    "a loop of links": _loop,
    "/dev/zero": lambda folder: Path("/dev/zero"),
    "/dev/null": lambda folder: Path("/dev/null"),
    "a zero byte in the path": lambda folder: folder / "a\0b.yaml",
    "a surrogate in the path": lambda folder: folder / "a\ud800b.yaml",
    "an escape sequence in the path": lambda folder: folder / "a\x1b[31mb\nc.yaml",
    "a long name": lambda folder: folder / ("n" * 5000),
    "a long path": lambda folder: folder / ("n/" * 5000),
}


def write(folder: Path, content: str | bytes) -> Path:
    """A specimen as a file in the folder."""
    path = folder / "specimen.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def measure(path: Path) -> tuple[float, float, str]:
    """CPU seconds and peak memory in MiB of one `load`, measured one after the other, and what came of it."""
    said = "accepted"
    start = time.process_time()
    try:
        load(path)
    except ScenarioError as error:
        said = f"{len(error.args)} problems" if len(error.args) > 1 else "1 problem"
    seconds = time.process_time() - start
    tracemalloc.start()
    with suppress(ScenarioError):
        load(path)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, peak, said


def main() -> int:
    """Measure all specimens and print a table; 1 where one is above a target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    file = parser.parse_args().json
    worst_s = worst_mib = 0.0
    print("load() in a warm process, one call a specimen; MiB: tracemalloc's peak in a second call")
    print(f"{'specimen':<36}{'CPU s':>8}{'MiB':>8}   outcome; targets {TARGET_S} s, {TARGET_MIB:g} MiB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load(write(folder, LEAST))  # imports, and the reader of scenarios
        contents = {**WRONG, **{f"right: {name}": content for name, content in RIGHT.items()}}
        for title in (*contents, *PATHS):
            path = write(folder, contents[title]) if title in contents else PATHS[title](folder)
            seconds, peak, said = measure(path)
            over = "  ABOVE THE TARGET" if seconds > TARGET_S or peak > TARGET_MIB else ""
            print(f"{title:<36}{seconds:8.3f}{peak:8.1f}   {said}{over}", flush=True)
            worst_s, worst_mib = max(worst_s, seconds), max(worst_mib, peak)
    print(f"{'worst':<36}{worst_s:8.3f}{worst_mib:8.1f}")
    if file:
        rows = (("hostile_file_s", worst_s, "s", TARGET_S), ("hostile_file_mib", worst_mib, "MiB", TARGET_MIB))
        records = [{"name": n, "value": round(v, 3), "unit": u, "target": t, "peer": None} for n, v, u, t in rows]
        file.write_text(json.dumps(records, indent=2) + "\n")
    return int(worst_s > TARGET_S or worst_mib > TARGET_MIB)


if __name__ == "__main__":
    raise SystemExit(main())
