#!/usr/bin/env python3
"""What becomes of equally forgetful models afterwards: relearning and rounding to 4 bits, for docs/evidence.md.

    build/python/bin/python scripts/evidence_afterwards.py PAIRS [PAIRS ...] [--level 0.1] [--methods ga,npo]

PAIRS is a directory that scripts/evidence_sweeps.py has been at. Each unlearned model is sanitized by scaling, by sage
and by forget-aware solving, both without and with a gain, with the strength at which the forget records that knobs are chosen
on have the mean answer probability --level (by interpolation in the sweep; nothing where no strength has it), and the
outcome is loaded into PyTorch, as is the unlearned model itself. Then

- relearning: RELEARN_STEPS steps of AdamW on the answers of the forget records that knobs are chosen on;
- 4 bits: every linear weight in groups of GROUP along a row, round to nearest by the largest magnitude.

PAIRS/evidence/afterwards/METHOD.json has the answer probabilities of the reported records before and after both (the
paraphrases of the other forget records, the other held-out records); what is there already is not done again.
scripts/evidence_tables.py --grid afterwards prints the table of all of them.
"""
import argparse
import copy
import json
import math
import subprocess
import tempfile
from pathlib import Path

import evidence_outcomes
import evidence_sweeps
import smollm2_unlearn  # before transformers: it keeps that from the network and quiet
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

RELEARN_STEPS = 4
RELEARN_LEARNING_RATE = 2e-5
GROUP = 64

APPROACHES = {  # method, gain
    "scale": ("scale", 1), "sage": ("sage", 1), "sage, gain 1.5": ("sage", 1.5), "forget-aware": ("forget-aware", 1),
    "forget-aware, gain 1.5": ("forget-aware", 1.5)}


def strength_at(outcome, method, gain, level):
    """The strength at which the forget probability is `level`, linear in the logarithms; None where it is not reached."""
    doses = next(doses for series, doses in outcome.doses.items()
                 if (series.method, series.gain, series.other) == (method, gain, "shrink"))
    points = [(strength, point.chosen.forget) for strength, point in doses if strength]
    if gain == 1:
        points.insert(0, (points[0][0] / 10, outcome.unlearned.chosen.forget))
    for (s0, p0), (s1, p1) in zip(points, points[1:]):
        if min(p0, p1) <= level <= max(p0, p1):
            way = math.log(level / p0) / math.log(p1 / p0) if p0 != p1 else 0
            return s0 * (s1 / s0) ** way
    return None


def records(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def probabilities(model, tokenizer, pair):
    forget = pair / "paraphrase.jsonl"
    of = {"forget": records(forget if forget.exists() else pair / "forget.jsonl")[1::2],
          "kept": records(pair / "heldout.jsonl")[1::2]}
    return {name: smollm2_unlearn.answer_losses(model, tokenizer, rows).neg().exp().mean().item() for name, rows in of.items()}


def relearned(model, tokenizer, pair):
    model = copy.deepcopy(model)
    examples = [smollm2_unlearn.encode(tokenizer, row, end=True) for row in records(pair / "forget.jsonl")[0::2]]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RELEARN_LEARNING_RATE, weight_decay=0.0)
    for _ in range(RELEARN_STEPS):
        sums, counts = smollm2_unlearn.answer_log_probs(model, examples)
        smollm2_unlearn.step(model, optimizer, -(sums / counts).mean())
    return model


@torch.no_grad()
def rounded(model):
    model = copy.deepcopy(model)
    for module in model.model.layers.modules():
        if isinstance(module, torch.nn.Linear):
            groups = module.weight.reshape(-1, GROUP)
            scale = groups.abs().amax(1, keepdim=True) / 7
            module.weight.copy_((groups / scale).round().mul(scale).nan_to_num().reshape(module.weight.shape))
    return model


def afterwards(directory, pair, tokenizer):
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    return {"before": probabilities(model, tokenizer, pair),
            "relearned": probabilities(relearned(model, tokenizer, pair), tokenizer, pair),
            "4 bits": probabilities(rounded(model), tokenizer, pair)}


def retrained(pair, tokenizer):
    """That of the retrained model, which is the same for every method: from another one's file where there is one."""
    for path in sorted((pair / "evidence/afterwards").glob("*.json")):
        return json.loads(path.read_text())["retrained"]
    return afterwards(pair / "retrained", pair, tokenizer)


def try_all(sagesan, threads, pair, outcome, method, level):
    tokenizer = AutoTokenizer.from_pretrained(pair / "base")
    result = {"unlearned": afterwards(pair / method, pair, tokenizer)}
    if (pair / "retrained/config.json").exists():
        result["retrained"] = retrained(pair, tokenizer)
    for name, (kind, gain) in APPROACHES.items():
        strength = strength_at(outcome, kind, gain, level)
        if strength is None:
            continue
        with tempfile.TemporaryDirectory() as work:
            known = evidence_sweeps.records(pair / "forget.jsonl")[0::2]
            anchor = evidence_sweeps.write(Path(work) / "forget.jsonl", known)
            more = ["--forget", anchor] if kind == "forget-aware" else ["--method", kind]
            if gain != 1:
                more += ["--carrier-gain", str(gain)]
            subprocess.run([sagesan, "sanitize", "--quiet", "--threads", str(threads), "--base", pair / "base", "--unlearned",
                            pair / method, "--retain", pair / "retain.jsonl", "--strength", repr(strength), "--out",
                            Path(work) / "out", *more], check=True)
            result[name] = {"strength": strength, **afterwards(Path(work) / "out", pair, tokenizer)}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="+", type=Path)
    parser.add_argument("--level", type=float, default=0.1)
    parser.add_argument("--methods", help="comma-separated; default: all that were swept")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sagesan", type=Path, default=evidence_sweeps.ROOT / "build/release/sagesan")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for pair in args.pairs:
        record = evidence_outcomes.read_pair(pair)
        swept = [method for method, found in record["methods"].items() if "main" in found["candidates"]]
        for method in args.methods.split(",") if args.methods else swept:
            target = pair / "evidence/afterwards" / f"{method}.json"
            if not target.exists():
                outcome = evidence_outcomes.Outcome(record, ("main", "strong"), method)
                result = try_all(args.sagesan, args.threads, pair, outcome, method, args.level)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
