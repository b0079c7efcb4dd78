// Round trips of JSON, whatever is in it.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"
#include "sagesan/support/json.h"
#include "sagesan/support/utf8.h"

namespace sagesan {
namespace {

std::string any_text() { return replace_invalid_utf8(*rc::gen::arbitrary<std::string>()); }

Json any_json(int depth) {
  switch (*rc::gen::inRange(0, depth > 0 ? 8 : 6)) {
    case 0:
      return nullptr;
    case 1:
      return *rc::gen::arbitrary<bool>();
    case 2:
      return *rc::gen::arbitrary<int64_t>();
    case 3:
      return std::ldexp(static_cast<double>(*rc::gen::arbitrary<int32_t>()),
                        *rc::gen::inRange(-900, 900));
    case 4:
    case 5:
      return any_text();
    case 6: {
      Json list = Json::array();
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) list.push_back(any_json(depth - 1));
      return list;
    }
    default: {
      Json object = Json::object();
      for (int i = *rc::gen::inRange(0, 4); i > 0; --i) object[any_text()] = any_json(depth - 1);
      return object;
    }
  }
}

RC_GTEST_PROP(JsonProperties, WhatIsWrittenIsReadBack, ()) {
  const Json value = any_json(4);
  RC_ASSERT(parse_json(value.dump(), "text") == value);
  RC_ASSERT(parse_json(value.dump(2), "text") == value);
}

RC_GTEST_PROP(JsonProperties, AnyBytesAreReadOrRefused, (const std::string& bytes)) {
  try {
    parse_json(bytes, "text");
  } catch (const InputError& error) {
    RC_ASSERT(std::string(error.what()).starts_with("text"));
  }
}

RC_GTEST_PROP(Utf8Properties, ReplacingLeavesValidTextAlone, (const std::string& bytes)) {
  const std::string valid = replace_invalid_utf8(bytes);
  RC_ASSERT(find_invalid_utf8(valid) == std::string::npos);
  RC_ASSERT(replace_invalid_utf8(valid) == valid);
  RC_ASSERT((find_invalid_utf8(bytes) == std::string::npos) == (valid == bytes));
}

RC_GTEST_PROP(PrintableProperties, WhatIsPrintableStaysAndNothingElseIsLeft,
              (const std::string& bytes)) {
  const std::string shown = printable(bytes);
  RC_ASSERT(printable(shown) == shown);
  for (const char c : shown) RC_ASSERT(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
}

}  // namespace
}  // namespace sagesan
