#!/usr/bin/env python3
"""How fast sagesan compares and copies checkpoints of which hardly anything changed, beside cat and dd.

    scripts/bench --bytes [--rounds 3] [--work DIR]

A pair of random weights in the shape of Llama-3.1-8B with four layers (3.8 GB each), of which one norm changed; the files
are in the operating system's cache. GB/s are medians over the rounds, in each of which all run by turns: `compare` and a
`cat` to nowhere read both files; `copy` and a `dd` of large blocks write one of them to a file whose room on the disk was
reserved before, as sagesan does it, and neither waits for the disk.
"""
import argparse
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import memory
import whole_runs


def make_pair(path):
    """As tools/bench/memory.py makes it, but the unlearned model is the base with another first norm."""
    from safetensors.torch import load_file, save_file

    memory.make_pair((*memory.SHAPES["llama-8b"][:7], 1, 16), path)
    tensors = load_file(path / "base/model.safetensors")
    tensors["model.layers.0.input_layernorm.weight"] *= 1.5
    save_file(tensors, path / "unlearned/model.safetensors", metadata={"format": "pt"})


def seconds(command):
    began = time.perf_counter()
    result = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, result.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sagesan", type=Path, default=whole_runs.SAGESAN)
    parser.add_argument("--work", type=Path, help="where the pair is kept for another time")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        pair = (args.work or Path(work)) / "bytes"
        if not pair.exists():
            pair.mkdir(parents=True)
            whole_runs.apart(make_pair, pair)
        base, unlearned = (pair / name / "model.safetensors" for name in ("base", "unlearned"))
        size, copied, out = base.stat().st_size / 1e9, pair / "copied", pair / "out"
        sanitize = [args.sagesan, "sanitize", "--quiet", "--profile", "--base", pair / "base", "--unlearned", pair / "unlearned",
                    "--retain", pair / "retain.jsonl", "--out", out]
        speeds = {name: [] for name in ("compare", "cat", "copy", "dd")}
        seconds(["cat", base, unlearned])
        for _ in range(args.rounds):
            speeds["cat"].append(2 * size / seconds(["cat", base, unlearned])[0])
            subprocess.run(["fallocate", "--length", str(unlearned.stat().st_size), copied], check=True)
            speeds["dd"].append(size / seconds(["dd", f"if={unlearned}", f"of={copied}", "bs=4M", "conv=notrunc"])[0])
            copied.unlink()
            _, table = seconds(sanitize)
            shutil.rmtree(out)
            for stage, bytes in (("compare", 2 * size), ("copy", size)):
                speeds[stage].append(bytes / float(re.search(rf"^{stage} +([\d.]+)", table, re.M)[1]))
    print("| | GB/s | |\n|---|---|---|")
    for name, of in (("compare", "cat"), ("copy", "dd")):
        ratio = statistics.median(own / other for own, other in zip(speeds[name], speeds[of]))
        print(f"| {of} | {statistics.median(speeds[of]):.1f} | |")
        print(f"| {name} | {statistics.median(speeds[name]):.1f} | {ratio:.2f} of it |")


if __name__ == "__main__":
    main()
