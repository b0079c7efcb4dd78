#pragma once

#include <string>
#include <string_view>

#include "sagesan/checkpoint/tensor_file.h"

namespace sagesan {

/// Throws `InputError` that names the quantizer and the first such tensor where `file` holds a
/// model in the form of bitsandbytes, GPTQ, AWQ, HQQ, compressed-tensors, MXFP4 or 8-bit numbers
/// with scales: their tensors' numbers are no weights. Goes by the names of the tensors that these
/// write beside the weights, for checkpoints without a configuration that says so.
void check_not_quantized(const TensorFile& file);

/// Why a model of `quantizer` is refused, and what to do.
std::string quantized_message(std::string_view quantizer);

}  // namespace sagesan
