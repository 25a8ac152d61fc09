"""Whether a device answers: each way in which it may not."""

import json
import os
import subprocess
import sys
import types

import numpy as np
import pytest

from uicgpu.backends import choose_backend, probe
from uicgpu.cli.main import call
from uicgpu.errors import MissingDeviceError, MissingExtraError
from uicgpu.vocabulary import ExitCode


class DriverError(RuntimeError):
    """One of the unrelated classes that GPU libraries raise."""


class NotEvenAnException(BaseException):
    """Some bindings raise outside the Exception tree."""


def no_driver(gpu):
    gpu.available = False


def driver_without_gpu(gpu):
    gpu.count = 0


def stub_library(gpu):
    def fail():
        raise DriverError("cudaErrorStubLibrary: CUDA driver is a stub library\nsecond line")

    sys.modules["cupy"].cuda.is_available = fail


def outside_the_exception_tree(gpu):
    def fail(number):
        raise NotEvenAnException

    sys.modules["cupy"].cuda.runtime.getDeviceProperties = fail


def importable_without_gpu(gpu):
    """RAPIDS imports, CuPy counts a device, and the first allocation fails."""

    def fail(array):
        raise DriverError("cudaErrorInsufficientDriver")

    sys.modules["cupy"].asarray = fail


def too_old(gpu):
    gpu.capability = (7, 0)


def wrong_arithmetic(gpu):
    sys.modules["cupy"].asnumpy = lambda array: np.zeros(1000, np.float32)


FAILURES = {
    no_driver: "CuPy finds no CUDA device",
    driver_without_gpu: "CUDA counts 0",
    stub_library: "DriverError: cudaErrorStubLibrary: CUDA driver is a stub library",
    outside_the_exception_tree: "NotEvenAnException: no message",
    importable_without_gpu: "DriverError: cudaErrorInsufficientDriver",
    too_old: "compute capability 7.0, 7.5 is needed",
    wrong_arithmetic: "wrong result",
}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
class TestNoDevice:
    def test_cuda_is_an_error_with_the_reason_and_the_install_line(self, gpu, failure):
        failure(gpu)
        with pytest.raises(MissingDeviceError) as caught:
            choose_backend("cuda")
        assert FAILURES[failure] in caught.value.message and "second line" not in caught.value.message
        assert 'pip install "uicgpu[gpu]" -c requirements/gpu-cu13.txt' in caught.value.fix
        assert caught.value.exit_code == ExitCode.MISSING_DEVICE == 4

    def test_auto_falls_back_with_one_reason(self, gpu, failure, capfd):
        failure(gpu)
        backend = choose_backend("auto")
        assert backend.name == "cpu" and FAILURES[failure] in backend.reason
        assert backend.reason.count("\n") == 0 and backend.reason.endswith(".")
        assert capfd.readouterr() == ("", "")

    def test_no_library_is_asked_after_the_device_failed(self, gpu, failure, monkeypatch):
        failure(gpu)
        asked = []
        monkeypatch.setattr("faiss.get_num_gpus", lambda: asked.append(1) or 1)
        assert probe.library_failure("faiss") == probe.probe_device().reason and not asked


def test_a_device_that_answers(gpu):
    found = probe.probe_device()
    assert found.available and found.reason == "Pretended GPU answers"
    assert (found.name, found.compute_capability, found.memory_bytes, found.driver) == (
        "Pretended GPU", (8, 0), 2**34, "13.0",
    )  # fmt: skip
    backend = choose_backend("auto", memory=2**40)
    assert backend.name == "cuda" and backend.memory == 2**33
    assert backend.device == "cpu", "this PyTorch is a CPU build"
    assert backend.engines == {"memory": "rmm"}


def test_doctor_runs_the_self_test_and_says_what_was_never_done(gpu, monkeypatch, capsys):
    monkeypatch.setattr(probe, "probe_in_child", probe.probe_libraries)
    assert call(["doctor", "--device", "cuda", "--self-test", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["backend"] == "cuda (cpu)" and told["self-test"].endswith(" passed, 0 failed")
    assert told["GPU in cuml"] == "ok" and "CPU build" in told["GPU in torch"]
    assert "not executed on a GPU" in told["note"]


def test_the_record_is_kept_and_knows_the_number(gpu):
    assert probe.probe_device() is probe.probe_device()
    assert not probe.probe_device(1).available and "no GPU 1: CUDA counts 1" in probe.probe_device(1).reason
    gpu.count = 2
    with pytest.raises(MissingDeviceError, match="cuda:1"):
        choose_backend("cuda:1")  # what was found before still counts
    probe.probe_device.cache_clear()
    backend = choose_backend("cuda:1")
    assert backend.probe.number == 1
    backend.assign(backend.to_device(np.ones((2, 2))), np.ones((1, 2)))
    assert gpu.current == []


def test_torch_may_see_the_device_too(gpu, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert choose_backend("cuda").device == "cuda:0"


def test_each_library_has_its_own_flag(gpu, monkeypatch):
    monkeypatch.delattr("faiss.StandardGpuResources")
    found = probe.probe_libraries()
    assert found.libraries["faiss"] == "this FAISS is a CPU build"
    assert found.libraries["torch"].startswith("this PyTorch sees no GPU")
    assert {found.libraries[name] for name in ("rmm", "polars", "cuml")} == {"ok"}
    with pytest.raises(MissingExtraError, match="CPU build"):
        choose_backend("cuda").top_k(np.ones((1, 2), np.float32), np.ones((1, 2), np.float32), 1)


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_devices_are_no_gpu(gpu, monkeypatch, hidden):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))  # any use would fail
    assert (
        choose_backend("auto").reason == "No GPU is usable (CUDA_VISIBLE_DEVICES hides every GPU), so the CPU is used."
    )


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_interrupts_pass_through(gpu, interrupt):
    def stop():
        raise interrupt

    sys.modules["cupy"].cuda.is_available = stop
    with pytest.raises(interrupt):
        choose_backend("auto")


def test_without_the_libraries(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    backend = choose_backend("auto")
    assert backend.name == "cpu" and "cupy" in backend.reason


def child(tmp_path, monkeypatch, cupy):
    (tmp_path / "cupy.py").write_text(cupy)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    return probe.probe_in_child()


def test_an_abort_in_the_child_is_a_reason(tmp_path, monkeypatch):
    found = child(
        tmp_path, monkeypatch, "import os, sys\nsys.stderr.write('stub driver\\n')\nsys.stderr.flush()\nos.abort()\n"
    )
    assert not found.available and found.reason == "a GPU library ended the probe (signal 6): stub driver"


def test_a_child_that_ends_well(tmp_path, monkeypatch):
    found = child(tmp_path, monkeypatch, "class cuda:\n  is_available = staticmethod(lambda: False)\n")
    assert not found.available and found.reason.startswith("CuPy finds no CUDA device")


def test_a_child_that_hangs(monkeypatch):
    monkeypatch.setattr(probe, "_CHILD", "import time; time.sleep(60)")
    assert "did not answer within 0 s" in probe.probe_in_child(timeout=0.2).reason


def test_cpu_imports_no_gpu_library():
    code = """
import sys
from uicgpu.backends import choose_backend
import numpy as np
backend = choose_backend("cpu")
backend.assign(np.ones((3, 2), np.float32), np.ones((1, 2), np.float32))
gpu = {"cupy", "cuml", "cudf", "rmm", "cuvs", "torch", "triton", "numba.cuda", "uicgpu.backends.cuda"}
loaded = gpu & set(sys.modules)
assert not loaded, loaded
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
