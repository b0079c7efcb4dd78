#include "unlearned_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "sagesan/support/error.h"

namespace sagesan {

UnlearnedModel open_unlearned(const std::filesystem::path& unlearned, const Checkpoint& base,
                              const std::vector<std::filesystem::path>& more) {
  if (std::filesystem::is_regular_file(unlearned) &&
      Adapter::is_adapter(std::filesystem::absolute(unlearned).parent_path()) &&
      unlearned.filename().string().starts_with("adapter_model.")) {
    throw InputError(unlearned.string(), "is a part of a PEFT adapter: give its directory");
  }
  if (!Adapter::is_adapter(unlearned)) {
    if (!more.empty()) {
      throw InputError(unlearned.string(),
                       "is no PEFT adapter, so that --add-adapter cannot be summed with it");
    }
    return {.checkpoint = Checkpoint::open(unlearned)};
  }
  auto adapters = std::make_unique<std::vector<Adapter>>();
  std::vector<std::filesystem::path> files;
  const auto open = [&](const std::filesystem::path& directory) {
    const Adapter& adapter = adapters->emplace_back(Adapter::open(directory));
    files.push_back(adapter.configuration().path);
    files.push_back(adapter.file().path());
  };
  open(unlearned);
  for (const std::filesystem::path& directory : more) open(directory);
  auto merged = std::make_unique<MergedAdapters>(base, *adapters);
  if (merged->tensors().empty()) {
    throw InputError(unlearned.string(),
                     "changes nothing (its factors are 0): the models are identical, nothing to "
                     "sanitize");
  }
  UnlearnedModel result{.merged = merged.get()};
  result.checkpoint = Checkpoint::compute(unlearned, std::move(merged), std::move(files));
  result.adapters = std::move(adapters);
  return result;
}

void check_tied_adapter(const UnlearnedModel& unlearned, const ModelMap& model) {
  if (unlearned.merged == nullptr || model.tied_embedding.empty()) return;
  const StoredTensor embedding = unlearned.merged->find(model.tied_embedding);
  const StoredTensor head = unlearned.merged->find(model.tied_head);
  if (head && !embedding) {
    throw InputError(
        head.where(),
        "is the head, which is tied to the embedding, and is adapted alone: untie them "
        "in the base, or merge the adapter with peft");
  }
  if (!embedding || head) return;
  for (const AdapterChange& change : unlearned.merged->changes(model.tied_embedding)) {
    if (!change.whole || change.is_head_too) continue;
    throw InputError(
        change.whole.where(),
        "replaces the embedding, to which the head is tied; peft leaves the head as it "
        "was: untie them in the base, or save both");
  }
}

void check_routed_output(const SanitizeOptions& options, const UnlearnedModel& unlearned) {
  if (!unlearned.routed() || options.output.format == OutputFormat::kAdapter) return;
  const std::vector<AdapterModule>& modules = unlearned.adapters->front().modules();
  const auto module = std::find_if(modules.begin(), modules.end(),
                                   [](const AdapterModule& each) { return each.routed(); });
  throw InputError(module->a.where(),
                   fmt::format("module {} is routed at run time between {} factors B: it has no "
                               "merged weights; --out-format adapter gives the sanitized adapter",
                               quote(module->key), module->routed_b.size()));
}

void check_routed_parameters(const UpdateVector& updates, const UnlearnedModel& unlearned,
                             const std::map<std::string, Parameter>& parameters) {
  if (!unlearned.routed()) return;
  for (const Update& update : updates.updates) {
    const AdapterChange& change = unlearned.merged->changes(update.unlearned.info->name).front();
    const auto found = parameters.find(update.name);
    if (!change.low_rank || change.low_rank->routes.empty() || found == parameters.end() ||
        found->second.kind == ParameterKind::kLinear)
      continue;
    throw InputError(change.low_rank->columns.stored.where(),
                     fmt::format("is routed at run time and adapts {}, which is of kind {}: only "
                                 "for linear layers",
                                 quote(update.name), parameter_kind_name(found->second.kind)));
  }
}

void check_adapter_output(const SanitizeOptions& options, const UnlearnedModel& unlearned,
                          const std::string& tied_embedding) {
  const auto refuse = [&](const std::string& reason) {
    throw InputError(
        options.unlearned.string(),
        fmt::format("--out-format adapter: {}{}", reason,
                    unlearned.routed() ? "" : "; --out-format full writes the merged model"));
  };
  if (unlearned.merged == nullptr) refuse("this is no PEFT adapter");
  if (options.output.dtype || options.output.shard_bytes > 0)
    refuse("an adapter keeps its dtypes and its one file");
  for (const TensorInfo& tensor : unlearned.merged->tensors()) {
    const auto fail = [&](const std::string& why) {
      refuse(fmt::format("tensor {}: {}", quote(tensor.name), why));
    };
    if (const auto why = unlearned.merged->why_not_low_rank(tensor.name)) fail(*why);
    for (const AdapterChange& change : unlearned.merged->changes(tensor.name)) {
      if (!change.low_rank) continue;
      if (tensor.name == tied_embedding)
        fail("it is the head too, whose penalty does not keep the rank");
      if (options.target_bias && !change.low_rank->shares_a_with.empty())
        fail(
            "it shares its A with another tensor, so that --target-bias cannot be solved for each");
    }
  }
}

}  // namespace sagesan
