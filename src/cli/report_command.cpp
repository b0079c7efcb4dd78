#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "command.h"
#include "sagesan/report/read_report.h"
#include "sagesan/report/report_page.h"
#include "sagesan/support/file.h"

namespace sagesan::cli {

void add_report(CLI::App& app, Common& common, Action& action) {
  CLI::App* command = app.add_subcommand("report", "make an HTML page of a report");
  struct Words {
    std::string report, html, metrics;
  };
  auto words = std::make_shared<Words>();
  command->add_option("report", words->report, "sagesan_report.json of 'sanitize'")
      ->required()
      ->type_name("FILE");
  command->add_option("--html", words->html, "the page to write, one self-contained file")
      ->required()
      ->type_name("FILE");
  command
      ->add_option("--metrics", words->metrics,
                   "the JSON of 'evaluate': its figures and generated answers are shown, too")
      ->type_name("FILE");
  command->callback([words, command, &common, &action] {
    action = [words, command, &common] {
      const std::filesystem::path path = parse_path("report", words->report);
      const std::filesystem::path html = parse_path("--html", words->html);
      std::vector<std::filesystem::path> inputs = {path};
      PageExtras extras;
      Json evaluation;
      if (command->count("--metrics") > 0) {
        inputs.push_back(parse_path("--metrics", words->metrics));
        evaluation = read_json_file(inputs.back());
        extras.evaluation = &evaluation;
        extras.evaluation_name = inputs.back().string();
      }
      check_text_file_target(html, inputs);
      const StoredReport stored = read_sanitize_report(read_json_file(path), path.string());
      extras.tool_version = stored.tool_version;
      replace_text_file(html, report_page(stored.report, extras));
      if (!common.quiet) std::cout << "written to " << printable(html.string()) << "\n";
    };
  });
}

}  // namespace sagesan::cli
