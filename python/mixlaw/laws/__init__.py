"""The mixing laws, one a file, behind one protocol: `get(name)`, `default()`, and `read(path)` for a fitted one."""

import os

from mixlaw.errors import InputError, did_you_mean
from mixlaw.fitted import FittedLaw
from mixlaw.laws.bimix import BiMix as BiMix
from mixlaw.laws.law import Law as Law
from mixlaw.laws.stored import read_as
from mixlaw.laws.transfer import Transfer as Transfer

_LAWS: dict[str, type[Law]] = {BiMix.name: BiMix, Transfer.name: Transfer}


def names() -> list[str]:
    """List the laws that `get` knows."""
    return list(_LAWS)


def get(name: str) -> Law:
    """Give the law of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in _LAWS:
        raise InputError(f"no mixing law is called {name!r}{did_you_mean(name, _LAWS)}")
    return _LAWS[name]()


def default() -> Law:
    """Give the law to use when nothing is said."""
    return get("transfer")


def read(path: str | os.PathLike[str]) -> FittedLaw:
    """Read a fitted law that `FittedLaw.write` wrote, whichever law it is.

    Raises
    ------
    InputError
        If the file is unreadable or holds no fitted law; the message names the file and the place in it.
    """
    return read_as(path, lambda name: get(name).fitted)
