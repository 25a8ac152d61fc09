from __future__ import annotations

import base64
import hashlib
import hmac
import stat

import polars as pl
import pytest

from uicgpu.errors import SettingsError
from uicgpu.privacy.pseudonyms import key_path, load_key, pseudonyms

KEY = bytes(range(32))


def test_a_pseudonym_is_the_keyed_hash():
    digest = hmac.new(KEY, b"uicgpu user\x00jane", hashlib.sha256).digest()
    assert pseudonyms(pl.Series(["jane"]), KEY).to_list() == [base64.b32encode(digest[:10]).decode().lower()]


def test_it_depends_on_key_and_kind_and_on_nothing_else():
    ids = pl.Series("user_id", ["1", "2", "1", "é", "\U0001f600"])
    one = pseudonyms(ids, KEY)
    assert one.to_list() == pseudonyms(ids, KEY).to_list() and one.name == "user_id"
    assert one[0] == one[2] and one.n_unique() == 4
    assert not set(one) & set(pseudonyms(ids, bytes(32)))
    assert not set(one) & set(pseudonyms(ids, KEY, "item"))
    assert pseudonyms(ids.reverse(), KEY).reverse().to_list() == one.to_list()


def test_no_two_of_many_users_share_one():
    ids = pl.Series([str(number) for number in range(50_000)])
    assert pseudonyms(ids, KEY).n_unique() == 50_000


def test_the_key_is_made_once_and_for_its_owner_alone(key_file):
    first = load_key()
    assert len(first) == 32 and first == load_key()
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert list(key_file.parent.iterdir()) == [key_file]
    key_file.unlink()
    assert load_key() != first


def test_it_lies_in_the_configuration_of_the_user(tmp_path, monkeypatch):
    monkeypatch.delenv("UICGPU_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert key_path() == tmp_path / "uicgpu" / "pseudonyms.key"


def test_a_key_that_protects_nobody_is_refused(key_file, tmp_path):
    load_key()
    with pytest.raises(SettingsError, match="handed on"):
        load_key(tmp_path)
    key_file.chmod(0o644)
    with pytest.raises(SettingsError, match="mode 644"):
        load_key()
    key_file.chmod(0o600)
    key_file.write_text("secret")
    with pytest.raises(SettingsError, match="hexadecimal"):
        load_key()
    key_file.write_text("ff")
    with pytest.raises(SettingsError, match="1 bytes"):
        load_key()
