"""`Law`: what every mixing law offers."""

from typing import ClassVar, Protocol

from mixlaw.fitted import Axis, FittedLaw
from mixlaw.runs import RunTable


class Law(Protocol):
    """A family of functions from mixture and training length to the loss of every evaluation domain.

    Attributes
    ----------
    name
        What `mixlaw.laws.get` calls it.
    fitted
        What `fit` returns, and what a file with this law's name is read as.
    """

    name: ClassVar[str]
    fitted: ClassVar[type[FittedLaw]]

    def fit(self, runs: RunTable, *, x: Axis = "tokens", seed: int = 0, robust: bool = False) -> FittedLaw:
        """Fit the law to what proxy runs measured.

        Parameters
        ----------
        runs
            Losses of at least two mixtures.
        x
            What the law measures the length of training in; `FittedLaw.predict` takes `at` in the same unit.
        seed
            Of the starting points; equal seeds give equal coefficients.
        robust
            Whether rows that deviate by more than 1.345 standard deviations count less (Huber's loss).

        Raises
        ------
        FitError
            If the runs cannot identify the law; the message says what they lack, and in which domain.
        InputError
            If a row lacks `x`.
        """
        ...
