from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw.laws.returns import DELTA, by_rho, marginal, returns

getcontext().prec = 120
shares = st.just(0.0) | st.floats(1e-30, 1.0)
exponents = st.floats(0.05, 1.0)


@given(shares, exponents)
def test_returns_are_the_formula_to_the_last_digits(r: float, rho: float) -> None:
    delta, power = Decimal(DELTA), Decimal(rho)
    exact = (Decimal(r) + delta) ** power - delta**power
    assert float(returns(np.array(r), rho)) == pytest.approx(float(exact), rel=1e-13, abs=0.0)


@given(shares, exponents)
def test_derivatives_are_those_of_the_formula(r: float, rho: float) -> None:
    delta, p, h = Decimal(DELTA), Decimal(rho), Decimal("1e-20")

    def g(share: Decimal, power: Decimal) -> Decimal:
        return (share + delta) ** power - delta**power

    x = Decimal(r)
    slope = (g(x + h, p) - g(x - h, p)) / (2 * h)
    curvature = (g(x + h, p) - 2 * g(x, p) + g(x - h, p)) / h**2
    of_power = (g(x, p + h) - g(x, p - h)) / (2 * h)
    at = np.array(r)
    assert float(marginal(at, rho)) == pytest.approx(float(slope), rel=1e-12)
    assert float((rho - 1.0) * marginal(at, rho) / (at + DELTA)) == pytest.approx(float(curvature), rel=1e-9, abs=1e-9)
    assert float(by_rho(at, rho)) == pytest.approx(float(of_power), rel=1e-11, abs=1e-15)


def test_without_diminishing_returns_a_share_is_worth_itself_and_nothing_is_worth_nothing() -> None:
    r = np.array([0.0, 1e-12, 1e-3, 0.5, 1.0])
    np.testing.assert_allclose(returns(r, 1.0), r, rtol=1e-14)
    np.testing.assert_array_equal(returns(np.zeros(3), np.array([0.2, 0.7, 1.0])), 0.0)
    assert np.isfinite(marginal(np.zeros(1), 0.05)).all()
