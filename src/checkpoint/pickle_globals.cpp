#include <algorithm>
#include <iterator>

#include "pickle_value.h"

namespace sagesan {
namespace {

using Role = PickleGlobal::Role;

/// What `torch.save` writes for tensors (torch/serialization.py, torch/_tensor.py, 1.6 to 2.11).
/// Complex128 is known so that it may stand in an optimizer's state.
constexpr PickleGlobal kGlobals[] = {
    {"collections", "OrderedDict", Role::kOrderedDict},
    {"torch", "Size", Role::kSize},
    {"torch._utils", "_rebuild_tensor_v2", Role::kRebuildTensorV2},
    {"torch._utils", "_rebuild_tensor_v3", Role::kRebuildTensorV3},
    {"torch._utils", "_rebuild_parameter", Role::kRebuildParameter},
    {"torch._utils", "_rebuild_parameter_with_state", Role::kRebuildParameter},
    {"torch.storage", "UntypedStorage", Role::kUntypedStorage},
    {"torch", "FloatStorage", Role::kStorage, DType::kF32},
    {"torch", "DoubleStorage", Role::kStorage, DType::kF64},
    {"torch", "HalfStorage", Role::kStorage, DType::kF16},
    {"torch", "BFloat16Storage", Role::kStorage, DType::kBF16},
    {"torch", "LongStorage", Role::kStorage, DType::kI64},
    {"torch", "IntStorage", Role::kStorage, DType::kI32},
    {"torch", "ShortStorage", Role::kStorage, DType::kI16},
    {"torch", "CharStorage", Role::kStorage, DType::kI8},
    {"torch", "ByteStorage", Role::kStorage, DType::kU8},
    {"torch", "BoolStorage", Role::kStorage, DType::kBool},
    {"torch", "ComplexFloatStorage", Role::kStorage, DType::kC64},
    {"torch", "ComplexDoubleStorage", Role::kStorage},
    {"torch", "float32", Role::kDType, DType::kF32},
    {"torch", "float64", Role::kDType, DType::kF64},
    {"torch", "float16", Role::kDType, DType::kF16},
    {"torch", "bfloat16", Role::kDType, DType::kBF16},
    {"torch", "int64", Role::kDType, DType::kI64},
    {"torch", "int32", Role::kDType, DType::kI32},
    {"torch", "int16", Role::kDType, DType::kI16},
    {"torch", "int8", Role::kDType, DType::kI8},
    {"torch", "uint64", Role::kDType, DType::kU64},
    {"torch", "uint32", Role::kDType, DType::kU32},
    {"torch", "uint16", Role::kDType, DType::kU16},
    {"torch", "uint8", Role::kDType, DType::kU8},
    {"torch", "bool", Role::kDType, DType::kBool},
    {"torch", "complex64", Role::kDType, DType::kC64},
    {"torch", "complex128", Role::kDType},
    {"torch", "float8_e4m3fn", Role::kDType, DType::kF8E4M3},
    {"torch", "float8_e5m2", Role::kDType, DType::kF8E5M2},
    {"torch", "float8_e4m3fnuz", Role::kDType, DType::kF8E4M3Fnuz},
    {"torch", "float8_e5m2fnuz", Role::kDType, DType::kF8E5M2Fnuz},
    {"torch", "float8_e8m0fnu", Role::kDType, DType::kF8E8M0},
};

}  // namespace

const PickleGlobal* find_pickle_global(std::string_view module, std::string_view name) {
  const auto* found = std::find_if(
      std::begin(kGlobals), std::end(kGlobals),
      [&](const PickleGlobal& global) { return global.module == module && global.name == name; });
  return found == std::end(kGlobals) ? nullptr : found;
}

}  // namespace sagesan
