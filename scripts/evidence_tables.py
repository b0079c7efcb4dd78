#!/usr/bin/env python3
"""The tables of docs/evidence.md from what scripts/evidence.py has kept.

    scripts/evidence_tables.py PAIRS [PAIRS ...] [--grid main] [--levels retrained,0.05,0.1] [--left-out simnpo,idk]

Retention at equal forgetting: the largest mean answer probability of the held-out records where that of the forget
records is at most a level: of the models of one series (the strengths of one setting, the shares of rollback, the
energies of the hard projection, the steps of a run; those without a gain begin with the unlearned model) and where the
way between two of them crosses the level, linear in the logarithm of the forget probability. An approach takes the series that is best on
the records that knobs are chosen on; what is shown is what it does on the others, and in brackets the paired difference
to scaling the update down, mean and 95 % t-interval over the pairs (seeds): above 0 is better. A star: even the strongest
setting that was tried forgets more than asked. `retrained` is the level of the model that never saw the forget records, a
number a probability; with a percent sign it is the share of the unlearned model's rise in forget loss that must be left.

Beside the sweeps, METHOD_steps.json and METHOD_finetuned.json of whoever made the pairs are taken where they are.

Settings: how good one fixed setting is for all unlearning methods. Its score with one is the harmonic mean of
retention, as a share of the base's, and of forgetting, as a share of the retrained model's or of the unlearned one's
(both at most 1); its regret the score it is below the best setting's. The setting with the least worst regret over the
methods not left out is chosen, and its regrets with those left out are shown beside it.
"""
import argparse
import collections
import json
import math
from pathlib import Path

# Two-sided 95 % quantiles of Student's t by degrees of freedom; beyond them the normal one's.
T_QUANTILE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

Series = collections.namedtuple("Series", "method energy gain other")
# On the records that knobs are chosen on, and on those that are reported: answer probability and loss on the forget
# records, answer probability on the held-out ones.
Point = collections.namedtuple("Point", "chosen reported")
Figures = collections.namedtuple("Figures", "forget loss kept")


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


def mean(values):
    return sum(values) / len(values)


def figures(forget, kept):
    return Figures(mean([math.exp(-loss) for loss in forget]), mean(forget), mean([math.exp(-loss) for loss in kept]))


def point_of_sweep(scores):
    """A model in a sweep: its forget losses are those that knobs are chosen on, then those that are reported."""
    forget, kept = scores["forget"]["loss_by_index"], scores["retain"]["loss_by_index"]
    half = (len(forget) + 1) // 2
    return Point(figures(forget[:half], kept[0::2]), figures(forget[half:], kept[1::2]))


def point_of_steps(losses):
    """A model on the way of an unlearning or of a training afterwards."""
    return Point(figures(losses["forget"][0::2], losses["heldout"][0::2]),
                 figures(losses.get("paraphrase", losses["forget"])[1::2], losses["heldout"][1::2]))


class Outcome:
    """All that came of one unlearned model."""

    def __init__(self, pair, grids, method):
        results = [json.loads(file.read_text()) for grid in grids.split(",")
                   if (file := pair / "evidence" / grid / f"{method}.json").exists()]
        self.base, self.unlearned = point_of_sweep(results[0]["base"]), point_of_sweep(results[0]["unlearned"])
        self.candidates = list({c["name"]: c for result in results for c in result["candidates"]}.values())
        self.settings = {c["name"]: point_of_sweep(c) for c in self.candidates}
        self.series = {}  # Series: points, from the unlearned model on
        doses = collections.defaultdict(list)
        for c in self.candidates:
            hard = c["method"] == "nullspace"  # stronger with more energy
            dose = c["energy"] if hard else c["share"] if c["method"] == "rollback" else c["strength"]
            series = Series(c["method"], None if hard else c["energy"], c["carrier_gain"], c["other"])
            doses[series].append((dose, point_of_sweep(c)))
        for series, points in doses.items():
            # A chord to a single point is no way that settings go.
            start = [self.unlearned] if series.gain == 1 and len(points) > 1 else []
            self.series[series] = start + [point for _, point in sorted(points, key=lambda p: p[0])]
        for name, file in (("stopped", f"{method}_steps.json"), ("finetuned", f"{method}_finetuned.json")):
            if (pair / file).exists():
                points = [point_of_steps(losses) for losses in json.loads((pair / file).read_text())]
                self.series[Series(name, None, 1, "shrink")] = points[::-1] if name == "stopped" else [self.unlearned] + points
        self.retrained = None
        if (pair / "retrained_losses.json").exists():
            self.retrained = point_of_steps(json.loads((pair / "retrained_losses.json").read_text()))

    def at_level(self, series, level, which):
        """(best retention of a series with as much forgetting as the level asks, whether the series crosses it); None
        where nothing has it.

        `which` is "chosen" or "reported".
        """
        points = [getattr(point, which) for point in self.series[series]]
        if level.endswith("%"):
            before, after = getattr(self.base, which).loss, getattr(self.unlearned, which).loss
            wanted, points = -(before + float(level[:-1]) / 100 * (after - before)), [(-p.loss, p.kept) for p in points]
        else:
            if level == "retrained" and not self.retrained:
                return None
            wanted = math.log(getattr(self.retrained, which).forget if level == "retrained" else float(level))
            points = [(math.log(p.forget), p.kept) for p in points]
        found, crosses = [kept for remembered, kept in points if remembered <= wanted], False
        for (x0, y0), (x1, y1) in zip(points, points[1:]):
            if min(x0, x1) <= wanted <= max(x0, x1):
                found.append(y0 + (y1 - y0) * ((wanted - x0) / (x1 - x0) if x1 != x0 else 0))
                crosses = True
        return (max(found), crosses) if found else None

    def retention(self, takes, level):
        """Of an approach, on the reported records."""
        found = [(self.at_level(series, level, "chosen"), series) for series in self.series if takes(series)]
        found = [(value, series) for value, series in found if value is not None]
        return self.at_level(max(found, key=lambda f: f[0])[1], level, "reported") if found else None

    def scores(self, goal):
        """{setting: score}, on the reported records; `goal` is the attribute whose forgetting counts as 1."""
        base, goal = self.base.reported, getattr(self, goal).reported
        scores = {}
        for name, point in {"unlearned": self.unlearned, **self.settings}.items():
            kept = min(point.reported.kept / base.kept, 1)
            forgotten = max(min((base.forget - point.reported.forget) / (base.forget - goal.forget), 1), 0)
            scores[name] = 2 * kept * forgotten / (kept + forgotten) if kept + forgotten > 0 else 0
        return scores


def interval(values):
    """(mean, half of the 95 % interval or None)"""
    if len(values) < 2:
        return mean(values), None
    deviation = math.sqrt(sum((v - mean(values)) ** 2 for v in values) / (len(values) - 1))
    return mean(values), T_QUANTILE.get(len(values) - 1, 1.96) * deviation / math.sqrt(len(values))


def print_head(cells):
    print("| " + " | ".join(cells) + " |")
    print("|---" * len(cells) + "|")


def print_level(level, outcomes, grid):
    text = {"retrained": "Forgotten as by a model retrained without the forget records"}.get(
        level, f"{level} of the rise in forget loss left" if level.endswith("%") else f"Forget probability {level}")
    print(f"\n### {text}\n")
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
            print(f"| {name} | " + " | ".join(cells) + " |")


def print_settings(outcomes, goal, left_out, shown=12):
    """The settings with the least worst regret."""
    regrets = collections.defaultdict(dict)
    for method, seeds in outcomes.items():
        scores = [seed.scores(goal) for seed in seeds]
        of = {name: mean([score[name] for score in scores]) for name in scores[0]}
        for name, score in of.items():
            regrets[name][method] = max(of.values()) - score
    chosen = [method for method in outcomes if method not in left_out]
    worst = {name: max(found[method] for method in chosen) for name, found in regrets.items()}
    print(f"\n### Regret of one setting for all: as much forgetting as the {goal} model is enough\n")
    print_head(["setting", "worst", *chosen, *(f"{method} (left out)" for method in outcomes if method in left_out)])
    for rank, name in enumerate(sorted(worst, key=worst.get)):
        if rank < shown or name in ("unlearned", "scale factor=0.9", "scale factor=0.5", "sage energy=0.95 strength=1"):
            cells = [regrets[name][method] for method in [*chosen, *(m for m in outcomes if m in left_out)]]
            print(f"| {rank + 1}. {name} | {worst[name]:.3f} | " + " | ".join(f"{cell:.3f}" for cell in cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--grid", default="main", help="or several with commas between them, taken together")
    parser.add_argument("--levels", default="retrained,0.05,0.1")
    parser.add_argument("--left-out", default="simnpo,idk", help="methods that settings are not chosen by")
    args = parser.parse_args()
    outcomes = {}  # by method
    for pair in args.pairs:
        for path in sorted((pair / "evidence" / args.grid.split(",")[0]).glob("*.json")):
            outcomes.setdefault(path.stem, []).append(Outcome(pair, args.grid, path.stem))
    if not outcomes:
        parser.error(f"nothing is kept of grid {args.grid}: run scripts/evidence.py first")
    for level in args.levels.split(","):
        print_level(level, outcomes, args.grid)
    if args.grid.startswith("main"):
        for goal in ("retrained", "unlearned"):
            if all(getattr(seed, goal) for seeds in outcomes.values() for seed in seeds):
                print_settings(outcomes, goal, args.left_out.split(","))


if __name__ == "__main__":
    main()
