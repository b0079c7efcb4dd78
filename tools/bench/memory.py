#!/usr/bin/env python3
"""The memory that sagesan says it needs, and what it takes, on pairs of random weights in the shapes of real models.

    scripts/bench --memory [--shape llama-8b ...] [--option "--energy 1"]

Of the large ones few of the layers, at the full width and vocabulary: they are run one after another. `predicted` is
what --dry-run says; `measured` the most resident memory that the operating system saw.
"""
import argparse
import json
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import whole_runs

#                hidden, inner, layers, heads, key-value heads, vocabulary, tied, texts, tokens of each
SHAPES = {
    "smollm2-135m": (576, 1536, 30, 9, 3, 49152, True, 204, 40),
    "smollm2-1.7b": (2048, 8192, 2, 32, 32, 49152, True, 24, 512),
    "llama-8b": (4096, 14336, 4, 32, 8, 128256, False, 4, 512),
}


def tensors(shape):
    hidden, inner, layers, heads, keys, vocabulary, tied, *_ = shape
    channels = hidden // heads
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(layers):
        for name, size in {
                "input_layernorm": (hidden,), "self_attn.q_proj": (heads * channels, hidden),
                "self_attn.k_proj": (keys * channels, hidden), "self_attn.v_proj": (keys * channels, hidden),
                "self_attn.o_proj": (hidden, heads * channels), "post_attention_layernorm": (hidden,),
                "mlp.gate_proj": (inner, hidden), "mlp.up_proj": (inner, hidden), "mlp.down_proj": (hidden, inner)}.items():
            yield f"model.layers.{layer}.{name}.weight", size
    yield "model.norm.weight", (hidden,)
    if not tied:
        yield "lm_head.weight", (vocabulary, hidden)


def make_pair(shape, path):
    """A base with a spectrum that falls, and a random update of every tensor, a hundredth of its size."""
    import torch
    from safetensors.torch import save_file

    hidden, inner, layers, heads, keys, vocabulary, tied, texts, tokens = shape
    generator = torch.Generator().manual_seed(1)
    for name in ("base", "unlearned"):
        (path / name).mkdir()
        (path / name / "config.json").write_text(json.dumps({
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": inner,
            "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": keys, "head_dim": hidden // heads,
            "vocab_size": vocabulary, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "max_position_embeddings": 2048, "tie_word_embeddings": tied, "torch_dtype": "bfloat16"}))
    falling = torch.arange(1, max(hidden, inner) + 1).float().rsqrt()
    base, unlearned = {}, {}
    for name, size in tensors(shape):
        if len(size) == 1:
            values = torch.ones(size)
        else:
            values = torch.randn(size, generator=generator) * falling[:size[1]] * (0.2 if "embed" in name else 0.05)
        base[name] = values.to(torch.bfloat16)
        noise = torch.randn(size, generator=generator).mul_(0.01 * values.std() if len(size) > 1 else 0.01)
        unlearned[name] = values.add_(noise).to(torch.bfloat16)
    save_file(base, path / "base/model.safetensors")
    save_file(unlearned, path / "unlearned/model.safetensors")
    rows = torch.randint(vocabulary, (texts, tokens), generator=generator).tolist()
    (path / "retain.jsonl").write_text("".join(json.dumps({"input_ids": row}) + "\n" for row in rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", choices=SHAPES, help="default: all of them")
    parser.add_argument("--option", default="", help="more options of sagesan sanitize")
    parser.add_argument("--sagesan", type=Path, default=whole_runs.SAGESAN)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, help="where the pairs are kept for another time")
    args = parser.parse_args()
    print("| shape | tokens | predicted | measured | ratio | seconds |\n|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="sagesan_bench_") as work:
        for name in args.shape or SHAPES:
            path = (args.work or Path(work)) / name
            if not path.exists():
                path.mkdir(parents=True)
                whole_runs.apart(make_pair, SHAPES[name], path)
            command = [args.sagesan, "sanitize", "--base", path / "base", "--unlearned", path / "unlearned", "--retain",
                       path / "retain.jsonl", "--threads", str(args.threads), "--out", path / "out", "--overwrite",
                       *shlex.split(args.option)]
            plan = subprocess.run([*command, "--dry-run"], check=True, capture_output=True, text=True).stdout
            predicted = int(re.search(r"about (\d+) MiB of memory", plan)[1])
            seconds, measured = whole_runs.run([*command, "--quiet"], args.threads)
            print(f"| {name} | {SHAPES[name][-2] * SHAPES[name][-1]} | {predicted} MiB | {measured:.0f} MiB | "
                  f"{predicted / measured:.2f} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
