"""SAGE in float64 on whole transformers models: the oracle of the sanitizing parity tests.

Written from the formulas (docs/method.md), not from the C++: linear systems are solved as such, in float64, with
second moments from hooks on the running model.
"""
import torch

from families import normalized


@torch.no_grad()
def collect(model, texts):
    """{module name: [tokens, in] inputs} in float64; ids for embeddings; of per-head norms [tokens * heads, in]; of
    experts (inputs, chosen experts, routing weights) of all tokens."""
    inputs, hooks = {}, []

    def flat(x):
        return x.reshape(-1) if x.dtype == torch.long else x.reshape(-1, x.shape[-1]).double()

    def hook(name):
        def run(_, args):
            if name.endswith(".experts"):
                inputs.setdefault(name, []).append((args[0].double(), args[1], args[2].double()))
            else:
                inputs.setdefault(name, []).append(flat(args[0]))
        return run

    for name, module in model.named_modules():
        if list(module.parameters(recurse=False)):
            hooks.append(module.register_forward_pre_hook(hook(name)))
    for text in texts:
        model(torch.tensor([text]), use_cache=False)
    for handle in hooks:
        handle.remove()
    return {name: tuple(map(torch.cat, zip(*parts))) if isinstance(parts[0], tuple) else torch.cat(parts)
            for name, parts in inputs.items()}


def token_weights(x, lengths, cap):
    """min(1, cap * median|x|^2 / |x_t|^2), the (lower) median being that of the token's own text."""
    parts = [part.square().sum(1) for part in x.split(lengths)]
    return torch.cat([(cap * part.median() / part).clamp_max(1) for part in parts])


def penalty(x, energy, weights, total=None, reference_trace=None):
    """U_k diag(h) U_k^T `[in, in]`, its rank, and the distance of the energy sum to the threshold. `total` divides the
    moment (the sum of the weights unless it is said), energies are relative to `reference_trace` or the moment's own."""
    moment = x.T @ (weights[:, None] * x) / (total or weights.sum())
    values, vectors = torch.linalg.eigh(moment)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    sums = values.cumsum(0) / values.sum()
    rank = len(values) if energy >= 1 else int((sums < energy).sum()) + 1
    margin = (sums - energy).abs().min().item() if energy < 1 else 1.0
    kept = vectors[:, :rank]
    h = values[:rank] * len(values) / (reference_trace or values.sum())
    return kept @ torch.diag(h) @ kept.T, rank, margin


def solve(d, matrix, strength):
    return torch.linalg.solve(torch.eye(len(matrix), dtype=torch.float64) + strength * matrix, d.T).T


def expert_inputs(module, leaf, x, chosen, weights):
    """For each expert the inputs of that tensor and the squared routing weights, of the tokens it sees."""
    result = []
    for expert in range(module.num_experts):
        position, token = torch.where(chosen.T == expert)
        values = x[token]
        if leaf == "down_proj":
            gate, up = torch.nn.functional.linear(values, module.gate_up_proj[expert].double()).chunk(2, dim=-1)
            values = module.act_fn(gate) * up
        result.append((values, weights[token, position].square()))
    return result


def sanitize_experts(d, module, leaf, inputs, strength, energy):
    """Each expert against its own moment over all T tokens, energies relative to the mean trace of the experts."""
    tokens = len(inputs[0])
    parts = expert_inputs(module, leaf, *inputs)
    trace = sum((w[:, None] * x.square()).sum() / tokens for x, w in parts) / len(parts)
    margins, new = [1.0], d.clone()
    for expert, (x, w) in enumerate(parts):
        if len(x):
            matrix, _, margin = penalty(x, energy, w, tokens, trace)
            new[expert] = solve(d[expert], matrix, strength)
            margins.append(margin)
    return new, min(margins)


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
    head = base.get_output_embeddings()
    head_name = next(name for name, module in modules.items() if module is head)
    result, ranks = {}, {}
    for name, after in unlearned.named_parameters():
        owner, leaf = name.rsplit(".", 1)
        module, w0, wu = modules[owner], before[name].double(), after.double()
        d = wu - w0
        if owner.endswith(".experts"):
            new, margin = sanitize_experts(d, module, leaf, inputs[owner], strength, energy)
            ranks[name] = None, margin
        elif d.ndim == 2 and not isinstance(module, torch.nn.Embedding):
            matrix, *ranks[name] = penalty_of(owner)
            transposed = type(module).__name__ == "Conv1D"
            new = solve(d.T if transposed else d, matrix, strength)
            new = new.T if transposed else new
        elif other == "keep":
            new = d
        elif other == "base":
            new = torch.zeros_like(d)
        elif leaf == "bias":
            new = d / (1 + strength)
        elif isinstance(module, torch.nn.Embedding):
            e = token_energies(inputs[owner], len(d))
            if head.weight is module.weight:
                matrix, *ranks[name] = penalty_of(head_name)
                # One system a distinct token frequency: rows that were seen equally often share it.
                new = torch.empty_like(d)
                for value in e.unique():
                    rows = e == value
                    new[rows] = solve(d[rows] / (1 + strength * value), matrix / (1 + strength * value), strength)
            else:
                new = d / (1 + strength * e)[:, None]
        else:  # a norm's gain: n_j from the normalized input
            n = normalized(module, inputs[owner]).pow(2).mean(0)
            new = d / (1 + strength * n / n.mean())
        result[name] = w0 + new
    return result, ranks


@torch.no_grad()
def forget_aware(base, unlearned, texts, forget, strength, floor):
    """{linear parameter: sanitized float64 tensor}: the X with X (A + strength S) = D A, where A = C + floor I, and S
    and C are the moments of retain and forget texts with mean eigenvalue 1."""
    inputs, before = [collect(base, one) for one in (texts, forget)], dict(base.named_parameters())
    modules, result = dict(base.named_modules()), {}
    for name, after in unlearned.named_parameters():
        module = modules[name.rsplit(".", 1)[0]]
        if after.ndim != 2 or isinstance(module, torch.nn.Embedding):
            continue
        s, c = (x.T @ x * (x.shape[1] / x.square().sum()) for x in (side[name.rsplit(".", 1)[0]] for side in inputs))
        d = after.double() - before[name].double()
        a = c + floor * torch.eye(len(c), dtype=torch.float64)
        result[name] = before[name].double() + torch.linalg.solve(a + strength * s, a @ d.T).T
    return result


@torch.no_grad()
def rollback_scores(base, unlearned, texts):
    """{parameter: float64 score of each channel, -inf where it has nothing to go back for}; None for biases."""
    inputs = collect(base, texts)
    modules, before = dict(base.named_modules()), dict(base.named_parameters())
    head = base.get_output_embeddings()
    head_name = next(name for name, module in modules.items() if module is head)
    result = {}
    for name, after in unlearned.named_parameters():
        owner, leaf = name.rsplit(".", 1)
        module, d = modules[owner], after.double() - before[name].double()
        if leaf == "bias":
            result[name] = None
            continue
        if isinstance(module, torch.nn.Embedding):
            scores, changed = token_energies(inputs[owner], len(d)), d.abs().sum(1) > 0
            if head.weight is module.weight:
                x = inputs[head_name]
                response = (d @ x.T).square().sum(1) / d.square().sum(1)
                scores = scores + response / (x.square().sum() / x.shape[1])
            changed &= scores > 0
        elif d.ndim == 2:
            x = inputs[owner]
            moment = x.T @ x / len(x)
            scores = torch.stack([d[:, j] @ (d @ moment[:, j]) / d[:, j].square().sum() for j in range(d.shape[1])])
            changed = d.abs().sum(0) > 0
        else:
            n = normalized(module, inputs[owner]).pow(2).mean(0)
            scores, changed = n / n.mean(), d != 0
        result[name] = scores.where(changed, torch.tensor(-torch.inf, dtype=torch.float64))
    return result
