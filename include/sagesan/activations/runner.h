#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "sagesan/activations/moments.h"
#include "sagesan/model/decoder.h"

namespace sagesan {

/// Takes the moment of one site; it is gone afterwards. `reference_trace` is the mean trace over
/// the layer's experts for an expert's moment, which is empty where the expert saw no token; else
/// 0.
using MomentSink =
    std::function<void(const Site& site, const SiteMoment& moment, double reference_trace)>;

/// What a run over texts observes.
struct ObservationPlan {
  std::set<Site> sites;
  double token_cap = 0;  ///< see `token_weights`; 0: none
  /// Number of layers that must run: up to the last one with a wanted site, all of them where the
  /// final norm's or the head's input is wanted.
  int64_t layers_to_run(const ModelConfiguration& model) const;
  bool needs_final_norm(const ModelConfiguration& model) const;
};

/// A run of a model over texts that goes on a stage at a time, so that others can go along with it.
class ObservationRun {
 public:
  /// All of them must outlive this. Hidden states are kept in a file in `spill` where it is not
  /// empty.
  ObservationRun(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
                 const TokenBatch& batch, const ObservationPlan& plan,
                 std::filesystem::path spill = {});
  ~ObservationRun();

  /// The next one: -1 the embeddings, then each layer, then what comes after the last one.
  int64_t stage() const { return stage_; }
  bool done() const { return stage_ >= end_; }
  /// Runs it and hands each wanted site's moment to `sink`, in the order of the computation: one
  /// layer's moments are in memory at a time. Throws `InputError` naming the checkpoint and the
  /// site where activations are not finite.
  void run_stage(const MomentSink& sink);

 private:
  class Moments;
  const ModelConfiguration& model_;
  const TokenBatch& batch_;
  const ObservationPlan& plan_;
  int64_t stage_ = -1, layers_, end_;
  Decoder decoder_;
  std::filesystem::path spill_;
  HiddenStates hidden_;
  std::unique_ptr<Moments> moments_;
};

/// All stages of a run; `entering` is told each layer before it runs.
void observe(const ModelConfiguration& model, const Checkpoint& checkpoint, at::Device device,
             const TokenBatch& batch, const ObservationPlan& plan,
             const std::function<void(int64_t layer)>& entering, const MomentSink& sink);

}  // namespace sagesan
