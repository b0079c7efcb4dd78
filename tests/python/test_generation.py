"""The answers of `sagesan evaluate --generate` against `generate` of transformers, and their ROUGE against rouge-score, with
the texts that open-unlearning compares (src/evals/metrics/utils.py eval_text_similarity, written anew from it).
"""
import json
import random
import subprocess

import numpy as np
import pytest
import torch
from conftest import BUILD, make_model, perturb
from families import CONFIGS, VOCABULARY, gpt2
from rouge_score import rouge_scorer
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

ENDS = [2, *range(20, 28)]
STEMS = "tree cat dog book write read born city year author novel river stone light walk carry happi nation".split()
WORDS = [stem + ending for ending in ("", "s", "ing", "ed", "er", "ly") for stem in STEMS]
FAMILIES = ["llama", "mistral_window", "qwen2_window", "qwen3", "gemma", "gemma2", "gemma3", "gpt2", "gpt_neox", "phi",
            "phi3_longrope", "olmo2", "mixtral_window", "qwen2_moe", "qwen3_moe"]
PENALTIES = {"qwen3": 1.3, "gpt2": 0.9}
NEW_TOKENS = 24


@pytest.fixture(scope="module")
def tokenizer():
    """Words, some ends of text, and the marks that the clean-up of spaces moves."""
    tokens = ["<unk>", "<s>", "</s>", "▁", "Question:", "Answer:", "?", "▁.", "▁,", "▁'s", "▁n't", "\n"]
    tokens += [f"<x{i}>" for i in range(len(tokens), 20)] + [f"<end{i}>" for i in range(20, 28)]
    tokens += ["▁" + word for word in WORDS]
    tokens = tokens[:VOCABULARY]
    assert len(tokens) == VOCABULARY
    result = Tokenizer(models.Unigram([(token, -1.0 - i / 100) for i, token in enumerate(tokens)], unk_id=0))
    result.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    result.decoder = decoders.Metaspace(prepend_scheme="never")
    result.add_special_tokens([AddedToken(tokens[i], special=True, normalized=False) for i in (0, 1, *ENDS)])
    return result


@pytest.fixture(scope="module")
def records():
    generator = random.Random(7)

    def sentence(least, most):
        return " ".join(generator.choice(WORDS[:90]) for _ in range(generator.randint(least, most)))

    return [{"question": sentence(2, 16) + "?", "answer": sentence(1, 40) + generator.choice([" .", " n't", ""])}
            for _ in range(12)]


def expected_answers(model, tokenizer, records, penalty, **options):
    clean = PreTrainedTokenizerFast(tokenizer_object=tokenizer).clean_up_tokenization
    scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    found = []
    for record in records:
        prompt = tokenizer.encode(f"Question: {record['question']}\nAnswer:").ids
        whole = tokenizer.encode(f"Question: {record['question']}\nAnswer: {record['answer']}").ids
        assert whole[:len(prompt)] == prompt
        with torch.no_grad():
            output = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                                    do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=ENDS, pad_token_id=0,
                                    repetition_penalty=penalty, **options)
        prompt, whole, text = (clean(tokenizer.decode(ids, skip_special_tokens=True))
                               for ids in (prompt, whole, output[0, len(prompt):].tolist()))
        truth, text = whole.replace(prompt, "").strip(), text.strip()
        score = scorer.score(truth, text)
        found.append({"rouge1_recall": score["rouge1"].recall, "rougeL_f1": score["rougeL"].fmeasure,
                      "rougeL_recall": score["rougeL"].recall, "input": prompt, "ground_truth": truth, "generation": text})
    return found


def evaluate(*words):
    done = subprocess.run([BUILD / "sagesan", "evaluate", *map(str, words), "--device", "cpu", "--json", "-"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def compare(said, expected):
    assert list(map(int, said["rougeL_recall"]["value_by_index"])) == sorted(range(len(expected)), key=str)
    for index, answer in enumerate(expected):
        own = said["rougeL_recall"]["value_by_index"][str(index)]
        assert own.keys() == answer.keys()
        for key in ("input", "ground_truth", "generation"):
            assert own[key] == answer[key], index
        for key in ("rouge1_recall", "rougeL_f1", "rougeL_recall"):
            assert own[key] == pytest.approx(answer[key], abs=1e-12)
    for key in ("rouge1_recall", "rougeL_f1", "rougeL_recall"):
        assert said[key]["agg_value"] == pytest.approx(np.mean([answer[key] for answer in expected]), abs=1e-12)


def save(directory, model, tokenizer, penalty):
    model.save_pretrained(directory)
    tokenizer.save(str(directory / "tokenizer.json"))
    (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": ENDS, "repetition_penalty": penalty}))


@pytest.mark.parametrize("name", FAMILIES)
def test_answers_of_every_family(name, tokenizer, records, tmp_path):
    model, penalty = make_model(CONFIGS[name]), PENALTIES.get(name, 1.0)
    save(tmp_path / "model", model, tokenizer, penalty)
    (tmp_path / "data.json").write_text(json.dumps(records))
    said = evaluate("--model", tmp_path / "model", "--data", f"own={tmp_path / 'data.json'}", "--generate",
                    "--max-new-tokens", NEW_TOKENS)
    # Where the angles change as a text grows, keys made before are no longer right: of such a model the whole text
    # counts.
    expected = expected_answers(model, tokenizer, records, penalty, use_cache="longrope" not in name)
    lengths = {len(answer["generation"].split()) for answer in expected}
    assert len(lengths) > 3, lengths  # some end by themselves
    compare(said["data"]["own"], expected)


def test_several_models_and_data_sets_in_little_memory(tokenizer, records, tmp_path):
    """One byte: each text by itself, all weights read again for every token."""
    words, expected = [], {}
    model = make_model(CONFIGS["gemma3"])
    for name in ("base", "unlearned"):
        save(tmp_path / name, model, tokenizer, 1.0)
        words += ["--model", tmp_path / name]
        expected[name] = expected_answers(model, tokenizer, records, 1.0)
        perturb(model, scale=0.1)
    # Of the second model nothing but the weights counts.
    (tmp_path / "unlearned" / "generation_config.json").write_text('{"eos_token_id": 29}')
    (tmp_path / "unlearned" / "tokenizer.json").unlink()
    assert expected["base"] != expected["unlearned"]
    for name, part in (("first", records[:5]), ("second", records[5:])):
        (tmp_path / f"{name}.json").write_text(json.dumps(part))
        words += ["--data", f"{name}={tmp_path / name}.json"]
    (tmp_path / "texts.json").write_text(json.dumps(["cats walk", "a dog"]))
    words += ["--data", f"texts={tmp_path / 'texts.json'}", "--generate", "--max-new-tokens", NEW_TOKENS]
    said = evaluate(*words, "--generate-memory", 1)
    for name, answers in expected.items():
        data = said["models"][name]["data"]
        compare(data["first"], answers[:5])
        compare(data["second"], answers[5:])
        assert "rougeL_recall" not in data["texts"]
    assert said == evaluate(*words)


def test_learned_positions_end_a_text(tokenizer, records, tmp_path):
    """And nothing else does where the list of ends is empty."""
    positions = 64
    config = gpt2(n_positions=positions)
    model = make_model(config)
    model.generation_config.eos_token_id = None
    save(tmp_path / "model", model, tokenizer, 1.0)
    (tmp_path / "model" / "generation_config.json").write_text('{"eos_token_id": []}')
    (tmp_path / "data.json").write_text(json.dumps(records[:4]))
    said = evaluate("--model", tmp_path / "model", "--data", f"own={tmp_path / 'data.json'}", "--generate")
    for index, record in enumerate(records[:4]):
        prompt = tokenizer.encode(f"Question: {record['question']}\nAnswer:").ids
        with torch.no_grad():
            output = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=positions - len(prompt),
                                    pad_token_id=0, attention_mask=torch.ones(1, len(prompt), dtype=torch.long))[0]
        assert len(output) == positions
        clean = PreTrainedTokenizerFast(tokenizer_object=tokenizer).clean_up_tokenization
        text = clean(tokenizer.decode(output[len(prompt):].tolist(), skip_special_tokens=True)).strip()
        assert said["data"]["own"]["rougeL_recall"]["value_by_index"][str(index)]["generation"] == text
