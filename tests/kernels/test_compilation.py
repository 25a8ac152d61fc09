import numba

from uicgpu.kernels.compilation import compiled


def twice(x):
    return 2 * x


def test_runs_and_is_cached():
    kernel = compiled(twice)
    assert kernel(4) == 8 and kernel.targetoptions["nogil"] and not kernel.targetoptions.get("fastmath")


def test_without_a_place_to_cache(monkeypatch):
    """What Numba raises when neither the source's folder nor the user's can be written."""
    njit = numba.njit

    def read_only(function, *, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return njit(function, **options)

    monkeypatch.setattr(numba, "njit", read_only)
    assert compiled(twice)(4) == 8
