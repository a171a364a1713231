// `shoal node`: serves one shard to a coordinator.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "kernels/isa.h"
#include "model/gguf/gguf_file.h"
#include "node/profiler.h"
#include "node/service/node_service.h"
#include "tools/cache_folder.h"
#include "tools/commands.h"
#include "tools/runtime_folder.h"
#include "tools/signals.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"
#include "tools/tunnel_ends.h"

namespace shoal {

namespace {

struct Options {
  std::string listen = "127.0.0.1:7701";
  std::string dial;
  std::string log_level = "info";
  int64_t memory_limit_mib = 0;
  bool exit_with_stdin = false;
  NodeOptions node;
};

Status Serve(Options& options) {
  BlockTerminationSignals();
  std::optional<RuntimeFolder> folder;
  if (!options.dial.empty()) {
    if (options.node.name.empty()) return InvalidArgument("--dial needs --name");
    ASSIGN_OR_RETURN(folder, RuntimeFolder::Make());
    options.listen = fmt::format("unix:{}/own-port", folder->path());
  }
  if (options.node.name.empty()) options.node.name = options.listen;
  RETURN_IF_ERROR(InitLogging(options.node.name, options.log_level));
  const char* forced = std::getenv("SHOAL_ISA");
  ASSIGN_OR_RETURN(const kernels::Isa isa, kernels::ChooseIsa(forced != nullptr ? forced : ""));
  ASSIGN_OR_RETURN(options.node.listen, ParseAddress(options.listen));
  if (options.node.threads == 0) options.node.threads = UsePerformanceCores();
  if (!options.node.model_path.empty()) {
    RETURN_IF_ERROR(GgufFile::Open(options.node.model_path));
  }
  options.node.cache_folder = CacheFolder();
  options.node.memory_limit_bytes = options.memory_limit_mib << 20;
  std::unique_ptr<NodeEnd> tunnels;
  if (folder) {
    ASSIGN_OR_RETURN(tunnels,
                     NodeEnd::Start(options.dial, options.node.name, options.node.listen, *folder));
    options.node.relay = [&](const std::string& node) { return tunnels->client().RelayTo(node); };
  }
  ASSIGN_OR_RETURN(std::unique_ptr<NodeServer> server,
                   NodeServer::Start(options.node, kernels::TableFor(isa)));
  if (!options.node.listen.is_local()) {
    spdlog::warn("{} is reachable from the network, unencrypted and open to anyone",
                 server->address().ToString());
  }
  if (folder) {
    std::printf("dialling %s as %s\n", options.dial.c_str(), options.node.name.c_str());
  } else {
    std::printf("listening on %s\n", server->address().ToString().c_str());
  }
  std::fflush(stdout);
  WaitForTermination(options.exit_with_stdin ? STDIN_FILENO : -1);
  spdlog::info("shutting down");
  server.reset();
  // The last of a coordinator's local nodes removes their folder, also where the coordinator was
  // killed; for the others it is not empty yet.
  if (options.exit_with_stdin && options.node.listen.is_unix()) {
    std::error_code ignored;
    const std::filesystem::path socket = options.node.listen.unix_path;
    std::filesystem::remove(socket, ignored);
    std::filesystem::remove(socket.parent_path(), ignored);
  }
  return OkStatus();
}

}  // namespace

void AddNodeCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("node", "Serve a part of a model to a coordinator");
  auto* listen =
      command->add_option("--listen", options->listen, "HOST:PORT (port 0: any) or unix:/PATH");
  listen->capture_default_str();
  command
      ->add_option("--dial", options->dial,
                   "Listen nowhere, but dial out to the HOST:PORT of a coordinator's --hub-listen; "
                   "needs --name")
      ->excludes(listen);
  command->add_option(
      "--model", options->node.model_path,
      "GGUF file to serve from; without it, a coordinator on this machine names one");
  command->add_option("--name", options->node.name, "Name in messages (default: the address)");
  options->node.threads = 0;
  AddThreadsOption(*command, options->node.threads);
  command
      ->add_option("--memory-limit", options->memory_limit_mib,
                   "MiB the node offers (default: free memory)")
      ->check(CLI::Range(1, 1 << 24));
  command->add_flag("--insecure-network", options->node.insecure_network,
                    "Allow --listen to be reachable from other machines, unencrypted");
  command->add_flag("--exit-with-stdin", options->exit_with_stdin,
                    "End when stdin is closed (for a parent process)");
  command->add_option("--log-level", options->log_level,
                      "trace, debug, info, warn, error or off (on stderr)");
  command->callback([options, &exit_code] {
    const Status served = Serve(*options);
    if (!served.ok()) exit_code = Fail("node", served.error());
  });
}

}  // namespace shoal
