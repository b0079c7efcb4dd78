"""Our reader of safetensors files against the reference's: what that accepts is accepted, but for what
docs/formats.md lists as refused on purpose."""
import json
import os
import struct
import subprocess
from pathlib import Path

import pytest
import safetensors

TARGET = Path(os.environ["SAGESAN_BUILD"]) / "sagesan_fuzz"


def entry(dtype="F32", shape=(1,), begin=0, end=4, **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end], **more}


def file(header, data=b"\0" * 4):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


DTYPES = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
          "F32": 32, "I64": 64, "U64": 64, "F64": 64, "F8_E8M0": 8}

VALID = {f"dtype {name}": file({"a": entry(name, (2, 4), 0, bits)}, b"\0" * bits) for name, bits in DTYPES.items()}
VALID |= {
    "no tensor": file({}, b""),
    "metadata alone": file({"__metadata__": {"format": "pt"}}, b""),
    "a scalar": file({"a": entry(shape=())}),
    "an empty tensor": file({"a": entry(shape=(0, 3), end=0)}, b""),
    "padded with spaces": file(json.dumps({"a": entry()}).encode() + b"   "),
    "out of order": file({"b": entry(begin=4, end=8), "a": entry()}, b"\0" * 8),
    "metadata that is null": file(b'{"__metadata__":null}', b""),
    "4 and 6 bits": file({"a": entry("F4", (2, 4)), "b": entry("F6_E2M3", (4,), 4, 7)}, b"\0" * 7),
    "complex numbers": file({"a": entry("C64", end=8)}, b"\0" * 8),
    "a thousand dimensions": file({"a": entry(shape=(1,) * 1000)}),
    "names of other scripts": file({"\u00e9\u4e16": entry()}),
    "escapes": file(b'{"\\u0061\\/b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
}

# What both refuse.
INVALID = {
    "no header": b"",
    "short": b"\0" * 7,
    "header past the end": struct.pack("<Q", 100) + b"{}",
    "huge header": struct.pack("<Q", 2**64 - 1) + b"{}",
    "no JSON": file(b"{not json}", b""),
    "a list": file(b"[]", b""),
    "no UTF-8": file(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
    "a hole": file({"a": entry(), "b": entry(begin=8, end=12)}, b"\0" * 12),
    "an overlap": file({"a": entry(), "b": entry(begin=2, end=6)}, b"\0" * 6),
    "trailing bytes": file({"a": entry()}, b"\0" * 5),
    "truncated": file({"a": entry()}, b"\0" * 3),
    "wrong size": file({"a": entry(shape=(2,))}),
    "negative shape": file({"a": entry(shape=(-1,))}),
    "fractional shape": file({"a": entry(shape=(1.5,))}),
    "product that overflows": file({"a": entry(shape=(2**32, 2**32, 2**32))}),
    "offsets reversed": file({"a": entry(begin=4, end=0)}),
    "unknown dtype": file({"a": entry("F31")}),
    "no dtype": file({"a": {"shape": [1], "data_offsets": [0, 4]}}),
    "no shape": file({"a": {"dtype": "F32", "data_offsets": [0, 4]}}),
    "no offsets": file({"a": {"dtype": "F32", "shape": [1]}}),
    "metadata that is no text": file({"__metadata__": {"a": 1}}, b""),
    "metadata that is a list": file({"__metadata__": []}, b""),
}

# What the reference takes, and we refuse: docs/formats.md.
STRICTER = {
    "a name twice": (file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
                     "twice"),
    "a name twice by an escape": (file(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"\\u0061":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
                                  "twice"),
    "an unknown field": (file({"a": entry(more=1)}), "unknown field"),
    "a control character in a name": (file({"a\u0007": entry()}), "control"),
    "an empty name": (file({"": entry()}), "empty"),
    "a name of 2,000 bytes": (file({"x" * 2000: entry()}), "1024"),
    "a right-to-left override in a name": (file({"a\u202eb": entry()}), "control"),
    "an entry that is a list": (file({"a": ["F32", [1], [0, 4]]}), "expected a JSON object"),
    "white space before the header": (file(b" " + json.dumps({"a": entry()}).encode()), "does not start with '{'"),
    "a product that overflows behind a zero": (file({"a": entry(shape=(0, 2**63 - 1, 4), end=0)}, b""), "overflows"),
    "a shape of zeros and more than 2^63": (file({"a": entry(shape=(0, 2**63), end=0)}, b""), "64 bits"),
}


def reference_takes(path):
    try:
        with safetensors.safe_open(path, "numpy") as opened:
            opened.keys()
        return True
    except safetensors.SafetensorError:
        return False
    except Exception:  # of its bindings
        return False


def ours(path):
    run = subprocess.run([TARGET, "safetensors", path], capture_output=True, text=True)
    assert run.returncode in (0, 3), run.stderr
    return run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", VALID)
def test_valid_files_are_accepted(tmp_path, name):
    path = tmp_path / "t.safetensors"
    path.write_bytes(VALID[name])
    assert reference_takes(path)
    assert ours(path)[0], ours(path)[1]


@pytest.mark.parametrize("name", INVALID)
def test_what_the_reference_refuses_is_refused(tmp_path, name):
    path = tmp_path / "t.safetensors"
    path.write_bytes(INVALID[name])
    assert not reference_takes(path)
    taken, message = ours(path)
    assert not taken
    assert ".safetensors: " in message


@pytest.mark.parametrize("name", STRICTER)
def test_what_is_refused_on_purpose(tmp_path, name):
    data, word = STRICTER[name]
    path = tmp_path / "t.safetensors"
    path.write_bytes(data)
    assert reference_takes(path)
    taken, message = ours(path)
    assert not taken
    assert word in message
