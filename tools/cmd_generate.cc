// `shoal generate`: writes the manual pages and completions for the build, which installs them. It
// is not shown in the help.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "net/channel.h"
#include "tools/cli_pages.h"
#include "tools/commands.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

Status WriteGeneratedFiles(const CLI::App& app, const std::filesystem::path& folder) {
  for (const auto& [name, text] : GeneratedFiles(ReadCliTree(app), BuildId())) {
    std::error_code failed;
    const std::filesystem::path path = folder / name;
    std::filesystem::create_directories(path.parent_path(), failed);
    if (!(std::ofstream(path) << text).flush()) {
      return FailedPrecondition(fmt::format("{} cannot be written", path.string()));
    }
  }
  return OkStatus();
}

}  // namespace

void AddGenerateCommand(CLI::App& app, int& exit_code) {
  auto folder = std::make_shared<std::string>();
  CLI::App* command =
      app.add_subcommand("generate", "Write manual pages and completions")->group("");
  command->add_option("FOLDER", *folder, "They go where a prefix has its 'share'")->required();
  command->callback([&app, folder, &exit_code] {
    const Status written = WriteGeneratedFiles(app, *folder);
    if (!written.ok()) exit_code = Fail("generate", written.error());
  });
}

}  // namespace shoal
