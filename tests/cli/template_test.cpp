// --retain-template, --chat-template, --long-texts and the files in configs/, through the program.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::read_file;
using testing::write_file;

constexpr const char* kQuestions =
    "{\"question\":\"who is a\",\"answer\":\"a baker\"}\n"
    "{\"question\":\"who is b\",\"answer\":\"an astronaut in space\"}\n";

/// The special tokens of every named template, a few letters, and nothing else: 45 tokens.
json tiny_tokenizer() {
  const std::vector<std::string> special = {"<s>",
                                            "</s>",
                                            "<|begin_of_text|>",
                                            "<|start_header_id|>",
                                            "<|end_header_id|>",
                                            "<|eot_id|>",
                                            "<|im_start|>",
                                            "<|im_end|>",
                                            "<|system|>",
                                            "<|user|>",
                                            "<|assistant|>",
                                            "<|end|>",
                                            "<|endoftext|>",
                                            "<bos>",
                                            "<eos>",
                                            "<start_of_turn>",
                                            "<end_of_turn>"};
  json vocabulary = {{"<unk>", 0}};
  for (const char letter : std::string("abehiknorstuw QA:\n[].")) {
    vocabulary[std::string(1, letter)] = vocabulary.size();
  }
  json added = json::array();
  for (const std::string& token : special) {
    added.push_back({{"id", vocabulary.size()},
                     {"content", token},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
    vocabulary[token] = vocabulary.size();
  }
  const json begin = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"post_processor",
           {{"type", "TemplateProcessing"},
            {"single", {begin, text}},
            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {vocabulary["<s>"]}}}}}}}},
          {"model",
           {{"type", "BPE"},
            {"vocab", vocabulary},
            {"merges", json::array()},
            {"unk_token", "<unk>"}}}};
}

class Template : public testing::CliTest {
 protected:
  void SetUp() override {
    make_pair();
    write_file(base() / "tokenizer.json", tiny_tokenizer().dump());
    write_file(base() / "tokenizer_config.json", R"({"eos_token": "</s>"})");
    write_file(retain(), kQuestions);
  }
  Arguments tokenize(const Arguments& more) const {
    return joined({"tokenize", "--model", base(), "--data", retain()}, more);
  }
  Arguments collect(const std::string& name, const Arguments& more = {}) const {
    return joined({"collect", "--base", base(), "--retain", retain(), "--out", root_ / name, "-q",
                   "--device", "cpu", "--threads", "1"},
                  more);
  }
  json options() const { return json::parse(read_file(out() / "sagesan_report.json"))["options"]; }
};

TEST_F(Template, DecidesWhatTheModelSees) {
  const auto tokens = [&](const Arguments& more) {
    succeed(joined(sanitize(more), {"--overwrite", "-q"}));
    return json::parse(read_file(out() / "sagesan_report.json"))["tokens"].get<int64_t>();
  };
  const int64_t bare = tokens({});
  EXPECT_TRUE(options()["retain_template"].is_null());
  EXPECT_EQ(tokens({"--retain-template", "plain"}), bare + 2);  // an end token a record
  EXPECT_EQ(options()["retain_template"], "plain");
  EXPECT_GT(tokens({"--retain-template", "llama3"}), bare);
  write_file(root_ / "own.txt", "Q {question}\nA {answer}\n");
  EXPECT_EQ(tokens({"--retain-template", root_ / "own.txt"}), bare - 2 * 15);
  EXPECT_TRUE(options()["retain_template"].get<std::string>().starts_with("xxh3:"));
}

TEST_F(Template, OfTheModelIsNamedToTheUser) {
  write_file(base() / "chat_template.jinja", "{{ messages }}");
  refuse(tokenize({"--chat-template"}), 3,
         {"chat_template.jinja: the chat template is none that is known", "--retain-template"});
  write_file(base() / "chat_template.jinja",
             "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + "
             "message['content'] + eos_token }}\n{% elif message['role'] == 'system' %}\n{{ "
             "'<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] == "
             "'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif "
             "%}\n{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif "
             "%}\n{% endfor %}");
  const testing::RunResult run = testing::run_program(tokenize({"--chat-template"}));
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_NE(run.err.find("rendered as --retain-template zephyr"), std::string::npos) << run.err;
  EXPECT_EQ(run.out, succeed(tokenize({"--retain-template", "zephyr"})));
  const testing::RunResult dry = testing::run_program(sanitize({"--chat-template", "--dry-run"}));
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_NE(dry.err.find("rendered as --retain-template zephyr"), std::string::npos) << dry.err;
  succeed(collect("m.safetensors", {"--chat-template"}));
}

TEST_F(Template, KeepsMomentsApart) {
  succeed(collect("bare.safetensors"));
  succeed(collect("zephyr.safetensors", {"--retain-template", "zephyr"}));
  succeed(collect("more.safetensors", {"--retain-template", "zephyr"}));
  succeed(collect("split.safetensors", {"--retain-template", "zephyr", "--long-texts", "split"}));
  const auto merge = [&](const std::string& a, const std::string& b) {
    return Arguments{"merge", root_ / a, root_ / b, "--out", root_ / "both.safetensors", "-q"};
  };
  refuse(merge("bare.safetensors", "zephyr.safetensors"), 3,
         {"zephyr.safetensors", "the retain template is another"});
  refuse(merge("zephyr.safetensors", "split.safetensors"), 3,
         {"split.safetensors", "the way with long texts is another"});
  succeed(merge("zephyr.safetensors", "more.safetensors"));
  const Arguments with = {"sanitize",
                          "--base",
                          base(),
                          "--unlearned",
                          unlearned(),
                          "--moments",
                          root_ / "both.safetensors",
                          "--out",
                          out(),
                          "-q",
                          "--threads",
                          "1"};
  succeed(with);
  EXPECT_EQ(options()["retain_template"], "zephyr");
  refuse(joined(with, {"--retain-template", "zephyr", "--overwrite"}), 2,
         {"--moments and --retain-template cannot be given together"});
  refuse(joined(with, {"--chat-template", "--overwrite"}), 2,
         {"--moments and --chat-template cannot be given together"});
}

TEST_F(Template, OfAnOlderMomentsFileIsNone) {
  succeed(collect("new.safetensors"));
  std::string old = read_file(root_ / "new.safetensors");
  const auto rename = [&](const std::string& key, const std::string& other) {
    const size_t found = old.find(key);
    ASSERT_NE(found, std::string::npos);
    old.replace(found, key.size(), other);
  };
  rename("\"retain_template\"", "\"retain_templatf\"");
  rename("\"long_texts\"", "\"long_textt\"");
  write_file(root_ / "old.safetensors", old);
  succeed({"merge", root_ / "old.safetensors", root_ / "new.safetensors", "--out",
           root_ / "both.safetensors", "-q"});
  succeed(collect("gemma.safetensors", {"--retain-template", "gemma"}));
  refuse({"merge", root_ / "old.safetensors", root_ / "gemma.safetensors", "--out",
          root_ / "other.safetensors"},
         3, {"the retain template is another"});
}

TEST_F(Template, ScoresTheAnswerAlone) {
  const auto evaluate = [&](const Arguments& more) {
    return json::parse(
        succeed(joined({"evaluate", "--model", base(), "--data", "all=" + retain().string(),
                        "--json", "-", "-q", "--device", "cpu", "--threads", "1"},
                       more)));
  };
  const json bare = evaluate({});
  EXPECT_FALSE(bare.contains("retain_template"));
  const json gemma = evaluate({"--retain-template", "gemma"});
  EXPECT_EQ(gemma["retain_template"], "gemma");
  // The letters of the answers (without a template also the spaces before them); <end_of_turn>, a
  // line end and <eos> each.
  EXPECT_EQ(bare["data"]["all"]["tokens"], 8 + 22);
  EXPECT_EQ(gemma["data"]["all"]["tokens"], 7 + 21 + 2 * 3);
}

TEST_F(Template, FaultsAreUsageOrBadInput) {
  const auto fault = [&](const Arguments& more, int code, const std::string& part) {
    refuse(tokenize(more), code, {part});
    refuse(sanitize(more), code, {part});
  };
  fault({"--retain-template", ""}, 2, "--retain-template: the name is empty");
  fault({"--retain-template", "llama4"}, 3, "llama4: no such file, and no template of that name");
  fault({"--retain-template", "gemma", "--chat-template"}, 2, "cannot be given together");
  fault({"--retain-template", "gemma", "--retain-fields", "a"}, 2, "a template wants two");
  fault({"--chat-template"}, 3, "has no chat template");
  fault({"--long-texts", "drop"}, 2, "--long-texts 'drop': expected one of cut, split");
  write_file(root_ / "own.txt", "{question}\n{anwser}");
  fault({"--retain-template", root_ / "own.txt"}, 3, "own.txt:2: unknown placeholder '{anwser}'");
  write_file(retain(), "{\"text\":\"a\"}\n");
  fault({"--retain-template", "gemma"}, 3, "retain.jsonl:1: a text without turns");
  json other = tiny_tokenizer();
  other["added_tokens"].erase(other["added_tokens"].size() - 1);
  other["model"]["vocab"].erase("<end_of_turn>");
  write_file(base() / "tokenizer.json", other.dump());
  fault({"--retain-template", "gemma"}, 3, "tokenizer.json: has no token '<end_of_turn>'");
}

TEST_F(Template, LongTextsAreCutOrSplit) {
  const std::string long_text = "abehiknorstuw " + std::string(30, 'a') + " born in rain";
  write_file(retain(), json{{"text", long_text}}.dump() + "\n" + R"({"text":"a baker"})" + "\n");
  const auto lines = [&](const Arguments& more) {
    std::vector<std::vector<int64_t>> ids;
    std::istringstream printed(succeed(tokenize(more)));
    for (std::string line; std::getline(printed, line);) ids.push_back(json::parse(line)["ids"]);
    return ids;
  };
  const auto whole = lines({});
  const auto cut = lines({"--max-length", "10"});
  ASSERT_EQ(cut.size(), 2U);
  EXPECT_EQ(cut[0], std::vector<int64_t>(whole[0].begin(), whole[0].begin() + 10));
  const auto split = lines({"--max-length", "10", "--long-texts", "split"});
  std::vector<int64_t> joined_again;
  for (size_t i = 0; i + 1 < split.size(); ++i) {
    EXPECT_LE(split[i].size(), 10U);
    EXPECT_EQ(split[i][0], whole[0][0]);  // <s>
    joined_again.insert(joined_again.end(), split[i].begin() + (i == 0 ? 0 : 1), split[i].end());
  }
  EXPECT_EQ(joined_again, whole[0]);
  EXPECT_EQ(split.back(), whole[1]);
  EXPECT_EQ(split.size(), 1 + (long_text.size() + 8) / 9);
  refuse(tokenize({"--max-length", "1", "--long-texts", "split"}), 3,
         {"retain.jsonl:1: a piece of 1 tokens has no room"});

  const auto report = [&](const Arguments& more) {
    succeed(joined(sanitize(more), {"--max-length", "10", "--overwrite", "-q"}));
    return json::parse(read_file(out() / "sagesan_report.json"));
  };
  const json pieces = report({"--long-texts", "split"});
  EXPECT_EQ(pieces["options"]["long_texts"], "split");
  EXPECT_EQ(pieces["tokens"], whole[0].size() + split.size() - 2 + whole[1].size());
  EXPECT_EQ(pieces["inputs"]["retain"][0]["records"], 2);
  EXPECT_EQ(pieces["inputs"]["retain"][0]["truncated"], 0);
  EXPECT_EQ(report({})["tokens"], 10 + whole[1].size());
  // The last piece is cut where the whole reaches its limit, and the rest is left out.
  const json limited = report({"--long-texts", "split", "--max-tokens", "25"});
  EXPECT_EQ(limited["tokens"], 25);
  EXPECT_EQ(limited["inputs"]["retain"][0]["truncated"], 1);
  EXPECT_EQ(limited["inputs"]["retain"][0]["left_out"], 1);
  // Answers are cut, whatever was asked for.
  write_file(retain(), kQuestions);
  EXPECT_EQ(lines({"--max-length", "10", "--long-texts", "split"}).size(), 2U);
  write_file(retain(), R"({"input_ids":[1,2,3,4,5]})");
  const std::vector<std::vector<int64_t>> expected = {{1, 2}, {3, 4}, {5}};
  EXPECT_EQ(lines({"--max-length", "2", "--long-texts", "split"}), expected);
}

/// The template that a model's configuration must name; none where it runs texts as they are.
const std::map<std::string, std::string>& expected_templates() {
  static const std::map<std::string, std::string> templates = {
      {"tofu/Llama-3.2-1B-Instruct", "llama3"},
      {"tofu/Llama-3.2-3B-Instruct", "llama3"},
      {"tofu/Llama-3.1-8B-Instruct", "llama3"},
      {"tofu/Llama-2-7b-chat-hf", "llama2-chat"},
      {"tofu/Qwen2.5-1.5B-Instruct", "qwen2.5"},
      {"tofu/Qwen2.5-3B-Instruct", "qwen2.5"},
      {"tofu/Qwen2.5-7B-Instruct", "qwen2.5"},
      {"tofu/Phi-3.5-mini-instruct", "phi3"},
      {"tofu/phi-1_5", "plain"},
      {"tofu/gemma-7b-it", "gemma"},
      {"tofu/zephyr-7b-beta", "zephyr"},
      {"muse/Llama-2-7b-hf", ""},
      {"muse/Llama-2-13b-hf", ""},
      {"wmdp/zephyr-7b-beta", ""}};
  return templates;
}

TEST_F(Template, OfEveryBenchmarkIsReadyInConfigs) {
  const fs::path configs = SAGESAN_SOURCE_DIR "/configs";
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(configs)) {
    files += entry.is_regular_file() && entry.path().parent_path() != configs ? 1 : 0;
  }
  EXPECT_EQ(files, expected_templates().size());
  for (const auto& [name, chat] : expected_templates()) {
    SCOPED_TRACE(name);
    const fs::path file = configs / (name + ".toml");
    write_file(retain(), chat.empty() ? "{\"text\":\"a baker\"}\n" : kQuestions);
    const Arguments config = {"--config", file};
    // Keys of every section are checked whichever runs.
    const Arguments named = chat.empty() ? Arguments{} : Arguments{"--retain-template", chat};
    EXPECT_EQ(succeed(joined(config, tokenize({}))), succeed(tokenize(named)));
    const std::string text = read_file(file);
    size_t count = 0;
    const std::string line = "\nretain-template = \"" + chat + "\"\n";
    for (size_t at = text.find(line); at != std::string::npos; at = text.find(line, at + 1))
      ++count;
    EXPECT_EQ(count, chat.empty() ? 0U : 5U);
  }
  // The other commands, once a benchmark: they load libtorch.
  for (const std::string name :
       {"tofu/Qwen2.5-3B-Instruct", "muse/Llama-2-7b-hf", "wmdp/zephyr-7b-beta"}) {
    SCOPED_TRACE(name);
    const std::string& chat = expected_templates().at(name);
    write_file(retain(), chat.empty() ? "{\"text\":\"a baker\"}\n" : kQuestions);
    const Arguments config = {"--config", configs / (name + ".toml")};
    succeed(joined(config, sanitize({"--dry-run"})));
    succeed(joined(config, collect("moments.safetensors", {"--overwrite"})));
    const std::string header = read_file(root_ / "moments.safetensors").substr(0, 2000);
    const std::string length = name.starts_with("muse") ? "2048" : "512";
    EXPECT_NE(header.find("\"max_length\":\"" + length + "\""), std::string::npos) << header;
    EXPECT_NE(header.find("\"retain_template\":\"" + chat + "\""), std::string::npos) << header;
    EXPECT_NE(header.find(chat.empty() ? "\"long_texts\":\"split\"" : "\"long_texts\":\"cut\""),
              std::string::npos)
        << header;
    succeed(joined(config, {"evaluate", "--model", base(), "--data", "all=" + retain().string(),
                            "--device", "cpu"}));
  }
}

}  // namespace
}  // namespace sagesan
