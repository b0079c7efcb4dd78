#!/usr/bin/env python3
"""What a run takes by its operations: checked against whole runs here, and then for models that do not fit this machine.

    scripts/bench --cost [--shape llama-8b ...] [--work DIR]

Operations of each stage follow from the shapes; seconds from them by rates. The first table has rates that are measured
here (matrix products in both widths, decompositions, copies) and beside them what `--profile` says of a run on random
weights (tools/bench/memory.py; few layers); the passes over memory, the share of the directions and the rate of files were
set by hand. The second has models of 8 and 70 billion parameters on one GPU, by the rates of a data sheet, with
decompositions as fast as here: nothing of it was run.
"""
import argparse
import collections
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import memory
import whole_runs

Rates = collections.namedtuple("Rates", "float double decompose memory disk")  # operations/s, s per channel^3, bytes/s

# Half of a data sheet's rates: float32 without tensor cores, float64 on them, memory.
GPUS = {"A100 80 GB": (0.5 * 19.5e12, 0.5 * 19.5e12, 0.5 * 2.0e12), "H100 80 GB": (0.5 * 67e12, 0.5 * 67e12, 0.5 * 3.35e12)}
CACHED, DISK = 3e9, 2e9  # bytes/s of files in the operating system's cache, and on a fast solid-state disk
MODELS = {
    "8B": (4096, 14336, 32, 32, 8, 128256, False, 4, 512),
    "70B": (8192, 28672, 80, 64, 8, 128256, False, 4, 512),
}
STAGES = {  # of --profile, as this adds them up
    "read, compare, write": ("compare", "copy", "read", "write"),
    "linear": ("linear",),
    "attention, norms, activations": ("attention", "forward"),
    "moments and decompositions": ("moments", "decompose"),
    "solve and measure": ("solve", "measure"),
}
# Measured: the share of the directions that energy 0.95 needs, of random weights and about that of real ones.
RANK = 0.6
PANELS = 1.25  # of half a symmetric product
# Passes over numbers in memory: a tensor's while it is solved, rounded and its survival measured; weights to float32;
# a token's in norms, residuals and activations.
SOLVE_PASSES, WEIGHT_PASSES, TOKEN_PASSES = 60, 4, 20


def measured_rates():
    import torch

    torch.set_num_threads(2)

    def rate(work, function, rounds=3):
        function()
        began = time.perf_counter()
        for _ in range(rounds):
            function()
        return work * rounds / (time.perf_counter() - began)

    a, b = torch.randn(2048, 4096), torch.randn(4096, 4096)
    products = [rate(2 * 2048 * 4096 * 4096, lambda a=a.to(kind), b=b.to(kind): a @ b) for kind in (torch.float, torch.double)]
    s = torch.randn(4096, 2048, dtype=torch.double)
    s = s.T @ s
    decompose = 1 / rate(2048**3, lambda: torch.linalg.eigh(s), 1)
    big = torch.empty(1 << 26)
    return Rates(*products, decompose, rate(8 * big.numel(), lambda: big.clone()), CACHED)


def seconds(shape, rates):
    """Of each stage, every tensor changed; retain texts of one length."""
    hidden, inner, layers, heads, keys, vocabulary, tied, texts, length = shape
    tokens = texts * length
    queries, key_width = hidden, hidden // heads * keys
    # Site: channels, rows of the modules that read there.
    sites = {"attention": (hidden, queries + 2 * key_width), "output": (queries, hidden), "mlp": (hidden, 2 * inner),
             "down": (inner, hidden)}
    linear = sum(channels * rows for channels, rows in sites.values())
    embedding = vocabulary * hidden
    weights = layers * linear + embedding * (1 if tied else 2)
    taken = dict.fromkeys(STAGES, 0.0)
    taken["read, compare, write"] = 6 * 2 * weights / rates.disk  # both compared and solved, one run and one written
    taken["linear"] = 2 * tokens * layers * linear / rates.float
    attention = 4 * tokens * length * queries * layers
    passes = TOKEN_PASSES * tokens * (4 * hidden + 3 * inner) * layers + WEIGHT_PASSES * layers * linear
    taken["attention, norms, activations"] = attention / rates.float + 4 * passes / rates.memory
    solved = [(*site, layers) for site in sites.values()] + [(hidden, vocabulary, 1)]
    for channels, rows, count in solved:
        columns = min(tokens, channels)
        rank = RANK * columns
        if tokens < channels:
            double = PANELS * channels * tokens**2 + 2 * channels * tokens * rank
            single = 2 * channels * tokens * (tokens - rank)
        else:
            double, single = PANELS * tokens * channels**2, 0
        taken["moments and decompositions"] += count * (
            double / rates.double + single / rates.float + rates.decompose * columns**3)
        products = 3 * 2 * rows * channels * columns + 2 * rows * channels * rank
        taken["solve and measure"] += count * (products / rates.float + SOLVE_PASSES * 4 * rows * channels / rates.memory)
    return taken


def profile(sagesan, path):
    command = [sagesan, "sanitize", "--quiet", "--profile", "--base", path / "base", "--unlearned", path / "unlearned",
               "--retain", path / "retain.jsonl", "--threads", "2", "--out", path / "out"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    shutil.rmtree(path / "out")
    taken = {name: float(number) for name, number in re.findall(r"^([a-z]+) +([\d.]+) ", said, re.M)}
    return {name: sum(taken.get(stage, 0) for stage in parts) for name, parts in STAGES.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", choices=memory.SHAPES, help="default: llama-8b")
    parser.add_argument("--sagesan", type=Path, default=whole_runs.SAGESAN)
    parser.add_argument("--work", type=Path, help="where the pairs are kept for another time")
    args = parser.parse_args()
    rates = whole_runs.apart(measured_rates)
    print(f"float32 {rates.float / 1e9:.0f} GF/s, float64 {rates.double / 1e9:.0f} GF/s, decomposition of 2048 channels "
          f"{rates.decompose * 2048**3:.2f} s, copies {rates.memory / 1e9:.0f} GB/s\n\n| shape | stage | by the model | taken |"
          "\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        for name in args.shape or ["llama-8b"]:
            path = (args.work or Path(work)) / name
            if not path.exists():
                path.mkdir(parents=True)
                whole_runs.apart(memory.make_pair, memory.SHAPES[name], path)
            own, taken = seconds(memory.SHAPES[name], rates), profile(args.sagesan, path)
            for stage in STAGES:
                print(f"| {name} | {stage} | {own[stage]:.1f} | {taken[stage]:.1f} |")
            print(f"| {name} | all | {sum(own.values()):.0f} | {sum(taken.values()):.0f} |", flush=True)
    print("\n| model | on | " + " | ".join(STAGES) + " | all |\n|" + "---|" * (len(STAGES) + 3))
    for model, shape in MODELS.items():
        for gpu, (single, double, copies) in GPUS.items():
            own = seconds(shape, Rates(single, double, rates.decompose, copies, DISK))
            print(f"| {model} | {gpu} | " + " | ".join(f"{own[stage]:.0f}" for stage in STAGES)
                  + f" | {sum(own.values()) / 60:.0f} min |")


if __name__ == "__main__":
    main()
