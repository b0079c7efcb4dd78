#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sagesan/checkpoint/adapter_configuration.h"
#include "sagesan/checkpoint/checkpoint.h"

namespace sagesan {

/// The tensors that adapt one module, or one parameter of it. `experts` below is 1 but where a
/// three-dimensional parameter is targeted, whose experts' factors lie in one tensor.
struct AdapterModule {
  /// As peft names it: "model.layers.0.self_attn.q_proj", without "base_model.model.".
  std::string key;
  /// How many `.base_layer` stood behind the name: parameters of one module are wrapped one in
  /// another, the last of them outermost (peft: tuners/lora/layer.py `ParamWrapper`).
  int64_t nesting = 0;
  bool embedding = false;  ///< `lora_embedding_A`, `lora_embedding_B`
  StoredTensor a;          ///< `[rank * experts, in]`; of an embedding `[rank, vocabulary]`
  StoredTensor b;          ///< `[out, rank * experts]`; of an embedding `[hidden, rank]`
  StoredTensor bias;       ///< `lora_B.bias` `[out]`, empty where there is none
  StoredTensor magnitude;  ///< DoRA's, `[out]` or `[hidden]`
  /// Of a module that is routed at run time (ALTER, HydraLoRA): every B `[out, rank]` beside the
  /// shared A, by number, and the router's tensors, which are left alone. `b` is empty then.
  std::map<size_t, StoredTensor> routed_b;
  std::vector<StoredTensor> router;

  bool routed() const { return !routed_b.empty() || !router.empty(); }
  /// `b`, or the first of several, which have one shape.
  const StoredTensor& first_b() const { return routed_b.empty() ? b : routed_b.begin()->second; }
};

/// A tensor that stands in place of the base's: of `modules_to_save`, a bias, an embedding.
struct WholeTensor {
  std::string name;  ///< the base model's, as peft has it: "model.norm.weight"
  StoredTensor stored;
  bool beside_lora = false;  ///< it was `base_layer.weight`: LoRA adds to it
  /// The same bytes under other names: peft saves a resized embedding of modules_to_save twice.
  std::vector<StoredTensor> copies = {};
};

/// The weights of an adapter.
inline constexpr const char* kAdapterFile = "adapter_model.safetensors";

/// A LoRA adapter as peft saves it: adapter_config.json and adapter_model.safetensors (peft:
/// utils/save_and_load.py `get_peft_model_state_dict`).
class Adapter {
 public:
  /// Reads the configuration and the headers. Throws `InputError` that names file and tensor for
  /// every tensor whose role is not known, for factors that do not fit each other or the
  /// configuration's rank, and for what `read_adapter_configuration` refuses.
  static Adapter open(const std::filesystem::path& directory);
  /// Whether a directory holds an adapter_config.json.
  static bool is_adapter(const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  const AdapterConfiguration& configuration() const { return configuration_; }
  const TensorFile& file() const { return *file_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// In the order of the file. Never moved while the adapter lives.
  const std::vector<AdapterModule>& modules() const { return modules_; }
  const std::vector<WholeTensor>& whole_tensors() const { return whole_; }
  /// Whether a module is routed at run time: it has no merged weights.
  bool routed() const;
  /// Names of the routers' tensors: left alone.
  std::vector<std::string> router_names() const;

 private:
  Adapter() = default;
  void sort_tensors();
  void add_lora_tensor(const std::string& name, size_t mark, const StoredTensor& stored);
  void add_whole_tensor(std::string name, const StoredTensor& stored);
  void check_module(const AdapterModule& module) const;

  std::filesystem::path directory_;
  AdapterConfiguration configuration_;
  std::unique_ptr<TensorFile> file_;
  std::map<std::string, std::string> metadata_;
  std::vector<AdapterModule> modules_;
  std::vector<WholeTensor> whole_;
  std::map<std::pair<std::string, int64_t>, size_t> places_;  ///< key, nesting -> in `modules_`
  std::map<std::string, size_t> whole_places_;                ///< name -> in `whole_`
};

/// Writes adapter_model.safetensors with the names, order, dtypes, shapes and metadata of `adapter`
/// and the bytes of `changed` in place of its own where a tensor is named there, and copies
/// adapter_config.json. `directory` exists and holds neither. peft loads the result as it loads
/// `adapter`. A name in `changed` that is none of the adapter's, or bytes of another size, is a
/// bug.
void write_adapter(const Adapter& adapter, const std::filesystem::path& directory,
                   const std::map<std::string, std::span<const std::byte>>& changed);

}  // namespace sagesan
