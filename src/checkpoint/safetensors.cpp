#include "sagesan/checkpoint/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/support/json.h"

namespace sagesan {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is little-endian");

/// The reference implementation's own limit.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

std::vector<int64_t> parse_shape(const JsonObject& entry) {
  const Json& shape = entry.require("shape");
  if (!shape.is_array()) entry.fail("shape", "expected a list of sizes");
  std::vector<int64_t> result;
  for (const Json& size : shape) {
    if (!size.is_number_integer() || size.get<int64_t>() < 0) {
      entry.fail("shape", fmt::format("{} is no size", quote(size.dump())));
    }
    result.push_back(size.get<int64_t>());
  }
  return result;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::filesystem::path path) : file_(std::move(path)) {
  const std::string where = file_.path().string();
  std::string first(std::min<uint64_t>(file_.size(), 64), '\0');
  file_.read(0, std::as_writable_bytes(std::span(first)));
  uint64_t length = 0;
  std::memcpy(&length, first.data(), std::min(first.size(), sizeof length));
  // A header of 640 bytes starts as a pickle does: 80 02.
  const bool has_header = first.size() > 8 && first[8] == '{' && length <= file_.size() - 8;
  if (const std::string format = recognize_format(first); !has_header && !format.empty()) {
    throw InputError(where, "is " + format + ", expected safetensors");
  }
  if (file_.size() < 8) {
    throw InputError(where,
                     fmt::format("{} bytes long, too short for a safetensors file", file_.size()));
  }
  if (length > file_.size() - 8) {
    throw InputError(where,
                     fmt::format("the header claims {} bytes but only {} follow: truncated, or "
                                 "no safetensors file",
                                 length, file_.size() - 8));
  }
  if (length < 2 || length > kMaxHeaderBytes) {
    throw InputError(where,
                     fmt::format("header length {} is outside 2 to {}", length, kMaxHeaderBytes));
  }
  header_bytes_ = 8 + length;
  std::string header(length, '\0');
  file_.read(8, std::as_writable_bytes(std::span(header)));
  parse_header(header);
}

void SafetensorsFile::parse_header(const std::string& header) {
  const std::string where = path().string();
  if (header.front() != '{') throw InputError(where, "the header does not start with '{'");
  const Json json = parse_json(header, where + ": header");
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      if (value.is_null()) continue;  // as the reference takes it
      if (!value.is_object()) throw InputError(where, "__metadata__ is no object of texts");
      for (const auto& [key, text] : value.items()) {
        if (!text.is_string()) {
          throw InputError(where, fmt::format("__metadata__ {}: expected text", quote(key)));
        }
        metadata_[key] = text.get<std::string>();
      }
      continue;
    }
    check_tensor_name(name, where);
    const JsonObject entry(value, fmt::format("{}: tensor {}", where, quote(name)));
    const std::string dtype = entry.string("dtype");
    TensorInfo tensor{.name = name, .shape = parse_shape(entry)};
    if (const auto known = parse_dtype(dtype)) {
      tensor.dtype = *known;
    } else {
      entry.fail("dtype", fmt::format("{} is no dtype of the format", quote(dtype)));
    }
    tensor.bytes = tensor_bytes_of(tensor.dtype, tensor.shape, entry.where() + ": key 'shape'");
    const Json& offsets = entry.require("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_integer() ||
        !offsets[1].is_number_integer()) {
      entry.fail("data_offsets", "expected two integers");
    }
    const auto begin = offsets[0].get<int64_t>();
    const auto end = offsets[1].get<int64_t>();
    if (begin < 0 || end < begin) {
      entry.fail("data_offsets", fmt::format("[{}, {}] is no range", begin, end));
    }
    if (static_cast<uint64_t>(end - begin) != tensor.bytes) {
      throw InputError(entry.where(),
                       fmt::format("{} bytes of data, but {} {} needs {}", end - begin, dtype,
                                   shape_text(tensor.shape), tensor.bytes));
    }
    if (static_cast<uint64_t>(end) > file_.size() - header_bytes_) {
      throw InputError(entry.where(),
                       fmt::format("its data ends at byte {} but the file has {}: truncated", end,
                                   file_.size() - header_bytes_));
    }
    for (const auto& [key, unused] : value.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets") {
        entry.fail(key, "unknown field");
      }
    }
    tensor.offset = header_bytes_ + static_cast<uint64_t>(begin);
    tensors_.push_back(std::move(tensor));
  }
  std::stable_sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset, a.bytes) < std::pair(b.offset, b.bytes);
  });
  uint64_t expected = header_bytes_;
  for (const TensorInfo& tensor : tensors_) {
    if (tensor.offset != expected) {
      throw InputError(where,
                       fmt::format("tensor {}: its data starts at byte {} of the file, expected {} "
                                   "(a hole or an overlap)",
                                   quote(tensor.name), tensor.offset, expected));
    }
    expected += tensor.bytes;
  }
  if (expected != file_.size()) {
    throw InputError(where, fmt::format("{} bytes after the last tensor", file_.size() - expected));
  }
}

void SafetensorsFile::read(const TensorInfo& tensor, uint64_t start,
                           std::span<std::byte> buffer) const {
  SAGESAN_ASSERT(start <= tensor.bytes && buffer.size() <= tensor.bytes - start);
  file_.read(tensor.offset + start, buffer);
}

}  // namespace sagesan
