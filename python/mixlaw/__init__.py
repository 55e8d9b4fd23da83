"""mixlaw: choose the data mixture for pretraining a language model, by measurement.

Every public name is imported when it is first used, so that ``import mixlaw`` stays light.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names again, for type checkers and editors; a test holds the two lists together
    from mixlaw.corpus import Corpus as Corpus
    from mixlaw.design import propose as propose
    from mixlaw.design import temperature_mixture as temperature_mixture
    from mixlaw.design import unimax_mixture as unimax_mixture
    from mixlaw.entropy.counter import Entropies as Entropies
    from mixlaw.entropy.counter import NgramCounter as NgramCounter
    from mixlaw.entropy.counter import entropies as entropies
    from mixlaw.entropy.measure import measure_entropies as measure_entropies
    from mixlaw.entropy.second_moment import SecondMoment as SecondMoment
    from mixlaw.entropy.von_neumann import measure_vne as measure_vne
    from mixlaw.entropy_table import EntropyTable as EntropyTable
    from mixlaw.errors import InputError as InputError
    from mixlaw.errors import MixlawError as MixlawError
    from mixlaw.fitted import FittedLaw as FittedLaw
    from mixlaw.laws.compare import compare as compare
    from mixlaw.laws.comparison import Comparison as Comparison
    from mixlaw.laws.diagnose import diagnose as diagnose
    from mixlaw.laws.finding import Finding as Finding
    from mixlaw.laws.more_runs import more_runs as more_runs
    from mixlaw.mixture import Mixture as Mixture
    from mixlaw.optimum import Front as Front
    from mixlaw.optimum import GroupBound as GroupBound
    from mixlaw.optimum import Optimum as Optimum
    from mixlaw.optimum import RatioBound as RatioBound
    from mixlaw.optimum import optimize as optimize
    from mixlaw.optimum import pareto as pareto
    from mixlaw.reading import load_corpus as load_corpus
    from mixlaw.reading import sample_corpus as sample_corpus
    from mixlaw.runs import RunTable as RunTable
    from mixlaw.train.campaign import train_proxies as train_proxies
    from mixlaw.train.settings import ProxySettings as ProxySettings
    from mixlaw.train.split import CorpusSplit as CorpusSplit
    from mixlaw.train.split import split_corpus as split_corpus
    from mixlaw.vne_table import VneTable as VneTable

# Public name -> the module that defines it.
_PUBLIC = {
    "Comparison": "mixlaw.laws.comparison",
    "Corpus": "mixlaw.corpus",
    "CorpusSplit": "mixlaw.train.split",
    "Entropies": "mixlaw.entropy.counter",
    "EntropyTable": "mixlaw.entropy_table",
    "Finding": "mixlaw.laws.finding",
    "FittedLaw": "mixlaw.fitted",
    "Front": "mixlaw.optimum",
    "GroupBound": "mixlaw.optimum",
    "InputError": "mixlaw.errors",
    "MixlawError": "mixlaw.errors",
    "Mixture": "mixlaw.mixture",
    "NgramCounter": "mixlaw.entropy.counter",
    "Optimum": "mixlaw.optimum",
    "ProxySettings": "mixlaw.train.settings",
    "RatioBound": "mixlaw.optimum",
    "RunTable": "mixlaw.runs",
    "SecondMoment": "mixlaw.entropy.second_moment",
    "VneTable": "mixlaw.vne_table",
    "compare": "mixlaw.laws.compare",
    "diagnose": "mixlaw.laws.diagnose",
    "entropies": "mixlaw.entropy.counter",
    "load_corpus": "mixlaw.reading",
    "measure_entropies": "mixlaw.entropy.measure",
    "measure_vne": "mixlaw.entropy.von_neumann",
    "more_runs": "mixlaw.laws.more_runs",
    "optimize": "mixlaw.optimum",
    "pareto": "mixlaw.optimum",
    "propose": "mixlaw.design",
    "sample_corpus": "mixlaw.reading",
    "split_corpus": "mixlaw.train.split",
    "temperature_mixture": "mixlaw.design",
    "train_proxies": "mixlaw.train.campaign",
    "unimax_mixture": "mixlaw.design",
}
# Submodules that are public as they are: `mixlaw.laws.get(...)`.
_PUBLIC_MODULES = {"kernels", "laws"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from mixlaw.files import package_version

        return package_version()
    if name in _PUBLIC_MODULES:
        return importlib.import_module(f"mixlaw.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'mixlaw' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC, *_PUBLIC_MODULES})
