"""The multimodal example: one space for pictures and captions, and a mixture of domains of both."""

import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import mixlaw as package

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "multimodal"


@pytest.fixture(autouse=True)
def _example_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))


def test_a_new_picture_lies_nearest_to_its_own_caption() -> None:
    import scenes

    rng = np.random.default_rng(1)
    pairs = [scenes.ALL_SCENES[i] for i in rng.integers(len(scenes.ALL_SCENES), size=1500)]
    embedder = scenes.PictureEmbedder(pairs, [scenes.draw(scene, rng) for scene in pairs])
    found = embedder.embed([scenes.draw(scene, rng) for scene in scenes.ALL_SCENES])
    nearest = (found @ scenes.embed_captions(scenes.ALL_SCENES).T).argmax(axis=1)
    assert (nearest == np.arange(len(scenes.ALL_SCENES))).mean() > 0.9


def test_varied_domains_get_more_whatever_they_are_made_of_and_the_command_shown_agrees(
    mixlaw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["multimodal", "--out", str(tmp_path / "out")])
    runpy.run_path(str(EXAMPLE / "__main__.py"), run_name="__main__")
    printed = capfd.readouterr().out
    mixture = package.Mixture.read(tmp_path / "out" / "vne.json")
    assert len(mixture) == 4
    for varied in ("album (images)", "captions (text)"):
        for few in ("logos (images)", "slogans (text)"):
            assert mixture[varied] > 2 * mixture[few]
    command = printed.splitlines()[-1]
    outcome = mixlaw(*shlex.split(command)[1:])
    assert outcome.code == 0
    assert printed.startswith(outcome.stdout.split("\nentropies")[0])
