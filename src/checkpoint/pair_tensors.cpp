#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string_view>

#include "expert_name.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

[[noreturn]] void fail(const StoredTensor& tensor, const std::string& message) {
  throw InputError(tensor.where(), message + ": base and unlearned must be the same model");
}

[[noreturn]] void fail_by_shape(const StoredTensor& tensor, const std::vector<int64_t>& base) {
  fail(tensor,
       fmt::format("shape {}, in the base {}", shape_text(tensor.info->shape), shape_text(base)));
}

uint64_t columns(const StoredTensor& tensor) {
  const std::vector<int64_t>& shape = tensor.info->shape;
  return shape.size() < 2 ? 1 : static_cast<uint64_t>(shape.back());
}

/// The other sizes of a tensor without elements can be any numbers.
bool is_empty(const StoredTensor& tensor) { return tensor.info->bytes == 0; }

/// Whether a matrix `to` has the rows of one `from` several times. Of rows without columns there
/// could be any number.
bool is_repeated(const std::vector<int64_t>& from, const std::vector<int64_t>& to) {
  return from.size() == 2 && to.size() == 2 && from[1] == to[1] && from[1] > 0 && from[0] > 0 &&
         to[0] % from[0] == 0;
}

class Pairing {
 public:
  Pairing(const Checkpoint& base, const Checkpoint& unlearned, const PairHints& hints)
      : base_(base), unlearned_(unlearned), hints_(hints) {
    for (const StoredTensor& tensor : base.tensors())
      by_module_.emplace(canonical_module(tensor.info->name), tensor);
    if (!hints.untied) result_.tied_embedding = hints.embedding;
  }

  UpdateVector run() {
    for (const StoredTensor& tensor : unlearned_.tensors()) place(tensor);
    gather_experts();
    add_rest_of_base();
    if (result_.updates.empty()) {
      throw InputError(unlearned_.path().string(),
                       "holds no tensor of the base " + base_.path().string() +
                           ": base and unlearned must be the same model");
    }
    make_arranged();
    return std::move(result_);
  }

 private:
  /// An update one or both sides of which are arranged from parts.
  struct Pending {
    size_t update;
    ArrangedTensors::Arranged base, unlearned;  // without parts: as they are
  };

  StoredTensor find_base(const StoredTensor& tensor) {
    if (const StoredTensor same = base_.find(tensor.info->name)) return same;
    const std::string module = canonical_module(tensor.info->name);
    const auto found = by_module_.find(module);
    return found == by_module_.end() ? StoredTensor{} : found->second;
  }

  bool is_head(const StoredTensor& tensor) const {
    return !hints_.head.empty() &&
           canonical_module(tensor.info->name) == canonical_module(hints_.head);
  }

  void place(const StoredTensor& tensor) {
    if (is_head(tensor)) return place_head(tensor);
    if (const StoredTensor before = find_base(tensor))
      return pair(before.info->name, before, tensor);
    if (take_expert(tensor) || split_experts(tensor)) return;
    if (!is_buffer(tensor.info->name))
      fail(tensor, "not in the base checkpoint " + base_.path().string());
    result_.verbatim.push_back(TensorPart::whole(tensor));
  }

  /// The base's head is its embedding.
  void place_head(const StoredTensor& tensor) {
    const StoredTensor embedding = base_.find(hints_.embedding);
    if (!embedding) return result_.verbatim.push_back(TensorPart::whole(tensor));
    if (hints_.untied) return pair(hints_.head, embedding, tensor);
    if (has_own_embedding()) return result_.tied_copies.push_back(tensor);
    pair(hints_.embedding, embedding, tensor);
  }

  bool has_own_embedding() const {
    const std::string module = canonical_module(hints_.embedding);
    const auto tensors = unlearned_.tensors();
    return std::any_of(tensors.begin(), tensors.end(), [&](const StoredTensor& tensor) {
      return canonical_module(tensor.info->name) == module;
    });
  }

  /// Notes that `tensor` is for the base's `name`, alone.
  void claim(const std::string& name, const StoredTensor& tensor) {
    if (!names_.insert(name).second) fail(tensor, "the base has one tensor for this and another");
  }

  void pair(const std::string& name, const StoredTensor& before, const StoredTensor& tensor) {
    claim(name, tensor);
    const std::vector<int64_t>& from = before.info->shape;
    const std::vector<int64_t>& to = tensor.info->shape;
    result_.updates.push_back({.name = name,
                               .base = before,
                               .unlearned = tensor,
                               .is_computed = unlearned_.is_computed()});
    if (from == to) return;
    const bool may_grow = hints_.vocabulary.contains(name) && from.size() == to.size() &&
                          !to.empty() && std::equal(from.begin() + 1, from.end(), to.begin() + 1);
    if (may_grow) return pair_rows(before, tensor);
    if (!unlearned_.is_computed() || !is_repeated(from, to)) fail_by_shape(tensor, from);
    repeat_base(before, tensor);
  }

  /// The same rows for each route of the unlearned tensor.
  void repeat_base(const StoredTensor& before, const StoredTensor& tensor) {
    Pending pending{.update = result_.updates.size() - 1,
                    .base = {before.info->name, tensor.info->shape, {}}};
    for (int64_t row = 0; row < tensor.info->shape[0]; row += before.info->shape[0])
      pending.base.parts.push_back(TensorPart::whole(before));
    pending_.push_back(std::move(pending));
  }

  /// Rows of tokens that both have; the unlearned checkpoint's others stay as they are.
  void pair_rows(const StoredTensor& before, const StoredTensor& tensor) {
    std::vector<int64_t> shape = tensor.info->shape;
    shape[0] = std::min(shape[0], before.info->shape[0]);
    Update& update = result_.updates.back();
    Pending pending{.update = result_.updates.size() - 1};
    const uint64_t count = static_cast<uint64_t>(shape[0]) * columns(tensor);
    const auto whole = static_cast<uint64_t>(tensor.info->elements());
    if (count < whole) {
      pending.unlearned = {tensor.info->name, shape, {{tensor, 0, count}}};
      result_.verbatim.push_back({tensor, count, whole - count});
      update.grown = tensor;
    } else {
      pending.base = {before.info->name, shape, {{before, 0, count}}};
    }
    pending_.push_back(std::move(pending));
  }

  /// A module of one expert where the base has all in one tensor.
  bool take_expert(const StoredTensor& tensor) {
    const auto name = parse_expert_name(canonical_module(tensor.info->name));
    if (!name) return false;
    const auto found = by_module_.find(name->fused);
    if (found == by_module_.end()) return false;
    const std::vector<int64_t>& shape = found->second.info->shape;
    if (shape.size() != 3 || is_empty(found->second) || name->expert >= shape[0] ||
        shape[1] % name->parts != 0)
      fail_by_shape(tensor, shape);
    if (tensor.info->shape != std::vector{shape[1] / name->parts, shape[2]})
      fail_by_shape(tensor, {shape[1] / name->parts, shape[2]});
    const int64_t slot = name->expert * name->parts + name->part;
    if (!fused_[name->fused].emplace(slot, tensor).second)
      fail(tensor, "the base has one tensor for this and another");
    return true;
  }

  /// All experts in one tensor where the base has them one by one.
  bool split_experts(const StoredTensor& tensor) {
    const std::string module = canonical_module(tensor.info->name);
    const std::vector<int64_t>& shape = tensor.info->shape;
    if (!by_fused_known_) index_experts();
    const auto found = by_fused_.find(module);
    if (found == by_fused_.end()) return false;
    const auto& [parts, modules] = found->second;
    if (shape.size() != 3 || is_empty(tensor) || shape[1] % parts != 0 ||
        static_cast<size_t>(shape[0] * parts) != modules.size() ||
        modules.rbegin()->first + 1 != static_cast<int64_t>(modules.size()))
      fail_by_shape(tensor, {static_cast<int64_t>(modules.size()) / parts});
    const std::vector<int64_t> one = {shape[1] / parts, shape[2]};
    const auto size = static_cast<uint64_t>(one[0] * one[1]);
    for (const auto& [slot, before] : modules) {
      if (before.info->shape != one) fail_by_shape(tensor, before.info->shape);
      claim(before.info->name, tensor);
      result_.updates.push_back({.name = before.info->name, .base = before});
      pending_.push_back(
          {.update = result_.updates.size() - 1,
           .unlearned = {
               before.info->name, one, {{tensor, static_cast<uint64_t>(slot) * size, size}}}});
    }
    return true;
  }

  void index_experts() {
    by_fused_known_ = true;
    for (const auto& [module, tensor] : by_module_) {
      const auto name = parse_expert_name(module);
      if (!name) continue;
      auto& [parts, modules] = by_fused_[name->fused];
      parts = name->parts;
      modules[name->expert * name->parts + name->part] = tensor;
    }
  }

  void gather_experts() {
    for (const auto& [module, given] : fused_) {
      const StoredTensor before = by_module_.at(module);
      const std::vector<int64_t>& shape = before.info->shape;
      const int64_t parts = module.ends_with("gate_up_proj") ? 2 : 1;
      const auto size = static_cast<uint64_t>(shape[1] / parts * shape[2]);
      ArrangedTensors::Arranged arranged{before.info->name, shape, {}};
      uint64_t done = 0;  // elements
      const auto keep_until = [&](uint64_t end) {
        if (done < end) arranged.parts.push_back({before, done, end - done});
      };
      for (const auto& [slot, tensor] : given) {
        keep_until(static_cast<uint64_t>(slot) * size);
        arranged.parts.push_back({tensor, 0, size});
        done = static_cast<uint64_t>(slot + 1) * size;
      }
      keep_until(static_cast<uint64_t>(before.info->elements()));
      claim(before.info->name, given.begin()->second);
      result_.updates.push_back({.name = before.info->name, .base = before});
      pending_.push_back({.update = result_.updates.size() - 1, .unlearned = std::move(arranged)});
    }
  }

  void add_rest_of_base() {
    bool whole = !unlearned_.is_computed();
    for (const StoredTensor& tensor : base_.tensors()) {
      if (names_.contains(tensor.info->name)) continue;
      if (is_head(tensor) && names_.contains(hints_.embedding)) {
        result_.tied_copies.push_back(tensor);
        continue;
      }
      result_.only_base.push_back(tensor);
      whole = whole && is_buffer(tensor.info->name);
    }
    // A model is whole without buffers; where it is not, the base's go with what it lacks.
    if (whole) result_.only_base.clear();
  }

  void make_arranged() {
    const auto make = [&](const Checkpoint& checkpoint, auto side, auto target) {
      std::vector<ArrangedTensors::Arranged> list;
      for (const Pending& pending : pending_) {
        if (!(pending.*side).parts.empty()) list.push_back(pending.*side);
      }
      if (list.empty()) return;
      auto file = std::make_unique<ArrangedTensors>(checkpoint.path(), list);
      size_t next = 0;
      for (const Pending& pending : pending_) {
        if ((pending.*side).parts.empty()) continue;
        result_.updates[pending.update].*target = {file.get(), &file->tensors()[next++]};
      }
      result_.arranged.push_back(std::move(file));
    };
    make(base_, &Pending::base, &Update::base);
    make(unlearned_, &Pending::unlearned, &Update::unlearned);
  }

  const Checkpoint& base_;
  const Checkpoint& unlearned_;
  const PairHints& hints_;
  std::map<std::string, StoredTensor> by_module_;                 // the base's
  std::set<std::string> names_;                                   // of the updates
  std::map<std::string, std::map<int64_t, StoredTensor>> fused_;  // by slot: expert and part
  bool by_fused_known_ = false;
  std::map<std::string, std::pair<int64_t, std::map<int64_t, StoredTensor>>> by_fused_;
  std::vector<Pending> pending_;
  UpdateVector result_;
};

}  // namespace

bool is_buffer(std::string_view name) {
  constexpr std::array<std::string_view, 8> kEndings = {
      ".inv_freq",  ".original_inv_freq", ".attn.bias",      ".masked_bias",
      ".attn.mask", ".position_ids",      ".attention.bias", ".embed_scale"};
  return std::any_of(kEndings.begin(), kEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

UpdateVector pair_tensors(const Checkpoint& base, const Checkpoint& unlearned,
                          const PairHints& hints) {
  return Pairing(base, unlearned, hints).run();
}

}  // namespace sagesan
