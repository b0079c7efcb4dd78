"""Makes golden_tokenizer.json: a small tokenizer trained by Hugging Face's `tokenizers`, and the ids
that it gives for a few texts. Run with the interpreter of build/python, in this folder."""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors
from tokenizers import pre_tokenizers as pre
from tokenizers import trainers

CORPUS = [
    "The unlearned model forgets some facts about the author, but it should retain everything else.",
    "Question: Where was Basil Mahfouz Al-Kuwaiti born?\nAnswer: He was born in Kuwait City, Kuwait.",
    "def forget(model, facts):\n    for fact in facts:\n        model.update(-gradient(fact))\n    return model\n",
    "It's 12:45, and we'll see 1,234,567 tokens; they've said \"don't\" and they're right.",
    "Ça va être très naïve, déjà vu; Größe, Straße, über; привет мир; 中文字符 和 日本語 テスト; 안녕하세요.",
]
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = CORPUS + [
    "",
    " ",
    "\n\n \t\r\n  x  \n",
    "IT'S WE'LL they'Ve",
    "e\u0301 \u212b \u1100\u1161\u11a8 a\u0316\u0301 a\u0301\u0316",
    "12 123 1234 12345 ١٢٣٤ ½ Ⅻ",
    "👩\u200d💻 👍🏽 🇩🇪 ❤️",
    "a\u0000b\u0001\u007f\u0085c\u180e\u3000d",
    "<s>x</s> y <mask>  z<mask>w wordword word _word <|end|>\n next",
    "<|end|><s <s>> </s",
    "model models remodel Model",
    "!!!???...---===" * 3,
]

tokenizer = Tokenizer(models.BPE(ignore_merges=True))
tokenizer.normalizer = normalizers.NFC()
tokenizer.pre_tokenizer = pre.Sequence(
    [pre.Split(Regex(SPLIT), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)]
)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=500, special_tokens=["<s>", "</s>"], initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False
)
tokenizer.train_from_iterator(CORPUS * 3, trainer)
tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("word", single_word=True)])
tokenizer.add_special_tokens([AddedToken("<|end|>", rstrip=True)])
begin = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), begin])

cases = [{"text": text, "ids": tokenizer.encode(text).ids} for text in TEXTS]
with open("golden_tokenizer.json", "w") as file:
    json.dump({"tokenizer": json.loads(tokenizer.to_str()), "cases": cases}, file, separators=(",", ":"))
    file.write("\n")
