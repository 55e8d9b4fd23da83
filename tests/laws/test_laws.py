import pytest

from mixlaw import InputError, laws
from mixlaw.laws.transfer import Transfer


def test_every_law_answers_to_its_name() -> None:
    assert laws.names() == ["bimix", "transfer"]
    for name in laws.names():
        law = laws.get(name)
        assert law.name == law.fitted.law == name


def test_the_default_law_is_transfer() -> None:
    assert isinstance(laws.default(), Transfer)


def test_an_unknown_law_is_refused_with_the_nearest_known() -> None:
    with pytest.raises(InputError, match=r"no mixing law is called 'bimx'; did you mean 'bimix'\?"):
        laws.get("bimx")
