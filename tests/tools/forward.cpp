// Runs the decoder on records of `input_ids` and writes what the parity tests compare with
// transformers: the logits of all tokens and the raw second moment of every site.
//
//     sagesan_forward MODEL DATA.jsonl OUT.safetensors [MODEL DATA.jsonl OUT.safetensors ...]

#include <cstdio>
#include <nlohmann/json.hpp>

#include "sagesan/activations/moments.h"
#include "sagesan/checkpoint/safetensors_writer.h"
#include "sagesan/jobs/token_data.h"
#include "sagesan/support/threads.h"

namespace sagesan {
namespace {

void run(const std::filesystem::path& directory, const std::filesystem::path& data,
         const std::filesystem::path& out) {
  const Checkpoint checkpoint = Checkpoint::open(directory);
  ModelConfiguration model = read_configuration(directory);
  match_parameters(model, checkpoint);
  const TokenData texts =
      read_token_data({data}, {find_tokenizer(directory), {}}, {.max_length = 1 << 20}, model);

  std::map<std::string, Tensor> tensors;
  const Observer observer = [&](const Observation& seen) {
    // Always the sum: tests want one form whatever the number of tokens.
    if (seen.trace_only) return;
    Tensor wide = seen.x.to(at::kDouble);
    if (seen.weights.defined()) wide = wide * seen.weights.sqrt().unsqueeze(1);
    Tensor& sum = tensors[seen.site.name() + ".sum"];
    const Tensor product = seen.site.is_norm() ? wide.pow(2).reshape({-1, wide.size(-1)}).sum(0)
                                               : at::mm(wide.t(), wide);
    sum = sum.defined() ? sum + product : product;
  };
  Decoder decoder(model, checkpoint, at::kCPU);
  std::set<Site> sites;
  for (const auto& [site, channels] : model_sites(model)) sites.insert(site);
  HiddenStates hidden = decoder.embed(texts.batch);
  for (int64_t layer = 0; layer < model.layer_count(); ++layer) {
    decoder.run_layer(layer, hidden, texts.batch, sites, true, observer);
  }
  decoder.run_final_norm(hidden, texts.batch, sites, observer);
  tensors["logits"] = decoder.head_rows(0, model.vocabulary).logits(hidden.tensor());

  std::vector<TensorBytes> bytes;
  for (auto& [name, tensor] : tensors) {
    tensor = tensor.contiguous();
    bytes.push_back({name, dtype_of(tensor), tensor.sizes().vec(), tensor_bytes(tensor)});
  }
  write_safetensors(out, bytes);
}

}  // namespace
}  // namespace sagesan

int main(int argc, char** argv) {
  if (argc < 4 || argc % 3 != 1) return 2;
  try {
    sagesan::set_threads(0);
    for (int i = 1; i < argc; i += 3) sagesan::run(argv[i], argv[i + 1], argv[i + 2]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
