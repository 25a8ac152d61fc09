"""What stands for a user's id in a file that leaves the operator's hands? A keyed hash, its key outside the run.

A plain hash of an id protects nobody: ids can be listed and hashed again. With a secret key only its owner can do that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Final

import polars as pl

from uicgpu.errors import SettingsError

KEY_VARIABLE: Final = "UICGPU_KEY"
"""Names the key's file; default ``~/.config/uicgpu/pseudonyms.key``."""
KEY_BYTES: Final = 32
FEWEST_KEY_BYTES: Final = 16
DIGITS: Final = 16
"""Base-32 digits of a pseudonym: 80 bits, so that a billion users share none with a chance of one in a million."""


def key_path() -> Path:
    """Return where the key is, or will be."""
    named = os.environ.get(KEY_VARIABLE)
    if named:
        return Path(named).expanduser()
    configuration = os.environ.get("XDG_CONFIG_HOME")
    return (Path(configuration) if configuration else Path.home() / ".config") / "uicgpu" / "pseudonyms.key"


def load_key(outside: Path | None = None) -> bytes:
    """Read the key; make one, readable by its owner alone, where there is none.

    Parameters
    ----------
    outside
        A folder that must not hold the key: who gets the folder would get the ids with it.

    Raises
    ------
    SettingsError
        When the key lies in that folder, is readable by others, or is no key.
    """
    path = key_path()
    if outside is not None and path.resolve().is_relative_to(outside.resolve()):
        raise SettingsError(
            f"the key of the pseudonyms lies in the folder that is handed on: {path}",
            where=f"environment variable {KEY_VARIABLE}",
            fix=f"move it, and set {KEY_VARIABLE} to its new place",
        )
    if not path.exists():
        _create(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SettingsError(
            f"the key of the pseudonyms is open to others (mode {mode:o})", where=str(path), fix=f"chmod 600 {path}"
        )
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except (ValueError, UnicodeDecodeError) as error:
        raise SettingsError("not a key: expected hexadecimal digits", where=str(path), fix=_NEW_KEY) from error
    if len(key) < FEWEST_KEY_BYTES:
        raise SettingsError(
            f"the key has {len(key)} bytes, {FEWEST_KEY_BYTES} are needed", where=str(path), fix=_NEW_KEY
        )
    return key


def pseudonyms(ids: pl.Series, key: bytes, kind: str = "user") -> pl.Series:
    """Return HMAC-SHA-256 pseudonyms of ids, 16 base-32 digits each.

    Parameters
    ----------
    ids
        Texts; equal ids give equal pseudonyms under one key.
    kind
        What the ids are of: a user and an item of one id get different pseudonyms.

    References
    ----------
    RFC 2104 (HMAC), RFC 4648 (base 32).

    Examples
    --------
    >>> pseudonyms(pl.Series(["42"]), bytes(32)).to_list()
    ['5whhbf4xvwydesaw']
    """
    start = hmac.new(key, f"uicgpu {kind}\0".encode(), hashlib.sha256)
    found = []
    for entry in ids.cast(pl.String).to_list():
        state = start.copy()
        state.update(entry.encode("utf-8", "surrogatepass"))
        found.append(base64.b32encode(state.digest()[:10]).decode().lower())
    return pl.Series(ids.name, found, dtype=pl.String)


def _create(path: Path) -> None:
    """Write a fresh key in one step, so that two processes never use two keys."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="ascii") as stream:
            stream.write(secrets.token_hex(KEY_BYTES) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    except FileExistsError:
        pass  # another process was faster: its key is the key
    finally:
        Path(temporary).unlink(missing_ok=True)


_NEW_KEY: Final = f"delete the file for a new key (old pseudonyms then lead nowhere), or set {KEY_VARIABLE}"
