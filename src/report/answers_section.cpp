#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>

#include "report_sections.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"
#include "sagesan/support/error.h"

namespace sagesan {
namespace {

constexpr size_t kMostRecords = 20;

struct Answer {
  std::string input, expected;
  std::map<std::string, std::string> by_model;
};
/// By the record's number.
using Answers = std::map<int64_t, Answer>;

/// The answers that stand beside some figure of one data set.
void read_answers(const Json& scores, const std::string& model, const std::string& where,
                  Answers& answers) {
  for (const auto& [key, figure] : scores.items()) {
    if (!figure.is_object() || !figure.contains("value_by_index")) continue;
    const Json& values = figure["value_by_index"];
    if (!values.is_object()) throw InputError(where, "value_by_index: expected an object");
    for (const auto& [index, value] : values.items()) {
      if (!value.is_object() || !value.contains("generation")) continue;
      const JsonObject record(value, fmt::format("{}: {}: record {}", where, key, quote(index)));
      int64_t number = 0;
      std::from_chars(index.data(), index.data() + index.size(), number);
      Answer& answer = answers[number];
      answer.input = record.string_or("input", "");
      answer.expected = record.string_or("ground_truth", "");
      answer.by_model[model] = record.string("generation");
    }
  }
}

std::string answers_table(const std::string& data, const Answers& answers,
                          const std::vector<std::string>& models) {
  std::vector<std::pair<std::string, Column>> columns = {{"asked", Column::kLongText},
                                                         {"expected", Column::kLongText}};
  for (const std::string& model : models)
    columns.emplace_back(model.empty() ? "generated" : model, Column::kLongText);
  HtmlTable table(columns);
  size_t shown = 0;
  for (const auto& [index, answer] : answers) {
    if (shown++ == kMostRecords) break;
    std::vector<std::string> cells = {answer.input, answer.expected};
    for (const std::string& model : models) {
      const auto found = answer.by_model.find(model);
      cells.push_back(found == answer.by_model.end() ? "–" : found->second);
    }
    table.row(cells);
  }
  const std::string summary =
      answers.size() > kMostRecords
          ? fmt::format("{}: the first {} of {} answers", data, kMostRecords, answers.size())
          : fmt::format("{}: {} answers", data, answers.size());
  return html_details(summary, table.html());
}

}  // namespace

std::string answers_section(const Json& evaluation, const std::string& where) {
  const JsonObject object(evaluation, where);
  std::vector<std::string> models;
  std::map<std::string, Answers> by_data;
  const auto add = [&](const std::string& name, const Json& model) {
    models.push_back(name);
    const Json& data = JsonObject(model, where).require("data");
    for (const auto& [set, scores] : data.items()) {
      Answers& answers = by_data[set];
      read_answers(scores, name, fmt::format("{}: data set {}", where, quote(set)), answers);
    }
  };
  if (const Json* several = object.find("models")) {
    for (const auto& [name, model] : several->items()) add(name, model);
  } else {
    add("", evaluation);
  }
  std::string tables;
  for (const auto& [data, answers] : by_data) {
    if (!answers.empty()) tables += answers_table(data, answers, models);
  }
  return html_section("Answers", "Always the likeliest token.", tables);
}

}  // namespace sagesan
