#include "sagesan/sanitize/method.h"

#include "sagesan/support/error.h"

namespace sagesan {

std::string_view method_name(Method method) {
  switch (method) {
    case Method::kSage:
      return "sage";
    case Method::kRidge:
      return "ridge";
    case Method::kNullspace:
      return "nullspace";
    case Method::kScale:
      return "scale";
    case Method::kRandom:
      return "random";
    case Method::kRollback:
      return "rollback";
    case Method::kForgetAware:
      return "forget-aware";
  }
  SAGESAN_ASSERT(false);
  return "";
}

std::string_view other_policy_name(OtherPolicy policy) {
  switch (policy) {
    case OtherPolicy::kShrink:
      return "shrink";
    case OtherPolicy::kKeep:
      return "keep";
    case OtherPolicy::kBase:
      return "base";
  }
  SAGESAN_ASSERT(false);
  return "";
}

}  // namespace sagesan
