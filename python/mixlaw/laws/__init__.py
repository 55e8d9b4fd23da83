"""The mixing laws, one a file, behind one protocol: `get(name)`, `default()`, and `read(path)` for a fitted one."""

import os

from mixlaw.errors import InputError, did_you_mean
from mixlaw.fitted import FittedLaw
from mixlaw.laws.additive import Additive as Additive
from mixlaw.laws.additive import Joint as Joint
from mixlaw.laws.bimix import BiMix as BiMix
from mixlaw.laws.exponential import Exponential as Exponential
from mixlaw.laws.law import Law as Law
from mixlaw.laws.linear import Linear as Linear
from mixlaw.laws.stored import read_as
from mixlaw.laws.transfer import Transfer as Transfer
from mixlaw.laws.transfer_gp import TransferGP as TransferGP
from mixlaw.laws.trees import Trees as Trees

_LAWS: dict[str, type[Law]] = {
    law.name: law for law in (BiMix, Transfer, TransferGP, Exponential, Additive, Joint, Linear, Trees)
}


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
    return get("transfer-gp")


def read(path: str | os.PathLike[str]) -> FittedLaw:
    """Read a fitted law that `FittedLaw.write` wrote, whichever law it is.

    Raises
    ------
    InputError
        If the file is unreadable or holds no fitted law; the message names the file and the place in it.
    """
    return read_as(path, lambda name: get(name).fitted)
