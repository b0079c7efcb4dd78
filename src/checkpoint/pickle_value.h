#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "sagesan/support/dtype.h"

namespace sagesan {

/// A name that a pickle may mention. It stands for what we do, never for code.
struct PickleGlobal {
  enum class Role {
    kOrderedDict,
    kSize,  ///< torch.Size, a tuple
    kRebuildTensorV2,
    kRebuildTensorV3,  ///< the dtype beside an untyped storage: float8, unsigned
    kRebuildParameter,
    kStorage,
    kUntypedStorage,
    kDType,
  };
  std::string_view module;
  std::string_view name;
  Role role;
  std::optional<DType> dtype = {};  ///< of storages and dtypes; none where safetensors has none
};

/// The global of the allow-list; null for every other name.
const PickleGlobal* find_pickle_global(std::string_view module, std::string_view name);

struct PickleTuple;
struct PickleList;
struct PickleDict;
struct PickleStorage;
struct PickleTensor;

struct PickleNone {};
/// A float, bytes, an integer past 64 bits: nothing that a tensor is made of.
struct PickleOther {};

/// Texts lie in the pickle's bytes; what is pointed to belongs to the `Unpickler`. Containers may
/// hold themselves, so whoever walks through them must not go where the pickle leads.
using PickleValue =
    std::variant<PickleNone, PickleOther, bool, int64_t, std::string_view, const PickleGlobal*,
                 PickleTuple*, PickleList*, PickleDict*, PickleStorage*, PickleTensor*>;

struct PickleTuple {
  std::vector<PickleValue> items;
};

struct PickleList {
  std::vector<PickleValue> items;
};

/// In the order of the pickle; keys are not compared.
struct PickleDict {
  std::vector<std::pair<PickleValue, PickleValue>> items;
};

/// The bytes of the zip entry data/KEY.
struct PickleStorage {
  const PickleGlobal* type;
  std::string_view key;
  int64_t elements;  ///< not negative; bytes of an untyped storage
};

/// A view of a storage as the pickle tells it; only the types are checked.
struct PickleTensor {
  const PickleStorage* storage;
  int64_t offset;  ///< in elements, like the strides
  const PickleTuple* shape;
  const PickleTuple* strides;
  const PickleGlobal* dtype;  ///< of `_rebuild_tensor_v3`, otherwise null
  bool conjugate;             ///< or negative: the values are not the stored ones
};

}  // namespace sagesan
