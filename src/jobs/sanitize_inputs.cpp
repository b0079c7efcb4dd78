#include "sanitize_inputs.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pair_model.h"
#include "sagesan/activations/described_model.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/jobs/batch.h"
#include "sagesan/jobs/device.h"
#include "sagesan/jobs/preflight.h"
#include "sagesan/sanitize/name_filter.h"
#include "sagesan/support/output_directory.h"

namespace sagesan {
namespace {

/// Embedding and head must have as many rows, or nothing can load the output. Only in what a user
/// loads as it is; a delta or an adapter is no whole model.
void check_vocabulary(const SanitizeOptions& options, const SanitizeInputs& inputs,
                      const UpdateVector& updates) {
  if (options.output.format != OutputFormat::kFull || !updates.tied_embedding.empty()) return;
  std::optional<StoredTensor> first;
  for (const std::string& name : inputs.hints.vocabulary) {
    const Update* update = updates.find(name);
    const StoredTensor stored = update == nullptr ? inputs.base.find(name) : update->whole();
    if (!stored) continue;
    if (!first) first = stored;
    if (stored.info->shape[0] == first->info->shape[0]) continue;
    throw InputError(stored.where(),
                     fmt::format("the output would have {} rows of it, but {} of {} ({}): a model "
                                 "has one vocabulary; give both",
                                 stored.info->shape[0], first->info->shape[0],
                                 quote(first->info->name), first->file->path().string()));
  }
}

void check_space(const SanitizeOptions& options, uint64_t bytes) {
  std::error_code ignored;
  const auto parent = std::filesystem::absolute(options.out).lexically_normal().parent_path();
  const auto space = std::filesystem::space(parent, ignored);
  if (ignored || space.available >= bytes) return;
  throw IoError(parent.string(), fmt::format("the output needs {} MiB, {} are free", bytes >> 20,
                                             space.available >> 20));
}

ModelConfiguration sanitized_model(const SanitizeInputs& inputs, const UpdateVector& updates) {
  ModelConfiguration model = inputs.model;
  model.tied_head = !inputs.map.tied_embedding.empty();
  if (const Update* embedding = updates.find(embedding_name(model)))
    model.vocabulary = std::min(model.vocabulary, embedding->unlearned.info->shape[0]);
  return model;
}

/// Pairs the tensors and checks what depends on the pair.
void check_pair(const SanitizeOptions& options, SanitizeInputs& inputs) {
  const UpdateVector updates = pair_tensors(inputs.base, inputs.unlearned.checkpoint, inputs.hints);
  if (!inputs.model.architecture.empty()) inputs.sanitized_model = sanitized_model(inputs, updates);
  check_tied_heads(inputs.base, updates);
  check_vocabulary(options, inputs, updates);
  check_routed_parameters(updates, inputs.unlearned, inputs.map.parameters);
  check_tied_adapter(inputs.unlearned, inputs.map);
  if (options.output.format == OutputFormat::kAdapter)
    check_adapter_output(options, inputs.unlearned, inputs.map.tied_embedding);
  if (options.out.empty()) return;
  check_space(
      options,
      layout_output(inputs.base, inputs.unlearned.checkpoint, updates, options.output).bytes());
}

/// The retain texts, where no moments are given instead, and the forget texts, where there are any.
void read_texts(const SanitizeOptions& options, bool model_known, Preflight& preflight,
                SanitizeInputs& inputs) {
  if (!options.moments.empty() && options.forget.empty()) return;
  TextSource texts;
  const bool text =
      preflight.check([&] { texts = open_text_source(options.rendering, options.base); });
  inputs.chat = texts.records.chat;
  // What all models have that the texts run through; 0 where that one could not be read.
  ModelConfiguration reader = inputs.model;
  const int64_t observed = inputs.observed_model(options).vocabulary;
  const int64_t judged = options.automatic ? inputs.sanitized_model.vocabulary : 0;
  for (const int64_t vocabulary : {observed, judged}) {
    if (vocabulary > 0) reader.vocabulary = std::min(reader.vocabulary, vocabulary);
  }
  for (const auto& [files, data] :
       {std::pair(&options.retain, &inputs.retain), {&options.forget, &inputs.forget}}) {
    if (files->empty()) continue;
    if (text && model_known) {
      preflight.check([&, &names = *files, &read = *data] {
        read = read_token_data(names, texts,
                               {.max_length = options.max_length, .max_tokens = options.max_tokens},
                               reader);
      });
    } else {
      // Without the model their content cannot be judged, but they can be missing.
      for (const auto& file : *files) preflight.check([&] { const InputFile opened(file); });
    }
  }
}

/// Forget texts must be read as those that the moments were collected on.
void check_forget_texts(const SanitizeOptions& options, const SanitizeInputs& inputs) {
  const MomentsOrigin& origin = inputs.moments->origin();
  if (!origin.model.empty()) {
    throw InputError(options.moments.string(),
                     "describes a model of a family that cannot be run here: --forget texts "
                     "cannot be run through it");
  }
  const bool alike = origin.max_length == options.max_length &&
                     origin.token_cap == options.token_cap &&
                     origin.retain_fields == options.rendering.fields &&
                     origin.split_long_texts == options.rendering.split_long_texts &&
                     origin.retain_template == (inputs.chat ? inputs.chat->identity() : "");
  if (!alike) {
    throw InputError(options.moments.string(),
                     "was collected with other text options than the --forget texts are read with; "
                     "give --retain instead of --moments");
  }
}

}  // namespace

SanitizeInputs open_sanitize_inputs(const SanitizeOptions& options) {
  SanitizeInputs inputs;
  Preflight preflight;
  preflight.check([&] { inputs.device = parse_device(options.device); });
  preflight.check([&] { const NameFilter valid(options.include, options.exclude); });
  const bool base = preflight.check([&] { inputs.base = Checkpoint::open_model(options.base); });
  // Adapters say nothing without their base.
  const bool adapters = Adapter::is_adapter(options.unlearned);
  const bool unlearned = (base || !adapters) && preflight.check([&] {
    inputs.unlearned = open_unlearned(options.unlearned, inputs.base, options.adapters);
    check_routed_output(options, inputs.unlearned);
  });
  if (!options.moments.empty())
    preflight.check([&] { inputs.moments = std::make_unique<MomentsFile>(options.moments); });
  const bool described = inputs.moments && !inputs.moments->origin().model.empty();
  // A missing directory is one problem, not two.
  const bool model = !described && std::filesystem::is_directory(options.base) &&
                     preflight.check([&] { inputs.model = read_configuration(options.base); });
  const bool matched =
      base && model && preflight.check([&] { match_parameters(inputs.model, inputs.base); });
  if (described && base) {
    preflight.check([&] {
      inputs.map = read_described_model(inputs.moments->header(), inputs.base);
      inputs.hints = pair_hints(inputs.map);
    });
  }
  bool known = described;
  if (unlearned && base && matched) {
    known = preflight.check([&] {
      PairModel pair = read_pair_model(inputs.model, inputs.base, options.unlearned);
      inputs.model = std::move(pair.base);
      inputs.unlearned_model = std::move(pair.unlearned);
      inputs.map = std::move(pair.map);
      inputs.hints = std::move(pair.hints);
      if (!options.unlearned_activations) return;
      if (inputs.unlearned.merged != nullptr) {
        throw InputError(options.unlearned.string(),
                         inputs.unlearned.routed()
                             ? "--activations unlearned needs a whole checkpoint: an adapter that "
                               "is routed at run time cannot be merged into one"
                             : "--activations unlearned needs a whole checkpoint: merge the "
                               "adapter first");
      }
      match_parameters(inputs.unlearned_model, inputs.unlearned.checkpoint);
    });
  }
  if (base && unlearned && known) preflight.check([&] { check_pair(options, inputs); });
  read_texts(options, model, preflight, inputs);
  if (inputs.moments && !options.forget.empty())
    preflight.check([&] { check_forget_texts(options, inputs); });
  preflight.check([&] {
    if (options.out.empty()) return;
    OutputDirectory::check(options.out, job_inputs(options), options.overwrite, kReportName);
  });
  // Not in the output either, which is renamed into place before the copies are written.
  std::vector<std::filesystem::path> taken = job_inputs(options);
  taken.push_back(options.out);
  for (const std::filesystem::path& copy : {options.report, options.html}) {
    if (copy.empty()) continue;
    preflight.check([&] { check_text_file_target(copy, taken); });
    taken.push_back(copy);
  }
  preflight.finish();
  return inputs;
}

}  // namespace sagesan
