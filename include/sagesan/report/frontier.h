#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sagesan {

/// What one model makes of texts that were to be forgotten and of texts to be kept: mean losses in
/// nats per token.
struct FrontierPoint {
  std::string series, name;
  double strength = 0;  ///< by which the points of a series are joined
  double forget_loss = 0, retain_loss = 0;
  std::optional<double> kept_forgetting, recovered;  ///< shares
};

/// A section with the frontier of forgetting against retention as a chart and a table; the point
/// named `best` is marked. Plain text is escaped.
std::string frontier_section(const std::vector<FrontierPoint>& points, const std::string& best,
                             const std::string& text);

}  // namespace sagesan
