"""An array that lives "on a device": whatever would copy it to the host without saying so raises."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np


class ImplicitCopyError(TypeError):
    """The device array would have been copied to the host without ``.get()`` or ``asnumpy``."""


def _forbid(name):
    def method(self, *arguments, **keywords):
        raise ImplicitCopyError(f"{name} of a device array copies it to the host: use cupy.asnumpy")

    return method


class DeviceArray:
    """Holds a NumPy array and gives out only device arrays; counts copies to the host."""

    copies = 0
    # NumPy must not take part in operations of its own accord
    __array_ufunc__ = None

    def __init__(self, data):
        assert isinstance(data, np.ndarray | np.generic), type(data)
        self._data = np.asarray(data)

    def get(self):
        DeviceArray.copies += 1
        return self._data.copy()

    for _name in (
        "__array__",
        "__iter__",
        "__float__",
        "__int__",
        "__index__",
        "__bool__",
        "__contains__",
        "tolist",
        "item",
    ):
        locals()[_name] = _forbid(_name)
    del _name

    def __dlpack__(self, **keywords):
        return self._data.__dlpack__()  # shares the memory, as on a device

    def __dlpack_device__(self):
        return self._data.__dlpack_device__()

    def __len__(self):
        return len(self._data)

    def __getitem__(self, key):
        return wrap(self._data[_index(key)])

    def __setitem__(self, key, value):
        self._data[_index(key)] = unwrap(value)

    def __repr__(self):
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"


for _name in ("shape", "dtype", "ndim", "size", "nbytes", "flags"):
    setattr(DeviceArray, _name, property(lambda self, _name=_name: getattr(self._data, _name)))
DeviceArray.T = property(lambda self: wrap(self._data.T))
for _name in ("sum", "max", "min", "mean", "all", "any", "astype", "reshape", "copy", "ravel", "argmax"):

    def _method(self, *arguments, _name=_name, **keywords):
        return wrap(getattr(self._data, _name)(*map(unwrap, arguments), **{k: unwrap(v) for k, v in keywords.items()}))

    setattr(DeviceArray, _name, _method)
for _name in (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv matmul pow mod and or xor "
    "lt le gt ge eq ne iadd isub imul itruediv"
).split():

    def _operator(self, other, _name=f"__{_name}__"):
        with np.errstate(all="ignore"):  # a device does not warn
            result = getattr(self._data, _name)(unwrap(other))
        if _name.startswith("__i"):
            return self
        return wrap(result)

    setattr(DeviceArray, f"__{_name}__", _operator)
DeviceArray.__neg__ = lambda self: wrap(-self._data)
DeviceArray.__invert__ = lambda self: wrap(~self._data)
DeviceArray.__hash__ = None


def wrap(value: Any) -> Any:
    """Turn NumPy results into device arrays; CuPy returns arrays of no dimension where NumPy returns scalars."""
    if isinstance(value, tuple):
        return tuple(map(wrap, value))
    return DeviceArray(value) if isinstance(value, np.ndarray | np.generic) else value


def unwrap(value: Any) -> Any:
    """Return the NumPy array behind a device array; a host array in its place is an error, as in CuPy."""
    if isinstance(value, DeviceArray):
        return value._data
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}: a host array met a device array")
    if isinstance(value, tuple | list):
        return type(value)(map(unwrap, value))
    assert value is None or isinstance(value, numbers.Number | str | np.generic | np.dtype | type | slice), type(value)
    return value


def _index(key):
    if isinstance(key, tuple):
        return tuple(map(_index, key))
    return key if key is Ellipsis else unwrap(key)
