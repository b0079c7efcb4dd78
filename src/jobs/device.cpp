#include "sagesan/jobs/device.h"

#include <ATen/Context.h>
#include <fmt/format.h>

#include <charconv>

#include "sagesan/support/error.h"

namespace sagesan {

at::Device parse_device(const std::string& name) {
  if (name == "cpu") return at::Device(at::kCPU);
  const bool cuda = at::hasCUDA();
  if (name == "auto") return cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  int index = 0;
  if (name.starts_with("cuda:")) {
    const char* end = name.data() + name.size();
    const auto [rest, error] = std::from_chars(name.data() + 5, end, index);
    if (error != std::errc() || rest != end || index < 0 || index > 127) index = -1;
  } else if (name != "cuda") {
    index = -1;
  }
  if (index < 0)
    throw UsageError(fmt::format("--device {}: expected auto, cpu, cuda or cuda:N", quote(name)));
  if (!cuda) {
    throw UsageError(fmt::format(
        "--device {}: this libtorch or this machine has no CUDA; use --device cpu", name));
  }
  const auto count = static_cast<int>(at::detail::getCUDAHooks().getNumGPUs());
  if (index >= count)
    throw UsageError(fmt::format("--device {}: this machine has {} GPUs", name, count));
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

}  // namespace sagesan
