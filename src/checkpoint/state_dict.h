#pragma once

#include <string>
#include <utility>
#include <vector>

#include "pickle_value.h"

namespace sagesan {

/// The named tensors of a checkpoint's top value: those of a dictionary of tensors, or of the one
/// that a training checkpoint holds under "state_dict", "model_state_dict", "model" or "module".
/// Numbers, texts and None among the tensors are passed over. Throws `InputError` naming `where`
/// (and the member) for other top values, none or several such dictionaries, names that
/// `check_tensor_name` refuses or that stand twice, and for dictionaries, lists, tuples and
/// storages among the tensors: weights that nobody would miss.
std::vector<std::pair<std::string, const PickleTensor*>> tensors_of_state_dict(
    const PickleValue& top, const std::string& where);

}  // namespace sagesan
