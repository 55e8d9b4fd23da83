import numpy as np
import pytest

from mixlaw import InputError
from mixlaw.errors import InfeasibleError
from mixlaw.optimum.constraints import bounds

DOMAINS = ("web", "code", "books")


def test_bounds_are_zero_and_one_unless_given() -> None:
    floor, cap = bounds(DOMAINS, None, None)
    assert (floor.tolist(), cap.tolist()) == ([0.0] * 3, [1.0] * 3)
    assert bounds(DOMAINS, {}, {})[0].tolist() == [0.0] * 3


def test_one_number_is_for_every_domain_and_a_mapping_for_some() -> None:
    floor, cap = bounds(DOMAINS, 0.1, {"books": 0.5, "web": np.float32(0.25)})
    assert (floor.tolist(), cap.tolist()) == ([0.1] * 3, [0.25, 1.0, 0.5])


def test_floors_and_caps_may_meet_and_sum_to_one() -> None:
    shares = {"web": 0.7, "code": 0.2, "books": 0.1}
    floor, cap = bounds(DOMAINS, shares, shares)
    assert floor.tolist() == cap.tolist() == [0.7, 0.2, 0.1]


@pytest.mark.parametrize(
    ("floors", "caps", "message"),
    [
        (0.4, None, "the floors of 3 domains sum to 1.2, more than 1"),
        ({"web": 0.6, "code": 0.5}, None, "the floors of 2 domains sum to 1.1, more than 1"),
        (None, 0.3, "the caps of all 3 domains sum to 0.9, less than 1"),
        ({"code": 0.4}, {"code": 0.3}, "domain 'code': the floor 0.4 is above the cap 0.3"),
        (0.2, {"books": 0.1}, "domain 'books': the floor 0.2 is above the cap 0.1"),
    ],
)
def test_bounds_without_a_mixture_between_them_are_infeasible(floors, caps, message: str) -> None:
    with pytest.raises(InfeasibleError, match=message):
        bounds(DOMAINS, floors, caps)


@pytest.mark.parametrize(
    ("floors", "caps", "message"),
    [
        ({"wbe": 0.1}, None, r"floor of 'wbe': no training domain; did you mean 'web'\?"),
        (None, {"wiki": 0.1}, "cap of 'wiki': no training domain; known: books, code, web"),
        ({"web": -0.1}, None, "floor of 'web': expected a share between 0 and 1, not -0.1"),
        (None, 50, "cap: expected a share between 0 and 1, not 50"),
        ({"web": float("nan")}, None, "floor of 'web': expected a finite number, not nan"),
        (None, float("inf"), "cap: expected a finite number, not inf"),
        ({"web": "0.1"}, None, "floor of 'web': expected a number, not '0.1'"),
        ({"web": True}, None, "floor of 'web': expected a number, not True"),
        (None, {"web": 0.0}, "domain 'web': the cap is 0; drop the domain"),
    ],
)
def test_a_bound_that_is_no_share_of_a_domain_is_refused(floors, caps, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        bounds(DOMAINS, floors, caps)
    assert not isinstance(caught.value, InfeasibleError)
