#pragma once

#include <memory>

#include "sagesan/activations/moments_file.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/jobs/token_data.h"
#include "unlearned_model.h"

namespace sagesan {

/// Everything that `sanitize` reads, opened and checked.
struct SanitizeInputs {
  Checkpoint base;
  UnlearnedModel unlearned;
  ModelMap map;              ///< of the unlearned model, by the base's names
  PairHints hints;           ///< of the pair
  ModelConfiguration model;  ///< as `unlearned_model`, empty where the moments file describes it
  ModelConfiguration unlearned_model;
  /// Of what comes out: as `model`, but with a head of its own or fewer tokens where the unlearned
  /// model has them.
  ModelConfiguration sanitized_model;
  TokenData retain;                      ///< empty where there are collected moments
  TokenData forget;                      ///< empty where there are none
  std::optional<ChatTemplate> chat;      ///< that rendered them
  std::unique_ptr<MomentsFile> moments;  ///< or null
  at::Device device = at::kCPU;

  /// The model whose inputs are observed, and its weights.
  const ModelConfiguration& observed_model(const SanitizeOptions& options) const {
    return options.unlearned_activations ? unlearned_model : model;
  }
  const Checkpoint& observed_checkpoint(const SanitizeOptions& options) const {
    return options.unlearned_activations ? unlearned.checkpoint : base;
  }
};

/// The preflight: finds every problem of the inputs, the options and the output's place at once and
/// throws them as one `Error`. Reads headers, configurations and the retain files, no weights.
SanitizeInputs open_sanitize_inputs(const SanitizeOptions& options);

}  // namespace sagesan
