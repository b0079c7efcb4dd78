#include "sagesan/checkpoint/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "sagesan/checkpoint/links.h"
#include "sagesan/checkpoint/pickle_file.h"
#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/checkpoint/update_vector.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr const char* kConfiguration = "adapter_config.json";
constexpr const char* kPickle = "adapter_model.bin";
constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kBaseLayer = ".base_layer";

/// Embeddings and heads that peft saves whole beside an adapter, changed or not (peft:
/// utils/save_and_load.py, "DEAL WITH EMBEDDINGS").
constexpr std::array<std::string_view, 6> kEmbeddings = {"embed_tokens", "lm_head",   "wte",
                                                         "embed_in",     "embed_out", "wpe"};

/// `name` without `suffix`, or nothing where it ends otherwise.
std::optional<std::string> without_suffix(const std::string& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return std::nullopt;
  return name.substr(0, name.size() - suffix.size());
}

/// The number in `lora_B0.weight` and `lora_B.0.weight`.
std::optional<size_t> routed_index(std::string_view role) {
  if (!role.starts_with("lora_B") || !role.ends_with(".weight")) return std::nullopt;
  role.remove_prefix(6);
  role.remove_suffix(7);
  if (role.starts_with('.')) role.remove_prefix(1);
  size_t index = 0;
  const auto [end, error] = std::from_chars(role.data(), role.data() + role.size(), index);
  if (role.empty() || error != std::errc() || end != role.data() + role.size() || index > 4096)
    return std::nullopt;
  return index;
}

void put(StoredTensor& place, const StoredTensor& stored) {
  if (place) {
    throw InputError(stored.where(),
                     fmt::format("has the role of {} too", quote(place.info->name)));
  }
  place = stored;
}

/// Whether peft would save the module that `name` belongs to whole (peft: utils/other.py
/// `_set_trainable`: a module whose name ends with an entry, and all below it).
bool in_modules_to_save(const std::string& name, const std::vector<std::string>& modules) {
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const std::string_view module(name.data(), dot);
    if (std::any_of(modules.begin(), modules.end(),
                    [&](const std::string& entry) { return module.ends_with(entry); }))
      return true;
  }
  return false;
}

bool is_embedding_weight(const std::string& name) {
  const auto module = without_suffix(name, ".weight");
  if (!module) return false;
  const std::string_view leaf = std::string_view(*module).substr(module->rfind('.') + 1);
  return std::find(kEmbeddings.begin(), kEmbeddings.end(), leaf) != kEmbeddings.end();
}

void check_shape(const StoredTensor& stored, const std::vector<int64_t>& shape,
                 const StoredTensor& because) {
  if (stored.info->shape == shape) return;
  throw InputError(
      stored.where(),
      fmt::format("shape {}, expected {}: {} is {}", shape_text(stored.info->shape),
                  shape_text(shape), quote(because.info->name), shape_text(because.info->shape)));
}

}  // namespace

bool Adapter::is_adapter(const std::filesystem::path& directory) {
  return std::filesystem::exists(directory / kConfiguration);
}

Adapter Adapter::open(const std::filesystem::path& directory) {
  if (!std::filesystem::is_directory(directory))
    throw InputError(directory.string(), "no such directory; expected a PEFT adapter");
  if (!is_adapter(directory))
    throw InputError(directory.string(), fmt::format("no {}: no PEFT adapter", kConfiguration));
  check_links(directory);
  check_is_one_thing(directory);
  Adapter adapter;
  adapter.directory_ = directory;
  adapter.configuration_ = read_adapter_configuration(directory / kConfiguration);
  if (std::filesystem::exists(directory / kAdapterFile)) {
    auto file = std::make_unique<SafetensorsFile>(directory / kAdapterFile);
    adapter.metadata_ = file->metadata();
    adapter.file_ = std::move(file);
  } else if (std::filesystem::exists(directory / kPickle)) {
    adapter.metadata_ = {{"format", "pt"}};
    adapter.file_ = std::make_unique<PickleFile>(directory / kPickle);
  } else {
    throw InputError(directory.string(), fmt::format("no {} or {}", kAdapterFile, kPickle));
  }
  adapter.sort_tensors();
  return adapter;
}

bool Adapter::routed() const {
  return std::any_of(modules_.begin(), modules_.end(),
                     [](const AdapterModule& module) { return module.routed(); });
}

std::vector<std::string> Adapter::router_names() const {
  std::vector<std::string> names;
  for (const AdapterModule& module : modules_) {
    for (const StoredTensor& tensor : module.router) names.push_back(tensor.info->name);
  }
  return names;
}

void Adapter::sort_tensors() {
  for (const TensorInfo& info : file_->tensors()) {
    const StoredTensor stored{file_.get(), &info};
    if (!is_computable(info.dtype) || is_float8(info.dtype)) {
      throw InputError(stored.where(),
                       fmt::format("dtype {}: an adapter is read in F16, BF16, F32 or F64",
                                   dtype_name(info.dtype)));
    }
    if (info.bytes == 0) {
      throw InputError(stored.where(),
                       fmt::format("shape {}: empty, as adapters are that were saved without "
                                   "gathering their shards",
                                   shape_text(info.shape)));
    }
    std::string name = info.name;
    if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
    const size_t mark = name.rfind(".lora_");
    if (mark == std::string::npos) {
      add_whole_tensor(std::move(name), stored);
    } else {
      add_lora_tensor(name, mark, stored);
    }
  }
  if (modules_.empty() && whole_.empty())
    throw InputError(file_->path().string(), "holds no tensors");
  for (const AdapterModule& module : modules_) check_module(module);
}

void Adapter::add_lora_tensor(const std::string& name, size_t mark, const StoredTensor& stored) {
  std::string key = name.substr(0, mark);
  int64_t nesting = 0;
  while (const auto inner = without_suffix(key, kBaseLayer)) {
    key = *inner;
    ++nesting;
  }
  const auto [place, fresh] = places_.try_emplace({key, nesting}, modules_.size());
  if (fresh) modules_.push_back({.key = key, .nesting = nesting});
  AdapterModule* module = &modules_[place->second];

  const std::string role = name.substr(mark + 1);
  const bool embedding = role.starts_with("lora_embedding_");
  if (embedding || role.starts_with("lora_A") || role.starts_with("lora_B")) {
    const bool first = !module->a && !module->b && !module->bias && module->routed_b.empty();
    if (!first && module->embedding != embedding)
      throw InputError(stored.where(),
                       "the module has factors of a linear layer and of an embedding");
    module->embedding = embedding;
  }
  if (role == "lora_A.weight" || role == "lora_embedding_A") {
    put(module->a, stored);
  } else if (role == "lora_B.weight" || role == "lora_embedding_B") {
    put(module->b, stored);
  } else if (role == "lora_B.bias") {
    put(module->bias, stored);
  } else if (role == "lora_magnitude_vector" || role == "lora_magnitude_vector.weight") {
    put(module->magnitude, stored);
  } else if (const auto index = routed_index(role)) {
    put(module->routed_b[*index], stored);
  } else if (role.starts_with("lora_rout")) {
    module->router.push_back(stored);
  } else {
    throw InputError(stored.where(),
                     fmt::format("{} is no role that is known; expected an adapter as peft's "
                                 "save_pretrained writes it",
                                 quote(role)));
  }
}

void Adapter::add_whole_tensor(std::string name, const StoredTensor& stored) {
  WholeTensor whole{.stored = stored};
  // What modules_to_save took the place of: of no effect.
  if (name.find(".original_module.") != std::string::npos) return;
  // peft takes this part out when it saves; what was saved by hand may have it.
  for (const std::string_view part : {"modules_to_save.default.", "modules_to_save."}) {
    if (const size_t at = name.find(part); at != std::string::npos) name.erase(at, part.size());
  }
  for (const std::string_view parameter : {".weight", ".bias"}) {
    const std::string wrapped = std::string(kBaseLayer) + std::string(parameter);
    if (const auto module = without_suffix(name, wrapped)) {
      name = *module + std::string(parameter);
      whole.beside_lora = true;
    }
  }
  const bool bias = configuration_.biases && name.ends_with("bias");
  if (!bias && !is_embedding_weight(name) &&
      !in_modules_to_save(name, configuration_.modules_to_save)) {
    throw InputError(stored.where(),
                     "is no tensor of LoRA, of a module of modules_to_save, no bias that 'bias' "
                     "allows and no embedding");
  }
  const auto [place, fresh] = whole_places_.try_emplace(name, whole_.size());
  if (!fresh) {
    WholeTensor& known = whole_[place->second];
    if (same_bytes(known.stored, stored)) return known.copies.push_back(stored);
    throw InputError(stored.where(), fmt::format("stands in for {}, as {} does", quote(name),
                                                 quote(known.stored.info->name)));
  }
  whole.name = std::move(name);
  whole_.push_back(std::move(whole));
}

void Adapter::check_module(const AdapterModule& module) const {
  const std::string where = fmt::format("{}: module {}", file_->path().string(), quote(module.key));
  const auto need = [&](const StoredTensor& tensor, const char* name) {
    if (!tensor) throw InputError(where, fmt::format("has no {}", name));
    if (tensor.info->shape.size() != 2) {
      throw InputError(tensor.where(),
                       fmt::format("shape {}, expected a matrix: only linear layers "
                                   "and embeddings are supported",
                                   shape_text(tensor.info->shape)));
    }
  };
  need(module.a, module.embedding ? "lora_embedding_A" : "lora_A.weight");
  const int64_t rows = module.a.info->shape[0];
  const int64_t rank = configuration_.rank(module.key);
  // What is targeted as a parameter has its experts' ranks in one; the base says how many.
  const bool known_rank = configuration_.target_parameters.empty();
  if (known_rank && (rows != rank || module.nesting > 0)) {
    throw InputError(
        module.a.where(),
        fmt::format("shape {}, but {} gives it rank {}{}", shape_text(module.a.info->shape),
                    kConfiguration, rank, module.nesting > 0 ? " and no target_parameters" : ""));
  }
  if (module.routed()) {
    if (module.b) throw InputError(module.b.where(), "stands beside numbered ones");
    if (module.routed_b.empty()) throw InputError(where, "has a router and no numbered lora_B");
    if (module.magnitude || configuration_.use_dora)
      throw InputError(where, "is routed at run time and has DoRA's magnitudes: not supported");
    if (module.bias || configuration_.lora_bias)
      throw InputError(where, "is routed at run time and has lora_B.bias: not supported");
    const auto routes = static_cast<int64_t>(module.routed_b.rbegin()->first) + 1;
    if (configuration_.routes > 0 && configuration_.routes != routes) {
      throw InputError(where, fmt::format("has {} factors B, but {} says lora_nums {}", routes,
                                          kConfiguration, configuration_.routes));
    }
    size_t expected = 0;
    for (const auto& [index, b] : module.routed_b) {
      need(index == expected ? b : StoredTensor{}, fmt::format("lora_B{}", expected).c_str());
      ++expected;
      check_shape(b, {b.info->shape[0], rows}, module.a);
      check_shape(b, module.first_b().info->shape, module.first_b());
    }
    return;
  }
  need(module.b, module.embedding ? "lora_embedding_B" : "lora_B.weight");
  const int64_t out = module.b.info->shape[0];
  check_shape(module.b, {out, rows}, module.a);
  if (static_cast<bool>(module.magnitude) != configuration_.use_dora) {
    throw InputError(where, configuration_.use_dora
                                ? "has no lora_magnitude_vector although use_dora is true"
                                : "has a lora_magnitude_vector although use_dora is false");
  }
  if (module.magnitude) check_shape(module.magnitude, {out}, module.b);
  if (static_cast<bool>(module.bias) != configuration_.lora_bias) {
    throw InputError(where, configuration_.lora_bias
                                ? "has no lora_B.bias although lora_bias is true"
                                : "has a lora_B.bias although lora_bias is false");
  }
  if (module.bias) check_shape(module.bias, {out}, module.b);
}

}  // namespace sagesan
