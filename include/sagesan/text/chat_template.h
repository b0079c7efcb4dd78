#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sagesan/text/tokenizer.h"

namespace sagesan {

/// What stands around a message.
struct Frame {
  std::string before, after;
};

/// How questions with answers, and conversations, become text. Special tokens stand in the text as
/// they are written and are found there by the tokenizer, as they are in what a record brings.
struct ChatTemplate {
  std::string name;             ///< of a file: the file's, printable
  std::string hash;             ///< of a file: xxh3-128 of its bytes; empty otherwise
  std::string begin;            ///< opens every text
  std::optional<Frame> system;  ///< absent: no such role
  std::string system_message;   ///< where a record brings none; empty: none then
  Frame user, assistant;
  bool closes_last = true;          ///< whether `assistant.after` follows the last answer as well
  bool trims = false;               ///< messages lose the white space at their ends
  bool keeps_empty_system = true;   ///< otherwise an empty system message is left out
  bool alternates = false;          ///< user and assistant must take turns
  bool single_turn = false;         ///< one question with one answer, nothing else
  bool own_special_tokens = false;  ///< the tokenizer adds its own, a first <s> for instance
  /// The token that closes the ids unless they end with it; empty: none.
  std::string end;
  bool ends_as_tokenizer = false;   ///< `end` is the eos_token of tokenizer_config.json
  std::vector<std::string> tokens;  ///< must be tokens of the tokenizer, or it is another model's

  /// Tells templates apart in reports and moments files: the name, or "xxh3:" and the hash.
  std::string identity() const { return hash.empty() ? name : "xxh3:" + hash; }
};

/// One turn of a conversation.
struct Message {
  std::string role;  ///< "system", "user" or "assistant"
  std::string content;
};

/// A conversation as text, and the part before the last answer; none where it ends otherwise.
struct Conversation {
  std::string text;
  std::optional<std::string> prompt;
};

/// Renders by the template. Throws `InputError` for a role that it does not have, turns in an order
/// that it does not know, and where all messages are blank.
Conversation render_conversation(const std::vector<Message>& messages, const ChatTemplate& chat,
                                 const std::string& where);

/// The texts that locuslab/open-unlearning trains on: `apply_chat_template` of each model with that
/// project's system message and date, or its own tags, closed by the tokenizer's eos_token. Its
/// models: llama3 (3.1 and 3.2), qwen2.5, phi3 (3.5), zephyr, gemma; by tags llama2-chat and plain.
const std::vector<ChatTemplate>& named_templates();
/// Null where no template has that name.
const ChatTemplate* find_named_template(std::string_view name);

/// One's own template: a text with `{question}` and, after it, `{answer}`, each once. What it says
/// is all: no special token is added. One line end at the end of the file does not count. Throws
/// `InputError` that names file and line.
ChatTemplate read_template_file(const std::filesystem::path& file);

/// The named template that renders as the chat template of a checkpoint directory does
/// (chat_template.jinja, else tokenizer_config.json): published ones are known by their hash, none
/// is run. Throws `InputError` where there is none or it is not known.
const ChatTemplate& recognize_template(const std::filesystem::path& directory);

/// What the command line says on how a record becomes text.
struct Rendering {
  std::vector<std::string> fields;  ///< --retain-fields
  std::string chat_template;        ///< --retain-template: a name or a file; empty: none
  bool of_model = false;            ///< --chat-template: the model's own
  bool split_long_texts = false;    ///< --long-texts split
};

/// Throws `UsageError` for options that exclude each other.
void check_rendering(const Rendering& rendering);

/// The template that `rendering` asks for, complete and fit for the tokenizer of the checkpoint
/// directory `model`; nothing where it asks for none. Throws `InputError`, and like
/// `check_rendering`.
std::optional<ChatTemplate> find_template(const Rendering& rendering,
                                          const std::filesystem::path& model,
                                          const std::optional<Tokenizer>& tokenizer);

}  // namespace sagesan
