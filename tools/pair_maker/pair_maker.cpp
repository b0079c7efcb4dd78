#include "pair_maker/pair_maker.h"

#include <nlohmann/json.hpp>
#include <system_error>

#include "pair_maker/facts.h"
#include "pair_maker/tokenizer_trainer.h"
#include "pair_maker/training.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/support/error.h"
#include "sagesan/support/file.h"
#include "sagesan/support/threads.h"
#include "sagesan/text/records.h"

namespace sagesan::demo {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMerges = 255;  // with the bytes and the end of text: a vocabulary of 512

/// One thread for as long as it lives.
class SingleThread {
 public:
  SingleThread() : before_(at::get_num_threads()) { set_threads(1); }
  ~SingleThread() { set_threads(before_); }
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int before_;
};

void make_directory(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw IoError(path.string(), "cannot make the directory: " + error.message());
}

void write_records(const fs::path& path, const std::vector<QuestionAnswer>& records) {
  std::string lines;
  for (const QuestionAnswer& record : records) {
    lines += Json{{"question", record.question}, {"answer", record.answer}}.dump() + "\n";
  }
  write_text_file(path, lines);
}

/// The files beside the weights, the same for every model of one seed.
struct Companions {
  Json configuration;
  Json tokenizer;
};

/// The small files of a model's directory.
void write_companions(const fs::path& directory, const Companions& companions) {
  make_directory(directory);
  write_text_file(directory / "config.json", companions.configuration.dump(2) + "\n");
  write_text_file(directory / "tokenizer.json", companions.tokenizer.dump(2) + "\n");
  write_text_file(directory / "tokenizer_config.json", tokenizer_configuration().dump(2) + "\n");
}

void write_weights(const fs::path& directory, const Weights& weights) {
  std::vector<TensorBytes> tensors;
  for (const auto& [name, weight] : weights) {
    tensors.push_back({name, DType::kF32, weight.sizes().vec(), tensor_bytes(weight)});
  }
  write_safetensors(directory / "model.safetensors", tensors, {{"format", "pt"}});
}

/// The tokenizer is trained on the texts as the models see them, questions and answers.
Json train_on_files(const std::vector<fs::path>& files) {
  std::vector<std::string> texts;
  for (const fs::path& file : files) {
    for (const Record& record : read_records(file)) texts.push_back(record.text);
  }
  return train_tokenizer(texts, kMerges);
}

/// Of each record, nats a token.
std::vector<double> losses(const LlamaShape& shape, const Weights& weights,
                           const std::vector<Example>& examples) {
  const AnswerLikelihood likelihood = answer_likelihood(shape, weights, examples);
  const Tensor loss = (-likelihood.sums / likelihood.counts).detach().to(at::kDouble).contiguous();
  return {loss.data_ptr<double>(), loss.data_ptr<double>() + loss.numel()};
}

}  // namespace

MadePairs make_pairs(const fs::path& directory, uint64_t seed, const Progress& progress,
                     int64_t scale, double finetune_seconds) {
  const SingleThread single_thread;
  MadePairs made{.base = directory / "base",
                 .unlearned = {},
                 .forget = directory / "forget.jsonl",
                 .retain = directory / "retain.jsonl",
                 .heldout = directory / "heldout.jsonl"};
  make_directory(directory);
  const Facts facts = make_facts(seed);
  write_records(made.forget, facts.forget);
  write_records(made.retain, facts.retain);
  write_records(made.heldout, facts.heldout);

  Companions companions;
  companions.tokenizer = train_on_files({made.forget, made.retain, made.heldout});
  LlamaShape shape = LlamaShape::scaled(scale);
  shape.vocabulary = static_cast<int64_t>(companions.tokenizer["model"]["vocab"].size());
  companions.configuration = llama_configuration(shape);
  write_companions(made.base, companions);

  const Tokenizer tokenizer = Tokenizer::load(made.base / "tokenizer.json");
  const std::vector<Example> forget = read_examples(made.forget, tokenizer);
  const std::vector<Example> retain = read_examples(made.retain, tokenizer);
  const std::vector<Example> heldout = read_examples(made.heldout, tokenizer);
  std::vector<Example> all = forget;
  all.insert(all.end(), retain.begin(), retain.end());
  all.insert(all.end(), heldout.begin(), heldout.end());

  const Weights base = teach(shape, all, kEndOfTextId, seed, progress);
  write_weights(made.base, base);
  for (const UnlearningMethod& method : unlearning_methods()) {
    const fs::path target = directory / method.name;
    write_companions(target, companions);
    Json steps = Json::array(), finetuned = Json::array();
    const auto into = [&](Json& list) {
      return [&](const Weights& weights) {
        list.push_back({{"forget", losses(shape, weights, forget)},
                        {"heldout", losses(shape, weights, heldout)}});
      };
    };
    const bool study = finetune_seconds > 0;
    const Weights weights =
        unlearn(method, shape, base, forget, retain, seed, progress, study ? into(steps) : Watch());
    write_weights(target, weights);
    if (study) {
      fine_tune(shape, weights, retain, forget.size(), seed, finetune_seconds, into(finetuned));
      write_text_file(directory / (std::string(method.name) + "_steps.json"), steps.dump() + "\n");
      write_text_file(directory / (std::string(method.name) + "_finetuned.json"),
                      finetuned.dump() + "\n");
    }
    made.unlearned.emplace_back(method.name, target);
  }
  return made;
}

}  // namespace sagesan::demo
