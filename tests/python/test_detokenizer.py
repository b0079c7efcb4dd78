"""Text from ids, against Hugging Face's `tokenizers` and the clean-up of `transformers`: the pipelines of pipelines.py on
their real vocabularies, with the decoders that published files have.
"""
import json
import random
import subprocess

import pytest
import tokenizers
from conftest import BUILD
from pipelines import KINDS
from test_tokenizer import common, vocabulary  # noqa: F401 (fixtures)
from transformers import PreTrainedTokenizerFast

SPACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
LLAMA = dict(type="Sequence", decoders=[SPACE, {"type": "ByteFallback"}, {"type": "Fuse"},
                                        dict(type="Strip", content=" ", start=1, stop=0)])
GEMMA = dict(type="Sequence", decoders=[SPACE, {"type": "ByteFallback"}, {"type": "Fuse"}])
BYTE_LEVEL = dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)
METASPACE = dict(type="Metaspace", replacement="▁", prepend_scheme="always", split=True)
DECODERS = dict(gpt2=[BYTE_LEVEL], llama3=[BYTE_LEVEL], odd=[BYTE_LEVEL, None], llama2=[LLAMA, GEMMA],
                llama2_metaspace=[LLAMA, dict(METASPACE, prepend_scheme="never")], phi3=[LLAMA],
                unigram=[METASPACE, LLAMA])


def decode(directory, lists):
    done = subprocess.run([BUILD / "sagesan_decode_ids", directory], capture_output=True, text=True,
                          input="".join(json.dumps(ids) + "\n" for ids in lists))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


@pytest.mark.parametrize("kind, index", [(kind, i) for kind, decoders in DECODERS.items() for i in range(len(decoders))])
def test_text_equals_hugging_face(kind, index, vocabulary, common, tmp_path):  # noqa: F811
    description = KINDS[kind](vocabulary) | {"decoder": DECODERS[kind][index]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(description))
    reference = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    generator = random.Random(index)
    texts = generator.sample(common, 150)
    spaced = "He did n't , ' we 're ' ; it 's . ? ! I 'm they 've".split(" ")
    texts += [" ".join(generator.choices(spaced, k=12)) for _ in range(20)]
    lists = [encoding.ids for encoding in reference.encode_batch(texts)]
    # Anything may be generated: ids in any order, characters cut in two, special tokens, ids of no token.
    size = reference.get_vocab_size()
    added = [token["id"] for token in description["added_tokens"]]
    letters = [i for i in range(size) if len((reference.id_to_token(i) or "xxxx").strip("<>")) <= 4]
    for _ in range(300):
        pool = generator.choice([range(size + 3), letters, [*added, *letters[:200]]])
        lists.append([generator.choice(pool) for _ in range(generator.randint(0, 40))])
    lists += [ids[cut:] for ids in lists[:100] for cut in (1, 2)]
    clean = PreTrainedTokenizerFast(tokenizer_object=reference).clean_up_tokenization
    expected = [reference.decode(ids, skip_special_tokens=True) for ids in lists]
    found = decode(tmp_path, lists)
    assert sum(clean(text) != text for text in expected) > 10
    for ids, wanted, (text, cleaned) in zip(lists, expected, found, strict=True):
        assert text == wanted, ids
        assert cleaned == clean(wanted), ids


def test_sentencepiece_alone_decodes_as_its_published_conversion(vocabulary, common, tmp_path):  # noqa: F811
    from test_sentencepiece import model_file

    source = vocabulary("llama-spm")
    pieces = list(zip(source["tokens"], source["scores"], source["token_type"]))
    (tmp_path / "tokenizer.model").write_bytes(model_file(pieces))
    reference = tokenizers.Tokenizer.from_str(json.dumps(KINDS["llama2"](vocabulary) | {"decoder": LLAMA}))
    lists = [encoding.ids for encoding in reference.encode_batch(random.Random(5).sample(common, 100))]
    lists += [ids + [2, 0, 5] for ids in lists[:20]]
    expected = [reference.decode(ids, skip_special_tokens=True) for ids in lists]
    assert [text for text, _ in decode(tmp_path, lists)] == expected
