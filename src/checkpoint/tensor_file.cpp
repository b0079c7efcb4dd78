#include "sagesan/checkpoint/tensor_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sagesan/support/checked.h"
#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"

namespace sagesan {

int64_t TensorInfo::elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;  // cannot overflow: tensor_bytes_of() checked it
  return count;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

void check_tensor_name(const std::string& name, const std::string& where) {
  if (name.empty()) throw InputError(where, "a tensor has an empty name");
  if (name.size() > 1024) {
    throw InputError(where,
                     fmt::format("tensor {}: the name is longer than 1024 bytes", quote(name)));
  }
  for (size_t i = 0; i < name.size();) {
    const Utf8Character character = decode_utf8(name, i);
    if (!character.valid || is_unsafe_on_terminal(character.code_point)) {
      throw InputError(where,
                       fmt::format("tensor {}: control characters in the name", quote(name)));
    }
    i += character.length;
  }
}

uint64_t tensor_bytes_of(DType dtype, const std::vector<int64_t>& shape, const std::string& where) {
  std::optional<int64_t> bits = dtype_bits(dtype);
  // A zero anywhere makes an empty tensor, but the other sizes must not hide an overflow.
  bool empty = false;
  for (const int64_t size : shape) {
    if (size == 0) {
      empty = true;
      continue;
    }
    bits = checked_multiply(*bits, size);
    if (!bits) throw InputError(where, fmt::format("the size of {} overflows", shape_text(shape)));
  }
  if (empty) return 0;
  if (*bits % 8 != 0) throw InputError(where, "the data does not end on a whole byte");
  return static_cast<uint64_t>(*bits / 8);
}

}  // namespace sagesan
