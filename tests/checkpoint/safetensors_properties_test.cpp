// Round trips of safetensors files, whatever tensors they hold.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "helpers/files.h"
#include "sagesan/checkpoint/safetensors.h"
#include "sagesan/checkpoint/safetensors_writer.h"

namespace sagesan {
namespace {

struct AnyTensor {
  TensorLayout layout;
  std::vector<std::byte> bytes;
};

std::vector<AnyTensor> any_tensors() {
  std::vector<AnyTensor> tensors;
  for (int i = *rc::gen::inRange(0, 6); i > 0; --i) {
    const DType dtype = *rc::gen::element(DType::kF32, DType::kBF16, DType::kF16, DType::kF64,
                                          DType::kI64, DType::kU8, DType::kBool);
    const auto shape = *rc::gen::container<std::vector<int64_t>>(
        static_cast<size_t>(*rc::gen::inRange(0, 4)), rc::gen::inRange<int64_t>(0, 5));
    const auto name =
        *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::inRange<char>(' ', '~')));
    AnyTensor tensor{{std::to_string(i) + name, dtype, shape}, {}};
    tensor.bytes.resize(data_bytes(tensor.layout));
    for (std::byte& byte : tensor.bytes) byte = static_cast<std::byte>(*rc::gen::inRange(0, 256));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

RC_GTEST_PROP(SafetensorsProperties, WhatIsWrittenIsReadBack, ()) {
  const testing::TemporaryDirectory directory;
  const std::filesystem::path path = directory / "t.safetensors";
  const std::vector<AnyTensor> tensors = any_tensors();
  const std::map<std::string, std::string> metadata = {
      {"format", *rc::gen::container<std::string>(rc::gen::inRange<char>(' ', '~'))}};
  std::vector<TensorBytes> parts;
  for (const AnyTensor& tensor : tensors)
    parts.push_back({tensor.layout.name, tensor.layout.dtype, tensor.layout.shape, tensor.bytes});
  write_safetensors(path, parts, metadata);

  const SafetensorsFile file(path);
  RC_ASSERT(file.metadata() == metadata);
  RC_ASSERT(file.header_bytes() % 8 == 0);
  RC_ASSERT(file.tensors().size() == tensors.size());
  for (const TensorInfo& found : file.tensors()) {
    const auto written = std::find_if(tensors.begin(), tensors.end(), [&](const AnyTensor& t) {
      return t.layout.name == found.name;
    });
    RC_ASSERT(written != tensors.end());
    RC_ASSERT(found.dtype == written->layout.dtype);
    RC_ASSERT(found.shape == written->layout.shape);
    std::vector<std::byte> bytes(found.bytes);
    file.read(found, 0, bytes);
    RC_ASSERT(bytes == written->bytes);
  }
}

}  // namespace
}  // namespace sagesan
