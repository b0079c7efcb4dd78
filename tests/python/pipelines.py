"""The tokenizer.json of well-known models, written out: a GGUF has the vocabulary and no pipeline."""

import functools

from vocabularies import merges_from_scores

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = LLAMA3_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")
PREPEND_AND_REPLACE = dict(
    type="Sequence",
    normalizers=[
        dict(type="Prepend", prepend="▁"),
        dict(type="Replace", pattern={"String": " "}, content="▁"),
    ],
)


def added_token(index, content, special=False, **flags):
    token = dict(id=index, content=content, single_word=False, lstrip=False, rstrip=False)
    return token | dict(normalized=not special, special=special) | flags


def byte_level(**options):
    return dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True) | options


def split(pattern):
    return dict(type="Split", pattern={"Regex": pattern}, behavior="Isolated", invert=False)


def sequence(*steps):
    return dict(type="Sequence", pretokenizers=list(steps))


def metaspace(scheme, cut):
    return dict(type="Metaspace", replacement="▁", prepend_scheme=scheme, split=cut)


def template(*special):
    """Special tokens, (content, id), in front of the text."""
    pieces = [{"SpecialToken": {"id": token, "type_id": 0}} for token, _ in special]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return dict(
        type="TemplateProcessing", single=[*pieces, text], pair=[*pieces, text, {"Sequence": {"id": "B", "type_id": 1}}],
        special_tokens={token: dict(id=token, ids=[index], tokens=[token]) for token, index in special},
    )  # fmt: skip


def tokenizer_json(added_tokens, model, pre_tokenizer=None, normalizer=None, post_processor=None):
    return dict(
        version="1.0", truncation=None, padding=None, added_tokens=added_tokens, normalizer=normalizer,
        pre_tokenizer=pre_tokenizer, post_processor=post_processor, decoder=byte_level(), model=model,
    )  # fmt: skip


def bpe(vocabulary, merges, **options):
    return dict(
        type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
        fuse_unk=False, byte_fallback=False, vocab=vocabulary, merges=merges,
    ) | options  # fmt: skip


def byte_level_bpe(vocabulary, pre_tokenizer, normalizer=None, post_processor=None, extra=(), **options):
    tokens, kinds = vocabulary["tokens"], vocabulary["token_type"]
    last_normal = max(i for i, kind in enumerate(kinds) if kind == NORMAL)
    added = [
        added_token(i, tokens[i], special=kind == CONTROL, normalized=False)
        for i, kind in enumerate(kinds)
        if kind in (CONTROL, USER_DEFINED)
    ]
    # Special tokens between normal ones stand in the vocabulary too, those behind it do not.
    known = {t: i for i, t in enumerate(tokens) if kinds[i] == NORMAL or i < last_normal}
    size = max([len(known), *(token["id"] + 1 for token in added)])
    for token in extra:
        content = token["content"]
        added.append(added_token(known.get(content, size), **token))
        size += content not in known
    model = bpe(known, vocabulary["merges"], **options)
    return tokenizer_json(added, model, pre_tokenizer, normalizer, post_processor)


def sentencepiece_bpe(vocabulary, flags=None, **parts):
    """Of Llama-2's kind: byte fallback, one unknown token; `flags` of added tokens by their text."""
    kinds = vocabulary["token_type"]
    tokens = [token for token in vocabulary["tokens"] if not token.startswith("[PAD")]  # embedding rows without one
    flags = flags or {}
    special = [i for i in range(len(tokens)) if kinds[i] in (UNKNOWN, CONTROL, USER_DEFINED)]
    added = [added_token(i, tokens[i], special=True, **flags.get(tokens[i], {})) for i in special]
    known = {token: i for i, token in enumerate(tokens)}
    model = bpe(known, spm_merges(vocabulary), unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    return tokenizer_json(added, model, **parts)


def spm_merges(vocabulary):
    return merges_of(tuple(vocabulary["tokens"]), tuple(vocabulary["scores"]))


@functools.cache
def merges_of(tokens, scores):
    return merges_from_scores(tokens, scores)


# Flags that change what is matched; a normalizer that changes what they are matched in.
ODD_TOKENS = [
    dict(content="<mask>", lstrip=True, special=True),
    dict(content="<|end|>", rstrip=True, special=True),
    dict(content="<both>", lstrip=True, rstrip=True, normalized=False),
    dict(content="return", single_word=True, normalized=False),
    dict(content="self", single_word=True, lstrip=True, normalized=True),
    dict(content="ﬁn", normalized=True),
    dict(content="  ", normalized=False),
    dict(content="    ", normalized=False),
    dict(content="\n\n", normalized=True),
    dict(content="中文", normalized=True),
    dict(content="中文字", normalized=False),
]


def make_smollm2(vocabulary):
    digits = dict(type="Digits", individual_digits=True)
    return byte_level_bpe(vocabulary("smollm2"), sequence(digits, byte_level()))


def make_gpt2(vocabulary):
    return byte_level_bpe(vocabulary("gpt-2"), byte_level(), post_processor=byte_level())


def make_llama3(vocabulary):
    begin = template(("<|begin_of_text|>", 128000))
    processors = dict(type="Sequence", processors=[byte_level(), begin])
    pre_tokenizer = sequence(split(LLAMA3_SPLIT), byte_level(use_regex=False))
    return byte_level_bpe(vocabulary("llama-bpe"), pre_tokenizer, post_processor=processors, ignore_merges=True)


def make_qwen2(vocabulary):
    pre_tokenizer = sequence(split(QWEN2_SPLIT), byte_level(use_regex=False))
    return byte_level_bpe(vocabulary("qwen2"), pre_tokenizer, normalizer=dict(type="NFC"))


def make_falcon(vocabulary):
    pre_tokenizer = sequence(
        dict(type="Punctuation", behavior="Contiguous"),
        byte_level(),
        dict(type="Digits", individual_digits=False),
        split("[0-9][0-9][0-9]"),
    )
    return byte_level_bpe(vocabulary("falcon"), pre_tokenizer, post_processor=byte_level())


def make_neox(vocabulary):
    description = byte_level_bpe(vocabulary("gpt-neox"), byte_level(), normalizer=dict(type="NFC"))
    # Runs of spaces, looked for in the normalized text; what pads the embedding is no token.
    added = [token | dict(normalized=not token["special"]) for token in description["added_tokens"]]
    description["added_tokens"] = [token for token in added if not token["content"].startswith("[PAD")]
    return description


def make_llama2(vocabulary):
    return sentencepiece_bpe(
        vocabulary("llama-spm"), normalizer=PREPEND_AND_REPLACE, post_processor=template(("<s>", 1))
    )


def make_llama2_metaspace(vocabulary):
    """As newer conversions of Llama-2 and Mistral have it."""
    return sentencepiece_bpe(
        vocabulary("llama-spm"), pre_tokenizer=metaspace("first", cut=False), post_processor=template(("<s>", 1))
    )


def make_phi3(vocabulary):
    flags = {name: dict(rstrip=True) for name in ("</s>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")}
    return sentencepiece_bpe(vocabulary("phi-3"), flags, normalizer=PREPEND_AND_REPLACE, post_processor=template())


def make_odd(vocabulary):
    punctuation = dict(type="Punctuation", behavior="Contiguous")
    pre_tokenizer = sequence(punctuation, byte_level(add_prefix_space=True))
    return byte_level_bpe(vocabulary("gpt-2"), pre_tokenizer, normalizer=dict(type="NFKC"), extra=ODD_TOKENS)


def make_unigram(vocabulary):
    """Llama-2's tokens with scores as a Unigram model has them."""
    source = vocabulary("llama-spm")
    tokens, kinds = source["tokens"], source["token_type"]
    scores = [-len(tokens) ** 0.5 if kind != NORMAL else -9 - (i % 977) / 64 for i, kind in enumerate(kinds)]
    added = [added_token(i, tokens[i], special=True) for i in range(3)]
    model = dict(type="Unigram", unk_id=0, vocab=[list(pair) for pair in zip(tokens, scores)], byte_fallback=True)
    return tokenizer_json(added, model, metaspace("always", cut=True), dict(type="NFKC"), template(("<s>", 1)))


KINDS = dict(
    smollm2=make_smollm2, gpt2=make_gpt2, llama3=make_llama3, qwen2=make_qwen2, falcon=make_falcon, neox=make_neox,
    llama2=make_llama2, llama2_metaspace=make_llama2_metaspace, phi3=make_phi3, odd=make_odd, unigram=make_unigram,
)  # fmt: skip
