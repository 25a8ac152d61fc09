from __future__ import annotations

import base64
import hashlib
import json

import pytest

from uicgpu.errors import UicError
from uicgpu.report.embedding import content_policy, embed_json, script


def test_json_cannot_end_its_element():
    value = {"a": "</script><!--<script>&\u2028\u2029\ud800"}
    text = str(embed_json(value))
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text)["a"] == "</script><!--<script>&\u2028\u2029?"


def test_json_refuses_nan_and_keeps_order():
    with pytest.raises(ValueError, match="JSON"):
        embed_json([float("nan")])
    assert str(embed_json({"b": 1, "a": 2})) == '{"b":1,"a":2}'


@pytest.mark.parametrize("source", ["x = '</SCRIPT>'", "<!-- x", "a\r\nb", "a\0b"])
def test_a_script_that_html_would_change_is_refused(source):
    with pytest.raises(UicError):
        script(source, "x.js")


def test_the_policy_names_scripts_by_hash_and_forbids_the_network():
    policy = content_policy(["alert(1)"])
    digest = base64.b64encode(hashlib.sha256(b"alert(1)").digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy and "unsafe-eval" not in policy and "connect-src" not in policy
