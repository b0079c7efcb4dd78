#include "sagesan/jobs/evaluate.h"

#include "sagesan/evaluate/likelihood.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/jobs/token_data.h"

namespace sagesan {

EvaluateResult evaluate(const EvaluateOptions& options, const Progress& progress) {
  Preflight preflight;
  at::Device device = at::kCPU;
  Checkpoint checkpoint;
  ModelConfiguration model;
  TextSource texts;
  preflight.check([&] { device = parse_device(options.device); });
  const bool opened = preflight.check([&] { checkpoint = Checkpoint::open(options.model); });
  // A missing directory is one problem, not two.
  const bool known = std::filesystem::is_directory(options.model) &&
                     preflight.check([&] { model = read_configuration(options.model); });
  if (opened && known) preflight.check([&] { match_parameters(model, checkpoint); });
  const bool text =
      preflight.check([&] { texts = open_text_source(options.rendering, options.model); });

  // All data sets go through the model together: the checkpoint is read once.
  EvaluateResult result;
  if (texts.records.chat) result.retain_template = texts.records.chat->identity();
  TokenData all;
  std::vector<size_t> ends;
  for (const auto& [name, file] : options.data) {
    if (!text || !known) break;
    preflight.check([&, &set_name = name, &path = file] {
      TokenData data = read_token_data({path}, texts, {.max_length = options.max_length}, model);
      result.data_sets.push_back({.name = set_name, .file = std::move(data.files.front())});
      all.batch.ids.insert(all.batch.ids.end(), data.batch.ids.begin(), data.batch.ids.end());
      all.batch.lengths.insert(all.batch.lengths.end(), data.batch.lengths.begin(),
                               data.batch.lengths.end());
      all.first_scored.insert(all.first_scored.end(), data.first_scored.begin(),
                              data.first_scored.end());
      ends.push_back(all.batch.lengths.size());
    });
  }
  preflight.finish();

  const std::vector<TextScore> scores =
      score_texts(model, checkpoint, all.batch, all.first_scored, device, progress);
  size_t start = 0;
  for (size_t i = 0; i < ends.size(); ++i) {
    const std::vector<TextScore> part(scores.begin() + static_cast<std::ptrdiff_t>(start),
                                      scores.begin() + static_cast<std::ptrdiff_t>(ends[i]));
    result.data_sets[i].summary = summarize(part);
    if (result.data_sets[i].summary.records == 0) {
      throw InputError(options.data[i].second.string(), "no record has a token to score");
    }
    start = ends[i];
  }
  return result;
}

}  // namespace sagesan
