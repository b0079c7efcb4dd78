#include <fmt/format.h>

#include <iterator>
#include <map>
#include <set>

#include "report_sections.h"
#include "sagesan/report/chart.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"
#include "tensor_place.h"

namespace sagesan {
namespace {

/// Mean of one figure by kind of site and layer: experts are many.
class Means {
 public:
  void add(const TensorPlace& place, const std::optional<double>& value) {
    if (!place.layer || !value) return;
    auto& [sum, count] = sums_[place.module][*place.layer];
    sum += *value;
    ++count;
  }
  std::vector<ChartSeries> series() const {
    std::vector<ChartSeries> result;
    for (const auto& [module, layers] : sums_) {
      result.push_back({.name = module});
      for (const auto& [layer, mean] : layers) {
        result.back().points.push_back(
            {.x = static_cast<double>(layer), .y = mean.first / mean.second});
      }
    }
    return result;
  }

 private:
  std::map<std::string, std::map<int64_t, std::pair<double, double>>> sums_;
};

std::optional<double> rank_share(const SiteReport& site) {
  if (!site.rank || site.channels == 0) return std::nullopt;
  return static_cast<double>(*site.rank) / static_cast<double>(site.channels);
}

/// The spectra of one kind of site in the first, the middle and the last layer that has one, and
/// how many directions were taken.
class Spectra {
 public:
  void add(const TensorPlace& place, const SiteReport& site) {
    if (!place.layer || site.eigenvalue_shares.empty()) return;
    layers_[place.module].try_emplace(*place.layer, &site);  // of the experts the first
  }
  std::string html() const {
    std::vector<std::string> modules;
    for (const auto& [module, layers] : layers_) modules.push_back(module);
    const std::vector<std::string> names = short_names(modules);
    std::string html;
    for (size_t i = 0; i < modules.size(); ++i) html += chart(names[i], layers_.at(modules[i]));
    return html;
  }

 private:
  using Layers = std::map<int64_t, const SiteReport*>;

  static std::string chart(const std::string& module, const Layers& layers) {
    Chart chart{.title = module,
                .x_label = "direction",
                .y_label = "eigenvalue / trace",
                .log_x = true,
                .log_y = true};
    ChartSeries ranks{.name = "rank taken", .line = false};
    for (const size_t index : std::set<size_t>{0, layers.size() / 2, layers.size() - 1}) {
      const auto& [layer, site] = *std::next(layers.begin(), static_cast<std::ptrdiff_t>(index));
      ChartSeries& series = chart.series.emplace_back();
      series.name = fmt::format("layer {}", layer);
      for (const auto& [i, share] : site->eigenvalue_shares)
        series.points.push_back({.x = static_cast<double>(i), .y = share});
      const auto taken = site->eigenvalue_shares.find(site->rank.value_or(0));
      if (taken != site->eigenvalue_shares.end()) {
        ranks.points.push_back(
            {.name = series.name, .x = static_cast<double>(taken->first), .y = taken->second});
      }
    }
    if (!ranks.points.empty()) chart.series.push_back(std::move(ranks));
    return chart_html(chart);
  }

  std::map<std::string, Layers> layers_;
};

}  // namespace

std::string site_section(const SanitizeReport& report) {
  Means ranks;
  Means leading;
  Spectra spectra;
  HtmlTable table({{"site", Column::kText},
                   {"tokens", Column::kNumber},
                   {"channels", Column::kNumber},
                   {"rank", Column::kNumber},
                   {"energy held", Column::kNumber},
                   {"leading direction", Column::kNumber},
                   {"largest token", Column::kNumber}});
  for (const auto& [name, site] : report.sites) {
    const TensorPlace place = tensor_place(name);
    ranks.add(place, rank_share(site));
    leading.add(place, site.leading_share);
    spectra.add(place, site);
    table.row({name, std::to_string(site.tokens), std::to_string(site.channels),
               site.rank ? std::to_string(*site.rank) : "–", short_number(site.energy_share),
               short_number(site.leading_share), short_number(site.largest_token_share)});
  }
  const std::string charts = chart_html({.title = "Dominant directions by layer",
                                         .x_label = "layer",
                                         .y_label = "rank / channels",
                                         .series = ranks.series()}) +
                             chart_html({.title = "Share of the leading direction",
                                         .x_label = "layer",
                                         .y_label = "largest eigenvalue / trace",
                                         .series = leading.series()}) +
                             spectra.html();
  const std::string numbers = table.html();
  return html_section(
      "Spectra of the retained inputs",
      "The rank is the number of directions that hold the asked share of the inputs' energy. Where "
      "one direction or one token holds nearly all of it, an attention sink dominates "
      "(--token-cap).",
      html_grid(charts) + (numbers.empty() ? "" : html_details("all sites", numbers)));
}

}  // namespace sagesan
