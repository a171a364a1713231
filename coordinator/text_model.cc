#include "coordinator/text_model.h"

#include <filesystem>
#include <utility>

namespace shoal {

namespace {

std::string TextOf(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.TokenText(*id)) : std::string();
}

}  // namespace

Result<std::unique_ptr<TextModel>> TextModel::Load(const GgufFile& file) {
  std::unique_ptr<TextModel> model(new TextModel());
  ASSIGN_OR_RETURN(model->tokenizer_, Tokenizer::Load(file));
  if (file.Has("tokenizer.chat_template")) {
    ASSIGN_OR_RETURN(const std::string_view source, file.String("tokenizer.chat_template"));
    Result<ChatTemplate> parsed = ChatTemplate::Parse(source);
    if (parsed.ok()) {
      model->template_ = std::move(parsed).value();
    } else {
      model->no_template_ = "the model's chat template cannot be used: " + parsed.error().message;
    }
  }
  ASSIGN_OR_RETURN(const std::string_view name, file.StringOr("general.name", ""));
  model->name_ = name.empty() ? std::filesystem::path(file.path()).stem().string() : name;
  return model;
}

Result<std::string> TextModel::RenderChat(nlohmann::ordered_json context, CivilDate today) const {
  if (!template_) {
    return FailedPrecondition(no_template_ + "; use text completions (shoal run --raw)");
  }
  context["bos_token"] = TextOf(*tokenizer_, tokenizer_->bos());
  context["eos_token"] = TextOf(*tokenizer_, tokenizer_->eos());
  context["add_generation_prompt"] = true;
  Result<std::string> rendered = template_->Render(context, today);
  if (!rendered.ok() && rendered.error().code != ErrorCode::kInvalidArgument) {
    return rendered.error().WithContext("chat template");
  }
  return rendered;
}

std::vector<int32_t> TextModel::EncodeChat(std::string_view rendered) const {
  std::vector<int32_t> ids = tokenizer_->EncodePlain(rendered, ParseSpecial::kYes);
  const std::optional<int32_t> bos = tokenizer_->bos();
  if (bos && tokenizer_->adds_bos() && !rendered.starts_with(tokenizer_->TokenText(*bos))) {
    ids.insert(ids.begin(), *bos);
  }
  return ids;
}

}  // namespace shoal
