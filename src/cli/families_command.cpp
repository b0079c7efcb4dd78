#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "sagesan/model/family.h"

namespace sagesan::cli {
namespace {

struct Verification {
  std::string_view name;
  std::string_view meaning;
};

/// What every family passes: the tests fail where a row of the table has no case in one of them.
constexpr Verification kVerified[] = {
    {"forward", "logits and second moments of tiny random models against transformers 5.17"},
    {"sanitize", "sanitized weights of tiny random models against a float64 oracle"},
    {"golden", "the logits and moments of tiny models that transformers gave, without Python"},
};

nlohmann::json split(std::string_view list) {
  nlohmann::json result = nlohmann::json::array();
  while (!list.empty()) {
    const size_t end = std::min(list.find(", "), list.size());
    result.push_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 2, list.size()));
  }
  return result;
}

void print_json() {
  nlohmann::json verified = nlohmann::json::object();
  for (const auto& [name, meaning] : kVerified) verified[std::string(name)] = meaning;
  nlohmann::json rows = nlohmann::json::array();
  for (const Family& family : families()) {
    rows.push_back({{"family", family.name},
                    {"architecture", family.architecture},
                    {"models", split(family.models)},
                    {"verified", verified},
                    {"real_weights", split(family.real_weights)}});
  }
  std::cout << rows.dump(1) << "\n";
}

void print_table() {
  std::string passed;
  for (const Verification& each : kVerified)
    passed += (passed.empty() ? "" : ", ") + std::string(each.name);
  constexpr const char* kLine = "{:<10} {:<20} {:<38} {}\n";
  std::cout << fmt::format(kLine, "family", "architecture", "models", "verified");
  std::string real;
  for (const Family& family : families()) {
    const std::string own = family.real_weights.empty() ? "" : ", real weights";
    std::cout << fmt::format(kLine, family.name, family.architecture, family.models, passed + own);
    if (!own.empty())
      real += (real.empty() ? "" : ", ") + fmt::format("{} ({})", family.real_weights, family.name);
  }
  std::cout << "\n";
  for (const auto& [name, meaning] : kVerified)
    std::cout << fmt::format("{:<9} {}\n", name, meaning);
  std::cout << "Real weights were run of " << real << " alone, and of no other model or size.\n";
}

}  // namespace

void add_families(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("families", "the model families that can be run, and what was verified");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "print JSON on standard output");
  command->callback([json, &action] {
    action = [json] {
      if (*json) {
        print_json();
      } else {
        print_table();
      }
    };
  });
}

}  // namespace sagesan::cli
