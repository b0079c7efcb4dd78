#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "cli/cli_fixture.h"

namespace sagesan::testing {

/// A tiny pair and a TOML file with options for it.
class ConfigTest : public CliTest {
 protected:
  ConfigTest() { make_pair(); }
  std::string file() const { return (root_ / "options.toml").string(); }
  /// The options that every run needs, as a section.
  std::string section(const std::string& more = "") const {
    return "[sanitize]\nbase = '" + base().string() + "'\nunlearned = '" + unlearned().string() +
           "'\nretain = ['" + retain().string() + "']\nout = '" + out().string() +
           "'\ndevice = 'cpu'\nthreads = 1\n" + more;
  }
  Arguments with(const std::string& text, const Arguments& more = {"sanitize"}) const {
    write_file(file(), text);
    return joined({"--config", file()}, more);
  }
  nlohmann::json options() const {
    return nlohmann::json::parse(read_file(out() / "sagesan_report.json"))["options"];
  }
};

}  // namespace sagesan::testing
