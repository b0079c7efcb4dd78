#include "sagesan/text/normalizer.h"

#include <fmt/format.h>
#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "sagesan/support/error.h"
#include "sagesan/support/utf8.h"
#include "sagesan/text/character_normalizer.h"
#include "sagesan/text/component.h"
#include "sagesan/text/pattern.h"

namespace sagesan::tokenization {
namespace {

/// One of Unicode's four forms, over the characters of Unicode 9.0: Hugging Face's tables are of
/// that version (measured with tokenizers 0.23), so later characters neither decompose nor reorder
/// there.
Normalizer unicode_form(const std::string& type, const std::string& where) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* form = type == "NFC"    ? icu::Normalizer2::getNFCInstance(status)
                                 : type == "NFD"  ? icu::Normalizer2::getNFDInstance(status)
                                 : type == "NFKC" ? icu::Normalizer2::getNFKCInstance(status)
                                                  : icu::Normalizer2::getNFKDInstance(status);
  static const icu::UnicodeSet* const known = [] {
    UErrorCode error = U_ZERO_ERROR;
    auto* set = new icu::UnicodeSet(u"[:age=9.0:]", error);
    SAGESAN_ASSERT(U_SUCCESS(error));
    return set->freeze();
  }();
  SAGESAN_ASSERT(U_SUCCESS(status));
  const auto filtered = std::make_shared<const icu::FilteredNormalizer2>(*form, *known);
  return [filtered, where](std::string& text) {
    UErrorCode error = U_ZERO_ERROR;
    std::string result;
    icu::StringByteSink<std::string> sink(&result, static_cast<int32_t>(text.size()));
    filtered->normalizeUTF8(0, text, sink, nullptr, error);
    if (U_FAILURE(error)) {
      throw InputError(where, fmt::format("a text of {} bytes cannot be normalized: {}",
                                          text.size(), u_errorName(error)));
    }
    text = std::move(result);
  };
}

Normalizer replace(const Json& component, const std::string& where) {
  require_known_keys(component, where, {"type", "pattern", "content"});
  const JsonObject object(component, where);
  const Regex pattern = read_pattern(object.require("pattern"), where + ": pattern");
  return [pattern, content = object.string("content"), where](std::string& text) {
    std::vector<Span> matches;
    pattern.find_all(text, matches);
    std::string result;
    size_t end = 0;
    for (const Span& match : matches) {
      result.append(text, end, match.begin - end).append(content);
      end = match.end;
      check_growth(text.size(), result.size(), where);
    }
    text = result.append(text, end);
  };
}

Normalizer read_one_normalizer(const std::string& type, const Json& normalizer,
                               const std::string& where) {
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    require_known_keys(normalizer, where, {"type"});
    return unicode_form(type, where);
  }
  if (type == "Prepend") {
    require_known_keys(normalizer, where, {"type", "prepend"});
    return [prefix = JsonObject(normalizer, where).string("prepend")](std::string& text) {
      if (!text.empty()) text.insert(0, prefix);
    };
  }
  if (type == "Replace") return replace(normalizer, where);
  if (Normalizer by_character = read_character_normalizer(type, normalizer, where)) {
    return by_character;
  }
  refuse_type(where, type);
}

}  // namespace

Normalizer read_normalizer(const Json* normalizer, const std::string& where) {
  std::vector<Normalizer> steps;  // in one list, so that one check sees how all let a text grow
  if (normalizer != nullptr) {
    for_each_step(*normalizer, where, "normalizers",
                  [&](const Json& step, const std::string& type, const std::string& place) {
                    steps.push_back(read_one_normalizer(type, step, place));
                  });
  }
  return [steps, where](std::string& text) {
    const size_t before = text.size();
    for (const Normalizer& step : steps) {
      step(text);
      check_growth(before, text.size(), where);
    }
  };
}

bool keeps_places(const Json* normalizer, const std::string& where) {
  if (normalizer == nullptr) return true;
  const JsonObject object(*normalizer, where);
  const std::string type = component_type(*normalizer, where);
  if (type == "Sequence") {
    const Json& steps = sequence_elements(*normalizer, where, "normalizers");
    return std::all_of(steps.begin(), steps.end(),
                       [&](const Json& step) { return keeps_places(&step, where); });
  }
  const auto one_character = [](const std::string& text) {
    return !text.empty() && decode_utf8(text, 0).length == text.size();
  };
  return type == "Replace" && one_character(object.string("content")) &&
         one_character(JsonObject(object.require("pattern"), where).string_or("String", ""));
}

}  // namespace sagesan::tokenization
