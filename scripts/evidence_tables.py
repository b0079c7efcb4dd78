#!/usr/bin/env python3
"""The tables of docs/evidence.md from what scripts/evidence_sweeps.py has kept.

    scripts/evidence_tables.py PAIRS [PAIRS ...] [--grid main,strong|energies|others|token-cap|afterwards|prose]
        [--levels retrained,0.05,0.1] [--left-out simnpo,idk] [--settings] [--save FILE]

PAIRS is a directory that scripts/evidence_sweeps.py has been at, or a file that --save has made of some of them: those
in docs/evidence. Several of one width (hidden size) are seeds.

Retention at equal forgetting: the largest mean answer probability of the held-out records where that of the forget
records is at most a level: of the models of one series (the strengths of one setting, the shares of rollback, the
energies of the hard projection, the steps of a run; those without a gain begin with the unlearned model) and where the
way between two of them crosses the level, linear in the logarithm of the forget probability. An approach takes the
series that is best on the records that knobs are chosen on; what is shown is what it does on the others, and in brackets
the paired difference to scaling the update down, mean and 95 % t-interval over the seeds: above 0 is better. A star:
even the strongest setting that was tried forgets more than asked. `retrained` is the level of the model that never saw
the forget records, a number a probability; with a percent sign it is the share of the unlearned model's rise in forget
loss that must be left.

--settings shows how good one fixed setting is for all unlearning methods. Its score with one is the harmonic mean of
retention, as a share of the base's, and of forgetting, as a share of the retrained model's or of the unlearned one's
(both at most 1, mean over the seeds); its regret the score it is below the best setting's. The setting with the least
worst regret over all widths, goals and methods not left out is chosen, and its regrets with those left out are shown
beside it. Where there are several widths only settings that were tried with each of them count.

afterwards: answer probabilities of sanitized models before and after relearning and rounding to 4 bits
(scripts/evidence_afterwards.py). prose: the perplexity of Python's help under each setting.
"""
import argparse
import collections
import json
import math
from pathlib import Path

import evidence_outcomes
from evidence_outcomes import Outcome, mean

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond them the normal one's.
T_QUANTILE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def approaches(grid):
    """Name and which series it may take, in the order of the table."""
    def of(method, gain=False, **wanted):
        return lambda s: s.method == method and (gain or s.gain == 1) and all(getattr(s, k) == v for k, v in wanted.items())
    if grid == "energies":
        return [("scale", of("scale"))] + [(f"sage, energy {e:g}", of("sage", energy=e)) for e in (0.9, 0.95, 0.99, 1)]
    if grid == "others":
        return [(f"{method}, {other}", of(method, other=other)) for method in ("scale", "ridge", "sage")
                for other in ("shrink", "keep")]
    return [("scale", of("scale")), ("stopped earlier", of("stopped")), ("fine-tuned on retain", of("finetuned")),
            ("hard projection", of("nullspace")), ("ridge", of("ridge")), ("rollback", of("rollback")),
            ("random directions", of("random")), ("random directions, gain", of("random", gain=True)),
            ("sage", of("sage")), ("sage, gain", of("sage", gain=True)),
            ("forget-aware", of("forget-aware")), ("forget-aware, gain", of("forget-aware", gain=True))]


def interval(values):
    """(mean, half of the 95 % interval or None)"""
    if len(values) < 2:
        return mean(values), None
    deviation = math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))
    return mean(values), T_QUANTILE.get(len(values) - 1, 1.96) * deviation / math.sqrt(len(values))


def print_row(cells):
    print("| " + " | ".join(cells) + " |")


def print_head(cells):
    print_row(cells)
    print("|---" * len(cells) + "|")


def print_level(level, outcomes, grid, titled):
    text = {"retrained": "Forgotten as by a model retrained without the forget records"}.get(
        level, f"{level} of the rise in forget loss left" if level.endswith("%") else f"Forget probability {level}")
    print(f"\n### {text}\n" if titled else "")
    print_head(["approach", *outcomes])
    named = approaches(grid)
    scales = {method: [seed.retention(named[0][1], level) for seed in seeds] for method, seeds in outcomes.items()}
    for name, takes in named:
        cells = []
        for method, seeds in outcomes.items():
            both = [(seed.retention(takes, level), scale) for seed, scale in zip(seeds, scales[method])]
            here = [value[0] for value, _ in both if value is not None]
            differences = [value[0] - scale[0] for value, scale in both if value is not None and scale is not None]
            star = "" if all(value[1] for value, _ in both if value is not None) else "*"
            text = f"{mean(here):.3f}{star}" if here else "–"
            if differences and name != named[0][0]:
                middle, half = interval(differences)
                text += f" ({middle:+.3f}" + (f" ± {half:.3f})" if half is not None else ")")
            if here and len(here) < len(seeds):
                text += f" [{len(here)} of {len(seeds)}]"
            cells.append(text)
        if any(cell != "–" for cell in cells):
            print_row([name, *cells])


def regrets_of(outcomes, goal):
    """{method: {setting: regret}}, the mean over the seeds."""
    regrets = {}
    for method, seeds in outcomes.items():
        scores = [seed.scores(goal) for seed in seeds]
        of = {name: mean([score[name] for score in scores]) for name in scores[0] if all(name in score for score in scores)}
        regrets[method] = {name: max(of.values()) - score for name, score in of.items()}
    return regrets


def print_settings(groups, left_out, shown=12):
    """The settings with the least worst regret; `groups` are outcomes by width."""
    regrets, columns = {}, collections.defaultdict(list)  # by (width, goal, method); keys of those by title
    for width, outcomes in groups.items():
        for goal in ("retrained", "unlearned"):
            if not all(getattr(seed, goal) for seeds in outcomes.values() for seed in seeds):
                continue
            for method, of in regrets_of(outcomes, goal).items():
                regrets[width, goal, method] = of
                if method not in left_out:
                    columns[f"width {width}, {goal}"].append((width, goal, method))
    outside = [key for key in regrets if key[2] in left_out]
    columns = {"worst": [key for key in regrets if key not in outside], **columns}
    if outside:
        columns["left out"] = outside
    settings = set.intersection(*(set(of) for of in regrets.values()))
    ranked = sorted(settings, key=lambda name: (max(regrets[key][name] for key in columns["worst"]), name))
    print_head(["setting", *columns])
    for rank, name in enumerate(ranked):
        if rank < shown or name in ("unlearned", "scale factor=0.9", "scale factor=0.5", "sage energy=0.95 strength=1"):
            print_row([f"{rank + 1}. {name}", *(f"{max(regrets[key][name] for key in keys):.3f}" for keys in columns.values())])


def print_afterwards(records):
    """The retrained model of a seed is the same whatever unlearned another one."""
    found = collections.defaultdict(list)
    for record in records:
        for method, of in record["methods"].items():
            for name, row in of.get("afterwards", {}).items():
                if name != "retrained":
                    found[method, name].append(row)
                elif (key := ("–", "retrained instead")) not in found or len(found[key]) < records.index(record) + 1:
                    found[key].append(row)
    print_head(["unlearned by", "model", "seeds", "forget", "relearned", "4 bits", "held-out", "relearned", "4 bits"])
    for (method, name), rows in sorted(found.items(), key=lambda item: (item[0][0] != "–", item[0][0])):
        print_row([method, name, str(len(rows)), *(
            f"{mean([row[stage][data] for row in rows]):.3f}" for data in ("forget", "kept") for stage in ("before", "relearned", "4 bits"))])


def print_prose(records):
    methods = sorted({method for record in records for method, of in record["methods"].items() if "prose" in of})
    of = {method: [record["methods"][method]["prose"] for record in records] for method in methods}
    print_head(["setting", *methods])
    for name in ("base", "unlearned", "scale factor=0.5", "sage energy=0.95 gain=1.5 strength=1", "forget-aware gain=1.5 strength=3"):
        print_row([name, *(f"{mean([found[name] for found in of[method]]):.2f}" for method in methods)])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--grid", default="main", help="or several with commas between them, taken together")
    parser.add_argument("--levels", default="retrained,0.05,0.1")
    parser.add_argument("--left-out", default="simnpo,idk", help="methods that settings are not chosen by")
    parser.add_argument("--settings", action="store_true", help="the regrets of single settings instead")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write what the pairs have, and print nothing")
    args = parser.parse_args()
    records = evidence_outcomes.read(args.pairs)
    if args.save:
        args.save.parent.mkdir(parents=True, exist_ok=True)
        args.save.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))
        return
    if args.grid in ("afterwards", "prose"):
        (print_afterwards if args.grid == "afterwards" else print_prose)(records)
        return
    grids, groups = args.grid.split(","), {}  # outcomes by width and method
    for record in records:
        for method, found in record["methods"].items():
            if grids[0] in found["candidates"]:
                groups.setdefault(record["width"], {}).setdefault(method, []).append(Outcome(record, grids, method))
    if not groups:
        parser.error(f"nothing is kept of grid {grids[0]}: run scripts/evidence_sweeps.py first")
    if args.settings:
        print_settings(groups, args.left_out.split(","))
        return
    for width, outcomes in groups.items():
        if len(groups) > 1:
            print(f"\n### Width {width}")
        levels = args.levels.split(",")
        for level in levels:
            print_level(level, outcomes, grids[0], titled=len(levels) > 1)


if __name__ == "__main__":
    main()
