// The subcommands of `shoal`, one per file. Each Add...Command adds its subcommand to `app`; when
// the command line names it, parsing runs it and sets `exit_code` to 0, or to 1 after saying on
// stderr what failed. Both arguments outlive the parsing.
#pragma once

#include <CLI/CLI.hpp>

namespace shoal {

void AddBenchCommand(CLI::App& app, int& exit_code);
void AddClusterCommand(CLI::App& app, int& exit_code);
void AddDetokenizeCommand(CLI::App& app, int& exit_code);
void AddDoctorCommand(CLI::App& app, int& exit_code);
void AddGenerateCommand(CLI::App& app, int& exit_code);
void AddInspectCommand(CLI::App& app, int& exit_code);
void AddKeysCommand(CLI::App& app, int& exit_code);
void AddLogitsCommand(CLI::App& app, int& exit_code);
void AddModelsCommand(CLI::App& app, int& exit_code);
void AddNodeCommand(CLI::App& app, int& exit_code);
// To the node command itself.
void AddNodePauseCommands(CLI::App& node, int& exit_code);
void AddNodesCommand(CLI::App& app, int& exit_code);
void AddPlanCommand(CLI::App& app, int& exit_code);
void AddProfileCommand(CLI::App& app, int& exit_code);
void AddPullCommand(CLI::App& app, int& exit_code);
void AddRenderCommand(CLI::App& app, int& exit_code);
void AddRunCommand(CLI::App& app, int& exit_code);
void AddServeCommand(CLI::App& app, int& exit_code);
void AddSimulateCommand(CLI::App& app, int& exit_code);
void AddTokenizeCommand(CLI::App& app, int& exit_code);

}  // namespace shoal
