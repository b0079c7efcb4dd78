#include "sanitize_inputs.h"

#include <fmt/format.h>

#include "sagesan/activations/described_model.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/sanitize/name_filter.h"
#include "sagesan/support/output_directory.h"

namespace sagesan {
namespace {

void check_same_model(const ModelConfiguration& base, const ModelConfiguration& unlearned,
                      const SanitizeOptions& options) {
  const auto differ = [&](const std::string& what) {
    throw InputError((options.unlearned / "config.json").string(),
                     what + " differs from the base's: base and unlearned must be the same model");
  };
  if (base.architecture != unlearned.architecture) differ("the architecture");
  if (base.tied_head != unlearned.tied_head) differ("tie_word_embeddings");
}

std::vector<std::filesystem::path> all_inputs(const SanitizeOptions& options) {
  std::vector<std::filesystem::path> inputs = options.retain;
  inputs.push_back(options.base);
  inputs.push_back(options.unlearned);
  if (!options.moments.empty()) inputs.push_back(options.moments);
  return inputs;
}

/// Two tensors of one parameter must agree, or one of them would be sanitized as what it is not.
void check_tied_head(const ModelMap& model, const Checkpoint& checkpoint) {
  const StoredTensor head = find_stored_tied_head(model, checkpoint);
  const StoredTensor embedding = checkpoint.find(model.tied_embedding);
  if (!head || !embedding || same_bytes(head, embedding)) return;
  throw InputError(head.where(),
                   "differs from the embedding although tie_word_embeddings is true: "
                   "set it to false in config.json, or remove the tensor");
}

void check_space(const SanitizeOptions& options, uint64_t bytes) {
  std::error_code ignored;
  const auto parent = std::filesystem::absolute(options.out).lexically_normal().parent_path();
  const auto space = std::filesystem::space(parent, ignored);
  if (ignored || space.available >= bytes) return;
  throw IoError(parent.string(), fmt::format("the output needs {} MiB, {} are free", bytes >> 20,
                                             space.available >> 20));
}

void read_retain(const SanitizeOptions& options, bool model_known, Preflight& preflight,
                 SanitizeInputs& inputs) {
  TextSource texts;
  const bool text =
      preflight.check([&] { texts = open_text_source(options.rendering, options.base); });
  inputs.chat = texts.records.chat;
  if (text && model_known) {
    preflight.check([&] {
      inputs.retain = read_token_data(
          options.retain, texts,
          {.max_length = options.max_length, .max_tokens = options.max_tokens}, inputs.model);
    });
  } else {
    // Without the model their content cannot be judged, but they can be missing.
    for (const auto& file : options.retain) preflight.check([&] { const InputFile opened(file); });
  }
}

}  // namespace

SanitizeInputs open_sanitize_inputs(const SanitizeOptions& options) {
  SanitizeInputs inputs;
  Preflight preflight;
  preflight.check([&] { inputs.device = parse_device(options.device); });
  preflight.check([&] { const NameFilter valid(options.include, options.exclude); });
  const bool base = preflight.check([&] { inputs.base = Checkpoint::open(options.base); });
  const bool unlearned =
      preflight.check([&] { inputs.unlearned = Checkpoint::open(options.unlearned); });
  if (!options.moments.empty())
    preflight.check([&] { inputs.moments = std::make_unique<MomentsFile>(options.moments); });
  const bool described = inputs.moments && !inputs.moments->origin().model.empty();
  // A missing directory is one problem, not two.
  const bool model = !described && std::filesystem::is_directory(options.base) &&
                     preflight.check([&] { inputs.model = read_configuration(options.base); });
  if (base && model) preflight.check([&] { match_parameters(inputs.model, inputs.base); });
  if (model) inputs.map = map_model(inputs.model);
  if (described && base)
    preflight.check([&] { inputs.map = read_described_model(*inputs.moments, inputs.base); });
  if (unlearned && model) {
    preflight.check([&] {
      inputs.unlearned_model = read_configuration(options.unlearned);
      check_same_model(inputs.model, inputs.unlearned_model, options);
      if (options.unlearned_activations) match_parameters(inputs.unlearned_model, inputs.unlearned);
    });
  }
  if (base && unlearned) {
    preflight.check([&] { pair_tensors(inputs.base, inputs.unlearned); });
  }
  if (base) preflight.check([&] { check_tied_head(inputs.map, inputs.base); });
  if (unlearned) preflight.check([&] { check_tied_head(inputs.map, inputs.unlearned); });
  if (options.moments.empty()) read_retain(options, model, preflight, inputs);
  preflight.check([&] {
    OutputDirectory::check(options.out, all_inputs(options), options.overwrite, kReportName);
    if (unlearned) check_space(options, inputs.unlearned.bytes());
  });
  if (!options.report.empty()) {
    // Not in the output either, which is renamed into place before the copy is written.
    std::vector<std::filesystem::path> taken = all_inputs(options);
    taken.push_back(options.out);
    preflight.check([&] { check_text_file_target(options.report, taken); });
  }
  preflight.finish();
  return inputs;
}

}  // namespace sagesan
