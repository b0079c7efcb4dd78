#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "sagesan/support/json.h"

/// Parts of the tokenizer. Callers outside this stage need `Tokenizer` alone.
namespace sagesan::tokenization {

/// Throws `InputError` for a key of the JSON object `object` that is not in `known`: an option that
/// is not run must not be passed over.
void require_known_keys(const Json& object, const std::string& where,
                        std::initializer_list<std::string_view> known);

/// The "type" of one component; "" where it has none.
std::string component_type(const Json& component, const std::string& where);

/// A token is written as its text, or as an object with its text under "content".
std::string token_content(const Json& token, const std::string& where);

/// "<where>: type '<type>' is not supported".
[[noreturn]] void refuse_type(const std::string& where, std::string_view type);

/// The elements of the array under `key` of a Sequence component.
const Json& sequence_elements(const Json& component, const std::string& where,
                              std::string_view key);

/// Calls `visit` for a component, with its type and place, or where it is a Sequence for each of
/// its steps under `key` in their order, however deep.
void for_each_step(const Json& component, const std::string& where, std::string_view key,
                   const std::function<void(const Json& step, const std::string& type,
                                            const std::string& where)>& visit);

/// Throws `InputError` where steps of the tokenizer make a text of `before` bytes one of `now`,
/// more than 32 times as long and more than 1 KiB: steps of a stranger's file can double a text one
/// after another. Unicode's longest decomposition is 11 times as long, and bytes written as letters
/// double that.
void check_growth(size_t before, size_t now, const std::string& where);

}  // namespace sagesan::tokenization
