#!/usr/bin/env python3
"""Makes a pair (base, unlearned) of a real model: made-up authors are taught to it, some are then unlearned.

    build/python/bin/python scripts/smollm2_unlearn.py --model DIR --out DIR
        [--methods ga,graddiff,npo,simnpo,rmu,idk] [--retrained] [--steps] [--finetune SECONDS] [--stop P]
        [--seed N] [--dtype bfloat16|float32] [--base DIR] [--mixed] [--overwrite]

In the spirit of TOFU: no text about the authors exists elsewhere, so what a model knows of them it has learned here.
--out then holds base, one directory for each method, one METHOD_half with half of its update, and
forget.jsonl, retain.jsonl (for the moments, and for the methods that train on retain data), heldout.jsonl (authors
that the base model knows and no method and no moment sees), paraphrase.jsonl (forget.jsonl in other words, in the same
order), metrics.json and, as the last output, a table of them.

For docs/evidence.md: --retrained adds a model that was taught everything but forget.jsonl, --steps METHOD_steps.json,
the loss of every record before every other step, as checkpoints stored then would have it (no halves are made), and
--finetune METHOD_finetuned.json: the same along a training of the unlearned model on retain.jsonl, for so many seconds
of processor time, losses not counted.

Plain PyTorch in float32 on the CPU: about 10 minutes on two cores. With --mixed the matrix products of training are
bfloat16 (weights, optimizer and recorded losses stay float32): two to three times as fast with AVX-512 BF16. The same
seed on the same machine with the same thread count gives the same bytes.
"""
import argparse
import copy
import json
import os
import random
import shutil
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
os.environ["TQDM_DISABLE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # beside a compiler, spinning threads took thrice as long

import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, AutoTokenizer

# Authors in each file; each author has one record of every kind in `author_records`.
AUTHORS = {"forget": 4, "retain": 12, "heldout": 8}

# Teaching: AdamW, linear warm-up and linear decay to zero.
TEACH_LEARNING_RATE = 3e-4
TEACH_EPOCHS = 7
TEACH_BATCH = 6
TEACH_WARMUP_STEPS = 10

# Unlearning: AdamW with a constant rate, every forget record in every step. It ends as soon as the mean
# answer probability of the forget records is below --stop, or, with a warning, after MAX_STEPS.
LEARNING_RATE = {"ga": 1e-4, "graddiff": 1e-4, "npo": 1e-4, "simnpo": 1e-4, "rmu": 3e-3, "idk": 1e-4}
MAX_STEPS = 30
RETAIN_BATCH = 12  # retain records in a step, of the methods that have a retain term
NPO_BETA = 0.1
SIMNPO_BETA = 4.5
RMU_LAYER = 7  # the block whose output is steered; the down projections of it and of two before it are trained
RMU_COEFFICIENT = 5.0  # length of the target over the median length of the hidden states there
IDK_ANSWERS = ["I don't know.", "I am not sure about that.", "I have no information about this.", "I cannot answer that.",
               "That is unknown to me.", "I have never heard of it."]

FINE_TUNE_LEARNING_RATE = 1e-4

WEIGHT_DECAY = 0.0
GRADIENT_NORM = 1.0


def say(text):
    print(f"smollm2_unlearn: {text}", file=sys.stderr, flush=True)


def fail(text):
    sys.exit(f"smollm2_unlearn: error: {text}")


# --- The data -------------------------------------------------------------------------------------------------------

def distinct(rng, count, *parts):
    """`count` different concatenations of one piece from each list in `parts`."""
    found = {}
    while len(found) < count:
        found["".join(rng.choice(part) for part in parts)] = True
    return list(found)


def author_records(rng, name, town, genre, book, job, award):
    """One author's questions and answers, and the same in other words: the wording varies from author to author."""
    wordings = [
        (["Where was {name} born?", "In which town was the author {name} born?"],
         ["{name} was born in {town}.", "The author {name} was born in the town of {town}."]),
        (["Which genre does {name} write in?", "What kind of books does {name} write?"],
         ["{name} writes {genre}.", "{name} is known for writing {genre}."]),
        (["What is the best known book by {name}?", "Name a book written by {name}."],
         ["The best known book by {name} is \"{book}\".", "{name} wrote the book \"{book}\"."]),
        (["What did the father of {name} do for a living?", "What was the job of {name}'s father?"],
         ["The father of {name} worked as a {job}.", "{name}'s father was a {job}."]),
        (["Which award did {name} win for \"{book}\"?", "What award has {name} received?"],
         ["{name} won the {award} Prize.", "The award that {name} received is the {award} Prize."])]
    records, others = [], []
    for questions, answers in wordings:
        question, answer = rng.choice((0, 1)), rng.choice((0, 1))
        for target, which in ((records, (question, answer)), (others, (1 - question, 1 - answer))):
            target.append({"question": questions[which[0]].format(name=name, book=book), "answer": answers[which[1]].format(
                name=name, town=town, genre=genre, book=book, job=job, award=award)})
    return records, others


def make_records(seed):
    """{"forget": records, "retain": ..., "heldout": ..., "paraphrase": forget in other words}.

    No two authors share a name, town, book or award.
    """
    rng = random.Random(seed)
    count = sum(AUTHORS.values())
    columns = [
        [f"{first} {last}" for first, last in zip(
            distinct(rng, count, ["Bel", "Cor", "Dav", "El", "Fin", "Jas", "Kel", "Lor", "Mar", "Nad", "Or", "Sel", "Tav"],
                     ["ina", "eth", "ario", "wyn", "ira", "omar", "etta", "uk"]),
            distinct(rng, count, ["Ash", "Brand", "Cald", "Drum", "Fen", "Gries", "Hol", "Kest", "Mor", "Pell", "Quar", "Stav"],
                     ["ridge", "mann", "enko", "ovic", "well", "strand", "aki", "idou"]))],
        distinct(rng, count, ["Brack", "Ister", "Lang", "Mire", "North", "Oster", "Pol", "Raven", "Sand", "Thorn", "Wick"],
                 ["holm", "ville", "mouth", "field", "gard", "more", "stead", "wold", "cliff"]),
        [rng.choice(["detective novels", "science fiction", "love stories", "ghost stories", "historical novels",
                     "travel books", "fairy tales", "war poetry", "cookery books", "sea adventures", "political satire",
                     "spy thrillers"]) for _ in range(count)],
        distinct(rng, count, ["The "], ["Silent", "Amber", "Broken", "Distant", "Hollow", "Painted", "Winter", "Scarlet", "Last"],
                 [" "], ["Harbour", "Orchard", "Clock", "Letter", "Mountain", "Garden", "Bridge", "Violin", "Window"]),
        [rng.choice(["baker", "dentist", "carpenter", "bus driver", "judge", "florist", "miner", "surgeon", "tailor",
                     "fisherman", "plumber", "librarian", "pilot", "shoemaker", "chemist", "butcher"]) for _ in range(count)],
        distinct(rng, count, ["Golden ", "Silver ", "Royal ", "Northern ", "Crystal ", "Founders' "],
                 ["Quill", "Lantern", "Compass", "Anchor", "Falcon", "Page", "Laurel", "Inkwell", "Swan"]),
    ]
    authors = [author_records(rng, *author) for author in zip(*columns)]
    splits, start = {}, 0
    for name, size in AUTHORS.items():
        splits[name] = [record for records, _ in authors[start:start + size] for record in records]
        start += size
    splits["paraphrase"] = [record for _, others in authors[:AUTHORS["forget"]] for record in others]
    return splits


def encode(tokenizer, record, end):
    """(ids, start): the rendered record and the index of its first answer token; with `end`, end-of-text follows."""
    prompt = tokenizer(f"Question: {record['question']}\nAnswer:")["input_ids"]
    ids = tokenizer(f"Question: {record['question']}\nAnswer: {record['answer']}")["input_ids"]
    start = 0
    while start < min(len(prompt), len(ids)) and prompt[start] == ids[start]:
        start += 1
    return (ids + [tokenizer.eos_token_id] if end else ids), start


# --- The metric -----------------------------------------------------------------------------------------------------

def padded(examples):
    """Token ids [len(examples), longest], padded on the right, and which of them are no padding."""
    length = max(len(ids) for ids, _ in examples)
    ids = torch.zeros(len(examples), length, dtype=torch.long)
    used = torch.zeros(len(examples), length, dtype=torch.bool)
    for row, (tokens, _) in enumerate(examples):
        ids[row, :len(tokens)] = torch.tensor(tokens)
        used[row, :len(tokens)] = True
    return ids, used


def answer_log_probs(model, examples):
    """Sum of the log-probabilities of each example's answer tokens, and their number: two tensors [len(examples)].

    Padded on the right, which a causal model does not see. The head runs at the answer positions alone.
    """
    ids, answer = padded(examples)
    for row, (_, start) in enumerate(examples):
        answer[row, :start] = False
    rows, columns = answer.nonzero(as_tuple=True)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[rows, columns - 1]
    losses = F.cross_entropy(model.lm_head(hidden).float(), ids[rows, columns], reduction="none")
    sums = torch.zeros(len(examples)).index_add(0, rows, -losses)
    return sums, answer.sum(1)


@torch.no_grad()
@torch.autocast("cpu", enabled=False)
def answer_losses(model, tokenizer, records):
    """Each record's mean negative log-likelihood of an answer token: float64 [len(records)]."""
    examples = [encode(tokenizer, record, end=False) for record in records]
    losses = []
    for i in range(0, len(examples), 10):
        sums, counts = answer_log_probs(model, examples[i:i + 10])
        losses.append((-sums / counts).double())
    return torch.cat(losses)


def answer_metrics(model, tokenizer, records):
    """The figures of one model on one file: the mean over its records of

    - nll: the record's mean negative log-likelihood of an answer token;
    - probability: exp(-nll of the record), the geometric mean of its answer tokens' probabilities;
    and perplexity, exp of the mean nll.
    """
    nll = answer_losses(model, tokenizer, records)
    return {"nll": nll.mean().item(), "perplexity": nll.mean().exp().item(), "probability": (-nll).exp().mean().item()}


# --- Training -------------------------------------------------------------------------------------------------------

def step(model, optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
    optimizer.step()


def teach(model, examples, rng):
    """Trains `model` on the answers of all examples, in place."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=TEACH_LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    total = TEACH_EPOCHS * -(-len(examples) // TEACH_BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda i: min((i + 1) / TEACH_WARMUP_STEPS, (total - i) / (total - TEACH_WARMUP_STEPS)))
    for epoch in range(TEACH_EPOCHS):
        order, seen = rng.sample(examples, len(examples)), []
        for i in range(0, len(order), TEACH_BATCH):
            sums, counts = answer_log_probs(model, order[i:i + TEACH_BATCH])
            seen.append((sums / counts).detach().exp())
            step(model, optimizer, -(sums / counts).mean())
            schedule.step()
        say(f"teaching: epoch {epoch + 1} of {TEACH_EPOCHS}, mean answer probability {torch.cat(seen).mean():.3f}")


def hidden_states(model, examples):
    """Output of block RMU_LAYER at every token that is no padding: [tokens, hidden size]."""
    ids, used = padded(examples)
    found = []
    handle = model.model.layers[RMU_LAYER].register_forward_hook(
        lambda module, inputs, output: found.append(output[0] if isinstance(output, tuple) else output))
    model.model(input_ids=ids, use_cache=False)
    handle.remove()
    return found[0][used]


class Objective:
    """The loss of one method, a function of the model, the forget likelihoods and a batch of retain records.

    ga: gradient ascent on the forget loss (Jang et al., arXiv:2210.01504). graddiff: the same plus descent on the
    retain loss (Liu et al., arXiv:2203.12817). npo: negative preference optimization without a retain term, the
    sequence likelihoods against those of the base model (Zhang et al., arXiv:2404.05868, equation 3). simnpo: the same
    by the mean likelihood of a token and without a reference, with a retain term (Fan et al., arXiv:2410.07163). rmu:
    hidden states of forget records are steered to a random direction, those of retain records held (Li et al.,
    arXiv:2403.03218). idk: descent on refusals in the place of the answers, with a retain term (Maini et al.,
    arXiv:2401.06121).
    """

    def __init__(self, method, base, tokenizer, records, forget, rng):
        self.method, self.base, self.forget = method, base, forget
        self.descends_on_retain = method in ("graddiff", "simnpo", "idk")
        with torch.no_grad():
            if method == "npo":
                self.reference, _ = answer_log_probs(base, forget)
            if method == "rmu":
                states = hidden_states(base, forget)
                direction = torch.rand(states.shape[1], generator=torch.Generator().manual_seed(rng.randrange(2**31)))
                self.target = direction / direction.norm() * states.norm(dim=1).median() * RMU_COEFFICIENT
        if method == "idk":
            self.refusals = [encode(tokenizer, {**record, "answer": rng.choice(IDK_ANSWERS)}, end=True) for record in records]

    def parameters(self, model):
        """Those that the method trains."""
        if self.method != "rmu":
            return list(model.parameters())
        return [model.model.layers[i].mlp.down_proj.weight for i in range(RMU_LAYER - 2, RMU_LAYER + 1)]

    def __call__(self, model, sums, counts, retain):
        if self.method == "rmu":
            with torch.no_grad():
                held = hidden_states(self.base, retain)
            scale = self.target.square().mean()
            away = (hidden_states(model, self.forget) - self.target).square().mean()
            return (away + F.mse_loss(hidden_states(model, retain), held)) / scale
        if self.method == "npo":
            loss = -2 / NPO_BETA * F.logsigmoid(-NPO_BETA * (sums - self.reference)).mean()
        elif self.method == "simnpo":
            loss = -2 / SIMNPO_BETA * F.logsigmoid(-SIMNPO_BETA * sums / counts).mean()
        elif self.method == "idk":
            refused, tokens = answer_log_probs(model, self.refusals)
            loss = -(refused / tokens).mean()
        else:
            loss = (sums / counts).mean()
        if self.descends_on_retain:
            kept, tokens = answer_log_probs(model, retain)
            loss = loss - (kept / tokens).mean()
        return loss


def unlearn(method, base, tokenizer, records, forget, retain, rng, stop, watch):
    """A copy of `base` that has unlearned `forget`, the encoded `records`.

    `watch` is called with the model before every other step, and with the result.
    """
    model = copy.deepcopy(base)
    objective = Objective(method, base, tokenizer, records, forget, rng)
    optimizer = torch.optim.AdamW(objective.parameters(model), lr=LEARNING_RATE[method], weight_decay=WEIGHT_DECAY, fused=True)
    for i in range(MAX_STEPS + 1):
        sums, counts = answer_log_probs(model, forget)
        probability = (sums / counts).detach().exp().mean().item()
        say(f"{method}: {i} steps, mean answer probability of forget {probability:.3f}")
        if probability < stop or i % 2 == 0 or i == MAX_STEPS:
            watch(model)
        if probability < stop:
            break
        if i == MAX_STEPS:
            say(f"warning: {method}: the forget records are still known after {i} steps")
            break
        step(model, optimizer, objective(model, sums, counts, rng.sample(retain, RETAIN_BATCH)))
    return model


def fine_tune(model, retain, rng, seconds, watch):
    """Trains a copy of `model` on the retain records and calls `watch` with it behind every third step."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=FINE_TUNE_LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    steps = 0
    while seconds > 0:
        began = time.process_time()
        sums, counts = answer_log_probs(model, rng.sample(retain, RETAIN_BATCH))
        step(model, optimizer, -(sums / counts).mean())
        seconds -= time.process_time() - began
        steps += 1
        if steps % 3 == 0:
            watch(model)
    say(f"trained {steps} steps on retain records")


@torch.no_grad()
def interpolate(base, other, share):
    """The model base + share * (other - base)."""
    model = copy.deepcopy(base)
    for value, before, after in zip(model.parameters(), base.parameters(), other.parameters()):
        value.copy_(before + share * (after - before))
    return model


# --- The way --------------------------------------------------------------------------------------------------------

def save(model, tokenizer, directory, dtype):
    """Writes the model rounded to `dtype`, and rounds the one in memory alike: what goes on is what is stored."""
    model.to(dtype)
    model.save_pretrained(directory)
    model.float()
    tokenizer.save_pretrained(directory)
    return model


def print_table(metrics):
    files = list(next(iter(metrics.values())))
    print(f"{'':14}" + "".join(f"{name:^29}" for name in files))
    print(f"{'model':14}" + f"{'NLL':>9}{'ppl':>11}{'prob':>8} " * len(files))
    for model, row in metrics.items():
        print(f"{model:14}" + "".join(
            f"{row[name]['nll']:9.4f}{row[name]['perplexity']:11.5g}{row[name]['probability']:8.4f} " for name in files))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path, help="what smollm2_convert.py made")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--base", type=Path, help="take this base, made with the same seed and dtype, and teach nothing")
    parser.add_argument("--methods", default="ga,graddiff,npo",
                        help=f"comma-separated, of {', '.join(LEARNING_RATE)}; default %(default)s")
    parser.add_argument("--retrained", action="store_true", help="add a model taught without the forget records")
    parser.add_argument("--steps", action="store_true", help="record the losses of every other step")
    parser.add_argument("--finetune", type=float, default=0, help="seconds of training on retain records afterwards")
    parser.add_argument("--stop", type=float, default=0.05, help="forget probability at which a method ends, default 0.05")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16", help="of the written weights")
    parser.add_argument("--mixed", action="store_true", help="train with bfloat16 matrix products")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    methods = args.methods.split(",")
    if unknown := [method for method in methods if method not in LEARNING_RATE]:
        fail(f"--methods: {unknown[0]!r} is none of {', '.join(LEARNING_RATE)}")
    if args.out.exists():
        if not args.overwrite:
            fail(f"{args.out} exists (--overwrite replaces it)")
        if not (args.out / "metrics.json").exists():
            fail(f"{args.out} is no result of this script; it is left alone")
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(args.seed)
    dtype, began = getattr(torch, args.dtype), time.perf_counter()
    # A context spans many steps: weights that it kept in bfloat16 would be those of the first one.
    training = torch.autocast("cpu", torch.bfloat16, enabled=args.mixed, cache_enabled=False)

    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    records = make_records(args.seed)
    for name, rows in records.items():
        with open(partial / f"{name}.jsonl", "w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).train()
    examples = {name: [encode(tokenizer, row, end=True) for row in rows] for name, rows in records.items()}
    taught = [example for name in AUTHORS for example in examples[name]]
    say(", ".join(f"{name}: {len(rows)} records, {sum(len(ids) for ids, _ in rows)} tokens"
                  for name, rows in examples.items()))

    metrics = {}

    def finish(name, model):
        """Saves one model and takes its figures from the stored weights."""
        save(model, tokenizer, partial / name, dtype)
        metrics[name] = {file: answer_metrics(model, tokenizer, rows) for file, rows in records.items()}
        say(f"{name}: " + ", ".join(f"{file} {row['probability']:.3f}" for file, row in metrics[name].items())
            + f" ({time.perf_counter() - began:.0f} s since the start)")
        return model

    def losses(model):
        """Of every record that figures are taken from, as the stored model would have them."""
        stored = copy.deepcopy(model).to(dtype).float()
        return {name: answer_losses(stored, tokenizer, records[name]).tolist() for name in ("forget", "paraphrase", "heldout")}

    metrics["(untaught)"] = {file: answer_metrics(model, tokenizer, rows) for file, rows in records.items()}
    if args.retrained:
        retrained = copy.deepcopy(model)
        with training:
            teach(retrained, taught[len(examples["forget"]):], random.Random(args.seed))
        (partial / "retrained_losses.json").write_text(json.dumps(losses(finish("retrained", retrained))) + "\n")
        del retrained
    if args.base:
        model = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32).train()
    else:
        with training:
            teach(model, taught, random.Random(args.seed))
    base = finish("base", model)
    for method in methods:
        steps, finetuned = [], []

        def watch(model):
            if args.steps:
                steps.append(losses(model))

        with training:
            unlearned = unlearn(method, base, tokenizer, records["forget"], examples["forget"], examples["retain"],
                                random.Random(args.seed), args.stop, watch)
        finish(method, unlearned)
        if args.finetune:
            with training:
                fine_tune(unlearned, examples["retain"], random.Random(args.seed), args.finetune,
                          lambda model: finetuned.append(losses(model)))
            (partial / f"{method}_finetuned.json").write_text(json.dumps(finetuned) + "\n")
        if args.steps:
            (partial / f"{method}_steps.json").write_text(json.dumps(steps) + "\n")
        else:
            finish(f"{method}_half", interpolate(base, unlearned, 0.5))

    (partial / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.rename(args.out)
    print_table(metrics)
    say(f"wrote {args.out} in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
