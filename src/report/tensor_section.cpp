#include <fmt/format.h>

#include "report_sections.h"
#include "sagesan/report/html_page.h"
#include "sagesan/report/html_table.h"

namespace sagesan {
namespace {

std::string shape_with_times(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : "×") + std::to_string(size);
  return text;
}

std::string extent(const TensorReport& tensor) {
  if (tensor.channels_rolled_back) {
    return fmt::format("{} of {}", *tensor.channels_rolled_back,
                       tensor.channels_eligible.value_or(0));
  }
  return tensor.rank ? std::to_string(*tensor.rank) : "–";
}

}  // namespace

std::string tensor_section(const SanitizeReport& report) {
  HtmlTable table({{"tensor", Column::kLongText},
                   {"kind", Column::kText},
                   {"treatment", Column::kText},
                   {"dtype", Column::kText},
                   {"shape", Column::kNumber},
                   {"rank", Column::kNumber},
                   {"strength", Column::kNumber},
                   {"bias before", Column::kNumber},
                   {"after", Column::kNumber},
                   {"norm before", Column::kNumber},
                   {"after", Column::kNumber},
                   {"survives 8 bits", Column::kNumber},
                   {"4 bits", Column::kNumber}});
  for (const TensorReport& tensor : report.tensors) {
    const auto survival = [&](double Survival::*bits) {
      return tensor.survival ? short_number((*tensor.survival).*bits) : "–";
    };
    table.row({tensor.name, tensor.kind, tensor.treatment, tensor.dtype,
               shape_with_times(tensor.shape), extent(tensor), short_number(tensor.strength),
               short_number(tensor.bias_before), short_number(tensor.bias_after),
               short_number(tensor.norm_before), short_number(tensor.norm_after),
               survival(&Survival::int8), survival(&Survival::int4)});
  }
  if (table.empty()) return "";
  return html_section(
      "Tensors", "",
      html_details(fmt::format("all {} changed tensors", report.tensors.size()), table.html()));
}

}  // namespace sagesan
