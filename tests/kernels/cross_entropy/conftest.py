import pytest

from .cases import CASES, Arguments, Case, Truth, build, define


@pytest.fixture(scope="session")
def truths() -> dict[Case, Truth]:
    return {}


@pytest.fixture
def truth(case: Case, arguments: Arguments, truths: dict[Case, Truth]) -> Truth:
    if case not in truths:
        truths[case] = define(case, arguments)
    return truths[case]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)


@pytest.fixture
def arguments(case: Case) -> Arguments:
    return build(case)


@pytest.fixture(scope="session")
def all_arguments() -> dict[str, tuple[Case, Arguments]]:
    return {str(case): (case, build(case)) for case in CASES}
