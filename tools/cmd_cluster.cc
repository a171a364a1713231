// `shoal cluster export`: measures running nodes and the links between them, and writes what it
// found as a cluster file, to plan and simulate with.
#include <fmt/format.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/log.h"
#include "tools/cluster_file.h"
#include "tools/commands.h"
#include "tools/live_cluster.h"
#include "tools/model_library.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

struct ClusterOptions {
  LiveOptions live;
  std::string output;
};

Status Export(const ClusterOptions& options) {
  RETURN_IF_ERROR(InitLogging("shoal", "warn"));
  ASSIGN_OR_RETURN(const Cluster cluster, MeasureLive(options.live));
  const std::string text =
      WriteCluster(cluster, fmt::format("{} nodes, measured", cluster.device_count()));
  if (options.output.empty()) {
    std::fputs(text.c_str(), stdout);
    return OkStatus();
  }
  std::ofstream file(options.output, std::ios::binary);
  file << text;
  file.close();
  return file ? OkStatus() : Status(InvalidArgument(options.output + ": cannot be written"));
}

}  // namespace

void AddClusterCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<ClusterOptions>();
  CLI::App* cluster = app.add_subcommand("cluster", "Describe a cluster of running nodes");
  cluster->require_subcommand(1);
  CLI::App* command = cluster->add_subcommand(
      "export", "Measure nodes and the links between them, and write a cluster file");
  command->add_option("--node", options->live.nodes, kLiveNodesHelp)->required();
  AddModelOption(*command, "--model", options->live.model,
                 "GGUF file whose types and layer to measure (default: common ones)");
  command->add_option("-o,--output", options->output, "File to write (default: stdout)");
  command->add_option("--state", options->live.state, kStateHelp);
  command->add_flag("--refresh", options->live.refresh,
                    "Measure nodes anew, even if they remember a measurement");
  command->callback([options, &exit_code] {
    const Status done = Export(*options);
    if (!done.ok()) exit_code = Fail("cluster export", done.error());
  });
}

}  // namespace shoal
