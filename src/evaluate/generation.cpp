#include "sagesan/evaluate/generation.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "sagesan/support/error.h"
#include "sagesan/support/memory.h"

namespace sagesan {
namespace {

/// Floats of one block of head rows.
constexpr int64_t kStepHeadBlock = int64_t{1} << 24;

/// Texts that are run together.
class Group {
 public:
  Group(const ModelConfiguration& model, Decoder& decoder, const GenerationSettings& settings,
        at::Device device, std::vector<std::vector<int64_t>> prompts,
        const std::vector<int64_t>& most)
      : model_(model),
        decoder_(decoder),
        settings_(settings),
        device_(device),
        texts_(std::move(prompts)),
        most_(most),
        cache_(model, most, device),
        open_(texts_.size()) {
    std::iota(open_.begin(), open_.end(), size_t{0});
    for (const auto& text : texts_) prompt_lengths_.push_back(text.size());
    close_full();
    if (settings.repetition_penalty == 1) return;
    seen_ = at::zeros({static_cast<int64_t>(texts_.size()), model.vocabulary},
                      at::TensorOptions().dtype(at::kBool));
    for (size_t i = 0; i < texts_.size(); ++i) {
      for (const int64_t id : texts_[i]) see(i, id);
    }
  }

  bool done() const { return open_.empty(); }

  /// Every open text goes on by a token.
  void step(const std::function<void(int64_t layer)>& progress) {
    const Tensor best = likeliest(last_states(progress)).cpu();
    const auto* id = best.data_ptr<int64_t>();
    const auto& ends = settings_.end_ids;
    std::vector<size_t> still_open;
    for (const size_t text : open_) {
      const bool ended = std::find(ends.begin(), ends.end(), *id) != ends.end();
      if (!ended) {
        texts_[text].push_back(*id);
        if (seen_.defined()) see(text, *id);
        still_open.push_back(text);
      }
      ++id;
    }
    open_ = std::move(still_open);
    close_full();
  }

  /// What came behind each prompt.
  std::vector<std::vector<int64_t>> results() const {
    std::vector<std::vector<int64_t>> results;
    for (size_t i = 0; i < texts_.size(); ++i)
      results.emplace_back(texts_[i].begin() + static_cast<std::ptrdiff_t>(prompt_lengths_[i]),
                           texts_[i].end());
    return results;
  }

 private:
  void see(size_t text, int64_t id) {
    seen_.data_ptr<bool>()[static_cast<int64_t>(text) * model_.vocabulary + id] = true;
  }

  void close_full() {
    const auto full = [&](size_t text) {
      return static_cast<int64_t>(texts_[text].size()) >= most_[text];
    };
    open_.erase(std::remove_if(open_.begin(), open_.end(), full), open_.end());
  }

  /// What the cache does not have yet: at first the prompts, then a token of each text.
  TokenBatch next_tokens() {
    cache_.choose(open_);
    std::vector<int64_t> before = cache_.before();
    TokenBatch batch;
    for (size_t i = 0; i < open_.size(); ++i) {
      const std::vector<int64_t>& text = texts_[open_[i]];
      if (decoder_.outgrows(before[i], static_cast<int64_t>(text.size()))) {
        cache_.forget(open_[i]);
        before[i] = 0;
      }
      batch.add({text.begin() + before[i], text.end()});
    }
    return batch;
  }

  /// Final hidden states of each open text's last token, `[texts, hidden]`.
  Tensor last_states(const std::function<void(int64_t layer)>& progress) {
    const TokenBatch batch = next_tokens();
    HiddenStates hidden = decoder_.embed(batch, &cache_);
    for (int64_t layer = 0; layer < model_.layer_count(); ++layer) {
      progress(layer);
      decoder_.run_layer(layer, hidden, batch, {}, true, nullptr, &cache_);
    }
    cache_.advance(batch.lengths);
    std::vector<int64_t> ends(batch.lengths.size());
    std::partial_sum(batch.lengths.begin(), batch.lengths.end(), ends.begin());
    const Tensor rows = at::tensor(ends, at::kLong).to(device_) - 1;
    HiddenStates states = hidden.tensor().index_select(0, rows);
    const TokenBatch last{.ids = ends, .lengths = std::vector<int64_t>(ends.size(), 1)};
    decoder_.run_final_norm(states, last, {}, nullptr);
    return states.tensor();
  }

  /// Ids int64 `[texts]`; of several likeliest the first.
  Tensor likeliest(const Tensor& states) const {
    const int64_t count = states.size(0);
    Tensor seen;
    if (seen_.defined()) {
      const std::vector<int64_t> rows(open_.begin(), open_.end());
      seen = seen_.index_select(0, at::tensor(rows, at::kLong)).to(device_);
    }
    const auto options = at::TensorOptions().device(device_);
    Tensor highest = at::full({count}, -std::numeric_limits<float>::infinity(), options);
    Tensor best = at::zeros({count}, options.dtype(at::kLong));
    const int64_t step = std::max<int64_t>(1024, kStepHeadBlock / model_.hidden_size);
    for (int64_t first = 0; first < model_.vocabulary; first += step) {
      const int64_t rows = std::min(step, model_.vocabulary - first);
      Tensor logits = decoder_.head_rows(first, rows).logits(states);
      if (seen.defined()) {
        const double penalty = settings_.repetition_penalty;
        const Tensor less = at::where(logits < 0, logits * penalty, logits / penalty);
        logits = at::where(seen.narrow(1, first, rows), less, logits);
      }
      const auto [value, index] = logits.max(1);
      const Tensor higher = value > highest;
      best = at::where(higher, index + first, best);
      highest = at::where(higher, value, highest);
    }
    decoder_.require_finite(highest, "logits");
    return best;
  }

  const ModelConfiguration& model_;
  Decoder& decoder_;
  const GenerationSettings& settings_;
  at::Device device_;
  std::vector<std::vector<int64_t>> texts_;
  std::vector<size_t> prompt_lengths_;
  std::vector<int64_t> most_;  // tokens of each text with its prompt
  KeyValueCache cache_;
  std::vector<size_t> open_;
  Tensor seen_;  // bool `[texts, vocabulary]`, undefined without a penalty
};

}  // namespace

std::vector<std::vector<int64_t>> generate(const ModelConfiguration& model,
                                           const Checkpoint& checkpoint,
                                           const std::vector<std::vector<int64_t>>& prompts,
                                           const GenerationSettings& settings,
                                           const GenerationLimits& limits, at::Device device,
                                           const Progress& progress) {
  Decoder decoder(model, checkpoint, device);
  if (Decoder::weight_bytes(model) <= limits.memory / 2) decoder.keep_weights();
  const int64_t room = limits.memory / 2 / KeyValueCache::token_bytes(model);
  std::vector<std::vector<int64_t>> results;
  while (results.size() < prompts.size()) {
    std::vector<std::vector<int64_t>> own;
    std::vector<int64_t> most;
    int64_t tokens = 0;
    for (size_t i = results.size(); i < prompts.size(); ++i) {
      int64_t length = static_cast<int64_t>(prompts[i].size()) + limits.max_new_tokens;
      if (model.positions > 0) length = std::min(length, model.positions);
      if (!own.empty() && tokens + length > room) break;
      tokens += length;
      most.push_back(length);
      own.push_back(prompts[i]);
    }
    const auto share = static_cast<double>(own.size()) / static_cast<double>(prompts.size());
    const double before = static_cast<double>(results.size()) / static_cast<double>(prompts.size());
    Group group(model, decoder, settings, device, std::move(own), most);
    for (int64_t step = 0; !group.done(); ++step) {
      group.step([&](int64_t layer) {
        if (!progress) return;
        const double steps = static_cast<double>(step) +
                             static_cast<double>(layer) / static_cast<double>(model.layer_count());
        progress("generate", before + share * steps / static_cast<double>(limits.max_new_tokens),
                 1);
      });
    }
    release_free_memory();
    for (auto& text : group.results()) results.push_back(std::move(text));
  }
  return results;
}

}  // namespace sagesan
