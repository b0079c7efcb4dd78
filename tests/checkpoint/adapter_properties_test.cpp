// Round trips of adapters, whatever modules they adapt.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "helpers/adapter_files.h"
#include "sagesan/checkpoint/adapter.h"

namespace sagesan {
namespace {

RC_GTEST_PROP(AdapterProperties, WhatIsWrittenIsReadBack, ()) {
  const testing::TemporaryDirectory in, out;
  const int64_t rank = *rc::gen::inRange<int64_t>(1, 5);
  const DType dtype = *rc::gen::element(DType::kF32, DType::kBF16);
  testing::TinyWeights tensors;
  for (int layer = *rc::gen::inRange(1, 5); layer > 0; --layer) {
    const auto pair =
        testing::lora_pair(fmt::format("model.layers.{}.self_attn.q_proj", layer), rank,
                           *rc::gen::inRange<int64_t>(1, 6), *rc::gen::inRange<int64_t>(1, 6));
    tensors.insert(tensors.end(), pair.begin(), pair.end());
  }
  testing::write_adapter_files(in.path(), testing::adapter_configuration(rank, 3), tensors, dtype);
  const Adapter adapter = Adapter::open(in.path());
  // Some of its tensors get other bytes.
  std::map<std::string, std::string> bytes;
  std::map<std::string, std::span<const std::byte>> changed;
  for (const TensorInfo& tensor : adapter.file().tensors()) {
    if (!*rc::gen::arbitrary<bool>()) continue;
    const std::string& own = bytes[tensor.name] = std::string(tensor.bytes, '\x11');
    changed[tensor.name] = std::as_bytes(std::span(own));
  }
  write_adapter(adapter, out.path(), changed);

  const Adapter again = Adapter::open(out.path());
  RC_ASSERT(again.metadata() == adapter.metadata());
  RC_ASSERT(again.modules().size() == adapter.modules().size());
  RC_ASSERT(again.file().tensors().size() == adapter.file().tensors().size());
  for (size_t i = 0; i < adapter.file().tensors().size(); ++i) {
    const TensorInfo& before = adapter.file().tensors()[i];
    const TensorInfo& after = again.file().tensors()[i];
    RC_ASSERT(after.name == before.name && after.shape == before.shape &&
              after.dtype == before.dtype);
    std::vector<std::byte> expected(before.bytes), found(after.bytes);
    adapter.file().read(before, 0, expected);
    again.file().read(after, 0, found);
    if (const auto own = changed.find(before.name); own != changed.end())
      expected.assign(own->second.begin(), own->second.end());
    RC_ASSERT(found == expected);
  }
}

}  // namespace
}  // namespace sagesan
