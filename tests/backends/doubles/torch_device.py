"""A pretended torch device: tensors "on" it compute on the host, and whatever torch refuses on a GPU is refused.

On a GPU, ``numpy()`` of a tensor and an operation on tensors of two devices raise. Here a tensor counts as being on the
device when its storage was made there; a mode that sees every call of torch keeps the list.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import torch
from gpu_doubles.device_array import ImplicitCopyError
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_iter, tree_map

DEVICE = torch.device("cuda:0")
_READS = {torch.Tensor.numpy, torch.Tensor.__array__}
_INDEXES = {torch.Tensor.__getitem__, torch.Tensor.__setitem__}
"""An index may lie on the host."""
_MOVES = {torch.Tensor.copy_, torch.Tensor.data.__set__}
"""Values may come from another device."""
_ASIDE = {torch._C._nn._parse_to, torch._has_compatible_shallow_copy_type}
"""What ``Module.to`` asks before it moves anything."""


class PretendedDevice(TorchFunctionMode):
    """While entered, ``cuda:0`` is a device of torch.

    ``calls`` counts the operations on tensors that are there, ``copies`` those that copied one to the host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.copies = 0
        self._storages: dict[int, torch.UntypedStorage] = {}  # held, so that an address is not used twice

    def _holds(self, tensor: torch.Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self._storages

    def _keep(self, value: Any) -> None:
        for tensor in _tensors(value):
            storage = tensor.untyped_storage()
            self._storages[storage._cdata] = storage

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        there = [tensor for tensor in _tensors((args, kwargs)) if self._holds(tensor)]
        if function == torch.Tensor.device.__get__ and there:
            return DEVICE
        if function == torch.Tensor.is_cuda.__get__:
            return bool(there)
        if function is torch.Tensor.pin_memory:
            return args[0]
        if function in _ASIDE:
            return function(*args, **kwargs)
        if there and function in _READS:
            raise ImplicitCopyError(f"{function.__name__} of a tensor on the device: use .cpu() first")
        to_device = any(map(_is_device, tree_iter((args, kwargs))))
        to_host = function is torch.Tensor.cpu or (function is torch.Tensor.to and "cpu" in map(str, args[1:]))
        if there and not (to_device or to_host or function in _INDEXES | _MOVES):
            strangers = [each for each in _tensors((args, kwargs)) if not self._holds(each) and each.dim() > 0]
            if strangers:
                raise RuntimeError(f"{function.__name__}: expected all tensors to be on the same device")
        self.calls += bool(there)
        if to_device:
            args, kwargs = tree_map(lambda each: "cpu" if _is_device(each) else each, (args, kwargs))
        result = function(*args, **kwargs)
        if to_host or (to_device and not there):  # each side has its own memory
            result = tree_map(lambda each: each.clone() if isinstance(each, torch.Tensor) else each, result)
        if to_host:
            self.copies += bool(there)
        elif to_device or there:
            self._keep(result)
        return result


def _tensors(value: Any) -> list[torch.Tensor]:
    return [each for each in tree_iter(value) if isinstance(each, torch.Tensor)]


def _is_device(value: Any) -> bool:
    return isinstance(value, str | torch.device) and str(value).startswith("cuda")


def varlen_attn(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale=None, window_size=(-1, -1), enable_gqa):
    """Attend text by text; [tokens, heads, head dim]. Knows full attention only."""
    assert query.dtype in (torch.float16, torch.bfloat16) and cu_seq_q.dtype == torch.int32
    assert window_size == (-1, -1) and not enable_gqa
    texts = list(itertools.pairwise(cu_seq_q.tolist()))
    assert max_q == max_k == max(after - before for before, after in texts)
    parts = []
    for before, after in texts:
        rows = [each[before:after].transpose(0, 1).float() for each in (query, key, value)]
        parts.append(torch.nn.functional.scaled_dot_product_attention(*rows, scale=scale).transpose(0, 1))
    return torch.cat(parts).to(query.dtype)


@contextlib.contextmanager
def pretend(monkeypatch):
    """Let ``cuda:0`` be a device of torch within the block."""
    import torch.nn.attention.varlen as varlen

    monkeypatch.setattr(varlen, "varlen_attn", varlen_attn)
    with PretendedDevice() as device:
        yield device
