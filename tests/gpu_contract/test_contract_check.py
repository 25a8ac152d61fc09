"""The parts of the contract check that need no wheels: reading signatures, comparing them, and the events it makes."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def load(name):
    spec = importlib.util.spec_from_file_location(f"contract_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def snapshot():
    return load("snapshot")


def test_a_function_that_hides_behind_a_submodule(snapshot, tmp_path, monkeypatch):
    package = tmp_path / "toy_library"
    package.mkdir()
    (package / "__init__.py").write_text("from toy_library.score import score\nimport toy_library.other\n")
    (package / "score.py").write_text("def score(x, y=1, *, chunk: int | None = None) -> float: ...\n")
    (package / "other.py").write_text("def other(z): ...\nclass Model:\n    def fit(self, X, y=None): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert snapshot.signature_of("toy_library.score") == "(x, y=1, *, chunk=None)"
    sys.modules["toy_library"].score = sys.modules["toy_library.score"]
    assert snapshot.signature_of("toy_library.score") == "(x, y=1, *, chunk=None)"
    assert snapshot.signature_of("toy_library.other") == "(z)"
    assert snapshot.signature_of("toy_library.other.Model.fit") == "(X, y=None)"


def test_a_callable_whose_docstring_states_its_signature(snapshot, monkeypatch):
    class Ufunc:
        r"""exp2(x, /, out=None, \*, casting='same_kind', dtype=None)

        More.
        """

    monkeypatch.setattr(snapshot, "resolve", lambda name: Ufunc())
    assert snapshot.signature_of("cupy.exp2") == "(x, /, out=None, *, casting='same_kind', dtype=None)"
    Ufunc.__doc__ = "Not a signature."
    with pytest.raises(ValueError, match="states no signature"):
        snapshot.signature_of("cupy.exp2")


def test_every_kind_of_difference_is_told(snapshot):
    recorded = {"a": "(x, y=1)", "b": "(x)", "c": "(x)", "d": "(x: int) -> None", "e": "(x, *, y=1)"}
    found = {"a": "(x, y=2)", "b": "(x)", "d": "(x)", "e": "(x, y=1)", "f": "()"}
    assert [line.partition(":")[0] for line in snapshot.differences(recorded, found)] == ["c", "f", "a", "e"]


@pytest.mark.parametrize("version", ["26.06", "26.10"])
def test_recorded_contracts_name_what_the_product_uses(snapshot, version):
    content = json.loads((snapshot.CONTRACTS / f"rapids-{version}.json").read_text(encoding="utf-8"))
    assert set(content["signatures"]) <= set(snapshot.NAMES)
    if version == "26.10":
        assert set(content["signatures"]) == set(snapshot.NAMES)


def test_the_events_of_the_plans_are_cleaned_in_every_form():
    """Here with the CPU alone; the check itself asks cuDF about each of these plans."""
    plans = load("plans")
    assert len(plans.FORMS) == len(set(plans.FORMS)) and plans.FILES >= 4
    names = [name for name, *_ in plans.cases()]
    assert len(names) == len(set(names)) >= 20
    for form in plans.FORMS:
        assert plans.times(plans.events(0), form).height == 300
