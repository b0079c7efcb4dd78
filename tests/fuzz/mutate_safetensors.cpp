#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "fuzz.h"
#include "sagesan/checkpoint/tensor_file.h"
#include "sagesan/support/dtype.h"
#include "sagesan/support/error.h"

namespace sagesan::fuzz {
namespace {

using nlohmann::json;

/// Bytes that the entry's dtype and shape ask for; 0 where they say nothing sensible.
uint64_t size_of(const json& entry) {
  try {
    const auto dtype = parse_dtype(entry.at("dtype").get<std::string>());
    const json& shape = entry.at("shape");
    // What is no integer may be too large for one, which would be undefined to convert.
    if (!std::all_of(shape.begin(), shape.end(),
                     [](const json& n) { return n.is_number_integer(); }))
      return 0;
    return dtype ? tensor_bytes_of(*dtype, shape.get<std::vector<int64_t>>(), "") : 0;
  } catch (const std::exception&) {
    return 0;
  }
}

/// Lays the tensors of `header` one behind another and returns the size of the data.
uint64_t lay_out(json& header, uint64_t most) {
  uint64_t end = 0;
  for (auto& [name, entry] : header.items()) {
    if (name == "__metadata__" || !entry.is_object()) continue;
    const uint64_t size = std::min(size_of(entry), most);
    entry["data_offsets"] = {end, end + size};
    end = std::min(end + size, most);
  }
  return end;
}

}  // namespace

size_t mutate_safetensors(uint8_t* bytes, size_t size, size_t most, unsigned seed) {
  uint64_t length = 0;
  if (size >= sizeof length) std::memcpy(&length, bytes, sizeof length);
  if (seed % 2 == 0 || size < sizeof length || length > size - sizeof length)
    return mutate_plain(bytes, size, most);
  std::string text(reinterpret_cast<const char*>(bytes) + sizeof length, length);
  mutate_part(text);
  uint64_t data = size - sizeof length - length;
  json header = json::parse(text, nullptr, false);
  if (header.is_object()) {
    if (seed % 4 == 1) data = lay_out(header, most);
    text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  }
  length = text.size();
  if (sizeof length + length + data > most) return mutate_plain(bytes, size, most);
  std::memcpy(bytes, &length, sizeof length);
  std::memcpy(bytes + sizeof length, text.data(), length);
  std::memset(bytes + sizeof length + length, 0x3c, data);
  return sizeof length + length + data;
}

}  // namespace sagesan::fuzz
