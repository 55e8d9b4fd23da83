import numpy as np
import pytest

from mixlaw import InputError
from mixlaw.weights import objective_weights

DOMAINS = ("web", "code", "books")


def test_weights_are_equal_unless_given_and_sum_to_one() -> None:
    np.testing.assert_allclose(objective_weights(DOMAINS, None), 1 / 3)
    assert objective_weights(DOMAINS, {"books": 3, "web": 1}).tolist() == [0.25, 0.0, 0.75]
    assert objective_weights(DOMAINS, {"books": 1e308, "web": 1e308}).tolist() == [0.5, 0.0, 0.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"boks": 1.0}, r"weight of 'boks': no evaluation domain; did you mean 'books'\?"),
        ({"web": -1.0}, "weight of 'web': expected a number >= 0, not -1"),
        ({"web": float("nan")}, "weight of 'web': expected a finite number, not nan"),
        ({"web": None}, "weight of 'web': expected a number, not None"),
        ({"web": 0.0}, "all weights are 0"),
        ({}, "all weights are 0"),
    ],
)
def test_weights_that_are_no_objective_are_refused(weights, message: str) -> None:
    with pytest.raises(InputError, match=message):
        objective_weights(DOMAINS, weights)
