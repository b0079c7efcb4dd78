// What a pickle may build out of its plain values: storages, tensors and dictionaries.
#include <fmt/format.h>

#include "pickle_remedy.h"
#include "sagesan/support/error.h"
#include "unpickler.h"

namespace sagesan {
namespace {

/// torch numbers its storages.
constexpr size_t kMaxStorageKey = 64;

}  // namespace

void Unpickler::fail_global(std::string_view module, std::string_view name) const {
  fail(
      fmt::format("the pickle wants {} of the Python module {}, which is no tensor and not "
                  "carried out: {}",
                  quote(name), quote(module), kConvertPickle));
}

void Unpickler::push_global(std::string_view module, std::string_view name) {
  const PickleGlobal* global = find_pickle_global(module, name);
  if (global == nullptr) fail_global(module, name);
  push(global);
}

/// ("storage", type, key, location, elements): torch/serialization.py, `persistent_id`.
void Unpickler::push_storage() {
  const auto* id = pop_as<PickleTuple*>("the tuple of a storage");
  if (id->items.size() != 5) {
    fail(fmt::format("the tuple of a storage has {} items, expected 5", id->items.size()));
  }
  const auto* kind = std::get_if<std::string_view>(&id->items[0]);
  const auto* type = std::get_if<const PickleGlobal*>(&id->items[1]);
  const auto* key = std::get_if<std::string_view>(&id->items[2]);
  const auto* elements = std::get_if<int64_t>(&id->items[4]);
  if (kind == nullptr || *kind != "storage") fail("a persistent id that is no storage");
  if (type == nullptr || ((*type)->role != PickleGlobal::Role::kStorage &&
                          (*type)->role != PickleGlobal::Role::kUntypedStorage)) {
    fail("a storage without a type");
  }
  if (key == nullptr || key->empty() || key->size() > kMaxStorageKey) {
    fail("a storage without a key");
  }
  if (elements == nullptr || *elements < 0) fail("a storage without a number of elements");
  push(&storages_.emplace_back(PickleStorage{*type, *key, *elements}));
}

void Unpickler::reduce() {
  const PickleTuple& arguments = *pop_as<PickleTuple*>("the arguments of a call");
  const auto* function = pop_as<const PickleGlobal*>("what is called");
  const auto expect_arguments = [&](size_t least, size_t most) {
    if (arguments.items.size() < least || arguments.items.size() > most) {
      fail(fmt::format("{} with {} arguments", function->name, arguments.items.size()));
    }
  };
  switch (function->role) {
    case PickleGlobal::Role::kOrderedDict:
      expect_arguments(0, 0);
      push(&dicts_.emplace_back());
      return;
    case PickleGlobal::Role::kSize:
      expect_arguments(1, 1);
      if (!std::holds_alternative<PickleTuple*>(arguments.items[0]))
        fail("a size that is no tuple");
      push(arguments.items[0]);
      return;
    case PickleGlobal::Role::kRebuildParameter:
      // The tensor, whether it is trained, hooks and, maybe, attributes.
      expect_arguments(3, 4);
      if (!std::holds_alternative<PickleTensor*>(arguments.items[0])) {
        fail("a parameter that is no tensor");
      }
      push(arguments.items[0]);
      return;
    case PickleGlobal::Role::kRebuildTensorV2:
      expect_arguments(6, 7);
      push(rebuild_tensor(*function, arguments));
      return;
    case PickleGlobal::Role::kRebuildTensorV3:
      expect_arguments(7, 8);
      push(rebuild_tensor(*function, arguments));
      return;
    case PickleGlobal::Role::kStorage:
    case PickleGlobal::Role::kUntypedStorage:
    case PickleGlobal::Role::kDType:
      break;
  }
  fail(fmt::format("{} is called, but is no function", function->name));
}

/// (storage, offset, size, stride, requires_grad, backward_hooks[, dtype][, metadata]), the dtype
/// in version 3: torch/_utils.py.
PickleValue Unpickler::rebuild_tensor(const PickleGlobal& function, const PickleTuple& arguments) {
  const std::vector<PickleValue>& items = arguments.items;
  const auto* storage = std::get_if<PickleStorage*>(&items[0]);
  const auto* offset = std::get_if<int64_t>(&items[1]);
  const auto* shape = std::get_if<PickleTuple*>(&items[2]);
  const auto* strides = std::get_if<PickleTuple*>(&items[3]);
  if (storage == nullptr || offset == nullptr || shape == nullptr || strides == nullptr) {
    fail(fmt::format("{} with arguments of other types", function.name));
  }
  PickleTensor tensor{*storage, *offset, *shape, *strides, nullptr, false};
  size_t next = 6;
  if (function.role == PickleGlobal::Role::kRebuildTensorV3) {
    const auto* dtype = std::get_if<const PickleGlobal*>(&items[next++]);
    if (dtype == nullptr || (*dtype)->role != PickleGlobal::Role::kDType) {
      fail(fmt::format("{} without a dtype", function.name));
    }
    tensor.dtype = *dtype;
  }
  if (next < items.size() && !std::holds_alternative<PickleNone>(items[next])) {
    // {"conj": True} and {"neg": True} for views whose values differ from what is stored.
    const auto* metadata = std::get_if<PickleDict*>(&items[next]);
    tensor.conjugate = metadata == nullptr || !(*metadata)->items.empty();
  }
  return &tensors_.emplace_back(tensor);
}

}  // namespace sagesan
