// `shoal node pause` and `resume`: the owner's word to the node that runs with this state folder.
#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "tools/commands.h"
#include "tools/control_socket.h"
#include "tools/node_keeper.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

Status Tell(const std::string& state, const std::string& line) {
  ASSIGN_OR_RETURN(const std::string folder, StateFolder(state));
  ASSIGN_OR_RETURN(const std::string answer, AskControlSocket(NodeControlPath(folder), line));
  if (answer != "ok") return InternalError(fmt::format("the node answers '{}'", answer));
  return OkStatus();
}

}  // namespace

void AddNodePauseCommands(CLI::App& node, int& exit_code) {
  const auto state = std::make_shared<std::string>();
  for (const auto& [name, what] : {std::pair{kPauseLine, "Lend this device no more, for now"},
                                   {kResumeLine, "Lend it again"}}) {
    CLI::App* const command = node.add_subcommand(name, what);
    command->add_option("--state", *state, "State folder of the node");
    command->callback([state, line = std::string(name), &exit_code] {
      const Status told = Tell(*state, line);
      if (!told.ok()) exit_code = Fail("node " + line, told.error());
    });
  }
}

}  // namespace shoal
