#include <algorithm>
#include <optional>
#include <vector>

#include "fuzz.h"

namespace sagesan::fuzz {
namespace {

/// One field of a message (protobuf.dev/programming-guides/encoding).
struct Field {
  uint64_t key = 0;     ///< number and wire type
  std::string payload;  ///< without its length, where it has one
};

constexpr uint64_t kVarint = 0, kEightBytes = 1, kWithLength = 2, kFourBytes = 5;

std::optional<uint64_t> take_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>((value & 0x7F) | 0x80);
  return bytes + static_cast<char>(value);
}

/// The message's fields; none where it is not one.
std::vector<Field> fields_of(std::string_view bytes) {
  std::vector<Field> fields;
  while (!bytes.empty()) {
    const auto key = take_varint(bytes);
    if (!key) return {};
    std::optional<uint64_t> size;
    switch (*key & 7) {
      case kVarint: {
        std::string_view rest = bytes;
        if (take_varint(rest)) size = bytes.size() - rest.size();
        break;
      }
      case kEightBytes:
        size = 8;
        break;
      case kWithLength:
        size = take_varint(bytes);
        break;
      case kFourBytes:
        size = 4;
        break;
      default:
        break;
    }
    if (!size || *size > bytes.size()) return {};
    fields.push_back({*key, std::string(bytes.substr(0, *size))});
    bytes.remove_prefix(*size);
  }
  return fields;
}

std::string message(const std::vector<Field>& fields) {
  std::string bytes;
  for (const Field& field : fields) {
    bytes += varint(field.key);
    if ((field.key & 7) == kWithLength) bytes += varint(field.payload.size());
    bytes += field.payload;
  }
  return bytes;
}

/// Changes, repeats or drops one of the fields, or does so within the message that it holds.
void mutate_fields(std::vector<Field>& fields, unsigned seed) {
  const size_t at = seed / 16 % fields.size();
  Field& field = fields[at];
  std::vector<Field> inner;
  if ((field.key & 7) == kWithLength && seed % 4 < 2) inner = fields_of(field.payload);
  if (!inner.empty()) {
    mutate_fields(inner, seed / 16);
    field.payload = message(inner);
  } else if (seed % 16 == 14) {
    fields.push_back(field);
  } else if (seed % 16 == 15) {
    fields.erase(fields.begin() + static_cast<ptrdiff_t>(at));
  } else {
    mutate_part(field.payload);
  }
}

}  // namespace

size_t mutate_protobuf(uint8_t* bytes, size_t size, size_t most, unsigned seed) {
  std::vector<Field> fields;
  if (seed % 2 != 0) fields = fields_of({reinterpret_cast<const char*>(bytes), size});
  if (fields.empty()) return mutate_plain(bytes, size, most);
  mutate_fields(fields, seed / 2);
  const std::string mutated = message(fields);
  if (mutated.size() > most) return mutate_plain(bytes, size, most);
  std::copy(mutated.begin(), mutated.end(), bytes);
  return mutated.size();
}

}  // namespace sagesan::fuzz
