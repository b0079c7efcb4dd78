#!/usr/bin/env python3
"""How the time of a run grows with tokens, layers and width, on pairs of random weights (tools/bench/memory.py).

    scripts/bench --growth [--rounds 3]

Each row doubles one of them and leaves the others. Seconds are the least of the rounds, in each of which all rows run one
after another; `power` is the logarithm of the ratio to the row before, base 2: 1 where the time doubles. By the mathematics
it is 1 for tokens and layers and at most 3 for width.
"""
import argparse
import math
import shutil
import tempfile
from pathlib import Path

import memory
import whole_runs

# hidden, inner, layers, heads, key-value heads, vocabulary, tied, texts, tokens of each
MIDDLE = (768, 2048, 4, 12, 4, 8192, True, 64, 128)


def rows():
    for tokens in (4096, 8192, 16384):
        yield "tokens", tokens, (*MIDDLE[:7], tokens // 128, 128)
    for layers in (4, 8, 16):
        yield "layers", layers, (*MIDDLE[:2], layers, *MIDDLE[3:])
    for width in (512, 1024, 2048):
        yield "width", width, (width, width * 8 // 3 // 128 * 128, 4, width // 64, width // 128, *MIDDLE[5:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sagesan", type=Path, default=whole_runs.SAGESAN)
    args = parser.parse_args()
    seconds = {}
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        start = whole_runs.run([args.sagesan, "evaluate", "--model", work, "--data", f"x={work}"], args.threads, check=False)[0]
        for kind, size, shape in rows():
            path = Path(work) / f"{kind}_{size}"
            path.mkdir()
            whole_runs.apart(memory.make_pair, shape, path)
        for _ in range(args.rounds):
            for kind, size, _ in rows():
                path = Path(work) / f"{kind}_{size}"
                took, _ = whole_runs.run([args.sagesan, "sanitize", "--quiet", "--base", path / "base", "--unlearned",
                                          path / "unlearned", "--retain", path / "retain.jsonl", "--threads", str(args.threads),
                                          "--out", path / "out"], args.threads)
                shutil.rmtree(path / "out")
                seconds[kind, size] = min(took, seconds.get((kind, size), math.inf))
    print(f"loading libtorch: {start:.1f} s, left out below\n\n| | | seconds | power |\n|---|---|---|---|")
    before = None
    for kind, size, _ in rows():
        own = seconds[kind, size] - start
        power = f"{math.log2(own / before[1]):.2f}" if before and before[0] == kind else ""
        print(f"| {kind} | {size} | {own:.1f} | {power} |")
        before = kind, own


if __name__ == "__main__":
    main()
