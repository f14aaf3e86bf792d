"""Cards of kinds, keys and scenarios: complete, and true to the code.

Knows the registries; runs nothing.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from channels.describe import describe, options_of
from wfl_sim import cards, keys, shelf
from wfl_sim.errors import ScenarioError
from wfl_sim.nouns import NOUNS
from wfl_sim.scenario import parse

KINDS = [(noun, kind) for noun, registry in NOUNS.items() for kind in registry]
PATHS = list(keys.paths())
BASE = """\
schema_version: 1
name: base
rounds: 1
channel: {path_loss: {kind: uma}}
clients: {count: 2, placement: {kind: disc, to: 100 m}, compute: {time: 300 ms}}
method: {kind: fedavg}
"""


def test_the_overview_has_one_entry_for_everything() -> None:
    lines = cards.overview().splitlines()
    for noun, registry in NOUNS.items():
        start = lines.index(f"{noun}:")
        found = [line.split()[0] for line in lines[start + 1 :] if re.match(r"  \S", line)]
        assert found[: len(registry)] == list(registry)
    start = lines.index("scenarios:")
    assert [line.split()[0] for line in lines[start + 1 :] if re.match(r"  \S", line)] == list(shelf.scenarios())
    assert max(map(len, lines)) <= cards.WIDTH


@pytest.mark.parametrize(("noun", "kind"), KINDS, ids=[f"{n}:{k}" for n, k in KINDS])
def test_a_card_has_everything_that_the_class_says(noun: str, kind: str) -> None:
    cls = NOUNS[noun][kind]
    text = next(
        part
        for part in re.split(r"\n\n(?=[a-z_.]+: [^ {]+\n\n)", cards.card(kind))
        if part.startswith(f"{noun}: {kind}")
    )
    about = describe(cls)
    assert "``" not in text
    assert " ".join(about.summary.replace("``", "`").split()) in " ".join(text.split())
    headings = [line for line in text.splitlines() if line in ("Formula", "Validity", "Source", "Options", "Example")]
    assert headings == ["Formula", "Validity", "Source", *(["Options"] if options_of(cls) else []), "Example"]
    words = " ".join(text.split())
    for option in options_of(cls):
        assert f" {option.key} " in words
        assert " ".join(option.text.replace("``", "`").split()) in words
    assert (words.count("; required") > 0) == any(option.required for option in options_of(cls))


# What else must be chosen for a kind to be allowed.
NEEDS = {
    "radio.rate.bler": "radio.rate.kind=cqi",
    "radio.retransmission": "radio.rate.kind=cqi",
    "protocol.staleness": "protocol={kind: buffered, buffer: 1}",
}


@pytest.mark.usefixtures("example_files")
@pytest.mark.parametrize(("noun", "kind"), KINDS, ids=[f"{n}:{k}" for n, k in KINDS])
def test_the_example_of_a_card_can_be_used_as_it_stands(noun: str, kind: str) -> None:
    example = next(t for t in re.split(r"\n\n(?=[a-z_.]+: [^ {]+\n\n)", cards.card(kind)) if t.startswith(f"{noun}: "))
    key, _, value = example.splitlines()[-1].strip().partition(": ")
    assert key == noun.split(".")[-1]
    needed = [NEEDS[noun]] if noun in NEEDS else []
    if getattr(NOUNS[noun][kind], "gives_products", False):
        merging = [name for name, cls in NOUNS["method"].items() if getattr(cls, "renews", False)]
        needed = [f"method={{kind: {merging[0]}}}"]
    if kind == "split":  # of which there are two, that go together
        needed = ["method={kind: split}", "protocol={kind: split}"]
    (cell,) = parse(BASE, overrides=[*needed, f"{noun}={value}"]).cells
    chosen: object = cell.scenario
    for part in noun.split("."):
        chosen = getattr(chosen, part)
    assert getattr(chosen, "kind", chosen) == kind


@pytest.mark.parametrize(("path", "key"), PATHS, ids=[".".join(path) for path, _ in PATHS])
def test_every_key_has_a_card_with_what_it_takes(path: tuple[str, ...], key: keys.Key) -> None:
    text = cards.card(".".join(path))
    assert text.startswith(".".join(path))
    assert "\nExample\n" in text or path[-1] == "kind"
    if key.option is not None:
        assert key.option.text, "every option is explained"


def test_a_card_of_options_says_units_ranges_and_defaults() -> None:
    words = " ".join(cards.card("tsfa").split())
    assert "latency_budget a time in s, ms, us, ns, min or h, above 0 s; required Mean time" in words
    assert "csi_error a ratio in decibels in dB or dBi, at least 0 dB and at most 40 dB; default 0 dB Standard" in words
    assert "csi large_scale, block or instantaneous; default large_scale What" in words
    assert "kept_fraction_min a number or a percentage, above 0 and at most 1; default 0.1 Smallest" in words


@pytest.mark.parametrize(("key", "name", "meant"), [("codec", "soft-plus", "rotated"), ("method", "fedit", "fedavg")])
def test_a_name_from_papers_leads_to_the_kind(problems, key: str, name: str, meant: str) -> None:
    (found,) = problems(shelf.scenarios()["quickstart"].read_text(encoding="utf-8"), f"{key}.kind={name}")
    assert f"unknown kind '{name}'; did you mean '{meant}'?" in found


@pytest.mark.parametrize(
    ("name", "card"), [("soft-plus", "codec: rotated"), ("flasc", "codec: topk"), ("fedit", "method: fedavg")]
)
def test_what_papers_and_arms_call_a_kind_finds_its_card(name: str, card: str) -> None:
    text = cards.card(name)
    assert text.splitlines()[0] == card and f"Also called {name}." in text
    assert text == cards.card(card.partition(": ")[2]) and name in cards.names()


def test_a_name_means_one_kind_of_a_noun_at_most() -> None:
    for kinds in NOUNS.values():
        names = [*kinds, *(alias for cls in kinds.values() for alias in vars(cls).get("aliases", ()))]
        assert len(names) == len(set(names))


def test_the_card_of_a_key_says_in_which_kinds_its_default_differs() -> None:
    def takes(key: str) -> str:
        return " ".join(cards.card(key).split("\nTakes\n")[1].split("\n\n")[0].split())

    assert takes("codec.bits") == "8, 16 or 32; default 16; rotated: 8"
    assert takes("codec.error_feedback").endswith("; default 0; rotated: 1")
    assert takes("codec.score").count("default") == 1 and ": " not in takes("codec.score")
    assert takes("method.rank").endswith("; default 8; fedtt, fedtt_plus: 5; sa_fedlora: 16")
    assert takes("method.init").count("default") == 1 and ": " not in takes("method.init")


def test_every_noun_that_has_a_kind_shows_its_card() -> None:
    text = cards.card("none")
    for noun in ("channel.shadowing", "channel.fading", "channel.loss"):
        assert f"{noun}: none\n" in text


def test_the_card_of_a_scenario_lists_its_arms() -> None:
    words = cards.card("quickstart")
    assert "5 runs of 14 rounds, 10 clients" in words
    assert re.search(r"soft-tsfa +soft, components, tsfa, sync", words)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("tfsa", "tsfa"), ("fedavgg", "fedavg"), ("min-max", "min_max"),
     ("radio.uplnk.bandwidth", "radio.uplink.bandwidth"), ("quikstart", "quickstart"), ("TSFA", "tsfa")],
)  # fmt: skip
def test_a_misspelt_name_offers_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        cards.card(name)
    assert str(caught.value.args[0]) == f"explain: nothing is called {name!r}; did you mean {nearest!r}?"


def test_a_word_that_cards_tell_of_leads_to_these_and_one_that_none_knows_to_no_wall_of_names() -> None:
    with pytest.raises(ScenarioError) as caught:
        cards.card("Lyapunov")
    (problem,) = caught.value.args
    assert (problem.near, problem.rule) == ("", "cards that tell of it: tsfa")
    assert "lyapunov" in cards.card("tsfa").lower()
    with pytest.raises(ScenarioError) as caught:
        cards.card("pace")
    assert (caught.value.args[0].near, caught.value.args[0].rule) == ("", cards.RULE)


def test_a_percentage_is_offered_for_shares_alone() -> None:
    takes = {".".join(path): key.rule() for path, key in PATHS if key.option is not None}
    assert takes["schedule.kept_fraction"].startswith("a number or a percentage, above 0 and at most 1")
    assert takes["channel.loss.probability"].startswith("a number or a percentage, at least 0 and below 1")
    assert takes["radio.rate.uplink_cap"].startswith("a number, above 0 and at most 100 - Largest efficiency")
    assert takes["schedule.v"].startswith("a number, above 0 - ")


@pytest.mark.parametrize(("noun", "kind"), KINDS, ids=[f"{n}:{k}" for n, k in KINDS])
def test_no_line_of_a_card_is_a_colon_alone_and_no_two_options_share_their_text(noun: str, kind: str) -> None:
    assert not [line for line in cards.card(kind).splitlines() if line.strip() == ":"]
    texts = [option.text for option in options_of(NOUNS[noun][kind])]
    assert len(texts) == len(set(texts))


def test_scenarios_of_the_working_directory_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "mine.yaml").write_text(BASE.replace("name: base", "name: mine\ndescription: My own."))
    (tmp_path / "scenarios" / "broken.yaml").write_text("name: [")
    found = shelf.scenarios()
    assert found["mine"] == Path("scenarios/mine.yaml")
    assert "quickstart" in found
    assert shelf.find("mine") == shelf.find("mine.yaml") == Path("scenarios/mine.yaml")
    assert shelf.find("quickstart").name == "quickstart.yaml"
    assert shelf.find("sub/other.yaml") == Path("sub/other.yaml"), "what is a path is for the reader to find or miss"
    overview = cards.overview()
    assert re.search(r"mine +My own\.", overview)
    assert re.search(r"broken +does not load: scenarios/broken\.yaml:1:8: is not YAML", overview)


def test_arms_and_grid_have_cards_and_a_scenario_shows_its_axes() -> None:
    assert "crossed" in cards.card("grid")
    assert "arms.half.method.rank=2" in cards.card("arms")
    assert "1..5" in cards.card("seeds")
    words = " ".join(cards.card("bandwidth_sweep").split())
    assert "radio.uplink.bandwidth 180 kHz, 360 kHz, 720 kHz, 1440 kHz" in words
    assert "36 runs" in words
