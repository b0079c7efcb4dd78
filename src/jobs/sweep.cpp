#include "sagesan/jobs/sweep.h"

#include "check_plan.h"
#include "sagesan/jobs/preflight.h"
#include "sweep_candidates.h"

namespace sagesan {
namespace {

/// The texts that candidates are judged by, after all else was found well.
JudgingTexts read_judging_texts(const SweepOptions& options, const SanitizeInputs& inputs,
                                const std::function<void(const std::string&)>& notice,
                                SweepResult& result) {
  JudgingTexts texts;
  Preflight preflight;
  preflight.check([&] {
    const TextSource source = open_text_source(options.sanitize.rendering, options.sanitize.base);
    const TokenLimits limits{.max_length = options.sanitize.max_length};
    const auto& forget =
        options.forget_eval.empty() ? options.sanitize.forget : options.forget_eval;
    const auto read = [&](const std::vector<std::filesystem::path>& files, bool is_forget,
                          std::vector<RetainFileReport>& reports) {
      preflight.check([&] {
        TokenData data = read_token_data(files, source, limits, inputs.sanitized_model);
        give_notices(data.files, is_forget ? "forget" : "retain", notice);
        check_scored(data, files.front().string() + (files.size() > 1 ? ", ..." : ""), notice);
        texts.add(data, is_forget);
        reports = std::move(data.files);
      });
    };
    read(forget, true, result.forget_files);
    read(options.retain_eval, false, result.retain_files);
  });
  preflight.finish();
  return texts;
}

}  // namespace

SweepResult sweep(const SweepOptions& options, const Progress& progress,
                  const std::function<void(const std::string&)>& notice) {
  const SanitizeInputs inputs = open_sanitize_inputs(options.sanitize);
  SweepResult result{.keep_forgetting = options.keep_forgetting};
  const JudgingTexts texts = read_judging_texts(options, inputs, notice, result);
  const UpdateVector updates = compare_pair(options.sanitize, inputs, progress);
  evaluate_candidates(inputs, updates, options.sanitize, texts, list_candidates(options), result,
                      progress);
  if (options.sanitize.out.empty()) return result;
  sanitize(options_of(result.best(), options.sanitize), progress, notice);
  result.written = result.best_name();
  return result;
}

}  // namespace sagesan
