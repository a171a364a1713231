// The text side of a model: tokenizer, chat template and what the API shows of it, loaded from the
// GGUF file's metadata. The coordinator's only view of the model besides its plan.
//
// Thread rule: immutable after Load; safe from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/text/chat_template.h"
#include "model/text/tokenizer.h"

namespace shoal {

class TextModel {
 public:
  // Errors: no or an unsupported tokenizer. A file without a chat template, or with one that does
  // not parse, loads; rendering a chat with it is an error.
  static Result<std::unique_ptr<TextModel>> Load(const GgufFile& file);

  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const std::string& name() const { return name_; }  // general.name or the file's stem

  // The prompt of a chat: `context` has messages, and tools or others if given; bos_token,
  // eos_token and add_generation_prompt are added here. Errors: no template; the template's own
  // (kInvalidArgument, see ChatTemplate::Render); others with "chat template: " in front.
  Result<std::string> RenderChat(nlohmann::ordered_json context, CivilDate today) const;
  // Ids of a rendered chat (special tokens parsed, BOS in front only if the text does not begin
  // with it and the file asks for it).
  std::vector<int32_t> EncodeChat(std::string_view rendered) const;

 private:
  TextModel() = default;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::optional<ChatTemplate> template_;
  std::string no_template_ = "the model file has no chat template";  // why there is none
  std::string name_;
};

}  // namespace shoal
