import math

import numpy as np
import pytest

from mixlaw import GroupBound, InputError, RatioBound
from mixlaw.errors import InfeasibleError
from mixlaw.optimum.constraints import constraints

DOMAINS = ("web", "code", "books")


def test_bounds_are_zero_and_one_unless_given() -> None:
    for given in ({}, {"floors": {}, "caps": {}, "fixed": {}}, {"floors": None, "caps": None, "fixed": None}):
        limits = constraints(DOMAINS, **given)
        assert (limits.floor.tolist(), limits.cap.tolist()) == ([0.0] * 3, [1.0] * 3)
        assert limits.G.shape == (0, 3)
        assert limits.supply is None


def test_one_number_is_for_every_domain_and_a_mapping_for_some() -> None:
    limits = constraints(DOMAINS, floors=0.1, caps={"books": 0.5, "web": np.float32(0.25)})
    assert (limits.floor.tolist(), limits.cap.tolist()) == ([0.1] * 3, [0.25, 1.0, 0.5])
    assert limits.content()["floors"] == dict.fromkeys(DOMAINS, 0.1)


def test_a_fixed_share_is_floor_and_cap() -> None:
    limits = constraints(DOMAINS, floors=0.1, caps=0.6, fixed={"code": 0.3, "books": 0.0})
    assert (limits.floor.tolist(), limits.cap.tolist()) == ([0.1, 0.3, 0.1], [0.6, 0.3, 0.0])
    assert limits.words("floor", 1) == limits.words("cap", 1) == "share of 'code' fixed at 0.3"
    assert (limits.words("floor", 2), limits.words("cap", 2)) == ("floor of 'books' 0.1", "share of 'books' fixed at 0")


def test_epochs_are_a_cap_where_they_are_the_lower_one() -> None:
    limits = constraints(
        DOMAINS, caps={"web": 0.1}, budget=100.0, available={"web": 10, "books": 5.0}, max_epochs={"web": 2, "books": 4}
    )
    assert limits.cap.tolist() == [0.1, 1.0, 0.2]
    assert limits.words("cap", 0) == "cap of 'web' 0.1"
    assert limits.words("cap", 2) == "4 epochs of 'books', 0.2 of the budget"
    assert limits.without_bounds().cap.tolist() == [1.0] * 3
    assert limits.without_bounds().supply.available == {"web": 10.0, "books": 5.0}


def test_the_budget_is_the_length_of_training_unless_given() -> None:
    for tokens, budget, cap in ((50.0, None, 0.4), (50.0, 100.0, 0.2), (None, 100.0, 0.2)):
        assert constraints(DOMAINS, tokens, budget=budget, available={"web": 5.0}, max_epochs=4).cap[0] == cap


def test_groups_and_ratios_are_rows() -> None:
    limits = constraints(
        DOMAINS,
        groups=[GroupBound(["web", "books"], floor=0.2, cap=0.7), GroupBound(("code",), cap=0.4)],
        ratios=[RatioBound("code", "web", floor=0.5, cap=2.0), RatioBound("web", "books", cap=3.0),
                RatioBound("books", "code", floor=0.25, cap=0.25), RatioBound("books", "web", cap=0.0)],
    )  # fmt: skip
    np.testing.assert_array_equal(
        limits.G,
        [[1, 0, 1], [0, 1, 0], [-0.5, 1, 0], [-2, 1, 0], [1, 0, -3], [0, -0.25, 1], [0, 0, 1]],
    )
    inf = math.inf
    assert limits.low.tolist() == [0.2, -inf, 0.0, -inf, -inf, 0.0, 0.0]
    assert limits.high.tolist() == [0.7, 0.4, inf, 0.0, 0.0, 0.0, 0.0]
    assert [limits.words("low", 0), limits.words("high", 0), limits.words("high", 1)] == [
        "floor of group {web, books} 0.2", "cap of group {web, books} 0.7", "cap of group {code} 0.4",
    ]  # fmt: skip
    assert [limits.words("low", 2), limits.words("high", 3)] == [
        "floor of ratio code / web 0.5",
        "cap of ratio code / web 2",
    ]
    assert limits.content()["ratios"][1] == {"of": "web", "to": "books", "floor": 0.0, "cap": 3.0}
    assert limits.content()["groups"][0] == {"domains": ["web", "books"], "floor": 0.2, "cap": 0.7}


def test_a_mixture_is_allowed_if_it_satisfies_all() -> None:
    limits = constraints(
        DOMAINS, floors={"web": 0.2}, caps={"code": 0.5}, groups=[GroupBound(("code", "books"), cap=0.6)],
        ratios=[RatioBound("books", "code", floor=0.5)],
    )  # fmt: skip
    assert limits.allow(np.array([0.4, 0.4, 0.2]))
    for r in ([0.1, 0.5, 0.4], [0.3, 0.6, 0.1], [0.3, 0.4, 0.3], [0.5, 0.4, 0.1]):
        assert not limits.allow(np.array(r))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"floors": {"wbe": 0.1}}, r"floor of 'wbe': no training domain; did you mean 'web'\?"),
        ({"caps": {"wiki": 0.1}}, "cap of 'wiki': no training domain; known: books, code, web"),
        ({"fixed": {"wiki": 0.1}}, "fixed share of 'wiki': no training domain"),
        ({"fixed": 0.1}, "fixed: expected domain -> share, not 0.1"),
        ({"fixed": {"web": 1.1}}, "fixed share of 'web': expected a share between 0 and 1, not 1.1"),
        ({"floors": {"web": -0.1}}, "floor of 'web': expected a share between 0 and 1, not -0.1"),
        ({"caps": 50}, "cap: expected a share between 0 and 1, not 50"),
        ({"floors": {"web": float("nan")}}, "floor of 'web': expected a finite number, not nan"),
        ({"caps": float("inf")}, "cap: expected a finite number, not inf"),
        ({"floors": {"web": "0.1"}}, "floor of 'web': expected a number, not '0.1'"),
        ({"floors": {"web": True}}, "floor of 'web': expected a number, not True"),
        ({"groups": [("web", "code")]}, r"expected a GroupBound, not \('web', 'code'\)"),
        ({"groups": GroupBound(("web",), cap=0.5)}, r"expected a sequence of GroupBound, not GroupBound\("),
        ({"ratios": None}, "expected a sequence of RatioBound, not None"),
        ({"available": 1e9, "budget": 1e9}, "available: expected domain -> tokens, not 1000000000.0"),
        ({"groups": [RatioBound("web", "code", cap=2)]}, "expected a GroupBound, not RatioBound"),
        ({"groups": [GroupBound(("web", "cod"), cap=0.5)]}, r"group \{web, cod\} of 'cod': no training .*'code'\?"),
        ({"ratios": [RatioBound("web", "cod", cap=0.5)]}, r"ratio web / cod of 'cod': no training domain.*'code'\?"),
        ({"budget": 10.0}, r"budget: give the tokens of the domains as well \(available\)"),
        ({"max_epochs": 4}, r"max_epochs: give the tokens of the domains as well \(available\)"),
        ({"repetition": 15.39}, r"repetition: give the tokens of the domains as well \(available\)"),
        ({"available": {"web": 1e9}}, r"give the tokens of the run as well \(budget\)"),
        ({"available": {"wbe": 1e9}, "budget": 1e9}, r"tokens available of 'wbe': no training .*'web'\?"),
        ({"available": {"web": 0.0}, "budget": 1e9}, "tokens available of 'web': expected a number above 0, not 0"),
        ({"available": {"web": 1e9}, "budget": -1.0}, "budget: expected a number above 0, not -1"),
        ({"available": {"web": 1e9}, "budget": 1e9, "max_epochs": 0}, "max_epochs: expected a number above 0, not 0"),
        ({"available": {"web": 1e9}, "budget": 1e9, "max_epochs": {"code": 4}}, "max_epochs of 'code': give the token"),
        ({"available": {"web": 1e9}, "budget": 1e9, "repetition": 0.0}, "repetition: expected .* at least 0.1, not 0"),
        ({"available": {"web": 1e9}, "budget": 1e9, "repetition": "yes"}, "repetition: expected a number, not 'yes'"),
    ],
)  # fmt: skip
def test_a_constraint_that_is_none_is_refused(given, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        constraints(DOMAINS, **given)
    assert not isinstance(caught.value, InfeasibleError)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupBound("web", cap=0.5), "a group is a sequence of domains, not the text 'web'"),
        (lambda: GroupBound((), cap=0.5), r"group \{\}: a group needs domains, each of them once"),
        (lambda: GroupBound(("web", "web"), cap=0.5), r"group \{web, web\}: a group needs domains, each of them once"),
        (lambda: GroupBound(("web",)), r"group \{web\}: give a floor above 0 or a cap below 1"),
        (lambda: GroupBound(("web",), cap=1.5), r"cap of the group \{web\}: expected a share between 0 and 1, not 1.5"),
        (lambda: GroupBound(("web",), floor="x"), r"floor of the group \{web\}: expected a number, not 'x'"),
        (lambda: RatioBound("web", "web", cap=1), "ratio web / web: a ratio needs two domains"),
        (lambda: RatioBound("web", "code"), "ratio web / code: give a floor or a cap"),
        (lambda: RatioBound("web", "code", floor=-1), "floor of the ratio web / code: expected 0, or .*, not -1"),
        (lambda: RatioBound("web", "code", cap=-1), "cap of the ratio web / code: expected 0, or .*, not -1"),
        (lambda: RatioBound("web", "code", cap=1e-9), "expected 0, or a number between 1e-6 and 1e6, not 1e-09"),
        (lambda: RatioBound("web", "code", floor=1e9), "expected 0, or a number between 1e-6 and 1e6, not 1e.09"),
        (lambda: RatioBound("web", "code", 2.0, 1.0), "ratio web / code: the floor 2 is above the cap 1"),
        (lambda: RatioBound("web", "code", floor=math.inf), "floor of the ratio web / code: expected a finite number"),
        (lambda: RatioBound("web", "code", cap=math.nan), "cap of the ratio web / code: expected a finite number"),
    ],
)
def test_a_bound_that_bounds_nothing_is_refused(make, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
