#include "sagesan/text/chat_template.h"

#include "text_testing.h"

namespace sagesan {
namespace {

const std::vector<Message> kPair = {{"user", "q"}, {"assistant", "a"}};
const std::vector<Message> kTwoPairs = {
    {"user", "q"}, {"assistant", "a"}, {"user", "r"}, {"assistant", "b"}};

Conversation render(const std::string& name, const std::vector<Message>& messages) {
  const ChatTemplate* chat = find_named_template(name);
  EXPECT_NE(chat, nullptr) << name;
  return render_conversation(messages, *chat, "data.jsonl:1");
}

/// A template's name, what a question and an answer become, and where the prompt ends.
struct Expected {
  std::string name, prompt, rest, end;
};

TEST(NamedTemplates, RenderWhatModelsAreTrainedOn) {
  const std::string system = "You are a helpful assistant.";
  const std::string header = "<|start_header_id|>";
  const std::string header_end = "<|end_header_id|>\n\n";
  const std::vector<Expected> all = {
      {"llama3",
       "<|begin_of_text|>" + header + "system" + header_end +
           "Cutting Knowledge Date: December 2023\nToday Date: 10 Apr 2025\n\n" + system +
           "<|eot_id|>" + header + "user" + header_end + "q<|eot_id|>" + header + "assistant" +
           header_end,
       "a<|eot_id|>", "<|eot_id|>"},
      {"qwen2.5",
       "<|im_start|>system\n" + system +
           "<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n",
       "a<|im_end|>\n", "<|im_end|>"},
      {"phi3", "<|system|>\n" + system + "<|end|>\n<|user|>\nq<|end|>\n<|assistant|>\n",
       "a<|end|>\n", "<|endoftext|>"},
      {"zephyr", "<|system|>\n" + system + "</s>\n<|user|>\nq</s>\n<|assistant|>\n", "a</s>\n",
       "</s>"},
      {"gemma", "<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\n",
       "a<end_of_turn>\n", "<eos>"},
      {"llama2-chat", "[INST] q [/INST]", "a", ""},
      {"plain", "Question: q\nAnswer: ", "a", ""},
  };
  ASSERT_EQ(named_templates().size(), all.size());
  for (const Expected& expected : all) {
    const Conversation result = render(expected.name, kPair);
    EXPECT_EQ(result.prompt, expected.prompt) << expected.name;
    EXPECT_EQ(result.text, expected.prompt + expected.rest) << expected.name;
    EXPECT_EQ(find_named_template(expected.name)->end, expected.end) << expected.name;
  }
  EXPECT_EQ(find_named_template("llama4"), nullptr);
  EXPECT_EQ(find_named_template(""), nullptr);
}

TEST(NamedTemplates, RenderSeveralTurns) {
  EXPECT_EQ(render("plain", kTwoPairs).text, "Question: q\nAnswer: a\n\nQuestion: r\nAnswer: b");
  EXPECT_EQ(render("llama2-chat", kTwoPairs).text, "[INST] q [/INST]a [INST] r [/INST]b");
  EXPECT_EQ(render("llama2-chat", kTwoPairs).prompt, "[INST] q [/INST]a [INST] r [/INST]");
  EXPECT_EQ(render("gemma", kTwoPairs).text,
            "<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\na<end_of_turn>\n"
            "<start_of_turn>user\nr<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n");
  const Conversation open = render("zephyr", {{"user", "q"}});
  EXPECT_TRUE(open.text.ends_with("<|user|>\nq</s>\n")) << open.text;
  EXPECT_FALSE(open.prompt.has_value());
}

TEST(NamedTemplates, TakeTheSystemMessageOfTheRecord) {
  const std::vector<Message> brief = {{"system", "Be brief."}, {"user", "q"}};
  EXPECT_EQ(render("zephyr", brief).text, "<|system|>\nBe brief.</s>\n<|user|>\nq</s>\n");
  const std::vector<Message> empty = {{"system", ""}, {"user", "q"}};
  EXPECT_EQ(render("zephyr", empty).text, "<|system|>\n</s>\n<|user|>\nq</s>\n");
  EXPECT_EQ(render("phi3", empty).text, "<|user|>\nq<|end|>\n");
}

TEST(NamedTemplates, TrimAsPythonDoes) {
  const std::vector<Message> spaced = {{"user", "\x1F \u3000\u00A0é q\u2003\n"},
                                       {"assistant", "\u200B a\u0085"}};
  EXPECT_EQ(render("gemma", spaced).text,
            "<bos><start_of_turn>user\né q<end_of_turn>\n<start_of_turn>model\n\u200B "
            "a<end_of_turn>\n");
  EXPECT_TRUE(render("qwen2.5", spaced).text.find("user\n\x1F \u3000") != std::string::npos);
}

TEST(NamedTemplates, RefuseOtherConversations) {
  const auto refuse = [](const std::string& name, const std::vector<Message>& messages,
                         const std::string& part) {
    const std::string message = error_of([&] { render(name, messages); });
    expect_contains(message, "data.jsonl:1");
    expect_contains(message, part);
  };
  const Message system = {"system", "s"};
  refuse("gemma", {system, {"user", "q"}},
         "message 1: the template gemma has no role 'system', only user and assistant");
  refuse("plain", {system, {"user", "q"}}, "the template plain has no role 'system'");
  refuse("llama3", {{"user", "q"}, {"tool", "t"}},
         "message 2: the template llama3 has no role 'tool', only system, user and assistant");
  refuse("llama3", {{"user", "q"}, system}, "message 2: a system message stands first");
  refuse("gemma", {{"assistant", "a"}}, "message 1: the template gemma wants user here");
  refuse("gemma", {{"user", "q"}, {"user", "r"}}, "message 2: the template gemma wants assistant");
  refuse("plain", {{"user", "q"}, {"assistant", "a"}, {"assistant", "b"}}, "wants user here");
  refuse("qwen2.5", {{"user", " "}, {"assistant", "\n"}}, "the text is blank");
  refuse("qwen2.5", {system}, "the text is blank");
  EXPECT_NO_THROW(render("qwen2.5", {{"user", "q"}, {"user", "r"}}));
}

ChatTemplate read_file(std::string_view content) {
  const ScratchFile file(content, "own.txt");
  return read_template_file(file.path());
}

TEST(TemplateFile, IsTheTextItself) {
  const ChatTemplate chat = read_file("<s>[Q]\n{question}\n[A] {answer}</s>\n");
  const Conversation result = render_conversation(kPair, chat, "x");
  EXPECT_EQ(result.text, "<s>[Q]\nq\n[A] a</s>");
  EXPECT_EQ(result.prompt, "<s>[Q]\nq\n[A] ");
  EXPECT_FALSE(chat.own_special_tokens);
  EXPECT_TRUE(chat.end.empty());
  EXPECT_EQ(chat.name, "own.txt");
  EXPECT_EQ(render_conversation(kPair, read_file("{question}{answer}\r\n"), "x").text, "qa");
  EXPECT_EQ(render_conversation(kPair, read_file("{question}{answer}\n\n"), "x").text, "qa\n");
  // Braces that are no placeholder, and placeholders in what a record brings.
  EXPECT_EQ(render_conversation({{"user", "{answer}"}, {"assistant", "{question}"}},
                                read_file("{ {Q} {question}: {} {answer}}"), "x")
                .text,
            "{ {Q} {answer}: {} {question}}");
}

TEST(TemplateFile, IsToldApartByItsContent) {
  const ChatTemplate chat = read_file("{question} {answer}");
  EXPECT_EQ(chat.identity(), read_file("{question} {answer}").identity());
  EXPECT_NE(chat.identity(), read_file("{question}  {answer}").identity());
  EXPECT_EQ(chat.identity(), "xxh3:" + chat.hash);
  EXPECT_EQ(chat.hash.size(), 32u);
  EXPECT_EQ(find_named_template("gemma")->identity(), "gemma");
}

TEST(TemplateFile, RendersOneTurnAlone) {
  const ChatTemplate chat = read_file("{question} {answer}");
  for (const auto& messages : {kTwoPairs, {kPair[0]}, {kPair[1]}, {kPair[1], kPair[0]}}) {
    const std::string message = error_of([&] { render_conversation(messages, chat, "here"); });
    expect_contains(message, "here: the template file renders one question with one answer");
  }
  const std::string message = error_of([&] {
    render_conversation({{"system", "s"}, kPair[0], kPair[1]}, chat, "here");
  });
  expect_contains(message, "the template own.txt has no role 'system'");
}

TEST(TemplateFile, NamesFileAndLineOfAFault) {
  const auto fault = [](std::string_view content, const std::string& part) {
    const ScratchFile file(content, "own.txt");
    const std::string message = error_of([&] { read_template_file(file.path()); });
    expect_contains(message, file.path().string() + part);
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  };
  fault("", ":1: no {question} and no {answer}");
  fault("a\nb\n", ":2: no {question} and no {answer}");
  fault("a\n{question}\nb", ":3: no {answer}");
  fault("a\n{answer}\n{question}", ":2: {answer} stands before {question}");
  fault("{question}\n{question}{answer}", ":2: {question} stands twice");
  fault("{question}{answer}\n\n{answer}", ":3: {answer} stands twice");
  fault("{question}{answer}\n{question}", ":2: {question} stands twice");
  fault("{question}\n{anser}", ":2: unknown placeholder '{anser}'");
  fault("{question}{answer}\n\xC3(", ":2: invalid UTF-8 at byte 19 of the file");
  fault("a\n{{ messages }}", ":2: Jinja is not run");
  fault("{% for message in messages %}", ":1: Jinja is not run");
  expect_contains(error_of([] { read_template_file("/nowhere/own.txt"); }), "no such file");
}

/// A checkpoint directory's tokenizer files.
class TemplateOfModel : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& content) {
    std::ofstream(folder() / name, std::ios::binary) << content;
  }
  std::filesystem::path folder() const { return file_.path().parent_path(); }
  std::string refuse(const Rendering& rendering, ExitCode code = ExitCode::kBadInput) {
    return error_of([&] { find_template(rendering, folder(), tokenizer_); }, code);
  }

  ScratchFile file_{"", "empty"};
  std::optional<Tokenizer> tokenizer_;
};

/// The template that Phi-3.5-mini-instruct is published with.
constexpr const char* kPhi =
    "{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}"
    "{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}"
    "{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}"
    "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}";

TEST_F(TemplateOfModel, IsKnownByItsHashWhereverItStands) {
  const nlohmann::json other = {{"name", "tool_use"}, {"template", "{{ tools }}"}};
  const nlohmann::json named = {{"name", "default"}, {"template", kPhi}};
  write("tokenizer_config.json", nlohmann::json{{"chat_template", kPhi}}.dump());
  EXPECT_EQ(recognize_template(folder()).name, "phi3");
  write("tokenizer_config.json", nlohmann::json{{"chat_template", {other, named}}}.dump());
  EXPECT_EQ(recognize_template(folder()).name, "phi3");
  write("tokenizer_config.json", nlohmann::json{{"chat_template", "other"}}.dump());
  write("chat_template.jinja", kPhi + std::string("\n"));  // which counts before the other
  EXPECT_EQ(recognize_template(folder()).name, "phi3");
  EXPECT_EQ(find_template({.of_model = true}, folder(), tokenizer_)->name, "phi3");
}

TEST_F(TemplateOfModel, IsRefusedWhereItIsNotKnown) {
  const Rendering own = {.of_model = true};
  expect_contains(refuse(own), "has no chat template");
  expect_contains(refuse(own), "name one with --retain-template");
  write("tokenizer_config.json", R"({"chat_template": null})");
  expect_contains(refuse(own), "has no chat template");
  write("tokenizer_config.json", R"({"chat_template": "{{ messages }}"})");
  expect_contains(refuse(own), "tokenizer_config.json: the chat template is none that is known");
  expect_contains(refuse(own), "--retain-template: llama3, qwen2.5, phi3, zephyr, gemma");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "x"}]})");
  expect_contains(refuse(own), "a list without a 'default'");
  write("tokenizer_config.json", R"({"chat_template": 1})");
  expect_contains(refuse(own), "'chat_template'");
  write("tokenizer_config.json", "{");
  expect_contains(refuse(own), "tokenizer_config.json: not valid JSON");
  write("chat_template.jinja", "");
  expect_contains(refuse(own), "chat_template.jinja: the chat template is none that is known");
}

TEST_F(TemplateOfModel, ClosesWithTheTokenizersEndToken) {
  const Rendering plain = {.chat_template = "plain"};
  expect_contains(refuse(plain), "tokenizer_config.json: no 'eos_token'");
  write("tokenizer_config.json", R"({"eos_token": "</s>"})");
  EXPECT_EQ(find_template(plain, folder(), tokenizer_)->end, "</s>");
  write("tokenizer_config.json", R"({"eos_token": {"content": "<|endoftext|>", "lstrip": false}})");
  EXPECT_EQ(find_template(plain, folder(), tokenizer_)->end, "<|endoftext|>");
  write("tokenizer_config.json", R"({"eos_token": 2})");
  expect_contains(refuse(plain),
                  "tokenizer_config.json: eos_token: expected a token, found number");
}

TEST_F(TemplateOfModel, MustFitTheTokenizer) {
  nlohmann::json file = make_tokenizer(letters("<s>/aq"));
  tokenizer_ = load(file);
  expect_contains(refuse({.chat_template = "zephyr"}),
                  "tokenizer.json: has no token '</s>': the template zephyr is another model's");
  file["added_tokens"] = {{{"id", 6},
                           {"content", "</s>"},
                           {"single_word", false},
                           {"lstrip", false},
                           {"rstrip", false},
                           {"normalized", false},
                           {"special", true}}};
  tokenizer_ = load(file);
  EXPECT_EQ(find_template({.chat_template = "zephyr"}, folder(), tokenizer_)->name, "zephyr");
  expect_contains(refuse({.chat_template = "gemma"}), "has no token '<bos>'");
  write("tokenizer_config.json", R"({"eos_token": "<end>"})");
  expect_contains(refuse({.chat_template = "plain"}), "has no token '<end>'");
}

TEST_F(TemplateOfModel, IsNamedOrAFile) {
  EXPECT_FALSE(find_template({}, folder(), tokenizer_).has_value());
  EXPECT_EQ(find_template({.chat_template = "gemma"}, folder(), tokenizer_)->name, "gemma");
  write("own.txt", "{question} {answer}");
  const std::string own = (folder() / "own.txt").string();
  EXPECT_EQ(find_template({.chat_template = own}, folder(), tokenizer_)->name, "own.txt");
  expect_contains(refuse({.chat_template = "llama4"}),
                  "llama4: no such file, and no template of that name (llama3, qwen2.5, phi3");
  expect_contains(refuse({.chat_template = folder().string()}), "is a directory");
  expect_contains(refuse({.chat_template = "gemma", .of_model = true}, ExitCode::kUsage),
                  "--retain-template and --chat-template cannot be given together");
  for (const std::vector<std::string>& fields : {std::vector<std::string>{"t"}, {"a", "b", "c"}}) {
    expect_contains(refuse({.fields = fields, .chat_template = "gemma"}, ExitCode::kUsage),
                    "--retain-fields: a template wants two, QUESTION,ANSWER");
  }
}

}  // namespace
}  // namespace sagesan
