"""What ``import uicgpu`` offers: every name it lists exists, and the estimators of the clustering room are there."""

import inspect
import subprocess
import sys

import pytest
from sklearn.base import ClusterMixin

import uicgpu as uic
import uicgpu.cluster as room


@pytest.mark.parametrize("name", [name for name in uic.__all__ if name != "__version__"])
def test_every_listed_name_is_found_in_its_room(name):
    assert getattr(uic, name).__name__ == name
    assert name in dir(uic)


def test_every_estimator_of_clusters_is_public():
    found = {name for name in room.__all__ if inspect.isclass(getattr(room, name))}
    estimators = {name for name in found if issubclass(getattr(room, name), ClusterMixin)}
    assert len(estimators) >= 5 and estimators <= set(uic.__all__)


def test_names_are_imported_on_first_use():
    code = "import sys, uicgpu; uicgpu.__all__; sys.exit('uicgpu.cluster' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Kmeans'"):
        uic.Kmeans  # noqa: B018
