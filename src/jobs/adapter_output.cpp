#include "adapter_output.h"

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// What is left of rows `m` of an update, or of the factor through which it reads its input: like
/// `m`. The rule sees what `read_update_block` would give it.
Tensor sanitize_rows(const Tensor& m, const Rule& rule, const Filter& filter, at::Device device) {
  const Tensor d = m.to(device, m.dim() > 1 ? at::kFloat : at::kDouble);
  if (rule.goes_back) return m.masked_fill(rule.goes_back(d, 0).to(m.device()), 0);
  const Tensor removed = rule.removed(d, 0, filter.strength);
  return (m - removed.to(m.device(), m.scalar_type())) * filter.gain;
}

}  // namespace

bool AdapterOutput::wants_values(const PlannedTensor& tensor) const {
  return !merged_.changes(tensor.update->name).front().low_rank;
}

Tensor& AdapterOutput::changed(const StoredTensor& stored) {
  const auto found = changed_.find(stored.info->name);
  if (found != changed_.end()) return found->second;
  return changed_.emplace(stored.info->name, load(stored)).first->second;
}

void AdapterOutput::add(const PlannedTensor& tensor, const Rule& rule, const Filter& filter,
                        const Tensor& sanitized, at::Device device) {
  for (const AdapterChange& change : merged_.changes(tensor.update->name)) {
    if (change.low_rank) {
      const LowRankUpdate& update = *change.low_rank;
      const Parameter& parameter = *tensor.parameter;
      const bool by_rows = parameter.transposed || parameter.kind == ParameterKind::kEmbedding;
      const StoredFactor& factor = by_rows ? update.rows : update.columns;
      Tensor values = load_factor(factor);  // [slabs, rank, length]
      const int64_t slab = tensor.expert.value_or(0);
      // An embedding's rows are its input; a linear module's factor is as its update, `[rank, in]`.
      const bool rows_are_input = parameter.kind == ParameterKind::kEmbedding;
      const Tensor part = values.select(0, slab);
      const Tensor result = sanitize_rows(rows_are_input ? part.t() : part, rule, filter, device);
      StoredFactor own = factor;
      own.first_expert += slab;
      own.slabs = 1;
      put_factor(own, (rows_are_input ? result.t() : result).unsqueeze(0), changed(factor.stored));
    } else if (change.whole) {
      put_whole(change, tensor.first_element(), sanitized);
    } else if (change.bias) {
      Tensor& bias = changed(change.bias);
      bias.copy_(sanitize_rows(load(change.bias).to(at::kDouble), rule, filter, device));
    }
  }
}

void AdapterOutput::put_whole(const AdapterChange& change, int64_t first, const Tensor& sanitized) {
  std::vector<StoredTensor> places = change.copies;
  places.push_back(change.whole);
  if (change.base.info->name == updates_.tied_embedding) {
    for (const StoredTensor& copy : updates_.tied_copies) {
      if (copy.file != &merged_) continue;
      const AdapterChange& head = merged_.changes(copy.info->name).front();
      places.push_back(head.whole);
      places.insert(places.end(), head.copies.begin(), head.copies.end());
    }
  }
  for (const StoredTensor& place : places)
    changed(place).view({-1}).narrow(0, first, sanitized.numel()).copy_(sanitized);
}

void AdapterOutput::write(const std::filesystem::path& directory) const {
  std::map<std::string, std::span<const std::byte>> bytes;
  for (const auto& [name, tensor] : changed_) {
    if (!all_finite(tensor)) {
      throw Error(ExitCode::kBadInput,
                  "tensor " + quote(name) + ": the sanitized values are not finite");
    }
    bytes.emplace(name, tensor_bytes(tensor));
  }
  write_adapter(adapter_, directory, bytes);
}

}  // namespace sagesan
