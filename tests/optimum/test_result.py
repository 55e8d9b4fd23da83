import json
from pathlib import Path

import numpy as np
import pytest

import mixlaw
from mixlaw import GroupBound, Mixture
from mixlaw.optimum.result import Optimum

TERMS = {"web": (0.1, 4.0, 0.5, 2.0), "code": (0.3, 2.0, 0.7, 1.0)}
POWERS = {"web": (0.3, (1.0, 0.1, 0.4)), "maths": (0.5, (0.1, 1.0, 0.05))}
DOMAINS = ("web", "code", "books")


def blocks(best: Optimum) -> list[list[list[str]]]:
    """The text as blocks of rows of cells."""
    return [[line.split("  ") for line in block.split("\n")] for block in best.to_text().split("\n\n")]


def cells(row: list[str]) -> list[str]:
    return [cell.strip() for cell in row if cell.strip()]


@pytest.fixture
def best(power_law_of) -> Optimum:
    law = power_law_of(DOMAINS, POWERS, sd=0.2, mixtures=np.array([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2]]))
    return mixlaw.optimize(
        law, at=25.0, floors={"books": 0.1}, groups=[GroupBound(("code", "books"), cap=0.4)], available={"code": 5.0},
        baselines={"natural": Mixture({"web": 0.5, "code": 0.4, "books": 0.1})}, params=1.5,
    )  # fmt: skip


def test_the_text_shows_shares_losses_prices_and_how_good_it_is(best: Optimum) -> None:
    title, shares, losses, prices, notes = blocks(best)
    assert title == [
        ["optimum under fake at 25 tokens for 1.5 parameters"],
        [f"weighted mean loss: {best.objective:.6g} nats per token"],
    ]
    assert cells(shares[0]) == [
        "share of tokens", "optimum", "sd", "90 % interval", "epochs", "uniform", "best run", "natural", "unconstrained"
    ]  # fmt: skip
    bar = best.error_bars["code"]
    assert cells(shares[2])[:5] == [
        "code", "0.3000", f"{bar.sd:.3f}", f"{bar.low:.3f} to {bar.high:.3f}", f"{best.epochs['code']:.2f}"
    ]  # fmt: skip
    assert cells(shares[1])[4] == "-"  # its tokens are not known
    assert [cells(row)[0] for row in losses] == ["loss", "web", "maths", "objective"]  # measured, not trained on
    low, high = best.intervals["maths"]
    assert cells(losses[2])[1:4] == ["0.5", f"{best.losses['maths']:.4f}", f"{low:.3f} to {high:.3f}"]
    assert cells(losses[3])[1] == f"{best.objective:.4f}"
    assert cells(losses[3])[-1] == f"{best.unconstrained.objective:.4f} *"
    assert {cells(row)[0] for row in prices[1:]} == {"floor of 'books' 0.1", "cap of group {code, books} 0.4"}
    assert cells(prices[1])[1] == f"{best.active[0].price:.4g}"
    text = " ".join(cell for row in notes for cell in row)
    assert "marked * does not satisfy the constraints" in text
    assert "those of 50 laws drawn from the posterior" in text or "optima of 50 laws" in text
    assert f"is {best.runs.nearest:.3f} from the nearest mixture of the runs" in text
    assert "Certified: no mixture that is allowed is better by more than" in text


def test_columns_and_notes_that_have_nothing_to_say_are_left_out(law_of) -> None:
    best = mixlaw.optimize(law_of(TERMS, also=("talk",)), at=25.0, floors={"talk": 0.2})
    _, shares, losses, _, notes = blocks(best)
    assert cells(shares[0]) == ["share of tokens", "optimum", "uniform", "unconstrained"]
    assert cells(losses[0]) == ["loss", "weight", "optimum", "uniform", "unconstrained"]
    assert notes[1][0].startswith("- Without error bars: domain 'web': the fit gives no standard errors")
    free = mixlaw.optimize(law_of(TERMS), at=25.0, draws=0)
    assert len(blocks(free)) == 4  # no constraints, no prices


def test_a_local_and_a_sampled_optimum_say_what_they_are(curved_law_of) -> None:
    wells = {"all": [(0.1, 0.2, 0.7), (0.6, 0.2, 0.2)]}
    local = mixlaw.optimize(curved_law_of(DOMAINS, wells, (1.0, 0.8)), at=25.0)
    assert (
        f"A local minimum: {local.agreeing} of 16 starts led to one as good, none to a better one." in local.to_text()
    )
    rough = mixlaw.optimize(curved_law_of(DOMAINS, wells, (1.0, 0.8), smooth=False), at=25.0)
    assert "curved has no gradient, so this is the mean of the best mixtures of a sample" in rough.to_text()
    assert rough.content()["gap"] is None


def test_the_file_holds_the_whole_result(best: Optimum, tmp_path: Path) -> None:
    best.write(tmp_path / "optimum.json")
    content = json.loads((tmp_path / "optimum.json").read_text())
    assert content.pop("schema") == "mixlaw.optimum/2"
    assert content.pop("mixlaw_version") == mixlaw.__version__
    assert content == best.content()
    assert set(content) == {name for name in best.__dataclass_fields__}
    assert content["mixture"] == dict(best.mixture)
    assert content["active"][0] == {"constraint": "floor of 'books' 0.1", "price": best.active[0].price}
    assert content["error_bars"]["code"] == best.error_bars["code"]._asdict()
    assert content["baselines"]["natural"]["mixture"] == {"web": 0.5, "code": 0.4, "books": 0.1}
    assert content["constraints"]["groups"] == [{"domains": ["code", "books"], "floor": 0.0, "cap": 0.4}]
    assert content["constraints"]["available"] == {"code": 5.0}
    assert content["runs"] == {"nearest": best.runs.nearest, "outside": best.runs.outside}


def test_what_is_infinite_is_null_in_the_file(law_of, fitted, tmp_path: Path) -> None:
    best = mixlaw.optimize(
        fitted["bimix"], at=1e10, weights={"web": 1.0, "code": 1.0}, caps={"books": 0.0},
        baselines={"none": Mixture({"web": 0.0, "code": 0.5, "books": 0.5})},
    )  # fmt: skip
    best.write(tmp_path / "optimum.json")
    content = json.loads((tmp_path / "optimum.json").read_text())
    assert content["losses"]["books"] is None
    assert content["intervals"]["books"] == [None, None]
    assert content["baselines"]["none"]["losses"]["web"] is None
    assert content["baselines"]["none"]["objective"] is None
    assert "inf to inf" in best.to_text()
