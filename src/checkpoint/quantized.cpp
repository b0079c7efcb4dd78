#include "sagesan/checkpoint/quantized.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "sagesan/checkpoint/checkpoint.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

struct Mark {
  std::string_view ending;  ///< of a tensor's name
  std::string_view quantizer;
};

/// What nothing else writes. (transformers: quantizers/; bitsandbytes: functional.py `QuantState`;
/// compressed-tensors: compressors/.)
constexpr std::array<Mark, 13> kMarks = {{
    {".absmax", "bitsandbytes"},
    {".quant_map", "bitsandbytes"},
    {".quant_state.bitsandbytes__nf4", "bitsandbytes"},
    {".quant_state.bitsandbytes__fp4", "bitsandbytes"},
    {".SCB", "bitsandbytes"},
    {".g_idx", "GPTQ"},
    {".W_q", "HQQ"},
    {".weight_packed", "compressed-tensors"},
    {"_proj_blocks", "MXFP4"},
    {".weight_scale_inv", "8-bit floats and scales"},
    {".weight_scale", "8-bit numbers and scales"},
    {".scale_weight", "8-bit floats and scales"},
    {".qweight", ""},  // both GPTQ's and AWQ's
}};

bool has_ending(const TensorFile& file, std::string_view ending) {
  return std::any_of(file.tensors().begin(), file.tensors().end(), [&](const TensorInfo& tensor) {
    return std::string_view(tensor.name).ends_with(ending);
  });
}

}  // namespace

void check_not_quantized(const TensorFile& file) {
  for (const TensorInfo& tensor : file.tensors()) {
    const auto mark = std::find_if(kMarks.begin(), kMarks.end(), [&](const Mark& candidate) {
      return std::string_view(tensor.name).ends_with(candidate.ending);
    });
    if (mark == kMarks.end()) continue;
    std::string_view quantizer = mark->quantizer;
    // Of the two, GPTQ alone stores the order of its groups.
    if (mark->ending == ".qweight") quantizer = has_ending(file, ".g_idx") ? "GPTQ" : "AWQ";
    throw InputError(StoredTensor{&file, &tensor}.where(), quantized_message(quantizer));
  }
}

std::string quantized_message(std::string_view quantizer) {
  return fmt::format(
      "quantized with {}: such numbers are no weights; dequantize the model (transformers: "
      "model.dequantize()) and save it in bf16, f16 or f32",
      quantizer);
}

}  // namespace sagesan
