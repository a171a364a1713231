#include "tests/coordinator/tiny_text_model.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "tests/support/gguf_builder.h"

namespace shoal {

namespace {

constexpr std::string_view kTinyTemplate =
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('Only people may speak here') }}"
    "{% endif %}"
    "{{ message['role'] + ':' + message['content'] + ';' }}"
    "{% endfor %}{% if tools %}{{ tools | length }} tools;{% endif %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6 };

}  // namespace

std::unique_ptr<TextModel> MakeTinyTextModel() { return MakeTinyTextModel(kTinyTemplate); }

std::unique_ptr<TextModel> MakeTinyTextModel(std::string_view chat_template) {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<int32_t> types = {kUnknown, kControl, kControl};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(kByte);
  }
  for (const char* word : {"Hello", "\xE2\x96\x81world", "abSTO", "Pcd"}) {
    tokens.emplace_back(word);
    types.push_back(kNormal);
  }
  CHECK(tokens.size() == TinyTokens::kCount, "the vocabulary has the size it says");
  std::vector<std::string> encoded_types, scores;
  for (const int32_t type : types) {
    encoded_types.push_back(Encode(type));
    scores.push_back(Encode(0.0f));
  }
  GgufBuilder builder;
  builder.AddString("general.name", "tiny");
  builder.AddString("tokenizer.ggml.model", "llama");
  builder.AddStrings("tokenizer.ggml.tokens", tokens);
  builder.AddRaw("tokenizer.ggml.token_type", GgufTypeNumber::kArray,
                 EncodeArray(GgufTypeNumber::kInt32, encoded_types));
  builder.AddRaw("tokenizer.ggml.scores", GgufTypeNumber::kArray,
                 EncodeArray(GgufTypeNumber::kFloat32, scores));
  builder.AddUint32("tokenizer.ggml.bos_token_id", TinyTokens::kBos);
  builder.AddUint32("tokenizer.ggml.eos_token_id", TinyTokens::kEnd);
  builder.AddBool("tokenizer.ggml.add_bos_token", true);
  builder.AddBool("tokenizer.ggml.add_space_prefix", false);
  builder.AddString("tokenizer.chat_template", chat_template);
  const BuiltGguf built = builder.Build();
  const Result<GgufFile> file = GgufFile::Parse(built.span(), "tiny.gguf");
  CHECK(file.ok(), file.error().message);
  Result<std::unique_ptr<TextModel>> model = TextModel::Load(*file);
  CHECK(model.ok(), model.error().message);
  return std::move(model).value();
}

std::vector<int32_t> ByteTokens(std::string_view text) {
  std::vector<int32_t> tokens;
  for (const char byte : text) {
    tokens.push_back(TinyTokens::kFirstByte + static_cast<uint8_t>(byte));
  }
  return tokens;
}

}  // namespace shoal
