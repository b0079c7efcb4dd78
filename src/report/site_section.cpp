#include <map>

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

}  // namespace

std::string site_section(const SanitizeReport& report) {
  Means ranks;
  Means leading;
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
                                         .series = leading.series()});
  const std::string numbers = table.html();
  return html_section(
      "Spectra of the retained inputs",
      "The rank is the number of directions that hold the asked share of the inputs' energy. Where "
      "one direction or one token holds nearly all of it, an attention sink dominates "
      "(--token-cap).",
      html_grid(charts) + (numbers.empty() ? "" : html_details("all sites", numbers)));
}

}  // namespace sagesan
