#include "sagesan/sanitize/rollback.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "sagesan/support/error.h"

namespace sagesan {
namespace {

/// Scores that are known beforehand, for what changed; where a score is 0 retained texts never use
/// the channel.
ChannelAmounts known_scores(const Tensor& scores, const Tensor& changed) {
  const Tensor here = scores.to(changed.device());
  return {here, ((here > 0) & changed).to(at::kDouble)};
}

Tensor changed_rows(const Tensor& d) { return (d != 0).any(1); }

/// The sums over all rows, on the CPU.
ChannelAmounts all_amounts(const Update& update, const Channels& channels, const MatrixView& view,
                           at::Device device) {
  std::vector<Tensor> bias;
  std::vector<Tensor> weight;
  for_each_update_block(update, view, device, [&](const Tensor& d, int64_t start) {
    ChannelAmounts amounts = channels.amounts(d, start);
    if (channels.are_rows || bias.empty()) {
      bias.push_back(std::move(amounts.bias));
      weight.push_back(std::move(amounts.weight));
    } else {
      bias[0] += amounts.bias;
      weight[0] += amounts.weight;
    }
  });
  if (bias.empty()) return {at::zeros({0}, at::kDouble), at::zeros({0}, at::kDouble)};
  return {at::cat(bias).cpu().contiguous(), at::cat(weight).cpu().contiguous()};
}

}  // namespace

Channels linear_channels(const MomentMatrix& moment) {
  return {.amounts = [&moment](const Tensor& d, int64_t) -> ChannelAmounts {
            const Tensor wide = d.to(at::kDouble);
            return {(wide * moment.times(wide)).sum(0), wide.pow(2).sum(0)};
          },
          .measures = {[&moment](const Tensor& m, int64_t) { return moment.response(m); }}};
}

Channels norm_channels(const Tensor& relative_energies) {
  return {
      .amounts = [=](const Tensor& d, int64_t) { return known_scores(relative_energies, d != 0); },
      .measures = norm_rule(relative_energies).measures};
}

Channels embedding_channels(const Tensor& row_energies) {
  return {.are_rows = true,
          .amounts =
              [=](const Tensor& d, int64_t start) {
                return known_scores(row_energies.narrow(0, start, d.size(0)), changed_rows(d));
              },
          .measures = embedding_rule(row_energies).measures};
}

Channels tied_embedding_channels(const Tensor& row_energies, const MomentMatrix& head) {
  Channels channels = embedding_channels(row_energies);
  channels.amounts = [=, &head](const Tensor& d, int64_t start) {
    const Tensor wide = d.to(at::kDouble);
    const Tensor squares = wide.pow(2).sum(1);
    const Tensor responses = (wide * head.times(wide)).sum(1);
    // Rows without an update are 0/0 here and do not count.
    const Tensor as_head = at::where(squares > 0, responses / squares, squares);
    const Tensor as_embedding = row_energies.narrow(0, start, d.size(0)).to(d.device());
    return known_scores(as_embedding + as_head / head.mean_energy(), changed_rows(d));
  };
  channels.measures.emplace_back([&head](const Tensor& m, int64_t) { return head.response(m); });
  return channels;
}

Rollback choose_rollback(const Update& update, const Channels& channels, double share,
                         const MatrixView& view, at::Device device) {
  SAGESAN_ASSERT(share > 0 && share <= 1);
  const auto [bias, weight] = all_amounts(update, channels, view, device);
  const Tensor scores = bias / weight;
  const auto* score = scores.data_ptr<double>();
  std::vector<int64_t> order;
  for (int64_t i = 0; i < scores.numel(); ++i) {
    if (weight.data_ptr<double>()[i] > 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return score[a] > score[b]; });
  const auto candidates = static_cast<int64_t>(order.size());
  const int64_t wanted = std::llround(share * static_cast<double>(candidates));
  const int64_t count = std::min(std::max<int64_t>(wanted, 1), candidates);

  Tensor chosen = at::zeros({scores.numel()}, at::kBool);
  for (int64_t i = 0; i < count; ++i) chosen.data_ptr<bool>()[order[static_cast<size_t>(i)]] = true;
  chosen = chosen.to(device);
  Rule rule = keep_rule();
  rule.measures = channels.measures;
  rule.goes_back = [chosen, rows = channels.are_rows](const Tensor& d, int64_t start) {
    return rows ? chosen.narrow(0, start, d.size(0)).unsqueeze(1) : chosen;
  };
  return {.rule = std::move(rule), .channels = count, .candidates = candidates};
}

}  // namespace sagesan
