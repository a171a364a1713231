// shoal tokenize MODEL [--jsonl] [--no-special]: text on stdin to token ids on stdout.
#include <fmt/format.h>

#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "model/gguf/gguf_file.h"
#include "model/text/tokenizer.h"
#include "tools/commands.h"
#include "tools/json_lines.h"
#include "tools/model_library.h"

namespace shoal {

namespace {

struct TokenizeOptions {
  std::string model;
  bool json_lines = false;
  bool no_special = false;
};

Status RunTokenize(const TokenizeOptions& options) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
  ASSIGN_OR_RETURN(const std::unique_ptr<Tokenizer> tokenizer, Tokenizer::Load(file));
  const ParseSpecial special = options.no_special ? ParseSpecial::kNo : ParseSpecial::kYes;
  if (options.json_lines) {
    return TransformJsonLines(
        std::cin, std::cout, [&](const nlohmann::json& line) -> Result<nlohmann::json> {
          if (!line.is_string()) return InvalidArgument("expected a JSON string");
          return nlohmann::json(
              tokenizer->EncodePlain(line.get_ref<const std::string&>(), special));
        });
  }
  const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  std::cout << nlohmann::json(tokenizer->EncodePlain(text, special)).dump() << '\n' << std::flush;
  if (!std::cout) return InternalError("cannot write the output");
  return OkStatus();
}

}  // namespace

void AddTokenizeCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<TokenizeOptions>();  // second owner: the callback
  CLI::App* command = app.add_subcommand(
      "tokenize", "Turn text on stdin into token ids, without a BOS or EOS of its own");
  AddModelOption(*command, "MODEL", options->model, "GGUF file; one with only a vocabulary will do")
      ->required();
  command->add_flag("--jsonl", options->json_lines,
                    "Each input line is a JSON string, each output line an array of ids; "
                    "without it all of stdin is one text");
  command->add_flag("--no-special", options->no_special,
                    "Take control tokens written in the text as plain text");
  command->callback([options, &exit_code] {
    const Status status = RunTokenize(*options);
    if (!status.ok()) std::cerr << "shoal tokenize: " << status.error().message << '\n';
    exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace shoal
