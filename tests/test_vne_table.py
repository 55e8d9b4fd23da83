import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixlaw import InputError, VneTable


def table(**changes: Any) -> VneTable:
    fields: dict[str, Any] = {
        "domains": ("web", "code"),
        "embedding": "given vectors",
        "dimension": 300,
        "vectors": np.array([1000, 20]),
        "vne": np.array([4.5, 2.25]),
        "vne_se": np.array([0.01, np.nan]),
    }
    return VneTable(**{**fields, **changes})


@given(entropies=st.lists(st.floats(0, math.log(300)), min_size=1, max_size=9), se=st.floats(0, 9) | st.just(math.nan))
def test_files_read_back_exactly(tmp_path_factory: pytest.TempPathFactory, entropies: list[float], se: float) -> None:
    path = tmp_path_factory.mktemp("vne") / "table.json"
    m = len(entropies)
    made = table(
        domains=[f"d{i}" for i in range(m)],
        vectors=np.full(m, 1000),
        vne=np.array(entropies),
        vne_se=np.full(m, se),
    )
    made.write(path)
    again = VneTable.read(path)
    assert (again.domains, again.embedding, again.dimension) == (made.domains, made.embedding, made.dimension)
    for name in ("vectors", "vne", "vne_se"):
        assert np.array_equal(getattr(again, name), getattr(made, name), equal_nan=True)
        assert getattr(again, name).dtype == getattr(made, name).dtype
        assert not getattr(again, name).flags.writeable
    shares = np.exp(made.vne) / np.exp(made.vne).sum()
    np.testing.assert_allclose(made.mixture().to_array(made.domains), shares, rtol=1e-12)


def test_text_shows_entropies_errors_and_mixture() -> None:
    assert table().to_text() == (
        "domain  vectors     VNE    s.e.  e^VNE  mixture\n"
        "web       1,000  4.5000  0.0100   90.0   0.9047\n"
        "code         20  2.2500       -    9.5   0.0953\n"
        "entropies in nats, of given vectors (300 dimensions)"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"domains": ()}, "needs at least one domain"),
        ({"domains": ("web", "web")}, "domain 'web' stands twice"),
        ({"embedding": ""}, "embedding must be a text"),
        ({"dimension": 0}, "dimension must be a whole number above 0, not 0"),
        ({"dimension": 2.5}, "dimension must be a whole number above 0, not 2.5"),
        ({"vectors": np.array([1000])}, r"vectors of 2 domains has the shape \(1,\)"),
        ({"vectors": np.array([1e3, 20.0])}, "vectors: expected numbers"),
        ({"vne": np.array(["a", "b"])}, "vne: expected numbers"),
        ({"vectors": np.array([1000, 0])}, "domain 'code': vectors is 0; expected: at least 1"),
        ({"vne": np.array([5.8, 2.25])}, r"domain 'web': vne is 5\.8; expected: between 0 and log\(min"),
        ({"vne": np.array([4.5, 3.1])}, r"domain 'code': vne is 3\.1; expected"),
        ({"vne": np.array([-0.1, 2.25])}, r"domain 'web': vne is -0\.1; expected"),
        ({"vne": np.array([np.nan, 2.25])}, "domain 'web': vne is nan; expected"),
        ({"vne_se": np.array([-0.1, 0.1])}, r"domain 'web': vne_se is -0\.1; expected: at least 0 and finite"),
        ({"vne_se": np.array([0.1, np.inf])}, "domain 'code': vne_se is inf; expected"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        table(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.update(schema="mixlaw.vne-table/2"), "expected a file of schema 'mixlaw.vne-table/1'"),
        (lambda content: content.update(dimensions=3), "unknown key 'dimensions'; did you mean 'dimension'?"),
        (lambda content: content.pop("embedding"), "the table: no 'embedding'"),
        (lambda content: content.update(domains=[]), "domains: expected an object"),
        (lambda content: content.update(domains={}), "needs at least one domain"),
        (lambda content: content["domains"].update(web=3), "domain 'web': expected an object with vectors"),
        (lambda content: content["domains"]["web"].pop("vne"), "domain 'web': no 'vne'"),
        (lambda content: content["domains"]["web"].update(vne=None), "domain 'web': vne is None, no number"),
        (lambda content: content["domains"]["web"].update(vectors=True), "domain 'web': vectors is True, no number"),
        (lambda content: content["domains"]["web"].update(vectors=10**30), "vectors: expected numbers"),
        (lambda content: content["domains"]["web"].update(vne=9.0), "domain 'web': vne is 9.0; expected"),
    ],
)
def test_files_that_hold_something_else_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "table.json"
    table().write(path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError) as error:
        VneTable.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
