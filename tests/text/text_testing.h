#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/support/error.h"
#include "sagesan/text/records.h"
#include "sagesan/text/tokenizer.h"

namespace sagesan {

/// A file with `content` in the temporary folder, removed at the end.
class ScratchFile {
 public:
  explicit ScratchFile(std::string_view content, const std::string& name = "data.jsonl") {
    static int count = 0;
    folder_ = std::filesystem::temp_directory_path() /
              ("sagesan_text_" + std::to_string(getpid()) + "_" + std::to_string(count++));
    std::filesystem::create_directory(folder_);
    path_ = folder_ / name;
    std::ofstream(path_, std::ios::binary) << content;
  }
  ~ScratchFile() { std::filesystem::remove_all(folder_); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path folder_;
  std::filesystem::path path_;
};

/// Runs `action` and gives the message of the `InputError` (or `UsageError`) it must throw.
template <typename Action>
std::string error_of(const Action& action, ExitCode code = ExitCode::kBadInput) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

inline void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

/// A tokenizer.json whose vocabulary is `tokens` in order, without merges.
inline nlohmann::json make_tokenizer(const std::vector<std::string>& tokens) {
  nlohmann::json vocabulary = nlohmann::json::object();
  for (size_t i = 0; i < tokens.size(); ++i) vocabulary[tokens[i]] = i;
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", nlohmann::json::array()},
          {"normalizer", nullptr},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", nullptr},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", nlohmann::json::array()}}}};
}

/// One token for each of the characters of an ASCII text.
inline std::vector<std::string> letters(std::string_view text) {
  std::vector<std::string> tokens;
  for (const char letter : text) tokens.emplace_back(1, letter);
  return tokens;
}

inline Tokenizer load(const nlohmann::json& tokenizer) {
  const ScratchFile file(tokenizer.dump(), "tokenizer.json");
  return Tokenizer::load(file.path());
}

/// What `read_records` makes of a file of that name with that content.
inline std::vector<Record> records_of(std::string_view content, const RecordOptions& options = {},
                                      const std::string& name = "data.jsonl") {
  const ScratchFile file(content, name);
  return read_records(file.path(), options);
}

using Ids = std::vector<int64_t>;

}  // namespace sagesan
