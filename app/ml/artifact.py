"""A model as bytes that can be kept: plain data only, so that reading never runs code, and signed, so none is swapped."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from app.errors import ModelFormatUnknown, ModelTampered

FORMAT = "tessera-model/1"
DTYPES = {"<f8": np.dtype("<f8"), "<i8": np.dtype("<i8"), "|b1": np.dtype("|b1")}
MOST_DIMENSIONS = 4
# Extension types of MessagePack are numbered by the application.
ARRAY = 1

_PLAIN = (str, int, float, bool, type(None))


def seal(model: Mapping[str, Any], *, secret: bytes, about: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Write a model as bytes and sign them together with what is said about them.

    Parameters
    ----------
    model : mapping
        Nested dicts with text keys and lists of str, int, float, bool, None and arrays of float64, int64 or bool.
    secret : bytes
        Key of the signature, not empty.
    about : mapping of str to str
        What stands beside the model, like kind, algorithm and fingerprint: a model cannot be passed off as another.

    Returns
    -------
    content, signature : bytes
        MessagePack, arrays as their dtype, shape and bytes; and HMAC-SHA256, 32 bytes. The same for the same input.

    Raises
    ------
    TypeError
        If something in the model is not plain.

    References
    ----------
    Krawczyk, H., Bellare, M. and Canetti, R. (1997). HMAC: keyed-hashing for message authentication. RFC 2104.

    Examples
    --------
    >>> content, signature = seal({"centres": np.zeros((2, 3))}, secret=b"secret", about={"kind": "segmentation"})
    >>> unseal(content, signature, secret=b"secret", about={"kind": "segmentation"})["centres"].shape
    (2, 3)
    >>> unseal(content, signature, secret=b"secret", about={"kind": "churn"})
    Traceback (most recent call last):
    app.errors.ModelTampered: The stored model is not the one that was signed, and is not opened
    """
    content = msgspec.msgpack.encode(_packed(dict(model)), order="deterministic")
    return content, _signature(content, secret, about)


def unseal(content: bytes, signature: bytes, *, secret: bytes, about: Mapping[str, str]) -> dict[str, Any]:
    """Read a model, after its signature has been found right.

    Parameters
    ----------
    content, signature : bytes
        From `seal`.
    secret : bytes
        The key it was signed with.
    about : mapping of str to str
        What it was signed with.

    Returns
    -------
    dict
        The model; its arrays cannot be written to.

    Raises
    ------
    ModelTampered
        If content, signature or `about` is not what was signed, or signed bytes are no model.
    ModelFormatUnknown
        If the bytes are of another version of the format; only what calls itself ``format`` in `about` can tell.
    """
    # The one thing looked at before the signature, to name a model of another version for what it is; compared only.
    if about.get("format", FORMAT) != FORMAT:
        raise ModelFormatUnknown(f"the stored model is of the format {about['format']!r}; this version reads {FORMAT}")
    if not hmac.compare_digest(_signature(content, secret, about), bytes(signature)):
        raise ModelTampered
    try:
        model = msgspec.msgpack.decode(content, type=dict[str, Any], ext_hook=_array)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ModelTampered(f"the stored model was signed but cannot be read: {error}") from error
    return dict(model)


def _signature(content: bytes, secret: bytes, about: Mapping[str, str]) -> bytes:
    if not secret:
        raise ValueError("a signature needs a secret")
    # Each part with its length: no two different inputs ever make the same bytes.
    parts = [FORMAT.encode(), msgspec.json.encode(dict(about), order="deterministic"), content]
    framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(secret, framed, hashlib.sha256).digest()


def _packed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return msgspec.msgpack.Ext(ARRAY, _array_bytes(value))
    if isinstance(value, Mapping):
        strays = [key for key in value if not isinstance(key, str)]
        if strays:
            raise TypeError(f"keys of a model are text, not {strays[0]!r}")
        return {key: _packed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(each) for each in value]
    if type(value) not in _PLAIN:
        raise TypeError(f"a model is made of plain data, not of {type(value).__name__}")
    return value


def _array_bytes(array: npt.NDArray[Any]) -> bytes:
    if array.dtype.str not in DTYPES or array.ndim > MOST_DIMENSIONS:
        raise TypeError(f"a model holds no arrays of {array.dtype} in {array.ndim} dimensions")
    return msgspec.msgpack.encode((array.dtype.str, list(array.shape), array.tobytes(order="C")))


def _array(code: int, data: memoryview) -> npt.NDArray[Any]:
    if code != ARRAY:
        raise ValueError(f"extension {code} is not known")
    dtype, shape, content = msgspec.msgpack.decode(data, type=tuple[str, list[int], bytes])
    if dtype not in DTYPES:
        raise ValueError(f"arrays of {dtype!r} are not read")
    if len(shape) > MOST_DIMENSIONS or any(size < 0 for size in shape):
        raise ValueError(f"{shape} is not the shape of an array")
    # reshape refuses a shape that the bytes do not fill, and -1, excluded above, is all it would make up itself.
    return np.frombuffer(content, dtype=DTYPES[dtype]).reshape(shape)
