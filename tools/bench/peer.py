#!/usr/bin/env python3
"""What sagesan is measured against: SAGE as one writes it on top of transformers. `scripts/bench` runs it.

    peer.py --base DIR --unlearned DIR --retain FILE.jsonl --out DIR [--energy E] [--strength X] [--threads N] [--share]

Whole models in memory, a second moment for every linear module, a full float64 eigendecomposition of each. With --share
modules that read the same tensor (q, k and v; gate and up) have one moment and one decomposition between them. Records
have `input_ids`. For models without biases: Llama and its kin.
"""
import argparse
import json

import torch
from transformers import AutoModelForCausalLM


@torch.no_grad()
def collect(model, texts, share):
    """Sums over all tokens by module name, and for each linear module the one whose sum it has."""
    sums, same, seen = {}, {}, [None, None]  # the last input and its module

    def add(name, value):
        sums[name] = sums[name] + value if name in sums else value

    def linear(name):
        def hook(_, inputs):
            if share and inputs[0] is seen[0]:
                same[name] = seen[1]
                return
            seen[:] = inputs[0], name
            same[name] = name
            x = inputs[0].flatten(0, -2)
            add(name, x.T @ x)
        return hook

    def norm(name):
        def hook(module, inputs):
            x = inputs[0].flatten(0, -2)
            x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon)
            add(name, x.pow(2).sum(0))
        return hook

    def embedding(name, rows):
        return lambda _, inputs: add(name, torch.bincount(inputs[0].flatten(), minlength=rows).float())

    hooks = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            hooks.append(module.register_forward_pre_hook(linear(name)))
        elif isinstance(module, torch.nn.Embedding):
            hooks.append(module.register_forward_pre_hook(embedding(name, module.num_embeddings)))
        elif hasattr(module, "variance_epsilon"):
            hooks.append(module.register_forward_pre_hook(norm(name)))
    for text in texts:
        model(text[None], use_cache=False)
    for hook in hooks:
        hook.remove()
    return sums, same


def dominant(moment, energy):
    """The relative energies [k] and directions [channels, k] that hold `energy` of the trace."""
    values, vectors = torch.linalg.eigh(moment.double())
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    rank = len(values) if energy >= 1 else int((values.cumsum(0) < energy * values.sum()).sum()) + 1
    return (values[:rank] * len(values) / values.sum()).float(), vectors[:, :rank].float()


def bias(update, moment):
    return torch.sum((update @ moment) * update).item()


@torch.no_grad()
def sanitize(base, unlearned, sums, same, tokens, energy, strength):
    """Sanitizes `unlearned` in place. Returns the bias of each linear module before and after."""
    before, modules, known, report = dict(base.named_parameters()), dict(base.named_modules()), {}, {}

    def subspace(name):
        owner = same[name]
        if owner not in known:
            known.clear()  # modules that share are neighbours
            known[owner] = dominant(sums[owner] / tokens, energy)
        return known[owner]

    head = base.get_output_embeddings()
    head_name = next(name for name, module in modules.items() if module is head)
    for name, parameter in unlearned.named_parameters():
        owner, module = name.rsplit(".", 1)[0], modules[name.rsplit(".", 1)[0]]
        update = parameter.float() - before[name]
        if not update.any():
            continue
        if isinstance(module, torch.nn.Linear):
            h, directions = subspace(owner)
            left = update - (update @ directions) * (strength * h / (1 + strength * h)) @ directions.T
            moment = sums[same[owner]] / tokens
            report[name] = [bias(update, moment), bias(left, moment)]
        elif isinstance(module, torch.nn.Embedding):
            counts = sums[owner]
            rows = 1 + strength * counts / tokens * int((counts > 0).sum())
            left = update / rows[:, None]
            if head.weight is module.weight:
                h, directions = subspace(head_name)
                inside = update @ directions
                left = (update - inside @ directions.T) / rows[:, None] \
                    + inside / (rows[:, None] + strength * h) @ directions.T
        else:
            energy_of = sums[owner] / tokens
            left = update / (1 + strength * energy_of / energy_of.mean())
        parameter.copy_(before[name] + left)
    return report


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag in ("--base", "--unlearned", "--retain", "--out"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--energy", type=float, default=0.95)
    parser.add_argument("--strength", type=float, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--share", action="store_true")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    with open(args.retain, encoding="utf-8") as file:
        texts = [torch.tensor(json.loads(line)["input_ids"]) for line in file]
    base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32).eval()
    unlearned = AutoModelForCausalLM.from_pretrained(args.unlearned, dtype="auto").eval()
    sums, same = collect(base, texts, args.share)
    report = sanitize(base, unlearned, sums, same, sum(map(len, texts)), args.energy, args.strength)
    unlearned.save_pretrained(args.out)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
