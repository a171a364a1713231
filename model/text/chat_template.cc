#include "model/text/chat_template.h"

#include <utility>

#include "model/text/jinja_ast.h"
#include "model/text/jinja_eval.h"
#include "model/text/jinja_heap.h"
#include "model/text/jinja_json.h"
#include "model/text/jinja_lexer.h"
#include "model/text/jinja_parser.h"
#include "model/text/jinja_scope.h"
#include "model/text/jinja_unicode.h"

namespace shoal {

struct ChatTemplate::Program {
  jinja::TemplateTree tree;
};

namespace {

Result<std::string> RenderValue(jinja::Heap& heap, const jinja::TemplateTree& tree,
                                jinja::Value context, CivilDate today) {
  const bool date_is_possible = today.year >= 1 && today.year <= 9999 && today.month >= 1 &&
                                today.month <= 12 && today.day >= 1 && today.day <= 31;
  if (!date_is_possible) {
    return FailedPrecondition("today is not a date: " + std::to_string(today.year) + "-" +
                              std::to_string(today.month) + "-" + std::to_string(today.day));
  }
  return jinja::Renderer(heap, tree, std::move(context), today).Run();
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<Program> program) : program_(std::move(program)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::Parse(std::string_view source) {
  if (source.size() > TemplateLimits::kMaxTemplateBytes) {
    return InvalidArgument("a template of more than " +
                           std::to_string(TemplateLimits::kMaxTemplateBytes) +
                           " bytes: " + std::to_string(source.size()));
  }
  if (!jinja::ValidUtf8(source)) return InvalidArgument("a template that is not valid UTF-8");
  ASSIGN_OR_RETURN(auto tokens, jinja::Tokenize(source));
  auto program = std::make_unique<Program>();
  ASSIGN_OR_RETURN(program->tree, jinja::Parse(std::move(tokens)));
  RETURN_IF_ERROR(jinja::ResolveNames(program->tree));
  return ChatTemplate(std::move(program));
}

Result<std::string> ChatTemplate::Render(const nlohmann::ordered_json& context,
                                         CivilDate today) const {
  if (!context.is_object()) return FailedPrecondition("context: expected an object");
  jinja::Heap heap;
  auto converted = jinja::FromJson(heap, context);
  if (!converted.ok()) return converted.error().WithContext("context");
  return RenderValue(heap, program_->tree, std::move(converted).value(), today);
}

Result<std::string> ChatTemplate::RenderJson(std::string_view context, CivilDate today) const {
  jinja::Heap heap;
  auto parsed = jinja::FromJson(heap, context);
  if (!parsed.ok()) return FailedPrecondition("context: " + parsed.error().message);
  if (!parsed.value().is(jinja::Type::kDict)) {
    return FailedPrecondition("context: expected an object");
  }
  return RenderValue(heap, program_->tree, std::move(parsed).value(), today);
}

}  // namespace shoal
