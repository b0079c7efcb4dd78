#include "sagesan/model/names.h"

#include <fmt/format.h>

namespace sagesan {

std::string name_in_layer(const std::string& pattern, int64_t layer, int64_t expert) {
  return fmt::format(fmt::runtime(pattern), layer, expert);
}

}  // namespace sagesan
