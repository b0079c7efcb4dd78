#include <fmt/format.h>

#include <iostream>

#include "command.h"
#include "sagesan/model/family.h"

namespace sagesan::cli {

void add_families(CLI::App& app, Action& action) {
  CLI::App* command = app.add_subcommand("families", "the model families that can be run");
  command->callback([&action] {
    action = [] {
      for (const Family& family : families())
        std::cout << fmt::format("{:<10} {}\n", family.name, family.architecture);
    };
  });
}

}  // namespace sagesan::cli
