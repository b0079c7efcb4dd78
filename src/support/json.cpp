#include "sagesan/support/json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "sagesan/support/error.h"
#include "sagesan/support/file.h"

namespace sagesan {
namespace {

constexpr size_t kMaxDepth = 128;

/// Builds the document and refuses what the library would let pass.
class StrictHandler : public nlohmann::json_sax<Json> {
 public:
  explicit StrictHandler(const std::string& where) : where_(where) {}

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return put(value); }
  bool number_unsigned(uint64_t value) override {
    // Values past int64 would change sign in every reader that asks for a signed number.
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      throw InputError(where_, fmt::format("the integer {} does not fit in 64 bits", value));
    }
    return put(value);
  }
  bool number_float(double value, const std::string& digits) override {
    if (digits.find_first_of(".eE") == std::string::npos) {
      throw InputError(where_,
                       fmt::format("the integer {} does not fit in 64 bits", quote(digits)));
    }
    return put(value);
  }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override {
    keys_.emplace_back();
    return open(Json::object());
  }
  bool end_object() override {
    keys_.pop_back();
    return close();
  }
  bool start_array(size_t) override { return open(Json::array()); }
  bool end_array() override { return close(); }
  bool key(std::string& name) override {
    if (!keys_.back().insert(name).second) {
      throw InputError(where_, fmt::format("the key {} stands twice in one object", quote(name)));
    }
    key_ = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    // The library's text repeats bytes of the file: keep its last clause alone, escaped.
    std::string reason = error.what();
    reason = reason.substr(0, reason.find("; last read"));
    if (const size_t colon = reason.rfind(": "); colon != std::string::npos) {
      reason = reason.substr(colon + 2);
    }
    std::string clean = quote(reason);
    throw InputError(where_, fmt::format("not valid JSON at byte {}: {}", position,
                                         clean.substr(1, clean.size() - 2)));
  }

  Json take() { return std::move(root_); }

 private:
  bool put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
    } else {
      insert(std::move(value));
    }
    return true;
  }

  Json* insert(Json value) {
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    Json& slot = parent[key_];
    slot = std::move(value);
    return &slot;
  }

  bool open(Json value) {
    if (open_.size() >= kMaxDepth) {
      throw InputError(where_, fmt::format("JSON nested deeper than {} levels", kMaxDepth));
    }
    if (open_.empty()) {
      root_ = std::move(value);
      open_.push_back(&root_);
    } else {
      open_.push_back(insert(std::move(value)));
    }
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& where_;
  Json root_;
  std::vector<Json*> open_;  // pointers stay valid: a parent does not grow while its child is open
  std::vector<std::set<std::string>> keys_;
  std::string key_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where) {
  if (text.starts_with("\xEF\xBB\xBF")) {
    throw InputError(where, "starts with a byte-order mark; save it as UTF-8 without one");
  }
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    throw InputError(where, fmt::format("not valid JSON: NUL byte at {}", nul));
  }
  StrictHandler handler(where);
  if (!Json::sax_parse(text.begin(), text.end(), &handler))
    throw InputError(where, "not valid JSON");
  return handler.take();
}

nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& where) {
  constexpr size_t kMostKeys = 16384;
  const std::function<void(const Json&)> check = [&](const Json& value) {
    if (value.is_object() && value.size() > kMostKeys) {
      throw InputError(
          where, fmt::format("an object of {} keys, expected at most {}", value.size(), kMostKeys));
    }
    if (value.is_structured()) std::for_each(value.begin(), value.end(), check);
  };
  check(parse_json(text, where));
  return nlohmann::ordered_json::parse(text);  // sound, and without duplicate keys
}

Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes) {
  return parse_json(read_text_file(path, max_bytes), path.string());
}

Json read_optional_json_file(const std::filesystem::path& path, uint64_t max_bytes) {
  return std::filesystem::exists(path) ? read_json_file(path, max_bytes) : Json::object();
}

JsonObject::JsonObject(const Json& value, std::string where)
    : value_(value), where_(std::move(where)) {
  if (!value.is_object()) {
    throw InputError(where_, fmt::format("expected a JSON object, found {}", value.type_name()));
  }
}

void JsonObject::fail(std::string_view key, const std::string& message) const {
  throw InputError(where_, fmt::format("key {}: {}", quote(key), message));
}

const Json* JsonObject::find(std::string_view key) const {
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonObject::contains(std::string_view key) const { return value_.find(key) != value_.end(); }

const Json& JsonObject::require(std::string_view key) const {
  const Json* found = find(key);
  if (found == nullptr) fail(key, "missing");
  return *found;
}

int64_t JsonObject::integer(std::string_view key, int64_t least, int64_t most) const {
  const Json& member = require(key);
  if (!member.is_number_integer()) {
    fail(key, fmt::format("expected an integer, found {}", member.type_name()));
  }
  const auto value = member.get<int64_t>();
  if (value < least || value > most) {
    fail(key, most == std::numeric_limits<int64_t>::max()
                  ? fmt::format("expected at least {}, found {}", least, value)
                  : fmt::format("expected {} to {}, found {}", least, most, value));
  }
  return value;
}

int64_t JsonObject::integer_or(std::string_view key, int64_t otherwise, int64_t least,
                               int64_t most) const {
  return find(key) == nullptr ? otherwise : integer(key, least, most);
}

double JsonObject::number(std::string_view key) const {
  const Json& member = require(key);
  if (!member.is_number())
    fail(key, fmt::format("expected a number, found {}", member.type_name()));
  const auto value = member.get<double>();
  if (!std::isfinite(value)) fail(key, "expected a finite number");
  return value;
}

double JsonObject::number_or(std::string_view key, double otherwise) const {
  return find(key) == nullptr ? otherwise : number(key);
}

bool JsonObject::boolean_or(std::string_view key, bool otherwise) const {
  const Json* member = find(key);
  if (member == nullptr) return otherwise;
  if (!member->is_boolean()) {
    fail(key, fmt::format("expected true or false, found {}", member->type_name()));
  }
  return member->get<bool>();
}

std::string JsonObject::string(std::string_view key) const {
  const Json& member = require(key);
  if (!member.is_string()) fail(key, fmt::format("expected text, found {}", member.type_name()));
  return member.get<std::string>();
}

std::string JsonObject::string_or(std::string_view key, std::string otherwise) const {
  return find(key) == nullptr ? std::move(otherwise) : string(key);
}

}  // namespace sagesan
