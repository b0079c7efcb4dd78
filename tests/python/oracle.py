"""SAGE in float64 on whole transformers models: the oracle of the sanitizing parity tests.

Written from the formulas (docs/method.md), not from the C++: linear systems are solved as such, in float64, with
second moments from hooks on the running model.
"""
import torch


@torch.no_grad()
def collect(model, texts):
    """{module name: [tokens, in] inputs} in float64; ids for embeddings."""
    inputs, hooks = {}, []
    for name, module in model.named_modules():
        if not list(module.parameters(recurse=False)):
            continue
        hooks.append(module.register_forward_pre_hook(
            lambda _, args, name=name: inputs.setdefault(name, []).append(args[0].reshape(-1, *args[0].shape[2:]))))
    for text in texts:
        model(torch.tensor([text]), use_cache=False)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(parts) if parts[0].dtype == torch.long else torch.cat(parts).double()
            for name, parts in inputs.items()}


def token_weights(x, lengths, cap):
    """min(1, cap * median|x|^2 / |x_t|^2), the (lower) median being that of the token's own text."""
    parts = [part.square().sum(1) for part in x.split(lengths)]
    return torch.cat([(cap * part.median() / part).clamp_max(1) for part in parts])


def penalty(x, energy, weights):
    """U_k diag(h) U_k^T `[in, in]`, its rank, and the distance of the energy sum to the threshold."""
    moment = x.T @ (weights[:, None] * x) / weights.sum()
    values, vectors = torch.linalg.eigh(moment)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    sums = values.cumsum(0) / values.sum()
    rank = len(values) if energy >= 1 else int((sums < energy).sum()) + 1
    margin = (sums - energy).abs().min().item() if energy < 1 else 1.0
    kept = vectors[:, :rank]
    h = values[:rank] * len(values) / values.sum()
    return kept @ torch.diag(h) @ kept.T, rank, margin


def token_energies(ids, rows):
    counts = torch.bincount(ids, minlength=rows).double()
    return counts / counts.sum() * (counts > 0).sum()


@torch.no_grad()
def sanitize(base, unlearned, texts, strength, energy, other="shrink", token_cap=float("inf")):
    """{parameter: sanitized float64 tensor}, {linear parameter: (rank, margin)}; tied heads under the embedding's name."""
    inputs = collect(base, texts)
    lengths = [len(text) for text in texts]

    def penalty_of(module):
        return penalty(inputs[module], energy, token_weights(inputs[module], lengths, token_cap))

    modules, before = dict(base.named_modules()), dict(base.named_parameters())
    result, ranks = {}, {}
    for name, after in unlearned.named_parameters():
        owner, leaf = name.rsplit(".", 1)
        module, w0, wu = modules[owner], before[name].double(), after.double()
        d, eye = wu - w0, torch.eye(after.shape[-1], dtype=torch.float64)
        if isinstance(module, torch.nn.Linear) and leaf == "weight":
            matrix, *ranks[name] = penalty_of(owner)
            new = torch.linalg.solve(eye + strength * matrix, d.T).T
        elif other == "keep":
            new = d
        elif other == "base":
            new = torch.zeros_like(d)
        elif leaf == "bias":
            new = d / (1 + strength)
        elif isinstance(module, torch.nn.Embedding):
            e = token_energies(inputs[owner], len(d))
            if base.lm_head.weight is module.weight:
                matrix, *ranks[name] = penalty_of("lm_head")
                # One system a distinct token frequency: rows that were seen equally often share it.
                new = torch.empty_like(d)
                for value in e.unique():
                    rows = e == value
                    system = (1 + strength * value) * eye + strength * matrix
                    new[rows] = torch.linalg.solve(system, d[rows].T).T
            else:
                new = d / (1 + strength * e)[:, None]
        else:  # an RMSNorm's gain: n_j from the normalized input
            x = inputs[owner]
            x = x / (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).sqrt()
            n = x.pow(2).mean(0)
            new = d / (1 + strength * n / n.mean())
        result[name] = w0 + new
    return result, ranks
