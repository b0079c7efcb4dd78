#include "sagesan/text/model.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "sagesan/text/bpe.h"
#include "sagesan/text/component.h"
#include "sagesan/text/unigram.h"

namespace sagesan::tokenization {

std::unique_ptr<const Model> read_model(const Json& model, const std::string& where) {
  const std::string type = component_type(model, where);
  if (type == "Unigram") return std::make_unique<const Unigram>(model, where);
  // Older files, GPT-2's among them, leave the type out.
  const bool is_bpe = type.empty() && JsonObject(model, where).find("merges") != nullptr;
  if (type != "BPE" && !is_bpe) refuse_type(where, type);
  return std::make_unique<const Bpe>(model, where);
}

ByteTokens::ByteTokens(const Model& model) {
  for (int byte = 0; byte < 256; ++byte) {
    ids_[byte] = model.find(fmt::format("<0x{:02X}>", byte)).value_or(-1);
  }
}

}  // namespace sagesan::tokenization
