"""The compiled core, or what to do where it is missing."""

from mixlaw.errors import MissingDependencyError

try:
    from mixlaw import _core as _core
except ImportError as error:
    raise MissingDependencyError(
        f"the compiled core of mixlaw cannot be imported ({error}): run `pip install .` in a checkout of mixlaw"
    ) from error
