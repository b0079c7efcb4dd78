#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sagesan/evaluate/generated_answer.h"
#include "sagesan/evaluate/generation.h"
#include "sagesan/jobs/token_data.h"
#include "sagesan/text/tokenizer.h"

namespace sagesan {

/// By the text whose prompt they stand behind.
using GeneratedAnswers = std::map<size_t, GeneratedAnswer>;

/// Generates answers behind the prompts of texts, and compares them with the texts' own.
class AnswerGenerator {
 public:
  /// What `directory` says of generation counts for all models. Throws `InputError` where its
  /// tokenizer cannot turn ids into text.
  AnswerGenerator(const GenerationLimits& limits, const std::filesystem::path& directory,
                  const std::optional<Tokenizer>& tokenizer);

  /// Of the texts those that are a record's own and have an answer behind a prompt. Throws
  /// `InputError` that names the first of `files` where there are none.
  void set_texts(const TokenBatch& batch, const std::vector<int64_t>& first_scored,
                 const std::vector<AnswerKind>& answers,
                 const std::vector<std::pair<std::string, std::filesystem::path>>& files);

  GeneratedAnswers run(const ModelConfiguration& model, const Checkpoint& checkpoint,
                       at::Device device, const Progress& progress) const;

 private:
  struct Text {
    size_t index;
    std::vector<int64_t> ids;
    int64_t prompt;  // tokens
  };

  GenerationLimits limits_;
  GenerationSettings settings_;
  std::optional<Detokenizer> detokenizer_;  // none: no text either
  std::vector<Text> texts_;
};

}  // namespace sagesan
