#include "sagesan/support/json.h"

#include <nlohmann/json.hpp>

#include "fuzz/fuzz.h"

// What every reader of JSON stands on.

namespace sagesan::fuzz {

FUZZ_TARGET(json) {
  loads_or_refuses([&] {
    const Json value = parse_json(bytes, "/file");
    const std::string text = value.dump();
    require(parse_json(text, "/file").dump() == text,
            "what is written reads back as something else");
  });
}

}  // namespace sagesan::fuzz
