"""The reader of PyTorch checkpoints against files that torch.save writes, and what it refuses of them."""
import json
import struct
import subprocess
import zipfile

import pytest
import torch
from torch import nn

from conftest import BUILD

DTYPES = {
    "float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
    "float8_e4m3fnuz": "F8_E4M3FNUZ", "float8_e5m2fnuz": "F8_E5M2FNUZ", "float8_e8m0fnu": "F8_E8M0",
}


def dump(path):
    out = path.with_suffix(".safetensors")
    return out, subprocess.run([BUILD / "sagesan_dump_pickle", path, out], capture_output=True, text=True)


def raw(tensor):
    """The bytes in logical order; also of dtypes that numpy lacks."""
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def stored(path):
    """name -> (dtype, shape, bytes), read from the file itself: not every torch and safetensors know every dtype."""
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return {name: (entry["dtype"], entry["shape"], data[8 + length:][slice(*entry["data_offsets"])])
            for name, entry in header.items()}


def check(saved, expected, path, **options):
    """`saved` through torch.save and the reader gives the tensors `expected`."""
    torch.save(saved, path, **options)
    out, done = dump(path)
    assert done.returncode == 0, done.stderr
    found = stored(out)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        dtype = DTYPES[str(tensor.dtype).removeprefix("torch.")]
        assert found[name] == (dtype, list(tensor.shape), raw(tensor)), name


def refuse(saved, path, *fragments, **options):
    torch.save(saved, path, **options)
    out, done = dump(path)
    assert done.returncode == 1
    assert done.stderr.startswith(str(path)) and done.stderr.count("\n") == 1
    for fragment in fragments:
        assert fragment in done.stderr
    assert not out.exists()


def random_bytes(dtype, *shape):
    size = torch.empty(0, dtype=dtype).element_size()
    values = torch.randint(0, 2 if dtype == torch.bool else 256, (*shape[:-1], shape[-1] * size), dtype=torch.uint8)
    return values.view(dtype)


def views(dtype):
    base = random_bytes(dtype, 6, 8)
    return {
        "whole": base, "transposed": base.t(), "slice": base[1:5, 2:7], "steps": base[::2, ::3], "row": base[3],
        "column": base[:, 3], "expanded": base[:, :1].expand(6, 50), "scalar": base[2, 2],
        "permuted": base.reshape(2, 3, 8).permute(2, 0, 1), "empty": base[:0], "tied": base,
        "new": random_bytes(dtype, 3), "none": torch.empty(0, 3, dtype=dtype), "diagonal": base.diagonal(),
        "windows": base.as_strided((5, 4), (2, 3), 1),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_view(dtype, protocol, tmp_path):
    tensors = views(getattr(torch, dtype))
    check(tensors, tensors, tmp_path / "model.pt", pickle_protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_modules(protocol, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(50, 8), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 50, bias=False))
    model[3].weight = model[0].weight
    state = model.state_dict()
    check(state, state, tmp_path / "pytorch_model.bin", pickle_protocol=protocol)
    parameters = dict(model.named_parameters())
    check(parameters, parameters, tmp_path / "parameters.pth", pickle_protocol=protocol)
    parameters["1.weight"].note = "an attribute"
    check(parameters, parameters, tmp_path / "attribute.pth", pickle_protocol=protocol)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "module"])
def test_training_checkpoints(key, protocol, tmp_path):
    model = nn.Linear(300, 20)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 300)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    saved = {"epoch": 3, "loss": 1.5, "name": "run", "steps": [1, 2, {"a": (1, None)}], "huge": 1 << 200,
             "minus": -1 << 40, "small": -3, "shape": torch.Size([1, 2]), "dtype": torch.bfloat16, key: model.state_dict(),
             "done": False, "optimizer": optimizer.state_dict(), "blob": "é" * 300, "scheduler": scheduler.state_dict()}
    check(saved, model.state_dict(), tmp_path / "last.pt", pickle_protocol=protocol)


def test_many_tensors(tmp_path):
    """More than one batch of items, and memo entries past one byte."""
    for protocol in (2, 4):
        tensors = {f"layers.{i}.weight": torch.full((2,), float(i)) for i in range(3_000)}
        check(tensors, tensors, tmp_path / f"{protocol}.pt", pickle_protocol=protocol)


def test_more_than_4_gib(tmp_path):
    """zip64 sizes and offsets; sparse, so that it costs neither memory nor disk."""
    path = tmp_path / "large.pt"
    large = torch.empty(5 << 30, dtype=torch.uint8)
    with torch.serialization.skip_data():
        torch.save({"first": large[:2], "last": large[-2:], "after": torch.empty(1, dtype=torch.uint8)}, path)
    marks = {"first": b"ab", "last": b"cd", "after": b"e"}
    with zipfile.ZipFile(path) as archive, open(path, "r+b") as file:
        for key, writes in [("0", {0: b"ab", (5 << 30) - 2: b"cd"}), ("1", {0: b"e"})]:
            header = archive.getinfo("large/data/" + key).header_offset
            file.seek(header + 26)
            start = header + 30 + sum(struct.unpack("<HH", file.read(4)))
            for position, data in writes.items():
                file.seek(start + position)
                file.write(data)
    out, done = dump(path)
    assert done.returncode == 0, done.stderr
    assert {name: data for name, (_, _, data) in stored(out).items()} == marks


class Custom:
    pass


@pytest.mark.parametrize("protocol", [2, 4])
def test_refuses_code_and_what_is_no_tensor(protocol, tmp_path):
    tensor = torch.ones(2)
    convert = "torch.load, if you trust it"
    path = tmp_path / "model.pt"
    for saved, fragments in [
        ({"w": tensor, "c": Custom()}, ["'Custom'", convert]),
        ({"w": tensor, "c": print}, ["'print'", convert]),
        ({"w": tensor, "c": subprocess.Popen}, ["'Popen'", convert]),
        (nn.Linear(1, 1), ["'Linear'", "'torch.nn.modules.linear'", convert]),
        ({"w": tensor.to_sparse()}, ["'_rebuild_sparse_tensor'", convert]),
        ({"w": torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)}, ["_rebuild_qtensor", convert]),
        ({"w": tensor.to("meta")}, ["_rebuild_meta_tensor_no_storage", convert]),
        ({"w": tensor, "c": {"d": tensor}}, ["'c' is a dictionary, expected a tensor"]),
        ({"w": tensor, "c": [tensor]}, ["'c' is a list, expected a tensor"]),
        ({"w": tensor, "c": torch.ones(1).untyped_storage()}, ["'c' is a storage, expected a tensor"]),
        ([tensor], ["holds a list, expected a dictionary", convert]),
        (tensor, ["holds a tensor, expected a dictionary", convert]),
        ({"epoch": 1}, ["holds no tensors", convert]),
        ({"model": {"w": tensor}, "module": {"w": tensor}}, ["holds several models, 'model' and 'module'"]),
        ({"w": torch.ones(2, dtype=torch.complex128)}, ["tensor 'w'", "no dtype for torch.ComplexDoubleStorage"]),
        ({"w": torch.ones(2, dtype=torch.complex64).conj()}, ["tensor 'w': a conjugate or negative view", convert]),
        ({"w": torch.ones(1).expand(1 << 40)}, ["tensor 'w': expanded to 4398046511104 bytes", ".contiguous()"]),
        ({3: tensor}, ["a number or the like is the name of a tensor"]),
    ]:
        refuse(saved, path, *fragments, pickle_protocol=protocol)


def test_refuses_other_archives(tmp_path):
    refuse({"w": torch.ones(2)}, tmp_path / "old.pt", "the format before torch 1.6",
           _use_new_zipfile_serialization=False)
    script = tmp_path / "script.pt"
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), script)
    assert "is a TorchScript archive" in dump(script)[1].stderr
    torch.save({"w": torch.ones(2)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain:
        for name, kind in [("deflated.pt", zipfile.ZIP_DEFLATED), ("again.pt", zipfile.ZIP_STORED)]:
            with zipfile.ZipFile(tmp_path / name, "w", kind) as again:
                for entry in plain.namelist():
                    again.writestr(entry, plain.read(entry))
    assert "compressed (method 8)" in dump(tmp_path / "deflated.pt")[1].stderr
    assert dump(tmp_path / "again.pt")[1].returncode == 0
