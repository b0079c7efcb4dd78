#include <algorithm>

#include "sagesan/text/chat_template.h"

namespace sagesan {
namespace {

// Sources: configs/model/*.yaml and src/data/utils.py of locuslab/open-unlearning, and the chat
// templates that the models were published with.

constexpr const char* kSystemMessage = "You are a helpful assistant.";

ChatTemplate llama3() {
  const auto header = [](const std::string& role) {
    return "<|start_header_id|>" + role + "<|end_header_id|>\n\n";
  };
  return {.name = "llama3",
          .begin = "<|begin_of_text|>",
          .system = Frame{header("system") +
                              "Cutting Knowledge Date: December 2023\nToday Date: 10 Apr 2025\n\n",
                          "<|eot_id|>"},
          .system_message = kSystemMessage,
          .user = {header("user"), "<|eot_id|>"},
          .assistant = {header("assistant"), "<|eot_id|>"},
          .trims = true,
          .end = "<|eot_id|>",
          .tokens = {"<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>"}};
}

ChatTemplate qwen2_5() {
  const auto frame = [](const std::string& role) {
    return Frame{"<|im_start|>" + role + "\n", "<|im_end|>\n"};
  };
  return {.name = "qwen2.5",
          .system = frame("system"),
          .system_message = kSystemMessage,
          .user = frame("user"),
          .assistant = frame("assistant"),
          .end = "<|im_end|>",
          .tokens = {"<|im_start|>"}};
}

ChatTemplate phi3() {
  const auto frame = [](const std::string& role) {
    return Frame{"<|" + role + "|>\n", "<|end|>\n"};
  };
  return {.name = "phi3",
          .system = frame("system"),
          .system_message = kSystemMessage,
          .user = frame("user"),
          .assistant = frame("assistant"),
          .keeps_empty_system = false,
          .end = "<|endoftext|>",
          .tokens = {"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}};
}

/// Its roles are no tokens.
ChatTemplate zephyr() {
  const auto frame = [](const std::string& role) { return Frame{"<|" + role + "|>\n", "</s>\n"}; };
  return {.name = "zephyr",
          .system = frame("system"),
          .system_message = kSystemMessage,
          .user = frame("user"),
          .assistant = frame("assistant"),
          .end = "</s>"};
}

ChatTemplate gemma() {
  const auto frame = [](const std::string& role) {
    return Frame{"<start_of_turn>" + role + "\n", "<end_of_turn>\n"};
  };
  return {.name = "gemma",
          .begin = "<bos>",
          .user = frame("user"),
          .assistant = frame("model"),
          .trims = true,
          .alternates = true,
          .end = "<eos>",
          .tokens = {"<bos>", "<start_of_turn>", "<end_of_turn>"}};
}

/// By open-unlearning's tags: the model's own template has a space before the answer.
ChatTemplate llama2_chat() {
  return {.name = "llama2-chat",
          .user = {"[INST] ", " [/INST]"},
          .assistant = {"", " "},
          .closes_last = false,
          .alternates = true,
          .own_special_tokens = true,
          .ends_as_tokenizer = true};
}

ChatTemplate plain() {
  return {.name = "plain",
          .user = {"Question: ", "\n"},
          .assistant = {"Answer: ", "\n\n"},
          .closes_last = false,
          .alternates = true,
          .own_special_tokens = true,
          .ends_as_tokenizer = true};
}

}  // namespace

const std::vector<ChatTemplate>& named_templates() {
  static const std::vector<ChatTemplate> templates = {llama3(), qwen2_5(),     phi3(), zephyr(),
                                                      gemma(),  llama2_chat(), plain()};
  return templates;
}

const ChatTemplate* find_named_template(std::string_view name) {
  const auto& all = named_templates();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.name == name; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace sagesan
