#include <fmt/format.h>

#include <iostream>

#include "command.h"
#include "description.h"
#include "sagesan/support/error.h"

namespace sagesan::cli {

void add_completion(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("completion", "print a completion script for a shell, or the manual page");
  auto shell = std::make_shared<std::string>();
  command->add_option("shell", *shell, "bash, zsh, fish, or man for the manual page (roff)")
      ->required()
      ->type_name("bash|zsh|fish|man");
  command->callback([shell, &app, &action] {
    action = [shell, &app] {
      for (const auto& [name, print] : {std::pair{"bash", &bash_completion},
                                        {"zsh", &zsh_completion},
                                        {"fish", &fish_completion},
                                        {"man", &man_page}}) {
        if (*shell != name) continue;
        std::cout << print(app);
        return;
      }
      throw UsageError(
          fmt::format("completion {}: expected bash, zsh, fish or man", quote(*shell)));
    };
  });
}

}  // namespace sagesan::cli
