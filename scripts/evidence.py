#!/usr/bin/env python3
"""Compares ways to sanitize at equal forgetting, over methods and seeds: the tables of docs/evidence.md.

    scripts/evidence.py PAIRS [PAIRS ...] [--levels 0.95,0.8,0.5] [--token-cap C] [--keep-work DIR]

PAIRS is a directory as scripts/smollm2_unlearn.py and build/release/sagesan_make_pairs write it: base, a directory for
each unlearned model, forget.jsonl, retain.jsonl and heldout.jsonl. Several of them are seeds of one study.

The moments come from retain.jsonl. The records of forget.jsonl and heldout.jsonl are halved: every other one is what
knobs (energy, gain, policy) are chosen on, the rest is what is reported. An approach's retain loss at a level of
forgetting (the share of the unlearned model's rise in forget loss that is left) is interpolated along its strengths,
from the unlearned model on; the knobs are those that are best at that level on the first half. What is printed is the
held-out loss, and its difference to scaling the update down, with a 95 % t-interval over the seeds: below 0 is better.

Needs no package; about a second a candidate model for the pair maker's models on 2 cores.
"""
import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAGESAN = ROOT / "build/release/sagesan"

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond them the normal one's.
T_QUANTILE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

STRENGTHS = ["--strengths", "0.003,0.01,0.03,0.1,0.3,1,3,10,30"]
GRIDS = [["--methods", "sage,ridge,forget-aware", "--energies", "0.9,0.95,0.99", "--gains", "1,1.25,1.5,2",
          "--others", "shrink,keep", *STRENGTHS],
         ["--methods", "random,scale", "--energies", "0.9,0.95,0.99", "--gains", "1,1.25,1.5,2", *STRENGTHS]]

# What is compared: name, and which candidates it may take.
APPROACHES = [
    ("scale", lambda c: c["method"] == "scale"),
    ("random directions", lambda c: c["method"] == "random" and c["carrier_gain"] == 1),
    ("random directions with gain", lambda c: c["method"] == "random"),
    ("sage", lambda c: c["method"] == "sage" and c["carrier_gain"] == 1 and c["other"] == "shrink"),
    ("sage, defaults", lambda c: c["method"] == "sage" and c["carrier_gain"] == 1 and c["other"] == "shrink"
     and c["energy"] == 0.95),
    ("sage, keep", lambda c: c["method"] == "sage" and c["carrier_gain"] == 1 and c["other"] == "keep"),
    ("sage with gain", lambda c: c["method"] == "sage" and c["other"] == "shrink"),
    ("ridge", lambda c: c["method"] == "ridge" and c["carrier_gain"] == 1 and c["other"] == "shrink"),
    ("forget-aware", lambda c: c["method"] == "forget-aware" and c["carrier_gain"] == 1 and c["other"] == "shrink"),
    ("forget-aware with gain", lambda c: c["method"] == "forget-aware" and c["other"] == "shrink"),
]


def halve(path, work):
    """Two files with every other record of `path`."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    halves = []
    for half in (0, 1):
        target = work / f"{path.stem}_{half}.jsonl"
        target.write_text("".join(lines[half::2]), encoding="utf-8")
        halves.append(target)
    return halves


def sweep(pair, unlearned, moments, forget, forget_eval, retain_eval, token_cap):
    """What `sagesan sweep` says of all grids together."""
    command = [SAGESAN, "sweep", "--quiet", "--base", pair / "base", "--unlearned", unlearned, "--moments", moments,
               "--forget", forget, "--forget-eval", forget_eval, "--retain-eval", retain_eval, "--json", "-",
               "--token-cap", token_cap]
    found = [json.loads(subprocess.run(command + grid, check=True, stdout=subprocess.PIPE).stdout) for grid in GRIDS]
    candidates = {candidate["name"]: candidate for result in found for candidate in result["candidates"]}
    return {**found[0], "candidates": list(candidates.values())}


def loss(scores, kind):
    return scores[kind]["mean_negative_log_likelihood"]


def series_of(candidate):
    return tuple(candidate[key] for key in ("method", "energy", "carrier_gain", "other"))


def at_level(result, series, level):
    """The least retain loss at which the way along a series passes the level of forgetting; None where it does not."""
    base, unlearned = result["base"], result["unlearned"]
    wanted = loss(base, "forget") + level * (loss(unlearned, "forget") - loss(base, "forget"))
    points = [c for c in result["candidates"] if series_of(c) == series]
    points = [(loss(c, "forget"), loss(c, "retain")) for c in sorted(points, key=lambda c: c["strength"] or math.inf)]
    if series[2] == 1:
        points.insert(0, (loss(unlearned, "forget"), loss(unlearned, "retain")))
    found = []
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if min(x0, x1) <= wanted <= max(x0, x1):
            found.append(y0 + (y1 - y0) * ((wanted - x0) / (x1 - x0) if x1 != x0 else 0))
    return min(found, default=None)


def compare(chosen_on, reported_on, level):
    """{approach: held-out loss at the level, or None}"""
    figures = {}
    for name, takes in APPROACHES:
        series = {series_of(c) for c in chosen_on["candidates"] if takes(c)}
        found = [(at_level(chosen_on, one, level), one) for one in sorted(series)]
        found = [(value, one) for value, one in found if value is not None]
        figures[name] = at_level(reported_on, min(found)[1], level) if found else None
    return figures


def interval(values):
    """(mean, half of the 95 % interval or None)"""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, None
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
    return mean, T_QUANTILE.get(len(values) - 1, 1.96) * deviation / math.sqrt(len(values))


def print_table(level, methods, figures):
    """figures[method][approach]: one figure a pair, None where it does not come to the level."""
    print(f"\n### {level:.0%} of the forgetting kept\n")
    print("| approach | " + " | ".join(methods) + " |")
    print("|---" * (len(methods) + 1) + "|")
    for name, _ in APPROACHES:
        cells = []
        for method in methods:
            here, scale = figures[method][name], figures[method]["scale"]
            both = [(a, b) for a, b in zip(here, scale) if a is not None and b is not None]
            if not both:
                cells.append("–")
                continue
            text = f"{sum(a for a, _ in both) / len(both):.3f}"
            if name != "scale":
                mean, half = interval([a - b for a, b in both])
                text += f" ({mean:+.3f}" + (f" ± {half:.3f})" if half is not None else ")")
            if len(both) < len(here):
                text += f" [{len(both)} of {len(here)}]"
            cells.append(text)
        print(f"| {name} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--levels", default="0.95,0.8,0.5")
    parser.add_argument("--token-cap", default="0")
    args = parser.parse_args()
    levels = [float(level) for level in args.levels.split(",")]
    results = {}  # by level, method, approach
    for pair in args.pairs:
        methods = sorted(path.name for path in pair.iterdir() if (path / "config.json").exists() and path.name != "base"
                         and not path.name.endswith(("_half", "_sanitized")))
        with tempfile.TemporaryDirectory() as directory:
            work = Path(directory)
            forget, heldout = halve(pair / "forget.jsonl", work), halve(pair / "heldout.jsonl", work)
            moments = work / "moments.safetensors"
            subprocess.run([SAGESAN, "collect", "--quiet", "--base", pair / "base", "--retain", pair / "retain.jsonl",
                            "--out", moments, "--token-cap", args.token_cap], check=True)
            for method in methods:
                sweeps = [sweep(pair, pair / method, moments, forget[0], forget[half], heldout[half], args.token_cap)
                          for half in (0, 1)]
                for level in levels:
                    for name, value in compare(*sweeps, level).items():
                        results.setdefault(level, {}).setdefault(method, {}).setdefault(name, []).append(value)
                print(f"{pair.name}: {method} done", file=sys.stderr, flush=True)
    for level in levels:
        print_table(level, sorted(results[level]), results[level])


if __name__ == "__main__":
    main()
