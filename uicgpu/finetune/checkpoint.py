"""A training's state on disk: safetensors and JSON, nothing that runs code; a half-written one is never used."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from uicgpu.runs.folder import sha256_file, write_json, write_tensors

STATE: Final = "checkpoint.json"
GROUPS: Final = ("weights", "first", "second", "best")

Groups = dict[str, dict[str, Tensor]]
"""Weights, the two moments, and the best weights so far: each by parameter name."""


class Checkpoint:
    """Two files in turn: the JSON, written last, names the complete one.

    Parameters
    ----------
    folder
        Where they lie.
    name
        Name of the training in the folder.
    identity
        Hash of everything that the result depends on: a checkpoint of anything else is not used.
    writes
        Whether this process writes; one of several that train together does, and all read.
    """

    def __init__(self, folder: Path, name: str, identity: str, *, writes: bool = True) -> None:
        self._writes = writes
        self._folder = folder
        self._name = name
        self._identity = identity

    def write(self, groups: Mapping[str, Mapping[str, Tensor]], record: Mapping[str, Any]) -> None:
        """Write a state; the former one is removed when the new one is complete.

        Raises
        ------
        OutOfResourcesError
            When the disk is full; the former checkpoint stays.
        """
        if not self._writes:
            return
        tensors = {
            f"{group}/{key}": value.detach().cpu().numpy()
            for group, held in groups.items()
            for key, value in held.items()
        }
        name = f"{self._name}-{record['step']}.safetensors"
        old = self._state()
        write_tensors(self._folder / name, tensors)
        state = {
            "tensors": name,
            "sha256": sha256_file(self._folder / name),
            "identity": self._identity,
            "record": dict(record),
        }
        write_json(self._folder / f"{self._name}-{STATE}", state)
        if old and old["tensors"] != name:
            (self._folder / str(old["tensors"])).unlink(missing_ok=True)

    def read(self, parameters: Sequence[str]) -> tuple[Groups, dict[str, Any]] | None:
        """Return the last state and record, None without a whole one of this identity and these parameters."""
        state = self._state()
        file = self._folder / str(state.get("tensors", ""))
        if state.get("identity") != self._identity or not file.is_file() or sha256_file(file) != state["sha256"]:
            return None
        from safetensors.torch import load_file

        groups: Groups = {group: {} for group in GROUPS}
        for key, value in load_file(file).items():
            group, _, name = key.partition("/")
            groups[group][name] = value
        return (groups, dict(state["record"])) if set(groups["weights"]) == set(parameters) else None

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads((self._folder / f"{self._name}-{STATE}").read_text(encoding="utf-8"))
            return state if Path(state["tensors"]).name == state["tensors"] and state["record"] else {}
        except (OSError, ValueError, KeyError, TypeError):
            return {}
