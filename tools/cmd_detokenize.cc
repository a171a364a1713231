// shoal detokenize MODEL --jsonl: token ids on stdin to text on stdout.
#include <fmt/format.h>

#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "model/gguf/gguf_file.h"
#include "model/text/tokenizer.h"
#include "model/text/utf8.h"
#include "tools/commands.h"
#include "tools/json_lines.h"
#include "tools/model_library.h"

namespace shoal {

namespace {

struct DetokenizeOptions {
  std::string model;
  bool json_lines = false;
};

Result<std::vector<int32_t>> IdsOf(const nlohmann::json& line, int32_t vocab_size) {
  if (!line.is_array()) return InvalidArgument("expected a JSON array of token ids");
  std::vector<int32_t> ids;
  ids.reserve(line.size());
  for (const nlohmann::json& element : line) {
    if (!element.is_number_integer()) {
      return InvalidArgument(fmt::format("element {} is not an integer", ids.size()));
    }
    // A number beyond int64 is out of range as well.
    const bool fits = !element.is_number_unsigned() ||
                      element.get<uint64_t>() <= std::numeric_limits<int32_t>::max();
    const int64_t id = fits ? element.get<int64_t>() : -1;
    if (id < 0 || id >= vocab_size) {
      return InvalidArgument(fmt::format("element {}: {} is not in the vocabulary of {} tokens",
                                         ids.size(), element.dump(), vocab_size));
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

Status RunDetokenize(const DetokenizeOptions& options) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(file));
  return TransformJsonLines(
      std::cin, std::cout, [&](const nlohmann::json& line) -> Result<nlohmann::json> {
        ASSIGN_OR_RETURN(const std::vector<int32_t> ids, IdsOf(line, tokenizer->vocab_size()));
        return nlohmann::json(ReplaceInvalidUtf8(tokenizer->Decode(ids)));
      });
}

}  // namespace

void AddDetokenizeCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<DetokenizeOptions>();  // second owner: the callback
  CLI::App* command = app.add_subcommand("detokenize", "Turn token ids on stdin into text");
  AddModelOption(*command, "MODEL", options->model, "GGUF file; one with only a vocabulary will do")
      ->required();
  command
      ->add_flag("--jsonl", options->json_lines,
                 "Each input line is a JSON array of ids, each output line a JSON string")
      ->required();
  command->callback([options, &exit_code] {
    const Status status = RunDetokenize(*options);
    if (!status.ok()) std::cerr << "shoal detokenize: " << status.error().message << '\n';
    exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace shoal
