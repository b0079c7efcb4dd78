#!/usr/bin/env python3
"""Whole runs of sagesan and of plain PyTorch by turns, and what they need.

    scripts/bench [--case all:204x40:0.95 ...] [--rounds 3] [--threads N] [--peer "NAME=FILE [OPTION ...]" ...]

A case is what changed (all tensors, or one: a down_proj in layer 5), the retain texts (number x tokens) and the energy.
Peers are by default tools/bench/peer.py, plain and with inputs shared; any other takes the same options. Seconds and
ratios are medians over the rounds, in each of which all programs run one after another. Memory is the most resident
memory that the operating system saw, of sagesan less that of `sagesan --version`.
"""
import argparse
import json
import multiprocessing
import os
import pydoc_data.topics
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAGESAN = ROOT / "build/release-pip/sagesan"
BASE = ROOT / "build/models/smollm2_bf16"
ONE = "model.layers.5.mlp.down_proj.weight"
CASES = [f"{changed}:{texts}:{energy}" for changed in ("all", "one") for texts in ("204x40", "16x512")
         for energy in ("0.95", "1")]


def apart(function, *arguments):
    """Calls a function that needs torch in a process of its own: Linux counts what a parent has in memory to the peak of
    the programs that it starts.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def make_unlearned(base, path, changed, size=0.01):
    """The base with a random update of every tensor, or of one: `size` of its own, by default as unlearning leaves it."""
    import torch
    from safetensors.torch import load_file, save_file

    if path.exists():
        return
    generator = torch.Generator().manual_seed(1)
    tensors = load_file(base / "model.safetensors")
    for name, tensor in tensors.items():
        if changed == "all" or name == ONE:
            values = tensor.float()
            noise = torch.randn(values.shape, generator=generator) * values.std()
            tensors[name] = (values + size * noise).to(tensor.dtype)
    shutil.copytree(base, path, ignore=shutil.ignore_patterns("model.safetensors"))
    save_file(tensors, path / "model.safetensors", metadata={"format": "pt"})


def write_retain(base, path, count, length):
    """Pieces of Python's own help."""
    from transformers import AutoTokenizer

    ids = AutoTokenizer.from_pretrained(base)(" ".join(text for _, text in sorted(pydoc_data.topics.topics.items())))
    pieces = [ids["input_ids"][i * length:(i + 1) * length] for i in range(count)]
    path.write_text("".join(json.dumps({"input_ids": piece}) + "\n" for piece in pieces))


def run(command, threads, check=True):
    """Seconds and MiB of a program; its output is thrown away. It must succeed unless `check` is false."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                               env=os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"})
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status and check:
        sys.exit(f"{shlex.join(map(str, command))} failed:\n{said}")
    return time.perf_counter() - began, used.ru_maxrss / 1024


def difference(base, one, other):
    """Of the updates that two outputs leave, by norm."""
    from safetensors import safe_open

    distance = size = 0
    with safe_open(base / "model.safetensors", "pt") as before, safe_open(one / "model.safetensors", "pt") as a, \
            safe_open(other / "model.safetensors", "pt") as b:
        for name in b.keys():
            distance += (a.get_tensor(name).double() - b.get_tensor(name).double()).pow(2).sum().item()
            size += (a.get_tensor(name).double() - before.get_tensor(name).double()).pow(2).sum().item()
    return (distance / size) ** 0.5


def measure(case, peers, args, work):
    changed, texts, energy = case.split(":")
    count, length = map(int, texts.split("x"))
    unlearned, retain = work / f"unlearned_{changed}", work / f"retain_{texts}.jsonl"
    apart(make_unlearned, BASE, unlearned, changed)
    apart(write_retain, BASE, retain, count, length)
    options = ["--base", BASE, "--unlearned", unlearned, "--retain", retain, "--energy", energy, "--strength", "1",
               "--threads", str(args.threads)]
    commands = {"sagesan": [SAGESAN, "sanitize", "--quiet", *options]}
    commands |= {name: [sys.executable, *words, *options] for name, words in peers.items()}
    seconds, mebibytes = {name: [] for name in commands}, {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            shutil.rmtree(work / name, ignore_errors=True)
            took, used = run([*command, "--out", work / name], args.threads)
            seconds[name].append(took)
            mebibytes[name].append(used)
    memory = statistics.median(mebibytes["sagesan"]) - run([SAGESAN, "--version"], args.threads)[1]
    cells = [changed, texts, energy, f"{statistics.median(seconds['sagesan']):.1f} s",
             f"{memory:.0f} MiB"]
    for name in peers:
        faster = statistics.median(peer / own for peer, own in zip(seconds[name], seconds["sagesan"]))
        cells += [f"{statistics.median(seconds[name]):.1f} s", f"{faster:.1f}x",
                  f"{memory / statistics.median(mebibytes[name]):.2f}"]
    cells.append(" ".join(f"{apart(difference, BASE, work / 'sagesan', work / name):.1e}" for name in peers))
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", help="such as " + ", ".join(CASES[:3]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peer", action="append", metavar='"NAME=FILE [OPTION ...]"')
    args = parser.parse_args()
    own = Path(__file__).with_name("peer.py")
    words = args.peer or [f"plain={own}", f"shared={own} --share"]
    peers = {word.split("=", 1)[0]: shlex.split(word.split("=", 1)[1]) for word in words}
    head = ["changed", "texts", "energy", "sagesan", "memory"]
    for name in peers:
        head += [name, "faster", "of its memory"]
    print("| " + " | ".join([*head, "difference"]) + " |\n|" + "---|" * (len(head) + 1), flush=True)
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        for case in args.case or CASES:
            measure(case, peers, args, Path(work))


if __name__ == "__main__":
    main()
