#!/usr/bin/env python3
"""Makes the valid seeds of tests/fuzz/corpus: small files as the libraries write them that users have them from.

    build/python/bin/python tests/fuzz/make_corpus.py

What fuzzing found lies beside them and is left alone.
"""
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import safetensors.numpy
import numpy
import tokenizers
import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORDS = ["the cat sat on the mat", "Hello world, hello again!", "don't 12345 é世😀", "low lower lowest new newer newest"] * 4


def write(target, name, content):
    directory = HERE / "corpus" / target
    directory.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else (
        content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)).encode()
    (directory / name).write_bytes(data)


def json_files():
    write("json", "valid-kinds", {"a": [1, -2, 3.5e-7, True, None, "é\n\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")], "b": {}})
    write("json", "valid-numbers", "[9223372036854775807, -9223372036854775808, 1e308, 0.1]")
    write("json", "duplicate", r'{"a": 1, "\u0061": 2}')
    write("json", "deep", "[" * 200 + "]" * 200)


def weights():
    tensors = {"a.weight": numpy.ones((2, 3), numpy.float32), "b": numpy.zeros(4, numpy.int64), "empty": numpy.zeros((0, 2), numpy.float16)}
    write("safetensors", "valid-three", safetensors.numpy.save(tensors, {"format": "pt"}))
    write("safetensors", "overlap", (lambda h: struct.pack("<Q", len(h)) + h + b"12345678")(
        b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}'))
    write("index", "valid-two", {"metadata": {"total_size": 12}, "weight_map": {
        "a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}})
    write("index", "valid-part", {"weight_map": {"a": "model-1.safetensors"}})
    write("index", "escape", {"weight_map": {"a": "../model-1.safetensors"}})


def pairs():
    """One small model in the layouts that are paired with one another."""
    f = lambda *shape: numpy.arange(numpy.prod(shape), dtype=numpy.float32).reshape(shape)  # noqa: E731
    experts = "model.layers.0.mlp.experts."
    rest = {"model.embed_tokens.weight": f(4, 2), "model.norm.weight": f(2), "lm_head.weight": f(4, 2)}
    single = {f"{experts}{e}.{part}.weight": f(*shape) for e in range(2)
              for part, shape in (("gate_proj", (3, 2)), ("up_proj", (3, 2)), ("down_proj", (2, 3)))}
    fused = {experts + "gate_up_proj": f(2, 6, 2), experts + "down_proj": f(2, 2, 3)}
    write("pair", "valid-single", safetensors.numpy.save({**rest, **single}))
    write("pair", "valid-fused", safetensors.numpy.save({**rest, **fused, "model.rotary_emb.inv_freq": f(2)}))
    write("pair", "valid-wrapped", safetensors.numpy.save({"module." + name: value for name, value in {**rest, **single}.items()}))
    header = json.dumps({experts + "gate_up_proj": {"dtype": "F32", "shape": [1 << 50, 2, 0], "data_offsets": [0, 0]}}).encode()
    write("pair", "experts-without-elements", struct.pack("<Q", len(header)) + header)


def configurations():
    common = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 64,
              "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "hidden_act": "silu"}
    write("configuration", "valid-llama", {**common, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_key_value_heads": 2,
          "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                           "original_max_position_embeddings": 64}, "rope_theta": 500000.0, "eos_token_id": [1, 2]})
    write("configuration", "valid-gemma3", {**common, "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "head_dim": 8,
          "num_key_value_heads": 1, "hidden_activation": "gelu_pytorch_tanh", "sliding_window": 16, "query_pre_attn_scalar": 8,
          "layer_types": ["sliding_attention", "full_attention"], "rope_local_base_freq": 10000.0})
    write("configuration", "valid-mixtral", {**common, "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "num_key_value_heads": 2,
          "num_local_experts": 4, "num_experts_per_tok": 2})
    write("configuration", "valid-qwen3_moe", {**common, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "head_dim": 8,
          "num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1,
          "mlp_only_layers": [], "norm_topk_prob": True})
    write("configuration", "valid-gpt2", {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 32, "n_head": 4, "n_layer": 2,
          "n_positions": 64, "vocab_size": 64, "layer_norm_epsilon": 1e-5, "activation_function": "gelu_new"})
    write("configuration", "valid-phi3", {**common, "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "num_key_value_heads": 4,
          "original_max_position_embeddings": 64, "sliding_window": 32,
          "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}})
    write("configuration", "many-layers", {**common, "architectures": ["MixtralForCausalLM"], "num_key_value_heads": 2,
          "num_hidden_layers": 10000, "num_local_experts": 65536, "num_experts_per_tok": 2})
    write("configuration", "quantized", {**common, "architectures": ["LlamaForCausalLM"], "quantization_config": {"quant_method": "gptq"}})
    write("generation_config", "valid-list", {"eos_token_id": [1, 2], "repetition_penalty": 1.1, "do_sample": True})
    write("generation_config", "valid-one", {"eos_token_id": 2})


def adapters():
    write("adapter_configuration", "valid-plain", {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"],
          "fan_in_fan_out": False, "task_type": "CAUSAL_LM", "bias": "none", "peft_version": "0.17.0", "modules_to_save": None})
    write("adapter_configuration", "valid-patterns", {"peft_type": "LORA", "r": 8, "lora_alpha": 16, "use_rslora": True,
          "target_modules": "all-linear", "rank_pattern": {"q_proj": 2}, "alpha_pattern": {".*q_proj": 4}, "fan_in_fan_out": False})
    module = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    write("adapter_weights", "valid-plain", safetensors.numpy.save({
        module + "A.weight": numpy.ones((2, 3), numpy.float32), module + "B.weight": numpy.ones((4, 2), numpy.float32)}))


def pickles():
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "m.bin"
        shared = torch.arange(24, dtype=torch.float32)
        torch.save({"a": shared.view(4, 6), "b": shared[6:12], "c": torch.ones(4, dtype=torch.bfloat16)}, path)
        write("torch_archive", "valid-views", path.read_bytes())
        torch.save({"state_dict": {"w": torch.nn.Parameter(torch.ones(2, 2))}, "epoch": 3}, path)
        write("torch_archive", "valid-wrapped", path.read_bytes())
    # The pickle target has the storages 0 and 1 of 96 bytes.
    tensor = lambda key, kind, shape, stride: (  # noqa: E731
        b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\n" + kind + b"\nX\x01\0\0\0" + key
        + b"X\x03\0\0\0cpuK" + bytes([96 // 4]) + b"tQK\0(" + b"".join(b"K" + bytes([n]) for n in shape) + b"t("
        + b"".join(b"K" + bytes([n]) for n in stride) + b"t\x89ccollections\nOrderedDict\n)RtR")
    write("pickle", "valid-two", b"\x80\x02}(X\x01\0\0\0a" + tensor(b"0", b"FloatStorage", (4, 6), (6, 1))
          + b"X\x01\0\0\0b" + tensor(b"1", b"FloatStorage", (6, 4), (1, 6)) + b"u.")
    write("pickle", "code", b"cos\nsystem\n(X\x04\0\0\0truetR.")


def tokenizer_files():
    def train(model, trainer, **parts):
        made = tokenizers.Tokenizer(model)
        for name, part in parts.items():
            setattr(made, name, part)
        made.train_from_iterator(WORDS, trainer)
        return made.to_str()

    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = train(models.BPE(), trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                   special_tokens=["<s>", "</s>"], show_progress=False),
                 pre_tokenizer=byte_level, decoder=decoders.ByteLevel(), post_processor=processors.ByteLevel(trim_offsets=False))
    write("tokenizer_json", "valid-byte-level", text)
    made = json.loads(text)
    made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"},
         "behavior": "Isolated", "invert": False}, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
    write("tokenizer_json", "valid-split", made)
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "h", "e", "l", "o", "w", "r", "d", "he", "ll", "▁w", "llo", "hello"]
    write("tokenizer_json", "valid-metaspace", {
        "version": "1.0", "added_tokens": [{"id": 1, "content": "<s>", "special": True, "single_word": False, "lstrip": False, "rstrip": True, "normalized": False}],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": None, "truncation": None, "padding": None,
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                                                     {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "dropout": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "ignore_merges": False, "vocab": {piece: i for i, piece in enumerate(pieces)},
                  "merges": ["h e", "l l", "▁ w", ["ll", "o"], ["he", "llo"]]}})
    unigram = train(models.Unigram(), trainers.UnigramTrainer(vocab_size=60, special_tokens=["<unk>", "<s>"], unk_token="<unk>", show_progress=False),
                    pre_tokenizer=pre_tokenizers.Metaspace(), decoder=decoders.Metaspace(), normalizer=normalizers.Sequence([normalizers.NFC()]))
    write("tokenizer_json", "valid-unigram", unigram)
    double = {"type": "Replace", "pattern": {"String": "o"}, "content": "oo"}
    made = json.loads(text)
    made["normalizer"] = {"type": "Sequence", "normalizers": [double] * 40}
    write("tokenizer_json", "normalizers-that-double", made)
    made = json.loads(text)
    made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}] * 40}
    write("tokenizer_json", "letters-that-double", made)
    write("tokenizer_text", "valid-first", "\0Hello world's end\r\n  é世😀")
    write("tokenizer_text", "valid-second", "\1hello <s> world")
    write("tokenizer_text", "valid-third", "\2low lower 123")
    write("tokenizer_text", "no-utf8", b"\0\xc3(")
    for i, pattern in enumerate([r"\s+(?!\S)|\p{L}{2,}?|[^\r\n a-z]+", r"(?i:'s|'t)|é|(?<=a)b|\d{1,3}(?=(?:\d{3})+\s)?",
                                 r"[[:alpha:]]*+"]):
        write("pattern", f"{'valid-' if i < 2 else ''}{i}", pattern)
    write("pattern", "catastrophic", "(a+)+$")


def sentencepiece_files():
    with tempfile.TemporaryDirectory() as work:
        texts = Path(work) / "t.txt"
        texts.write_text("\n".join(WORDS * 20))
        subprocess.run(["spm_train", f"--input={texts}", f"--model_prefix={work}/m", "--vocab_size=300", "--model_type=bpe", "--byte_fallback=true",
                        "--normalization_rule_name=identity", "--remove_extra_whitespaces=false", "--minloglevel=2"], check=True)
        write("sentencepiece", "valid-bpe", (Path(work) / "m.model").read_bytes())
    write("special_tokens", "map", {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "unk_token": "<unk>"})
    write("special_tokens", "valid-added", {"<new>": 300})
    write("tokenizer_config", "valid-llama", {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>",
          "eos_token": "</s>", "unk_token": {"content": "<unk>", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, "__type": "AddedToken"},
          "legacy": True, "chat_template": "{{ bos_token }}{{ messages[0]['content'] }}"})


def texts():
    write("records", "valid-questions", "\1" + "".join(json.dumps(line) + "\n" for line in (
        {"question": "Who?", "answer": "Me.", "paraphrased_answer": "I am.", "perturbed_answer": ["You.", "They."]},
        {"question": "Where?\n", "answer": "Here."})))
    write("records", "valid-chat", "\4" + json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}) + "\r\n")
    write("records", "valid-ids", "\0" + '[{"input_ids": [1, 2, 3]}, {"text": "plain"}]')
    write("records", "valid-plain", "\0One paragraph\nof text.\n\nAnother.\n")
    write("records", "valid-fields", "\x18" + '{"text": "a", "answer": "b"}\n')
    write("records", "cut", "\0" + '{"text": "a"}\n{"text": "b')
    write("template_file", "valid-plain", "### Question: {question}\n### Answer: {answer}\n")
    write("template_file", "twice", "{question}{question}{answer}")


def moments():
    metadata = {"format": "sagesan-moments", "format_version": "1", "base_identity": "xxh3:0", "tokenizer_identity": "", "max_length": "512", "token_cap": "0",
                "retain_fields": '["text"]', "retain_template": "", "long_texts": "cut",
                "retain_files": json.dumps([{"name": "retain.jsonl", "xxh3": "00", "records": 3, "tokens": 9, "truncated": 0, "left_out": 0}])}
    one = numpy.float64
    tensors = {"layers.0.attention_input.count": numpy.int64(9), "layers.0.attention_input.weight": one(9), "layers.0.attention_input.sum": numpy.eye(2),
               "layers.0.attention_input.mean_sum": numpy.ones(2), "layers.0.attention_input.largest_token": one(3),
               "layers.0.mlp_input.count": numpy.int64(1), "layers.0.mlp_input.weight": one(1), "layers.0.mlp_input.rows": numpy.ones((1, 3), numpy.float32),
               "layers.0.mlp_input.mean_sum": numpy.ones(3), "layers.0.mlp_input.largest_token": one(1), "final_norm.count": numpy.int64(9),
               "final_norm.weight": one(9), "final_norm.sum": numpy.ones(2)}
    write("moments", "valid-three", safetensors.numpy.save({name: numpy.asarray(value) for name, value in tensors.items()}, metadata))
    # The target has a base of these tensors and sites of these names.
    linear = {"up.weight": {"kind": "linear", "site": "input"}, "down.weight": {"kind": "linear", "site": "hidden"}, "bias": {"kind": "bias"},
              "norm.weight": {"kind": "norm", "site": "norm"}}
    write("described_model", "valid-untied", {"architecture": "StableLmForCausalLM", "parameters": {
        **linear, "embedding.weight": {"kind": "embedding", "site": "ids"}, "head.weight": {"kind": "linear", "site": "final"}}})
    write("described_model", "valid-tied", {"architecture": "OPTForCausalLM", "tied_head": "head.weight", "parameters": {
        **linear, "up.weight": {"kind": "linear", "site": "hidden", "transposed": True},
        "embedding.weight": {"kind": "tied_embedding", "site": "ids", "head": "final"}}})
    write("described_model", "site-of-another-width", {"architecture": "a", "parameters": {"up.weight": {"kind": "linear", "site": "hidden"}}})


def command_files():
    write("manifest", "valid-two", {"defaults": {"base": "base", "retain": ["retain.jsonl"], "strength": 1}, "jobs": [
        {"name": "npo", "unlearned": "npo", "out": "clean/npo", "strength": 2.5}, {"unlearned": "ga", "out": "clean/ga", "target-bias": 0.1, "dtype": None}]})
    write("manifest", "defaults", {"defaults": {"name": "x", "quiet": 1}, "jobs": [{}]})
    write("config_file", "valid-both", '[sanitize]\nbase = "b"\nenergy = 0.9\nretain = ["a", "b"]\nstrength = 1\n'
          '[collect]\nbase = "b"\nretain = ["a"]\nout = "m.safetensors"\nmax-length = 1_00\n')
    write("config_file", "unknown", '[collect]\nmax_length = 0x10\n')


SCRIPT = "<script>stranger"  # what no page may hold


def scripted_report(report):
    report["tensors"][0]["name"] += SCRIPT
    report["options"]["include"] = [SCRIPT]
    report["model"]["architecture"] = report["inputs"]["retain"][0]["name"] = SCRIPT
    return report


def reports():
    """Of runs on the pair maker's smallest models: `sagesan demo` keeps its models for that."""
    with tempfile.TemporaryDirectory() as work:
        sagesan = ROOT / "build/release/sagesan"
        pair = Path(work) / "pair"
        subprocess.run([ROOT / "build/release/sagesan_make_pairs", pair, "1", "1", "0"], check=True)
        common = ["--quiet", "--base", pair / "base", "--unlearned", pair / "ga", "--retain", pair / "retain.jsonl"]
        subprocess.run([sagesan, "sanitize", *common, "--out", Path(work) / "out", "--include", r"layers\.0\..*"], check=True)
        report = json.loads((Path(work) / "out/sagesan_report.json").read_text())
        write("report", "valid-sanitize", report)
        write("figures", "valid-sanitize", report)
        write("report", "valid-script", scripted_report(report))
        few = Path(work) / "few.jsonl"
        few.write_text("".join((pair / "forget.jsonl").read_text().splitlines(keepends=True)[:2]))
        evaluation = json.loads(subprocess.run([sagesan, "evaluate", "--quiet", "--model", pair / "ga", "--data", f"forget={few}", "--forget", "forget", "--json", "-"],
                                               check=True, stdout=subprocess.PIPE).stdout)
        write("evaluation", "valid-one", evaluation)
        write("evaluation", "valid-script", {"data": {SCRIPT: evaluation["data"]["forget"]}})
        write("figures", "valid-evaluation", evaluation)
        sweep = json.loads(subprocess.run([sagesan, "sweep", *common, "--forget", few, "--retain-eval", few, "--methods", "sage", "--strengths", "1,3", "--json", "-"],
                                          check=True, stdout=subprocess.PIPE).stdout)
        write("figures", "valid-sweep", sweep)
    write("reference", "valid-own", {"data": {"forget": {"forget": True, "truth_ratio": {"value_by_index": {"0": {"score": 0.5}}}}}, "mia_min_k": {"agg_value": 0.4}})
    write("reference", "valid-open-unlearning", {"forget_truth_ratio": {"agg_value": 0.5, "value_by_index": {"0": {"score": 0.5}, "1": {"score": 2}}}})


if __name__ == "__main__":
    for make in (json_files, weights, pairs, configurations, adapters, pickles, tokenizer_files, sentencepiece_files, texts, moments, command_files, reports):
        make()
