"""Mixtures from token counts alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError, Mixture, temperature_mixture, unimax_mixture
from mixlaw.errors import InfeasibleError

counts = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.floats(1.0, 1e13), min_size=1, max_size=8)


@given(counts, st.floats(0.2, 50.0))
def test_a_temperature_raises_shares_to_a_power(tokens: dict[str, float], temperature: float) -> None:
    powers = {
        domain: math.exp(math.log(n) / temperature - math.log(1e13) / temperature) for domain, n in tokens.items()
    }
    total = math.fsum(powers.values())
    expected = {domain: power / total for domain, power in powers.items()}
    assert temperature_mixture(tokens, temperature) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_a_temperature_of_1_is_natural_and_a_high_one_uniform() -> None:
    tokens = {"web": 9e11, "code": 1e11, "nothing": 0}
    assert temperature_mixture(tokens, 1) == pytest.approx(dict(Mixture.proportional(tokens)), rel=1e-15)
    hot = temperature_mixture(tokens, 1e12)
    assert hot == pytest.approx({"web": 0.5, "code": 0.5, "nothing": 0.0}, abs=1e-9)
    # Overflows unless shares are divided by the largest first.
    assert temperature_mixture(tokens, 1e-4) == {"web": 1.0, "code": 0.0, "nothing": 0.0}


def algorithm_1(tokens: dict[str, float], budget: float, epochs: float) -> dict[str, float]:
    """UniMax as the paper writes it: from the smallest domain up, an equal part of what is left, or all its epochs."""
    left, used = budget, {}
    for k, domain in enumerate(sorted(tokens, key=lambda name: tokens[name])):
        used[domain] = min(left / (len(tokens) - k), epochs * tokens[domain])
        left -= used[domain]
    return {domain: tokens_used / sum(used.values()) for domain, tokens_used in used.items()}


@given(counts, st.floats(0.1, 30.0), st.floats(1e-3, 1.0))
def test_unimax_is_algorithm_1_of_the_paper(tokens: dict[str, float], epochs: float, part: float) -> None:
    budget = epochs * math.fsum(tokens.values()) * part
    if part == 1.0:
        budget *= 1.0 - 1e-12  # the sum may be rounded up
    mixture = unimax_mixture(tokens, budget=budget, epochs=epochs)
    assert list(mixture) == list(tokens)
    assert mixture == pytest.approx(algorithm_1(tokens, budget, epochs), rel=1e-9)
    assert all(mixture[domain] * budget <= epochs * n * (1 + 1e-9) for domain, n in tokens.items())


def test_unimax_of_five_languages_is_what_is_published() -> None:
    # The example of the package unimax-sampling, characters of FineWeb-2.
    characters = {"swe": 179955884499, "fas": 184595788282, "ekk": 42541080893, "isl": 10027573389, "fao": 549707867}
    published = {
        "swe": 0.27692116663466665,
        "fas": 0.27692116663466665,
        "ekk": 0.2769211666346667,
        "isl": 0.160441174224,
        "fao": 0.008795325872,
    }
    assert unimax_mixture(characters, budget=250_000_000_000, epochs=4) == pytest.approx(published, rel=1e-12)


def test_a_run_longer_than_all_epochs_is_refused() -> None:
    tokens = {"web": 3e9, "code": 1e9}
    with pytest.raises(
        InfeasibleError, match=r"2 epochs of all domains are 8e\+09 tokens, less than the budget of 9e\+09"
    ):
        unimax_mixture(tokens, budget=9e9, epochs=2)
    assert unimax_mixture(tokens, budget=8e9, epochs=2) == pytest.approx({"web": 0.75, "code": 0.25})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: temperature_mixture({"web": 1}, 0.0), "temperature: expected a number above 0, not 0"),
        (lambda: temperature_mixture({"web": 1}, math.inf), "temperature: expected a finite number"),
        (lambda: temperature_mixture({"web": -1}, 2.0), "domain 'web': the amount must be finite and >= 0"),
        (lambda: temperature_mixture({}, 2.0), "at least one domain"),
        (lambda: unimax_mixture({"web": 0}, budget=1, epochs=1), "all 1 amounts are zero"),
        (lambda: unimax_mixture({"web": 5}, budget=-1, epochs=1), "budget: expected a number above 0, not -1"),
        (lambda: unimax_mixture({"web": 5}, budget=1, epochs="4"), "epochs: expected a number, not '4'"),
    ],
)
def test_bad_input_is_named(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
