#pragma once

#include <string>

#include "sagesan/support/tensor.h"

namespace sagesan {

/// `--device`: "cpu", "cuda", "cuda:N", or "auto" (CUDA where this libtorch and this machine have
/// it). Throws `UsageError` for other words and where the device is not there.
at::Device parse_device(const std::string& name);

}  // namespace sagesan
