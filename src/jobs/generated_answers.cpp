#include "generated_answers.h"

#include "sagesan/support/error.h"

namespace sagesan {

AnswerGenerator::AnswerGenerator(const GenerationLimits& limits,
                                 const std::filesystem::path& directory,
                                 const std::optional<Tokenizer>& tokenizer)
    : limits_(limits), settings_(read_generation_settings(directory)) {
  if (tokenizer) detokenizer_ = tokenizer->detokenizer();
}

void AnswerGenerator::set_texts(
    const TokenBatch& batch, const std::vector<int64_t>& first_scored,
    const std::vector<AnswerKind>& answers,
    const std::vector<std::pair<std::string, std::filesystem::path>>& files) {
  auto begin = batch.ids.begin();
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto end = begin + batch.lengths[i];
    const bool answered = first_scored[i] > 0 && first_scored[i] < batch.lengths[i];
    if (answers[i] == AnswerKind::kOwn && answered)
      texts_.push_back({.index = i, .ids = {begin, end}, .prompt = first_scored[i]});
    begin = end;
  }
  if (texts_.empty()) {
    throw InputError(files.front().second.string(),
                     "no record of any data set has a question with an answer, or a prompt with a "
                     "completion, to generate behind");
  }
}

GeneratedAnswers AnswerGenerator::run(const ModelConfiguration& model, const Checkpoint& checkpoint,
                                      at::Device device, const Progress& progress) const {
  std::vector<std::vector<int64_t>> prompts;
  for (const Text& text : texts_)
    prompts.emplace_back(text.ids.begin(), text.ids.begin() + text.prompt);
  const auto found = generate(model, checkpoint, prompts, settings_, limits_, device, progress);
  GeneratedAnswers answers;
  for (size_t i = 0; i < texts_.size(); ++i) {
    answers[texts_[i].index] = compare_answer(*detokenizer_, texts_[i].ids,
                                              static_cast<size_t>(texts_[i].prompt), found[i]);
  }
  return answers;
}

}  // namespace sagesan
