#include "tools/json_lines.h"

#include <fmt/format.h>

#include <string>

namespace shoal {

Status TransformJsonLines(std::istream& in, std::ostream& out, const JsonTransform& transform) {
  std::string line;
  for (int64_t number = 1; std::getline(in, line); ++number) {
    const nlohmann::json document = nlohmann::json::parse(line, nullptr, false);
    if (document.is_discarded()) {
      return InvalidArgument(fmt::format("line {}: not valid JSON", number));
    }
    const Result<nlohmann::json> result = transform(document);
    if (!result.ok()) return result.error().WithContext(fmt::format("line {}", number));
    out << result->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  }
  if (!out.flush()) return InternalError("cannot write the output");
  return OkStatus();
}

}  // namespace shoal
