"""`sagesan evaluate` against open-unlearning's definitions (src/evals/metrics, written anew from them) on transformers'
logits, and its statistics against SciPy, scikit-learn, NLTK and rouge-score.
"""
import json
import random
import re
import string
import subprocess

import numpy as np
import pytest
import torch
from conftest import BUILD, make_model, perturb
from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer
from scipy import stats
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig

WORDS = "the a cat dog book writes reads born in Paris Rome year author novel river stone light never always".split()


def sentence(generator, words):
    return " ".join(generator.choice(WORDS) for _ in range(words))


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """Three models with one tokenizer, and TOFU's kinds of files."""
    directory = tmp_path_factory.mktemp("evaluate")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([" ".join(WORDS), string.printable],
                                  trainers.BpeTrainer(vocab_size=340, special_tokens=["<eos>"],
                                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                                      show_progress=False))
    config = LlamaConfig(hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=2,
                         num_key_value_heads=1, head_dim=12, vocab_size=tokenizer.get_vocab_size())
    model = make_model(config)
    found = {}
    for name in ("base", "unlearned", "sanitized"):
        model.save_pretrained(directory / name)
        tokenizer.save(str(directory / name / "tokenizer.json"))
        found[name] = {key: value.clone() for key, value in model.state_dict().items()}
        perturb(model, scale=0.05)
    generator = random.Random(3)
    files = {}
    for name, count in (("forget", 12), ("retain", 9), ("holdout", 10)):
        files[name] = [{"question": sentence(generator, 5) + "?", "answer": sentence(generator, generator.randint(1, 12)),
                        "paraphrased_answer": sentence(generator, 6),
                        "perturbed_answer": [sentence(generator, generator.randint(1, 9)) for _ in range(5)]}
                       for _ in range(count)]
        if name == "holdout":
            for record in files[name]:
                del record["paraphrased_answer"], record["perturbed_answer"]
        (directory / f"{name}.json").write_text(json.dumps(files[name]))
    return directory, tokenizer, config, found, files


def scores(model, tokenizer, question, answer):
    """Log-likelihoods of the answer's tokens, and whether each is the likeliest, in float64."""
    prompt = f"Question: {question}\nAnswer:"
    start, ids = len(tokenizer.encode(prompt).ids), tokenizer.encode(f"{prompt} {answer}").ids
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0, :-1].double()
    targets = torch.tensor(ids[1:])
    likelihoods = torch.log_softmax(logits, -1).gather(1, targets[:, None])[:, 0]
    return likelihoods[start - 1:].numpy(), (logits.argmax(-1) == targets)[start - 1:].numpy()


def extraction_strength(right):
    right = right[:-1]
    if len(right) == 0:
        return 0
    for k in range(len(right)):
        if right[k:].all():
            break
    return 1 - k / len(right)


def min_k(likelihoods, k):
    inner = likelihoods[:-1]
    return -np.sort(inner)[:max(1, int(len(inner) * k))].mean() if len(inner) else 0


def truth_ratio(record, own):
    correct = np.exp(own(record.get("paraphrased_answer", record["answer"])).mean())
    wrong = np.exp(np.mean([own(answer).mean() for answer in record["perturbed_answer"]]))
    return wrong / (correct + 1e-10)


def by_index(figure, key="score"):
    return [figure["value_by_index"][str(i)][key] for i in range(len(figure["value_by_index"]))]


def run(*words):
    done = subprocess.run([BUILD / "sagesan", "evaluate", *map(str, words), "--device", "cpu"], capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_figures_of_several_models(bench):
    directory, tokenizer, config, weights, files = bench
    words = [word for name in weights for word in ("--model", f"{name}={directory / name}")]
    words += [word for name in files for word in ("--data", f"{name}={directory / name}.json")]
    result = json.loads(run(*words, "--forget", "forget", "--holdout", "holdout", "--min-k", 0.3, "--json", "-"))
    model = make_model(config)
    assert result["models"].keys() == weights.keys()
    for name, state in weights.items():
        model.load_state_dict(state)
        model.eval()
        attack = {}
        for data, records in files.items():
            said = result["models"][name]["data"][data]
            own = [scores(model, tokenizer, record["question"], record["answer"]) for record in records]
            losses = [-likelihoods.mean() for likelihoods, _ in own]
            assert by_index(said["probability"], "avg_loss") == pytest.approx(losses, abs=1e-5)
            assert by_index(said["probability"], "prob") == pytest.approx(np.exp(-np.array(losses)), abs=1e-6)
            assert said["probability"]["agg_value"] == pytest.approx(np.exp(-np.array(losses)).mean(), abs=1e-6)
            assert said["mean_answer_probability"] == pytest.approx(said["probability"]["agg_value"], abs=1e-15)
            exact = {str(i): right[:-1].mean() for i, (_, right) in enumerate(own) if len(right) > 1}
            found = {i: value["score"] for i, value in said["exact_memorization"]["value_by_index"].items()}
            assert found == pytest.approx(exact, abs=1e-12)
            assert said["exact_memorization"]["agg_value"] == pytest.approx(np.mean(list(exact.values())), abs=1e-12)
            strengths = [extraction_strength(right) for _, right in own]
            assert by_index(said["extraction_strength"]) == pytest.approx(strengths, abs=1e-12)
            attack[data] = [min_k(likelihoods, 0.3) for likelihoods, _ in own]
            if data == "holdout":
                assert said["truth_ratio"] is None and said["perturbed_probability"] is None
                continue
            ratios = np.array([truth_ratio(record, lambda answer: scores(model, tokenizer, record["question"], answer)[0])
                               for record in records])
            assert by_index(said["truth_ratio"]) == pytest.approx(ratios, rel=1e-4)
            better = np.minimum(ratios, 1 / (ratios + 1e-10)) if data == "forget" else np.maximum(0, 1 - ratios)
            assert said["truth_ratio"]["agg_value"] == pytest.approx(better.mean(), abs=1e-5)
            assert len(said["perturbed_probability"]["value_by_index"]["0"]["prob"]) == 5
        auc = roc_auc_score([0] * len(attack["forget"]) + [1] * len(attack["holdout"]),
                            attack["forget"] + attack["holdout"])
        assert result["models"][name]["mia_min_k"]["agg_value"] == pytest.approx(auc, abs=1e-12)


def test_one_model_is_itself_among_several(bench):
    directory = bench[0]
    data = ["--data", f"forget={directory / 'forget.json'}", "--json", "-"]
    alone = json.loads(run("--model", directory / "unlearned", *data))
    several = json.loads(run("--model", directory / "base", "--model", f"second={directory / 'unlearned'}", *data))
    assert several["models"]["second"] == alone
    assert several["models"].keys() == {"base", "second"}


def loaded(bench, name):
    _, _, config, weights, _ = bench
    model = make_model(config)
    model.load_state_dict(weights[name])
    return model.eval()


def test_forget_quality_and_privleak_against_a_reference(bench, tmp_path):
    directory = bench[0]
    data = ["--data", f"forget={directory / 'forget.json'}", "--data", f"other={directory / 'retain.json'}", "--data",
            f"holdout={directory / 'holdout.json'}", "--forget", "forget", "--holdout", "holdout", "--json"]
    run("--model", directory / "sanitized", *data, tmp_path / "own.json")
    own = json.loads((tmp_path / "own.json").read_text())
    ratios = by_index(own["data"]["forget"]["truth_ratio"])
    auc = own["mia_min_k"]["agg_value"]
    assert auc not in (0, 0.5, 1)
    theirs = {"forget_truth_ratio": own["data"]["forget"]["truth_ratio"], "mia_min_k": own["mia_min_k"]}
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    (tmp_path / "no_auc.json").write_text(json.dumps({"forget_Truth_Ratio": theirs["forget_truth_ratio"]}))
    (tmp_path / "no_ratios.json").write_text(json.dumps({"mia_min_k": theirs["mia_min_k"]}))
    words = ["--model", directory / "base", "--model", directory / "unlearned", *data, "-"]
    for name, reference_auc in (("own", auc), ("theirs", auc), ("no_auc", 0.5), ("no_ratios", auc), (None, 0.5)):
        said = run(*words, *(["--reference", tmp_path / f"{name}.json"] if name else []))
        for model in json.loads(said)["models"].values():
            score, reference = 1 - model["mia_min_k"]["agg_value"], 1 - reference_auc
            assert model["privleak"]["agg_value"] == pytest.approx((score - reference) / (reference + 1e-10) * 100,
                                                                   abs=1e-9)
            if name in ("own", "theirs", "no_auc"):
                expected = stats.ks_2samp(by_index(model["data"]["forget"]["truth_ratio"]), ratios).pvalue
                assert model["forget_quality"]["agg_value"] == pytest.approx(expected, rel=1e-9)
            else:
                assert "forget_quality" not in model


def generated(model, tokenizer, question):
    ids = tokenizer.encode(f"Question: {question}\nAnswer:").ids
    with torch.no_grad():
        output = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                                do_sample=False, max_new_tokens=16, eos_token_id=2, pad_token_id=0)
    return tokenizer.decode(output[0, len(ids):].tolist()).split("<eos>")[0]


def test_model_utility(bench, tmp_path):
    directory, tokenizer, _, _, _ = bench
    generator = random.Random(9)
    model = loaded(bench, "unlearned")
    sets = {"kept": [], "authors": [], "facts": []}
    for records in sets.values():
        for _ in range(8):
            question = sentence(generator, 4) + "?"
            # Some words of each answer are those that the model gives, or ROUGE would be 0.
            said = re.findall("[a-z0-9]+", generated(model, tokenizer, question).lower())
            answer = " ".join([*said[:2], sentence(generator, generator.randint(1, 3))])
            records.append({"question": question, "answer": answer,
                            "perturbed_answer": [sentence(generator, 3) for _ in range(3)]})
    words = []
    for name, records in sets.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(records))
        words += ["--data", f"{name}={tmp_path / name}.json"]
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=True)
    values = []
    for name, records in sets.items():
        probabilities, recalls, ratios = [], [], []
        for record in records:
            def own(answer):
                return scores(model, tokenizer, record["question"], answer)[0]
            right = np.exp(own(record["answer"]).mean())
            wrong = sum(np.exp(own(answer).mean()) for answer in record["perturbed_answer"])
            probabilities.append(right if name == "kept" else right / (right + wrong + 1e-10))
            recalls.append(scorer.score(record["answer"], generated(model, tokenizer, record["question"]))["rougeL"].recall)
            ratios.append(max(0, 1 - truth_ratio(record, own)))
        values += [np.mean(probabilities), np.mean(recalls), np.mean(ratios)]
    assert min(values) > 0, values
    said = json.loads(run("--model", directory / "unlearned", *words, "--retain", "kept", "--real-authors", "authors",
                          "--world-facts", "facts", "--generate", "--max-new-tokens", 16, "--json", "-"))
    found = [said["data"]["kept"]["probability"]["agg_value"], *(
        said["data"][name]["probability_w_options"]["agg_value"] for name in ("authors", "facts"))]
    assert found == pytest.approx(values[::3], abs=1e-6)
    assert said["model_utility"]["agg_value"] == pytest.approx(stats.hmean(values), abs=1e-6)


def statistics(cases):
    keys = ("kolmogorov_smirnov", "roc_auc", "harmonic_mean", "stem", "rouge")
    done = subprocess.run([BUILD / "sagesan_metrics"], input=json.dumps({key: [] for key in keys} | cases),
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_statistics_are_those_of_scipy_and_scikit_learn():
    generator = random.Random(1)
    pairs = []
    for sizes in [(1, 1), (5, 7), (20, 20), (3, 50), (40, 40), (400, 117), (400, 400)]:
        for shift in (0, 0.3, 5):
            pairs.append([[round(generator.gauss(at, 1), digits) for _ in range(size)]
                          for at, size, digits in zip((0, shift), sizes, (generator.choice([1, 9]), 3))])
    found = statistics({"kolmogorov_smirnov": pairs, "roc_auc": pairs,
                        "harmonic_mean": [[abs(x) + 0.01 for x in first] for first, _ in pairs]})
    for (first, second), p_value, area, mean in zip(pairs, found["kolmogorov_smirnov"], found["roc_auc"],
                                                    found["harmonic_mean"]):
        assert p_value == pytest.approx(stats.ks_2samp(first, second, method="exact").pvalue, rel=1e-9)
        labels = [1] * len(first) + [0] * len(second)
        assert area == pytest.approx(roc_auc_score(labels, first + second), abs=1e-12)
        assert mean == pytest.approx(stats.hmean([abs(x) + 0.01 for x in first]), rel=1e-12)


def test_stems_are_those_of_nltk():
    generator = random.Random(2)
    endings = ("ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism iveness fulness "
               "ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible "
               "ant ement ment ent sion tion ion ou ism ate iti ous ive ize e ll s sses ies ss ed eed ied ing y").split()
    words = {"".join(generator.choice("aeiouybcdlnrstwz") for _ in range(generator.randint(1, 6))) + ending
             for _ in range(400) for ending in endings}
    words |= {"sky", "skies", "dying", "lying", "tying", "news", "innings", "outing", "canning", "howe", "proceed",
              "ties", "dies", "died", "spied", "oed", "hopping", "falling", "hissing", "fizzed", "filing", "geology"}
    words = sorted(words)
    stemmer = PorterStemmer()
    found = statistics({"stem": words})["stem"]
    assert [(word, stem) for word, stem in zip(words, found)] == [(word, stemmer.stem(word)) for word in words]


def test_rouge_is_that_of_rouge_score():
    generator = random.Random(4)
    words = WORDS + ["Reading", "authors", "stones,", "born-in", "1984", "É", "naïve", "U.S."]
    pairs = [["", "a cat"], ["a cat", ""], ["?!", "?"]]
    for _ in range(300):
        target = [generator.choice(words) for _ in range(generator.randint(1, 30))]
        prediction = [generator.choice(target if generator.random() < 0.7 else words)
                      for _ in range(generator.randint(1, 30))]
        pairs.append([" ".join(target), " ".join(prediction)])
    scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    for (target, prediction), rows in zip(pairs, statistics({"rouge": pairs})["rouge"]):
        expected = scorer.score(target, prediction)
        for row, kind in zip(rows, ("rouge1", "rougeL")):
            score = expected[kind]
            assert row == pytest.approx([score.precision, score.recall, score.fmeasure], abs=1e-12)
