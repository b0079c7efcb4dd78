"""What came of each unlearned model in the study of docs/evidence.md: read from where scripts/evidence_sweeps.py keeps
it, or from a file that scripts/evidence_tables.py --save has made of it.

A kept file is one JSON object, a line a directory: "pair", "width" (hidden size), "retrained" (a point or null) and
"methods", by name: "base", "unlearned" (points), "candidates" by grid (name, series, dose and point of each), "stopped"
and "finetuned" (points along a run, if any), "prose" and "afterwards" (if any). A point is two lists, of the records
that knobs are chosen on and of those that are reported, each the answer probability and loss on the forget records and
the answer probability on the held-out ones.
"""
import collections
import json
import math

Series = collections.namedtuple("Series", "method energy gain other")
Point = collections.namedtuple("Point", "chosen reported")
Figures = collections.namedtuple("Figures", "forget loss kept")


def mean(values):
    return sum(values) / len(values)


def figures(forget, kept):
    rounded = (float(f"{value:.5g}") for value in (mean([math.exp(-loss) for loss in forget]), mean(forget),
                                                   mean([math.exp(-loss) for loss in kept])))
    return Figures(*rounded)


def point_of_sweep(scores, reported):
    """A model in a sweep: its last `reported` forget losses are reported, and knobs are chosen on the others."""
    forget, kept = scores["forget"]["loss_by_index"], scores["retain"]["loss_by_index"]
    return Point(figures(forget[:-reported], kept[0::2]), figures(forget[-reported:], kept[1::2]))


def point_of_steps(losses):
    """A model on the way of an unlearning or of a training afterwards."""
    forget, other, kept = losses["forget"], losses.get("paraphrase", []), losses["heldout"]
    return Point(figures(forget[0::2] + other[0::2], kept[0::2]), figures((other or forget)[1::2], kept[1::2]))


def point(lists):
    return Point(*(Figures(*values) for values in lists))


def candidate(found, reported):
    """Of a sweep: its name, its series, what grows along that, and its point."""
    method, energy = found["method"], found["energy"]
    dose = found["share"] if method == "rollback" else found["strength"]
    if method == "nullspace":  # stronger with more energy
        dose, energy = energy, None
    series = Series(method, energy, found["carrier_gain"], found["other"])
    return [found["name"], series, float(f"{dose:.6g}"), point_of_sweep(found, reported)]


def read_method(pair, method):
    found = {"candidates": {}}
    reported = (pair / "forget.jsonl").read_text().count("\n") // 2
    for path in sorted((pair / "evidence").glob(f"*/{method}.json")):
        result = json.loads(path.read_text())
        if path.parent.name == "afterwards":
            found["afterwards"] = result
            continue
        if path.parent.name == "prose":  # what is kept there are other texts
            models = {name: result[name] for name in ("base", "unlearned")} | {c["name"]: c for c in result["candidates"]}
            found["prose"] = {name: math.exp(model["retain"]["mean_negative_log_likelihood"])
                              for name, model in models.items()}
            continue
        found |= {name: point_of_sweep(result[name], reported) for name in ("base", "unlearned")}
        found["candidates"][path.parent.name] = [candidate(c, reported) for c in result["candidates"]]
    for name in ("stopped", "finetuned"):
        file = pair / f"{method}_{'steps' if name == 'stopped' else name}.json"
        if file.exists():
            found[name] = [point_of_steps(losses) for losses in json.loads(file.read_text())]
    return found


def read_pair(pair):
    """The study's record of one directory of unlearned models."""
    methods = sorted({path.stem for path in (pair / "evidence").glob("*/*.json")})
    retrained = pair / "retrained_losses.json"
    return {"pair": pair.name, "width": json.loads((pair / "base/config.json").read_text())["hidden_size"],
            "retrained": point_of_steps(json.loads(retrained.read_text())) if retrained.exists() else None,
            "methods": {method: read_method(pair, method) for method in methods}}


def read(paths):
    """Records of directories and of kept files, as a kept file has them."""
    records = []
    for path in paths:
        if path.is_dir():
            records.append(read_pair(path))
        else:
            records += [json.loads(line) for line in path.read_text().splitlines()]
    return records


class Outcome:
    """All that came of one unlearned model in some grids, as series of points."""

    def __init__(self, record, grids, method):
        found = record["methods"][method]
        self.base, self.unlearned = point(found["base"]), point(found["unlearned"])
        self.retrained = point(record["retrained"]) if record["retrained"] else None
        self.settings, doses = {}, collections.defaultdict(dict)
        for grid in grids:
            for name, series, dose, lists in found["candidates"].get(grid, []):
                self.settings[name] = doses[Series(*series)][dose] = point(lists)
        self.doses = {series: sorted(points.items()) for series, points in doses.items()}
        # From the unlearned model on. A chord to a single point is no way that settings go.
        self.series = {series: ([self.unlearned] if series.gain == 1 and len(points) > 1 else [])
                       + [point for _, point in points] for series, points in self.doses.items()}
        for name in ("stopped", "finetuned"):
            if name in found:
                points = [point(lists) for lists in found[name]]
                self.series[Series(name, None, 1, "shrink")] = points[::-1] if name == "stopped" else [self.unlearned] + points

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
