// `shoal node`: serves one shard to a coordinator.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "base/log.h"
#include "model/gguf/gguf_file.h"
#include "node/profiler.h"
#include "node/service/node_service.h"
#include "tools/cache_folder.h"
#include "tools/commands.h"
#include "tools/kernel_choice.h"
#include "tools/node_keeper.h"
#include "tools/policy_options.h"
#include "tools/signals.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"

namespace shoal {

namespace {

constexpr int64_t kBytesPerSInMbit = 125'000;

struct Options {
  std::string listen = "127.0.0.1:7701";
  std::string log_level = "info";
  std::string state;
  PolicyFlags policy;
  std::string store;
  int64_t store_quota_gib = 64;
  int64_t max_upload_mbit = 0;
  bool exit_with_stdin = false;
  bool inexact_blas = false;
  NodeOptions node;
};

Status Serve(Options& options) {
  BlockTerminationSignals();
  if (options.node.name.empty()) options.node.name = options.listen;
  RETURN_IF_ERROR(InitLogging(options.node.name, options.log_level));
  ASSIGN_OR_RETURN(const kernels::KernelTable* kernels, ChooseKernels(options.inexact_blas));
  ASSIGN_OR_RETURN(options.node.listen, ParseAddress(options.listen));
  // A coordinator's local nodes are as available as it is itself.
  std::string state_folder;
  if (!options.exit_with_stdin) {
    ASSIGN_OR_RETURN(state_folder, StateFolder(options.state));
  }
  ASSIGN_OR_RETURN(const NodeAllowance allowance, ReadAllowance(options.policy, state_folder));
  RETURN_IF_ERROR(UseShareOfCpu(allowance, options.node.threads));
  if (!options.node.model_path.empty()) {
    RETURN_IF_ERROR(GgufFile::Open(options.node.model_path));
  }
  options.node.cache_folder = CacheFolder();
  options.node.memory_limit_bytes = allowance.memory_limit_mib << 20;
  options.node.open_named_files = options.store.empty();
  options.node.store_folder = options.store;
  if (options.store.empty() && !options.node.cache_folder.empty()) {
    options.node.store_folder = options.node.cache_folder + "/store";
  }
  options.node.store_quota_bytes = options.store_quota_gib << 30;
  options.node.max_upload_bytes_per_s = options.max_upload_mbit * kBytesPerSInMbit;
  ASSIGN_OR_RETURN(std::unique_ptr<NodeServer> server,
                   NodeServer::Start(options.node, *kernels));
  if (!options.node.listen.is_local()) {
    spdlog::warn("{} is reachable from the network, unencrypted and open to anyone",
                 server->address().ToString());
  }
  const SteadyClock clock;
  std::unique_ptr<NodeKeeper> keeper;
  if (!options.exit_with_stdin) {
    keeper = std::make_unique<NodeKeeper>(
        allowance.policy, NodeControlPath(state_folder), clock,
        [&](const std::optional<std::string>& reason) { server->SetUnavailable(reason); });
  }
  std::printf("listening on %s\n", server->address().ToString().c_str());
  std::fflush(stdout);
  WaitForTermination(options.exit_with_stdin ? STDIN_FILENO : -1);
  spdlog::info("shutting down");
  keeper.reset();
  {
    const SignalListener impatient([](int number) { std::_Exit(128 + number); });
    server->SetUnavailable("it is being stopped");
  }
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
  command->add_option("--listen", options->listen, "HOST:PORT (port 0: any) or unix:/PATH")
      ->capture_default_str();
  command->add_option(
      "--model", options->node.model_path,
      "GGUF file to serve from; without it, a coordinator on this machine names one, or sends it");
  command->add_option(
      "--store", options->store,
      "Folder for weights that are fetched (default: in the cache folder); with it, "
      "no file that a coordinator names is opened");
  command->add_option("--store-quota", options->store_quota_gib, "GiB that the store may hold")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  command
      ->add_option("--max-upload", options->max_upload_mbit,
                   "Mbit/s of weights sent to other nodes, at most (default: unlimited)")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--name", options->node.name, "Name in messages (default: the address)");
  options->node.threads = 0;
  AddThreadsOption(*command, options->node.threads);
  AddPolicyOptions(*command, options->policy);
  command->add_option("--state", options->state,
                      "State folder (default: $SHOAL_STATE, else ~/.local/state/shoal)");
  command->add_flag("--insecure-network", options->node.insecure_network,
                    "Allow --listen to be reachable from other machines, unencrypted");
  command->add_flag("--inexact-blas", options->inexact_blas, kInexactBlasHelp);
  command->add_flag("--exit-with-stdin", options->exit_with_stdin,
                    "End when stdin is closed (for a parent process)");
  command->add_option("--log-level", options->log_level,
                      "trace, debug, info, warn, error or off (on stderr)");
  AddNodePauseCommands(*command, exit_code);
  command->callback([command, options, &exit_code] {
    if (!command->get_subcommands().empty()) return;
    const Status served = Serve(*options);
    if (!served.ok()) exit_code = Fail("node", served.error());
  });
}

}  // namespace shoal
