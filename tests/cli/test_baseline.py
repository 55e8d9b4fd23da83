import json
from pathlib import Path

import pytest

from mixlaw import Mixture, temperature_mixture, unimax_mixture

TOKENS = {"web": 9e9, "co=de": 1e9}
WORDS = ["--tokens", "web=9e9", "--tokens", "co=de=1e9"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["natural"], Mixture.proportional(TOKENS)),
        (["uniform"], Mixture({"web": 0.5, "co=de": 0.5})),
        (["temperature", "--temperature", "2"], temperature_mixture(TOKENS, 2.0)),
        (["unimax", "--budget", "8e9", "--epochs", "2"], unimax_mixture(TOKENS, budget=8e9, epochs=2.0)),
    ],
)
def test_a_mixture_is_printed_and_written(mixlaw, tmp_path: Path, words: list[str], expected: Mixture) -> None:
    done = mixlaw("baseline", *words, *WORDS, "--out", tmp_path / "mixture.json")
    assert (done.code, done.stderr) == (0, f"wrote {tmp_path / 'mixture.json'}\n")
    header, *lines = [line.split() for line in done.stdout.splitlines()]
    assert header == ["domain", "tokens", "proportion"]
    assert lines == [["web", "9e+09", f"{expected['web']:.6f}"], ["co=de", "1e+09", f"{expected['co=de']:.6f}"]]
    assert Mixture.read(tmp_path / "mixture.json") == expected
    content = json.loads(mixlaw("baseline", *words, *WORDS, "--json").stdout)
    assert (content["schema"], content["kind"], content["tokens"]) == ("mixlaw.baseline/1", words[0], TOKENS)
    assert content["mixture"] == dict(expected)


def test_tokens_are_those_of_an_entropy_table(mixlaw, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("abcd")
    (tmp_path / "b.txt").write_text("ab" * 6)
    (tmp_path / "corpus.yaml").write_text(
        "tokenizer: bytes\ndomains:\n  a: {paths: a.txt, format: text}\n  b: {paths: b.txt, format: text}\n"
    )
    assert mixlaw("entropy", tmp_path / "corpus.yaml", "--out", tmp_path).code == 0
    done = mixlaw("baseline", "natural", "--entropy", tmp_path / "entropy.json", "--json")
    content = json.loads(done.stdout)
    assert content["tokens"] == {"a": 4.0, "b": 12.0}
    assert content["mixture"] == {"a": 0.25, "b": 0.75}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["natural"], "give the tokens of every domain by --tokens, or by --entropy"),
        (["natural", *WORDS, "--entropy", "x.json"], "give the tokens of every domain by --tokens, or by --entropy"),
        (["temperature", *WORDS], "temperature needs --temperature"),
        (["natural", *WORDS, "--epochs", "2"], "natural has no --epochs"),
        (["unimax", *WORDS, "--epochs", "2"], "unimax needs --budget"),
        (["temperature", *WORDS, "--temperature", "0"], "temperature: expected a number above 0, not 0"),
        (["unimax", *WORDS, "--epochs", "1", "--budget", "2e10"], "1 epochs of all domains are 1e+10 tokens"),
        (["natural", "--tokens", "web"], "'web' is not DOMAIN=NUMBER"),
        (["natural", "--tokens", "web=1", "--tokens", "web=2"], "'web' is given twice"),
        (["natural", "--tokens", "web=-1"], "domain 'web': the amount must be finite and >= 0"),
        (["natrual", *WORDS], "'natrual' is not one of"),
    ],
)
def test_wrong_words_are_bad_usage_or_bad_input(mixlaw, words: list[str], message: str) -> None:
    done = mixlaw("baseline", *words)
    assert done.code == 2
    assert message in done.stderr
    assert done.stdout == ""
