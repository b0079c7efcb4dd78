// Every command in the documentation, as it stands there.
#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_fixture.h"

namespace sagesan {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::Arguments;
using testing::joined;
using testing::read_file;
using testing::run_program;
using testing::write_file;

struct DocumentedCommand {
  std::string place;  ///< "docs/guide.md:12"
  Arguments words;    ///< behind the program's name
};

/// Words of a command line: quotes of one kind, a comment behind two spaces, and brackets around
/// what may be left out, which is taken.
Arguments split_words(const std::string& line) {
  Arguments words;
  std::string word;
  bool quoted = false;
  bool any = false;
  const auto end = [&] {
    if (any) words.push_back(word);
    word.clear();
    any = false;
  };
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\'') {
      quoted = !quoted;
      any = true;
    } else if (!quoted && c == '#' && !any) {
      break;
    } else if (!quoted && c == ' ') {
      end();
    } else if (quoted || (c != '[' && c != ']')) {
      word += c;
      any = true;
    }
  }
  end();
  return words;
}

/// The indented lines that call the program, with those that they go on in.
std::vector<DocumentedCommand> commands_in(const fs::path& file) {
  std::vector<DocumentedCommand> commands;
  std::istringstream lines(read_file(file));
  int64_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    const size_t start = line.find_first_not_of(' ');
    if (start == std::string::npos || start < 4) continue;
    std::string text = line.substr(start);
    for (const char* lead : {"$ ", "run: ", "build/release/"}) {
      if (text.starts_with(lead)) text = text.substr(std::string(lead).size());
    }
    if (!text.starts_with("sagesan ")) continue;
    const int64_t first = number;
    while (text.ends_with("\\") && std::getline(lines, line)) {
      ++number;
      text = text.substr(0, text.size() - 1) + line;
    }
    // What stands for options that another command shows.
    if (text.find(" ... ") != std::string::npos) continue;
    Arguments words = split_words(text);
    words.erase(words.begin());
    commands.push_back({file.filename().string() + ":" + std::to_string(first), std::move(words)});
  }
  return commands;
}

/// Everything that the documentation names, in one directory.
class Docs : public testing::CliTest {
 protected:
  void SetUp() override {
    const testing::RunResult made =
        run_program({(root_ / "pair").string(), "1"}, nullptr, SAGESAN_MAKE_PAIRS);
    ASSERT_EQ(made.code, 0) << made.err;
    for (const char* name : {"BASE", "FULL", "MODEL", "RETRAINED"}) link("pair/base", name);
    for (const char* name : {"UNLEARNED", "RUN_17", "unlearned"}) link("pair/ga", name);
    link("pair/base", "base");
    for (const char* name : {"retain.jsonl", "retain90.json", "retain1.json", "wikitext.jsonl"})
      link("pair/retain.jsonl", name);
    link("pair/forget.jsonl", "forget.jsonl");
    for (const char* name : {"heldout.jsonl", "other.jsonl", "keep.jsonl", "holdout10.json"})
      link("pair/heldout.jsonl", name);
    for (const char* name : {"forget10", "retain", "real_authors", "world_facts"})
      write_perturbed(std::string(name) + "_perturbed.json");
    write_adapter();
    write_file(root_ / "manifest.json",
               json{{"defaults", {{"base", "BASE"}, {"retain", {"retain.jsonl"}}}},
                    {"jobs", {{{"unlearned", "UNLEARNED"}, {"out", "clean_run"}}}}}
                   .dump());
    // The template of a model with other special tokens is this one's plain one.
    for (const char* file : {"tofu/Llama-3.2-1B-Instruct.toml", "muse/Llama-2-7b-hf.toml",
                             "wmdp/zephyr-7b-beta.toml"}) {
      std::string text = read_file(fs::path(SAGESAN_SOURCE_DIR) / "configs" / file);
      for (const char* name : {"\"llama3\"", "\"zephyr\""}) {
        for (size_t at = text.find(name); at != std::string::npos; at = text.find(name))
          text.replace(at, std::string(name).size(), "\"plain\"");
      }
      fs::create_directories((root_ / "configs" / file).parent_path());
      write_file(root_ / "configs" / file, text);
    }
    run({"sanitize", "--base", "BASE", "--unlearned", "UNLEARNED", "--retain", "retain.jsonl",
         "--out", "OUT"});
    fs::create_directories(root_ / "golden");
    fs::copy(root_ / "OUT" / "sagesan_report.json", root_ / "golden.json");
    fs::copy(root_ / "OUT" / "sagesan_report.json", root_ / "golden" / "sagesan_report.json");
    for (const char* name : {"retrained.json", "scores.json"}) {
      run({"evaluate", "--model", "BASE", "--data", "forget=forget10_perturbed.json", "--data",
           "retain=retain.jsonl", "--data", "holdout=holdout10.json", "--forget", "forget",
           "--holdout", "holdout", "--json", name});
    }
    for (const char* name : {"part1", "part2", "retain", "forget", "moments"}) {
      run({"collect", "--base", "BASE", "--retain",
           std::string(name) == "part2" ? "other.jsonl" : "retain.jsonl", "--out",
           std::string(name) + ".safetensors"});
    }
  }

  void link(const std::string& to, const std::string& name) const {
    fs::create_symlink(to, root_ / name);
  }

  void write_perturbed(const std::string& name) const {
    std::istringstream lines(read_file(root_ / "forget.jsonl"));
    std::string text;
    for (std::string line; std::getline(lines, line) && text.size() < 2000;) {
      json record = json::parse(line);
      record["paraphrased_answer"] = record["answer"];
      record["perturbed_answer"] = {"No.", "Nobody knows."};
      text += record.dump() + "\n";
    }
    write_file(root_ / name, text);
  }

  /// A LoRA of rank 1 on one module.
  void write_adapter() const {
    const json config = json::parse(read_file(root_ / "BASE" / "config.json"));
    const int64_t hidden = config["hidden_size"];
    fs::create_directories(root_ / "ADAPTER");
    write_file(
        root_ / "ADAPTER" / "adapter_config.json",
        json{{"peft_type", "LORA"}, {"r", 1}, {"lora_alpha", 1}, {"target_modules", {"q_proj"}}}
            .dump());
    const std::vector<float> ones(static_cast<size_t>(hidden), 0.01F);
    const auto bytes = std::as_bytes(std::span(ones));
    const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.lora_";
    write_safetensors(root_ / "ADAPTER" / "adapter_model.safetensors",
                      {{module + "A.weight", DType::kF32, {1, hidden}, bytes},
                       {module + "B.weight", DType::kF32, {hidden, 1}, bytes}},
                      {{"format", "pt"}});
  }

  testing::RunResult call(const Arguments& words) const {
    const std::string place = root_.path().string();
    return run_program(words, [place] {
      // One processor: threads that wait for one another beside other tests take minutes.
      cpu_set_t processors;
      CPU_ZERO(&processors);
      CPU_SET(::sched_getcpu(), &processors);
      ::sched_setaffinity(0, sizeof processors, &processors);
      if (::chdir(place.c_str()) != 0) ::_exit(126);
    });
  }
  void run(const Arguments& words) const {
    const testing::RunResult result = call(words);
    ASSERT_EQ(result.code, 0) << result.err;
  }
};

TEST_F(Docs, EveryCommandRuns) {
  const fs::path source = SAGESAN_SOURCE_DIR;
  std::vector<fs::path> files = {source / "README.md"};
  for (const auto& entry : fs::directory_iterator(source / "docs"))
    if (entry.path().extension() == ".md") files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  size_t count = 0;
  for (const fs::path& file : files) {
    for (DocumentedCommand& command : commands_in(file)) {
      SCOPED_TRACE(command.place);
      ++count;
      Arguments& words = command.words;
      for (std::string& word : words) {
        if (word == "llama3") word = "plain";
        if (word == "200") word = "5";  // tokens to generate, for time
      }
      const auto option = std::find(words.begin(), words.end(), "--out");
      const std::string out = option == words.end() ? "" : *(option + 1);
      if (!out.empty()) fs::remove_all(root_ / out);
      if (std::find(words.begin(), words.end(), "--generate") != words.end() &&
          std::find(words.begin(), words.end(), "--max-new-tokens") == words.end())
        words = joined(words, {"--max-new-tokens", "5"});
      const testing::RunResult result = call(words);
      std::string line;
      for (const std::string& word : words) line += " " + word;
      // A check may fail: its bounds are somebody's.
      const bool failed_check = words.front() == "check" && result.code == 5;
      EXPECT_TRUE(result.code == 0 || failed_check) << "sagesan" << line << "\n" << result.err;
      // What later commands read is there again, whatever came of this one.
      if (out == "OUT" && !fs::exists(root_ / out))
        run({"sanitize", "--base", "BASE", "--unlearned", "UNLEARNED", "--retain", "retain.jsonl",
             "--out", "OUT"});
    }
  }
  EXPECT_GE(count, 45);
}

}  // namespace
}  // namespace sagesan
