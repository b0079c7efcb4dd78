#include "sagesan/jobs/collect.h"

#include <optional>

#include "moments_target.h"
#include "sagesan/activations/moments_file.h"
#include "sagesan/activations/runner.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/jobs/token_data.h"
#include "sagesan/support/hash.h"

namespace sagesan {

MomentsSummary collect(const CollectOptions& options, const Progress& progress,
                       const std::function<void(const std::string&)>& notice) {
  Preflight preflight;
  at::Device device = at::kCPU;
  Checkpoint checkpoint;
  ModelConfiguration model;
  TextSource source;
  TokenData texts;
  preflight.check([&] { device = parse_device(options.device); });
  const bool opened = preflight.check([&] { checkpoint = Checkpoint::open_model(options.base); });
  const bool known = std::filesystem::is_directory(options.base) &&
                     preflight.check([&] { model = read_configuration(options.base); });
  if (opened && known) preflight.check([&] { match_parameters(model, checkpoint); });
  const bool text =
      preflight.check([&] { source = open_text_source(options.rendering, options.base); });
  if (text && known) {
    preflight.check([&] {
      texts = read_token_data(options.retain, source,
                              {.max_length = options.max_length, .max_tokens = options.max_tokens},
                              model);
    });
  }
  std::vector<std::filesystem::path> inputs = options.retain;
  inputs.push_back(options.base);
  preflight.check([&] { check_moments_target(options.out, inputs, options.overwrite); });
  preflight.finish();
  give_template_notice(options.rendering, source.records.chat, notice);
  give_notices(texts.files, "retain", notice);

  MomentsOrigin origin{
      .base_identity = checkpoint_identity(checkpoint, progress, at::get_num_threads()),
      .tokenizer_identity = source.tokenizer ? hash_file(*find_tokenizer_file(options.base)) : "",
      .max_length = options.max_length,
      .token_cap = options.token_cap,
      .retain_fields = source.records.fields,
      .retain_template = source.records.chat ? source.records.chat->identity() : "",
      .split_long_texts = source.records.split_long_texts,
      .retain_files = texts.files};
  ObservationPlan plan{.token_cap = options.token_cap};
  std::map<std::string, MomentShape> shapes;
  for (const auto& [site, channels] : model_sites(model)) {
    plan.sites.insert(site);
    MomentShape& shape = shapes[site.name()];
    shape = {.channels = channels, .diagonal = site.is_diagonal()};
    if (!site.is_expert()) shape.tokens = texts.batch.tokens();
  }
  MomentsWriter writer(options.out, origin, shapes);
  const auto report = [&](int64_t layer) {
    if (progress)
      progress("collect", static_cast<double>(layer), static_cast<double>(model.layer_count() + 1));
  };
  observe(model, checkpoint, device, texts.batch, plan, report,
          [&](const Site& site, const SiteMoment& moment, double) {
            writer.write(site.name(), moment);
            report(std::max<int64_t>(site.layer, 0));
          });
  writer.commit(options.overwrite);
  return {static_cast<int64_t>(shapes.size()), texts.batch.tokens()};
}

}  // namespace sagesan
