#include "sagesan/checkpoint/adapter_match.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "adapter_orientation.h"
#include "adapter_parameters.h"
#include "expert_name.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// What a module's factors are multiplied for.
struct Product {
  const AdapterModule& module;
  std::string key;  ///< what the patterns are matched against
  int64_t experts;
  bool a_on_rows;
};

/// Which part of the product a base tensor takes.
struct Place {
  int64_t first_expert = 0;
  int64_t slabs = 1;
  int64_t row = 0;
};

/// Whether a stored tensor's bytes are all 0. Reads no further than to the first that is not.
bool is_zero(const StoredTensor& stored) {
  std::vector<std::byte> block(std::min<uint64_t>(stored.info->bytes, uint64_t{1} << 16));
  for (uint64_t start = 0; start < stored.info->bytes; start += block.size()) {
    block.resize(std::min<uint64_t>(block.size(), stored.info->bytes - start));
    stored.read(start, block);
    if (std::any_of(block.begin(), block.end(), [](std::byte b) { return b != std::byte{0}; }))
      return false;
  }
  return true;
}

/// Whether an update is 0: LoRA that was never trained. DoRA's magnitude changes even such a one.
bool is_nothing(const LowRankUpdate& update) {
  if (update.magnitude) return false;
  const bool routed = !update.routes.empty();
  return update.scale == 0 || is_zero(update.columns.stored) ||
         (routed ? std::all_of(update.routes.begin(), update.routes.end(), is_zero)
                 : is_zero(update.rows.stored));
}

class Matcher {
 public:
  Matcher(const Adapter& adapter, const Checkpoint& base) : adapter_(adapter), base_(base) {
    for (const StoredTensor& tensor : base.tensors())
      by_name_[canonical_module(tensor.info->name)].push_back(tensor);
  }

  std::vector<AdapterChange> run() {
    std::map<std::string, std::vector<const AdapterModule*>> by_key;
    for (const AdapterModule& module : adapter_.modules()) by_key[module.key].push_back(&module);
    for (auto& [key, modules] : by_key) add_modules(key, modules);
    for (const WholeTensor& whole : adapter_.whole_tensors()) add_whole(whole);
    for (const WholeTensor* head : unplaced_) add_tied_head(*head);
    std::vector<AdapterChange> result;
    for (const StoredTensor& tensor : base_.tensors()) {
      const auto found = changes_.find(tensor.info->name);
      if (found == changes_.end()) continue;
      AdapterChange& change = found->second;
      if (change.whole && same_bytes(change.whole, change.base)) change.whole = {};
      if (change.low_rank && is_nothing(*change.low_rank)) change.low_rank.reset();
      if (change.bias && (change.bias_scale == 0 || is_zero(change.bias))) change.bias = {};
      if (change.whole || change.low_rank || change.bias) result.push_back(change);
    }
    return result;
  }

 private:
  /// By canonical name; among several the one that is called `name` itself.
  StoredTensor find(const std::string& name, const StoredTensor& because) const {
    const auto found = by_name_.find(canonical_module(name));
    if (found == by_name_.end()) return {};
    if (found->second.size() == 1) return found->second.front();
    if (const StoredTensor exact = base_.find(name)) return exact;
    throw InputError(
        because.where(),
        fmt::format("it may belong to {} or {} of the base {}", quote(found->second[0].info->name),
                    quote(found->second[1].info->name), base_.path().string()));
  }

  [[noreturn]] void fail_missing(const StoredTensor& because, const std::string& name) const {
    throw InputError(because.where(),
                     fmt::format("the base {} has no {}{}", base_.path().string(), quote(name),
                                 name.ends_with("lm_head.weight")
                                     ? ": where the head is tied to the embedding, only a merge "
                                       "with peft can untie it"
                                     : ""));
  }

  AdapterChange& change(const StoredTensor& base) {
    AdapterChange& result = changes_[base.info->name];
    result.base = base;
    return result;
  }

  void add_modules(const std::string& key, std::vector<const AdapterModule*>& modules) {
    std::sort(modules.begin(), modules.end(),
              [](const auto* a, const auto* b) { return a->nesting < b->nesting; });
    for (size_t i = 0; i < modules.size(); ++i) {
      if (modules[i]->nesting != static_cast<int64_t>(i))
        throw InputError(modules[i]->a.where(),
                         fmt::format("module {} lacks what is wrapped around it", quote(key)));
    }
    const AdapterModule& outer = *modules.front();
    const auto parameters = targeted_parameters(adapter_, key, by_name_);
    if (parameters.empty()) {
      const StoredTensor weight = find(key + ".weight", outer.a);
      if (!weight) fail_missing(outer.a, key + ".weight");
      if (weight.info->shape.size() != 2) fail_shape(outer.a, weight);
      if (modules.size() > 1)
        throw InputError(modules[1]->a.where(), "target_parameters names no parameter for it");
      add_parameter(key, outer, {"weight", weight.info->shape, {weight}, 0});
      return;
    }
    const auto order = assign_parameters(adapter_, key, modules, parameters, base_.path());
    for (size_t i = 0; i < modules.size(); ++i)
      add_parameter(key, *modules[i], parameters[order[i]]);
  }

  [[noreturn]] static void fail_shape(const StoredTensor& stored, const StoredTensor& base) {
    throw InputError(stored.where(),
                     fmt::format("shape {} does not fit {} of {}, which is {}",
                                 shape_text(stored.info->shape), quote(base.info->name),
                                 base.file->path().string(), shape_text(base.info->shape)));
  }

  void add_product(const Product& product, const StoredTensor& target, const Place& place) {
    const auto& shape = target.info->shape;
    StoredFactor a{.stored = product.module.a};
    a.rank = adapter_.configuration().rank(product.key);
    a.experts = product.experts;
    a.first_expert = place.first_expert;
    a.slabs = place.slabs;
    StoredFactor b = a;
    b.stored = product.module.first_b();
    b.is_a = false;
    LowRankUpdate update;
    update.rows = product.a_on_rows ? a : b;
    update.columns = product.a_on_rows ? b : a;
    update.rows.start = place.row;
    update.rows.length = shape[shape.size() - 2];
    update.columns.length = shape.back();
    for (const auto& [index, route] : product.module.routed_b) update.routes.push_back(route);
    update.scale = adapter_.configuration().scaling(product.key);
    update.magnitude = product.module.magnitude;
    AdapterChange& result = change(target);
    if (result.low_rank) {
      throw InputError(product.module.a.where(),
                       fmt::format("{} is adapted twice", quote(target.info->name)));
    }
    result.low_rank = std::move(update);
  }

  /// `parameter` is one of target_parameters, or the weight of a module that is itself targeted.
  void add_parameter(const std::string& key, const AdapterModule& module,
                     const TargetedParameter& parameter) {
    const std::string name = fmt::format("{}.{}", key, parameter.name);
    const bool targeted = is_targeted(adapter_, name);
    // peft matches patterns against the parameter's name where that is what was targeted
    // (tuners/tuners_utils.py `_inject_parameters`).
    const Product product{
        module, targeted ? name : key, parameter.shape.size() == 3 ? parameter.shape[0] : 1,
        runs_along_rows(adapter_, module, {name, parameter.shape, targeted}, base_.path())};
    if (module.routed() && (targeted || product.a_on_rows)) {
      throw InputError(
          module.a.where(),
          fmt::format("module {} is routed at run time: only for linear layers whose weight is "
                      "stored [out, in], not for {} {}",
                      quote(key), quote(name), shape_text(parameter.shape)));
    }
    const int64_t rank = adapter_.configuration().rank(product.key);
    if (module.a.info->shape[0] != rank * product.experts) {
      throw InputError(
          module.a.where(),
          fmt::format("shape {}, but adapter_config.json gives it rank {} and {} of the "
                      "base {} is {}",
                      shape_text(module.a.info->shape), rank, quote(name), base_.path().string(),
                      shape_text(parameter.shape)));
    }
    if (targeted && (module.bias || module.magnitude || module.embedding)) {
      throw InputError(
          module.a.where(),
          fmt::format("{} is a parameter, which peft adapts with plain LoRA alone", quote(name)));
    }
    if (module.bias) add_bias(module, product.key);
    if (parameter.parts_per_expert == 0) {
      add_product(product, parameter.parts[0], {.slabs = product.experts});
      return;
    }
    for (int64_t expert = 0; expert < product.experts; ++expert)
      add_expert(product, parameter, expert);
  }

  void add_expert(const Product& product, const TargetedParameter& parameter, int64_t expert) {
    const size_t count = parameter.parts_per_expert;
    const auto parts =
        std::span(parameter.parts).subspan(static_cast<size_t>(expert) * count, count);
    int64_t row = 0;
    for (const StoredTensor& part : parts) {
      add_product(product, part, {.first_expert = expert, .row = row});
      row += part.info->shape[0];
      if (product.a_on_rows) continue;
      for (const StoredTensor& other : parts) {
        if (other.info != part.info)
          change(part).low_rank->shares_a_with.push_back(other.info->name);
      }
    }
  }

  void add_bias(const AdapterModule& module, const std::string& key) {
    const std::string name = module.key + ".bias";
    const StoredTensor bias = find(name, module.bias);
    if (!bias) fail_missing(module.bias, name);
    if (bias.info->shape != module.bias.info->shape) fail_shape(module.bias, bias);
    AdapterChange& target = change(bias);
    target.bias = module.bias;
    target.bias_scale = adapter_.configuration().scaling(key);
  }

  void add_whole(const WholeTensor& whole) {
    const StoredTensor target = find(whole.name, whole.stored);
    if (!target) return unplaced_.push_back(&whole);
    if (target.info->shape != whole.stored.info->shape &&
        (whole.beside_lora || !is_grown(target.info->shape, whole.stored.info->shape)))
      fail_shape(whole.stored, target);
    AdapterChange& place = change(target);
    if (place.whole)
      throw InputError(whole.stored.where(),
                       fmt::format("{} takes the place of {} too", quote(place.whole.info->name),
                                   quote(target.info->name)));
    if (place.low_rank && !whole.beside_lora)
      throw InputError(whole.stored.where(),
                       fmt::format("{} is both adapted and replaced", quote(target.info->name)));
    place.whole = whole.stored;
    place.copies = whole.copies;
  }

  /// Whether `to` is the matrix `from` with more rows.
  static bool is_grown(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
    return from.size() == 2 && to.size() == 2 && from[1] == to[1] && from[0] < to[0];
  }

  /// What the base has not: the head that it ties to its embedding, if it is that.
  void add_tied_head(const WholeTensor& head) {
    for (auto& [name, change] : changes_) {
      if (!change.whole || !same_bytes(change.whole, head.stored)) continue;
      change.is_head_too = true;
      change.copies.push_back(head.stored);
      change.copies.insert(change.copies.end(), head.copies.begin(), head.copies.end());
      return;
    }
    fail_missing(head.stored, head.name);
  }

  const Adapter& adapter_;
  const Checkpoint& base_;
  CanonicalNames by_name_;
  std::map<std::string, AdapterChange> changes_;
  std::vector<const WholeTensor*> unplaced_;
};

}  // namespace

std::vector<AdapterChange> match_adapter(const Adapter& adapter, const Checkpoint& base) {
  return Matcher(adapter, base).run();
}

}  // namespace sagesan
