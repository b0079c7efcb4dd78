#include "fuzz/fuzz.h"
#include "sagesan/activations/moments_header.h"

namespace sagesan::fuzz {

FUZZ_TARGET(moments, mutate_safetensors) {
  const auto path = put("moments.safetensors", bytes);
  loads_or_refuses([&] {
    const MomentsHeader header(path);
    require(!header.sites().empty(), "moments of nothing");
    require(header.origin().tokens() >= 0, "less than no token");
    require(header.origin().difference(header.origin()).empty(), "differs from itself");
  });
}

}  // namespace sagesan::fuzz
