#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sagesan/adapters/merged_adapters.h"
#include "sagesan/jobs/sanitize.h"
#include "sagesan/model/parameters.h"

namespace sagesan {

/// The unlearned model: stored, or what adapters make of the base.
struct UnlearnedModel {
  Checkpoint checkpoint;
  std::unique_ptr<const std::vector<Adapter>> adapters;  ///< or null
  const MergedAdapters* merged = nullptr;                ///< owned by `checkpoint`

  /// Whether it is an adapter that is routed at run time: it has no merged weights.
  bool routed() const { return adapters && adapters->front().routed(); }
};

/// Opens what may be a PEFT adapter, and `more` to be summed with it. `base` must outlive the
/// result. Throws `InputError`.
UnlearnedModel open_unlearned(const std::filesystem::path& unlearned, const Checkpoint& base,
                              const std::vector<std::filesystem::path>& more = {});

/// Throws `InputError` where an adapter saved an embedding of its own beside a tied head: peft then
/// runs the old head, which no tied checkpoint can say; or the head alone.
void check_tied_adapter(const UnlearnedModel& unlearned, const ModelMap& model);

/// Throws `InputError` that names the module where an adapter is routed at run time and `options`
/// want merged weights of it.
void check_routed_output(const SanitizeOptions& options, const UnlearnedModel& unlearned);

/// Throws `InputError` where a routed module is known to be no linear layer: the factor on its
/// input's side is not the one that the routes share.
void check_routed_parameters(const UpdateVector& updates, const UnlearnedModel& unlearned,
                             const std::map<std::string, Parameter>& parameters);

/// Throws `InputError` where the sanitized update cannot be written as the adapter that it came
/// from, with the reason for the first tensor of which that is so.
void check_adapter_output(const SanitizeOptions& options, const UnlearnedModel& unlearned,
                          const std::string& tied_embedding);

}  // namespace sagesan
