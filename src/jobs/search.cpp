#include "search.h"

#include <fmt/format.h>

#include "check_plan.h"
#include "sagesan/support/error.h"
#include "sweep_candidates.h"

namespace sagesan {
namespace {

constexpr int64_t kJudgedTokens = 4096;

/// Leaves every other text in `data`, that of `files`, and returns the rest, as many as are judged.
TokenData take_half(TokenData& data, const std::vector<std::filesystem::path>& files) {
  if (data.batch.lengths.size() < 2) {
    throw InputError(
        files.front().string(),
        "--auto needs at least 2 texts: one half is what candidates are made with, the "
        "other what they are judged by");
  }
  TokenData kept{.files = data.files};
  TokenData taken{.files = data.files};
  auto from = data.batch.ids.begin();
  for (size_t i = 0; i < data.batch.lengths.size(); ++i) {
    const auto to = from + data.batch.lengths[i];
    TokenData& half = i % 2 == 0 ? kept : taken;
    if (i % 2 == 0 || half.batch.tokens() < kJudgedTokens) {
      half.batch.add({from, to});
      half.first_scored.push_back(data.first_scored[i]);
      half.answers.push_back(data.answers[i]);
    }
    from = to;
  }
  // How many texts have nothing to score was said of all of them.
  check_scored(taken, files.front().string(), [](const std::string&) {});
  data = std::move(kept);
  return taken;
}

/// The halves that are judged; the others stay in `inputs`.
JudgingTexts take_halves(const SanitizeOptions& options, SanitizeInputs& inputs) {
  if (inputs.unlearned.routed()) {
    throw InputError(
        options.unlearned.string(),
        "is routed at run time: it has no weights that --auto could try candidates on");
  }
  JudgingTexts texts;
  texts.add(take_half(inputs.forget, options.forget), true);
  texts.add(take_half(inputs.retain, options.retain), false);
  return texts;
}

SearchReport::Step step(const std::string& name, const LikelihoodSummary& forget,
                        const LikelihoodSummary& retain, double kept) {
  return {name, forget.mean_negative_log_likelihood, retain.mean_negative_log_likelihood, kept};
}

}  // namespace

void check_search(const SanitizeOptions& options) {
  SanitizeInputs inputs = open_sanitize_inputs(options);
  take_halves(options, inputs);
}

FoundOptions search_options(const SanitizeOptions& options, const Progress& progress) {
  SanitizeInputs inputs = open_sanitize_inputs(options);
  const JudgingTexts texts = take_halves(options, inputs);
  const UpdateVector updates = compare_pair(options, inputs, progress);
  const SweepOptions grid{
      .sanitize = options, .energies = {options.energy}, .others = {options.other}};
  SweepResult result{.keep_forgetting = options.keep_forgetting,
                     .forget_files = inputs.forget.files,
                     .retain_files = inputs.retain.files};
  evaluate_candidates(inputs, updates, options, texts, list_candidates(grid), result, progress);
  evaluate_candidates(inputs, updates, options, texts, refine_candidates(result), result, progress);

  const SweepCandidate& best = result.best();
  FoundOptions found{
      .options = options_of(best, options),
      .search = {.keep_forgetting = options.keep_forgetting, .best = result.best_name()}};
  found.search.steps.push_back(step("base", result.base_forget, result.base_retain, 0));
  found.search.steps.push_back(
      step("unlearned", result.unlearned.forget, result.unlearned.retain, 1));
  for (const SweepCandidate& candidate : result.candidates) {
    found.search.steps.push_back(
        step(candidate.name(), candidate.forget, candidate.retain, candidate.kept_forgetting));
  }
  return found;
}

}  // namespace sagesan
