#!/usr/bin/env python3
"""How the time of a run grows with tokens, layers and width, on pairs of random weights (tools/bench/memory.py).

    scripts/bench --growth [--rounds 3] [--svg FILE]

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


def write_chart(path, lines):
    """Seconds against size, both over those of the first row, on logarithmic axes; `lines` are {kind: [(size, seconds)]}."""
    left, top, side, most = 60, 20, 300, 6  # in octaves
    colours = dict(zip(lines, ("#0072b2", "#d55e00", "#009e73")))

    def place(x, y):
        return f"{left + math.log2(x) * side / 2:.1f},{top + side - math.log2(y) * side / most:.1f}"

    def text(x, y, words, anchor="middle", colour="#666"):
        return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{words}</text>'

    parts = [f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="#888"/>',
             text(left + side / 2, top + side + 38, "size, times the first"),
             f'<text transform="translate(16,{top + side / 2}) rotate(-90)" text-anchor="middle" fill="#666">'
             "seconds, times the first</text>"]
    parts += [text(left + i * side / 2, top + side + 18, 2**i) for i in range(3)]
    parts += [text(left - 6, top + side - i * side / most + 4, 2**i, "end") for i in range(0, most + 1, 2)]
    for power in (1, 3):
        parts.append(f'<polyline points="{place(1, 1)} {place(4, 4**power)}" fill="none" stroke="#888" '
                     f'stroke-dasharray="4 4"/>')
    for i, (kind, line) in enumerate(lines.items()):
        points = " ".join(place(size / line[0][0], own / line[0][1]) for size, own in line)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colours[kind]}" stroke-width="2"/>')
        parts.append(text(left + 12, top + 22 + 18 * i, kind, "start", colours[kind]))
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 380 370" font-family="sans-serif" font-size="13">\n'
                    "<title>Time against tokens, layers and width; dashed: powers 1 and 3</title>\n"
                    + "\n".join(parts) + "\n</svg>\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sagesan", type=Path, default=whole_runs.SAGESAN)
    parser.add_argument("--svg", type=Path, help="where the chart goes")
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
    before, lines = None, {}
    for kind, size, _ in rows():
        own = seconds[kind, size] - start
        lines.setdefault(kind, []).append((size, own))
        power = f"{math.log2(own / before[1]):.2f}" if before and before[0] == kind else ""
        print(f"| {kind} | {size} | {own:.1f} | {power} |")
        before = kind, own
    if args.svg:
        write_chart(args.svg, lines)


if __name__ == "__main__":
    main()
