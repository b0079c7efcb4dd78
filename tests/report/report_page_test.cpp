// The HTML page and what it is built of.
#include "sagesan/report/report_page.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "helpers/files.h"
#include "report/report_testing.h"
#include "sagesan/report/chart.h"
#include "sagesan/report/heat_map.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"

namespace sagesan {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// Every element that is opened is closed, in order; void ones aside. Fails on what is no markup.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  const std::regex tag("<(/?)([a-z0-9]+)([^<>]*)>");
  const size_t start = html.find("<body>");
  ASSERT_NE(start, std::string::npos);
  const std::string body = html.substr(start, html.find("</html>") - start);
  std::string text;
  auto last = body.begin();
  for (std::sregex_iterator each(body.begin(), body.end(), tag), end; each != end; ++each) {
    text.append(last, (*each)[0].first);
    last = (*each)[0].second;
    if ((*each)[3].str().ends_with("/")) continue;
    if ((*each)[1].length() == 0) {
      open.push_back((*each)[2]);
    } else {
      ASSERT_FALSE(open.empty()) << (*each)[0];
      EXPECT_EQ(open.back(), (*each)[2].str());
      open.pop_back();
    }
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(text.find_first_of("<>"), std::string::npos);
}

Json evaluation(const std::string& generation) {
  const auto model = [&](double perplexity) {
    return Json{
        {"data",
         {{"keep",
           {{"perplexity", perplexity},
            {"rougeL_recall",
             {{"agg_value", 0.25},
              {"value_by_index",
               {{"10", {{"input", "tenth?"}, {"ground_truth", "x"}, {"generation", "last"}}},
                {"2",
                 {{"input", "second?"},
                  {"ground_truth", "b"},
                  {"generation", generation}}}}}}}}}}}};
  };
  return {{"models", {{"base", model(2.5)}, {"clean", model(3.5)}}}};
}

TEST(ReportPage, ShowsEverySection) {
  const Json scores = evaluation("an answer");
  const std::string page =
      report_page(testing::sample_report(),
                  {.tool_version = "9.9", .evaluation = &scores, .evaluation_name = "e.json"});
  expect_balanced(page);
  for (const char* part :
       {"<title>Sanitized LlamaForCausalLM (sage)</title>", "33.3 %", "0.006 → 0.002",
        "before: the unlearned model", "after: the sanitized model", "Norm of the update by layer",
        "What survives rounding, by layer", "Dominant directions by layer",
        "<title>rank taken, layer 0: 20, 0.01</title>", "layers.0.attention_input",
        "all 4 changed tensors", "experts.weight[0]", "3 of 32", "sagesan 9.9", "u0", "h0",
        "router.weight", "question, answer", "keep: 2 answers"}) {
    EXPECT_EQ(page.find(part) != std::string::npos, true) << part;
  }
  // The worst tensor of a cell, and what lies outside the layers.
  EXPECT_EQ(count(page, "<td class=\"h8\">8.0e-3</td>"), 1U);
  EXPECT_NE(page.find("<td class=\"w\">embed.weight</td><td>tied_embedding</td>"),
            std::string::npos);
  // Metrics in a column a model; answers in the order of their numbers.
  EXPECT_NE(page.find("<td class=\"w\">perplexity ↓</td><td class=\"n\">2.5</td>"
                      "<td class=\"n\">3.5</td>"),
            std::string::npos);
  EXPECT_LT(page.find("second?"), page.find("tenth?"));
  EXPECT_EQ(count(page, "an answer"), 2U);
}

TEST(ReportPage, NothingIsLoadedAndNothingRuns) {
  const std::string page = report_page(testing::sample_report());
  for (const char* part : {"<script", "http:", "https:", "//", "<link", "<img", "@import", "url("})
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  EXPECT_NE(page.find("default-src 'none'"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme:dark"), std::string::npos);
  EXPECT_NE(page.find("@media print"), std::string::npos);
}

TEST(ReportPage, NothingOfAStrangerIsMarkup) {
  const std::string evil = "\"'><script>alert(1)</script>";
  SanitizeReport report = testing::sample_report();
  for (TensorReport& tensor : report.tensors) {
    tensor.name = "layers.0." + evil + tensor.name;
    tensor.kind += tensor.kind == "linear" ? "" : evil;
    tensor.treatment = tensor.dtype = evil;
  }
  report.sites["layers.0." + evil] = report.sites.begin()->second;
  report.architecture = report.options.method = report.options.other = evil;
  report.options.exclude = report.options.retain_fields = report.routers = {evil};
  report.base_identity = report.unlearned_identity = report.base_configuration = evil;
  report.retain_files[0].name = report.retain_files[0].hash = "/tmp/" + evil;
  Json scores = evaluation(evil);
  scores["models"][evil] = {{"data", {{evil, scores["models"]["base"]["data"]["keep"]}}}};
  scores["models"][evil]["data"][evil][evil] = 1;
  const std::string page =
      report_page(report, {.tool_version = evil, .evaluation = &scores, .evaluation_name = evil});
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find(evil), std::string::npos);
  EXPECT_GT(count(page, "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;"), 30U);
  expect_balanced(page);
}

TEST(ReportPage, OfAReportWithoutFigures) {
  const std::string page = report_page(SanitizeReport{});
  expect_balanced(page);
  EXPECT_EQ(page.find("<svg"), std::string::npos);
  EXPECT_EQ(page.find("Retention activation bias"), std::string::npos);
  EXPECT_NE(page.find("Where it comes from"), std::string::npos);
}

TEST(ReportPage, WhatIsNoEvaluationIsRefused) {
  const auto refuse = [](const Json& json, const std::string& fragment) {
    testing::expect_input_error(
        [&] { report_page({}, {.evaluation = &json, .evaluation_name = "e.json"}); }, "e.json",
        fragment);
  };
  refuse(Json::array(), "expected a JSON object");
  refuse({{"tensors", 1}}, "'data': missing");
  Json json = evaluation("");
  json["models"]["base"]["data"]["keep"]["rougeL_recall"]["value_by_index"] = 3;
  refuse(json, "value_by_index: expected an object");
  json = evaluation("");
  json["models"]["base"]["data"]["keep"]["rougeL_recall"]["value_by_index"]["2"]["generation"] = 3;
  refuse(json, "record '2': key 'generation': expected text");
}

Chart chart_of(const std::vector<ChartPoint>& points) {
  return {.title = "t", .x_label = "forgotten", .y_label = "kept", .series = {{"a", points}}};
}

TEST(Chart, DrawsPointsWhereTheyBelong) {
  Chart chart = chart_of({{"low", 0, 0}, {"high", 10, 1}});
  chart.name_points = true;
  chart.series.push_back({.name = "b", .points = {{"mid", 5, 0.5}}, .line = false});
  const std::string html = chart_html(chart);
  expect_balanced("<body>" + html + "</body></html>");
  const size_t svg = html.find("<svg");
  const std::string drawing = html.substr(svg, html.find("</svg>") - svg);
  const std::regex circle("<circle class=\"m0\" cx=\"([0-9.]+)\" cy=\"([0-9.]+)\"");
  std::vector<std::pair<double, double>> places;
  for (std::sregex_iterator each(drawing.begin(), drawing.end(), circle), end; each != end; ++each)
    places.emplace_back(std::stod((*each)[1]), std::stod((*each)[2]));
  ASSERT_EQ(places.size(), 2U);
  EXPECT_LT(places[0].first, places[1].first);    // further right
  EXPECT_GT(places[0].second, places[1].second);  // and higher up
  // The other series lies in the middle, and is not joined.
  std::smatch square;
  ASSERT_TRUE(std::regex_search(drawing, square,
                                std::regex("<rect class=\"m1\" x=\"([0-9.]+)\" y=\"([0-9.]+)\"")));
  EXPECT_NEAR(std::stod(square[1]) + 3.1, (places[0].first + places[1].first) / 2, 0.2);
  EXPECT_NEAR(std::stod(square[2]) + 3.1, (places[0].second + places[1].second) / 2, 0.2);
  EXPECT_EQ(count(drawing, "class=\"series"), 1U);
  for (const char* part : {">low</text>", ">high</text>", ">mid</text>", "<title>a, low: 0, 0<"})
    EXPECT_EQ(count(drawing, part), 1U) << part;
  for (const char* part :
       {"<td>a</td><td>high</td><td class=\"n\">10</td>", "forgotten", "</svg>b"})
    EXPECT_NE(html.find(part), std::string::npos) << part;
}

TEST(Chart, WhatCannotBeDrawnIsLeftOutAndStaysInTheTable) {
  EXPECT_EQ(chart_html(chart_of({})), "");
  EXPECT_EQ(chart_html(chart_of({{"nowhere", NAN, 1}})), "");
  Chart chart = chart_of({{"zero", 0, 1}, {"one", 1, 1}, {"infinite", 2, INFINITY}});
  EXPECT_EQ(count(chart_html(chart), "<title>"), 2U);
  chart.log_x = true;
  const std::string html = chart_html(chart);
  EXPECT_EQ(count(html, "<title>"), 1U);
  EXPECT_NE(html.find("<td>zero</td>"), std::string::npos);
  EXPECT_EQ(html.find("nan"), std::string::npos);
}

TEST(Chart, LogarithmicAxesShowPowersOfTen) {
  Chart chart = chart_of({{"", 0.02, 1}, {"", 3000, 2}});
  chart.log_x = true;
  const std::string html = chart_html(chart);
  for (const char* tick : {">0.1<", ">10<", ">1000<"})
    EXPECT_NE(html.find(fmt::format("text-anchor=\"middle\"{}/text>", tick)), std::string::npos)
        << tick << html;
}

TEST(Chart, ExtremeNumbersGiveNumbers) {
  for (const auto& [a, b] : {std::pair(-1e308, 1e308), {1e-300, 1e-299}, {5.0, 5.0}, {0.0, 0.0}}) {
    const std::string html = chart_html(chart_of({{"", a, a}, {"", b, b}}));
    const size_t svg = html.find("<svg");
    const std::string drawing = html.substr(svg, html.find("</svg>") - svg);
    EXPECT_EQ(drawing.find("nan"), std::string::npos) << a;
    EXPECT_EQ(drawing.find("inf"), std::string::npos) << a;
    EXPECT_GE(count(drawing, "text-anchor=\"end\""), 1U) << a;
  }
}

TEST(HeatMap, ColorsAreLogarithmic) {
  const HeatRange range{1e-6, 1e3};
  EXPECT_EQ(heat_class(1e-6, range), 0);
  EXPECT_EQ(heat_class(3e-5, range), 1);
  EXPECT_EQ(heat_class(0.02, range), 4);
  EXPECT_EQ(heat_class(1e3, range), 8);
  EXPECT_EQ(heat_class(0, range), 0);
  EXPECT_EQ(heat_class(5, {5, 5}), 0);
}

TEST(HeatMap, CellsAndHeadings) {
  HeatMap map{
      .title = "t", .corner = "layer", .rows = {"0"}, .columns = {"q", "1234567890123456789é&"}};
  EXPECT_EQ(heat_map_html(map, {}), "");
  map.values[{0, 1}] = 0.0000996;
  const std::string html = heat_map_html(map, heat_range({&map}));
  for (const char* part : {"<th scope=\"row\">0</th><td>–</td><td class=\"h0\">1.0e-4</td>",
                           "title=\"1234567890123456789é&amp;\">1234567890123456789…</th>"})
    EXPECT_NE(html.find(part), std::string::npos) << html;
}

TEST(HtmlTable, CellsAreText) {
  HtmlTable table({{"<a>", Column::kText}, {"b", Column::kNumber}});
  EXPECT_EQ(table.html(), "");
  table.row({"<i>", short_number(0.00012345)});
  EXPECT_EQ(table.html(),
            "<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">&lt;a&gt;</th>"
            "<th scope=\"col\" class=\"n\">b</th></tr></thead>\n<tbody>\n"
            "<tr><td>&lt;i&gt;</td><td class=\"n\">0.000123</td></tr>\n</tbody></table></div>\n");
  EXPECT_EQ(short_number(std::nullopt), "–");
  EXPECT_EQ(short_number(1847), "1847");
  EXPECT_EQ(short_number(1234.5), "1234");
  EXPECT_EQ(short_number(3e12), "3e+12");
  EXPECT_EQ(short_number(0), "0");
}

}  // namespace
}  // namespace sagesan
