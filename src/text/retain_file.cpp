#include "sagesan/text/retain_file.h"

#include <nlohmann/json.hpp>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// No file has as many records or tokens, and no header has room for so many files that their sum
/// overflows.
constexpr int64_t kMost = 1'000'000'000'000;

}  // namespace

Json to_json(const std::vector<RetainFileReport>& files) {
  Json json = Json::array();
  for (const RetainFileReport& file : files) {
    json.push_back({{"name", file.name},
                    {"xxh3", file.hash},
                    {"records", file.records},
                    {"tokens", file.tokens},
                    {"truncated", file.truncated},
                    {"left_out", file.left_out}});
  }
  return json;
}

std::vector<RetainFileReport> retain_files_from_json(const Json& json, const std::string& where) {
  if (!json.is_array()) throw InputError(where, "expected a list of files");
  std::vector<RetainFileReport> files;
  for (const Json& entry : json) {
    const JsonObject object(entry, where);
    files.push_back({.name = object.string("name"),
                     .hash = object.string("xxh3"),
                     .records = object.integer("records", 0, kMost),
                     .tokens = object.integer("tokens", 0, kMost),
                     .truncated = object.integer("truncated", 0, kMost),
                     .left_out = object.integer("left_out", 0, kMost)});
  }
  return files;
}

}  // namespace sagesan
