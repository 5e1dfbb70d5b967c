"""Sealed models: what comes out is what went in, and nothing else is ever opened."""

import hashlib
import hmac

import msgspec
import numpy as np
import pytest

from app.errors import ModelFormatUnknown, ModelTampered
from app.ml import artifact
from app.ml.artifact import FORMAT, seal, unseal

SECRET = b"a secret that signs nothing of value"
ABOUT = {"kind": "segmentation", "algorithm": "kmeans", "format": FORMAT, "fingerprint": "ab12"}
MODEL = {
    "algorithm": "kmeans",
    "k": 2,
    "nothing": None,
    "flag": True,
    "share": 0.1,
    "levels": ["a", "b"],
    "parts": {
        "centres": np.arange(6.0).reshape(2, 3),
        "labels": np.array([-1, 0, 1]),
        "mask": np.array([True, False]),
        "empty": np.empty((0, 4)),
        "one": np.array(7.5),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "odd": np.array([np.nan, np.inf, -0.0]),
    },
}


def signed(content, about=ABOUT):
    """Sign bytes as `seal` would: what somebody who has the secret could store."""
    parts = [FORMAT.encode(), msgspec.json.encode(about, order="deterministic"), content]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(SECRET, framed, hashlib.sha256).digest()


def test_a_model_comes_back_as_it_was():
    content, signature = seal(MODEL, secret=SECRET, about=ABOUT)
    found = unseal(content, signature, secret=SECRET, about=ABOUT)
    assert {name: value for name, value in found.items() if name != "parts"} == {
        name: value for name, value in MODEL.items() if name != "parts"
    }
    for name, array in MODEL["parts"].items():
        assert found["parts"][name].dtype == array.dtype
        assert found["parts"][name].shape == array.shape
        assert found["parts"][name].tobytes() == array.tobytes(), name


def test_the_same_model_is_the_same_bytes():
    turned = dict(reversed(MODEL.items()))
    assert seal(MODEL, secret=SECRET, about=ABOUT) == seal(turned, secret=SECRET, about=dict(reversed(ABOUT.items())))


def test_every_changed_byte_is_noticed():
    content, signature = seal({"centres": np.zeros(2)}, secret=SECRET, about=ABOUT)
    for at in range(len(content)):
        changed = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        with pytest.raises(ModelTampered):
            unseal(changed, signature, secret=SECRET, about=ABOUT)
    for changed in (signature[:-1], b"", bytes(32)):
        with pytest.raises(ModelTampered):
            unseal(content, changed, secret=SECRET, about=ABOUT)


@pytest.mark.parametrize("change", [{"algorithm": "dbscan"}, {"fingerprint": "ab13"}, {"extra": ""}])
def test_a_model_cannot_be_passed_off_as_another(change):
    content, signature = seal(MODEL, secret=SECRET, about=ABOUT)
    with pytest.raises(ModelTampered):
        unseal(content, signature, secret=SECRET, about={**ABOUT, **change})


def test_another_secret_opens_nothing():
    content, signature = seal(MODEL, secret=SECRET, about=ABOUT)
    with pytest.raises(ModelTampered):
        unseal(content, signature, secret=SECRET + b"!", about=ABOUT)
    with pytest.raises(ValueError, match="secret"):
        unseal(content, signature, secret=b"", about=ABOUT)


def test_another_format_is_named():
    content, signature = seal(MODEL, secret=SECRET, about=ABOUT)
    with pytest.raises(ModelFormatUnknown, match="tessera-model/2"):
        unseal(content, signature, secret=SECRET, about={**ABOUT, "format": "tessera-model/2"})


def test_nothing_is_decoded_before_the_signature_is_right(monkeypatch):
    content, signature = seal(MODEL, secret=SECRET, about=ABOUT)
    decoded = []
    monkeypatch.setattr(artifact, "_array", lambda code, data: decoded.append(code))
    with pytest.raises(ModelTampered):
        unseal(content, signature[::-1], secret=SECRET, about=ABOUT)
    assert decoded == []


def extension(dtype, shape, data, code=1):
    packed = msgspec.msgpack.encode((dtype, shape, data))
    return msgspec.msgpack.encode({"array": msgspec.msgpack.Ext(code, packed)})


@pytest.mark.parametrize(
    "content",
    [
        extension("|O8", [1], bytes(8)),
        extension("<U2", [1], bytes(8)),
        extension("<f8", [2], bytes(8)),
        extension("<f8", [-1], bytes(8)),
        extension("<f8", [1] * 9, bytes(8)),
        extension("<f8", [1], bytes(7)),
        extension("<f8", [2**62, 2**62], b""),
        extension("<f8", [1], bytes(8), code=7),
        msgspec.msgpack.encode({"array": msgspec.msgpack.Ext(1, b"\xc1")}),
        msgspec.msgpack.encode([1, 2]),
        b"",
        b"\x80\x04cos\nsystem\n",
        b"\x91" * 100_000,
    ],
    ids=[
        "objects", "text", "too few bytes", "negative size", "nine dimensions", "half a number", "absurd shape",
        "unknown extension", "broken extension", "no dict", "nothing", "a pickle", "depth",
    ],
)  # fmt: skip
def test_signed_bytes_that_are_no_model_are_refused_all_the_same(content):
    with pytest.raises(ModelTampered):
        unseal(content, signed(content), secret=SECRET, about=ABOUT)


@pytest.mark.parametrize(
    "stray", [object(), {1: 2}, np.array(["a"]), np.array([None]), np.float64(1), b"bytes", np.zeros(1, np.float32)]
)
def test_what_is_not_plain_is_not_sealed(stray):
    with pytest.raises(TypeError):
        seal({"stray": stray}, secret=SECRET, about=ABOUT)


def test_what_was_read_cannot_be_written_to():
    content, signature = seal(MODEL, secret=SECRET, about=ABOUT)
    with pytest.raises(ValueError, match="read-only"):
        unseal(content, signature, secret=SECRET, about=ABOUT)["parts"]["centres"][0, 0] = 1
