#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/checkpoint/update_vector.h"

namespace sagesan {

class SafetensorsFile;

/// A tensor of the output: what it is there, and whose values it has.
struct OutputTensor {
  TensorLayout layout;
  StoredTensor source;
};

/// One safetensors file of the output.
struct OutputShard {
  std::string file;
  std::vector<OutputTensor> tensors;
  /// A file whose header is exactly that of this one, which must outlive this; null where there is
  /// none.
  const SafetensorsFile* header_of = nullptr;
};

struct OutputLayout {
  std::vector<OutputShard> shards;
  std::filesystem::path index = {};  ///< to be copied; empty: made where there are several shards

  /// Of all weights.
  uint64_t bytes() const;
};

enum class OutputFormat {
  kFull,     ///< every tensor
  kDelta,    ///< the changed ones
  kAdapter,  ///< none: what changed goes into the adapter that the update came from
};

/// "full", "delta", "adapter".
std::string_view output_format_name(OutputFormat format);
/// "keep" where there is none, else "bf16", "f16", "f32".
std::string_view output_dtype_name(const std::optional<DType>& dtype);

struct OutputOptions {
  OutputFormat format = OutputFormat::kFull;
  std::optional<DType> dtype;  ///< of all floating-point tensors; absent: each keeps its own
  uint64_t shard_bytes = 0;  ///< most bytes of weights in one file, but for a larger tensor; 0: as
                             ///< the input has them
};

/// Where everything goes: into the unlearned checkpoint's shards, names and order where it is
/// whole, otherwise into the base's with the tensors that it lacks. Pickles become safetensors.
/// Throws `InputError` for shards whose names no two files can have.
OutputLayout layout_output(const Checkpoint& base, const Checkpoint& unlearned,
                           const UpdateVector& updates, const OutputOptions& options);

}  // namespace sagesan
