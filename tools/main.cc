// The `shoal` command: reads the command line and runs one subcommand. Exit codes: 0 done, 1 failed
// (stderr says why), 2 wrong usage, 130 interrupted.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "base/file_limit.h"
#include "base/scheduling.h"
#include "net/channel.h"
#include "tools/commands.h"

int main(int argc, char** argv) {
  constexpr int kWrongUsage = 2;
  shoal::UseBatchScheduling();
  shoal::UseAllFileDescriptors();
  shoal::PrepareGrpc();
  shoal::RequireTls13();
  CLI::App app{"Shoal runs one large language model across the devices you have."};
  app.name("shoal");
  app.set_version_flag("--version", shoal::BuildId());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  int exit_code = 0;
  shoal::AddRunCommand(app, exit_code);
  shoal::AddServeCommand(app, exit_code);
  shoal::AddNodeCommand(app, exit_code);
  shoal::AddPullCommand(app, exit_code);
  shoal::AddModelsCommand(app, exit_code);
  shoal::AddKeysCommand(app, exit_code);
  shoal::AddDoctorCommand(app, exit_code);
  shoal::AddNodesCommand(app, exit_code);
  shoal::AddBenchCommand(app, exit_code);
  shoal::AddPlanCommand(app, exit_code);
  shoal::AddProfileCommand(app, exit_code);
  shoal::AddClusterCommand(app, exit_code);
  shoal::AddSimulateCommand(app, exit_code);
  shoal::AddInspectCommand(app, exit_code);
  shoal::AddLogitsCommand(app, exit_code);
  shoal::AddTokenizeCommand(app, exit_code);
  shoal::AddDetokenizeCommand(app, exit_code);
  shoal::AddRenderCommand(app, exit_code);
  shoal::AddGenerateCommand(app, exit_code);
  const std::string first = argc > 1 ? argv[1] : "";
  const auto named = [&](const CLI::App* command) { return command->get_name() == first; };
  if (!first.empty() && first[0] != '-' && app.get_subcommands(named).empty()) {
    std::fprintf(stderr, "shoal: there is no command '%s'; see shoal --help\n", first.c_str());
    return kWrongUsage;
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::RequiredError& error) {
    // What is not known says more than what is missing.
    const std::vector<std::string> unknown = app.remaining(true);
    unknown.empty() ? app.exit(error) : app.exit(CLI::ExtrasError(app.get_name(), unknown));
    return kWrongUsage;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    if (exit_code == 0) std::fprintf(stderr, "shoal: cannot write the output\n");
    return exit_code == 0 ? 1 : exit_code;
  }
  return exit_code;
}
