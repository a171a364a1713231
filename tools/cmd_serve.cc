// `shoal serve`: the OpenAI-compatible server.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "base/log.h"
#include "coordinator/api/http_server.h"
#include "coordinator/service/mesh_state.h"
#include "coordinator/text_model.h"
#include "net/address.h"
#include "tools/commands.h"
#include "tools/model_session.h"
#include "tools/signals.h"
#include "tools/state_folder.h"
#include "tools/terminal.h"
#include "tools/threads_option.h"

namespace shoal {

namespace {

constexpr int kDefaultSessions = 4;
constexpr int32_t kDefaultQueueTimeoutS = 300;

struct Options {
  SessionOptions session;
  std::string listen = "127.0.0.1:8080";
  std::string model_id;
  bool insecure_network = false;
};

Result<HttpServerOptions> ServerOptions(const Options& options) {
  ASSIGN_OR_RETURN(const Address address, ParseAddress(options.listen));
  if (address.is_unix()) return InvalidArgument("--listen: the HTTP server takes HOST:PORT");
  if (!address.is_local() && !options.insecure_network) {
    return FailedPrecondition(fmt::format(
        "--listen {}: other machines could reach this address, and there are no keys or encryption "
        "yet; use 127.0.0.1, or accept the risk with --insecure-network",
        options.listen));
  }
  HttpServerOptions server;
  server.host = address.host == "localhost" ? "127.0.0.1" : address.host;
  server.port = address.port;
  server.model_id = options.model_id.empty()
                        ? std::filesystem::path(options.session.model).stem().string()
                        : options.model_id;
  server.created_unix_s = std::chrono::duration_cast<std::chrono::seconds>(
                              std::chrono::system_clock::now().time_since_epoch())
                              .count();
  return server;
}

// Without a model: what was served last, over the same nodes.
Status Recall(SessionOptions& session) {
  if (!session.model.empty() && session.nodes.empty()) return OkStatus();  // nothing to remember
  ASSIGN_OR_RETURN(session.state_folder, StateFolder(session.state_folder));
  if (!session.model.empty()) return OkStatus();
  const Result<MeshState> state = ReadMeshState(session.state_folder);
  if (!state.ok()) {
    return InvalidArgument("MODEL: which one? None was served over nodes so far: " +
                           state.error().message);
  }
  session.model = state->model_path;
  if (!session.nodes.empty() || session.local_nodes > 0) return OkStatus();
  for (const MeshState::Node& node : state->nodes) session.nodes.push_back(node.address);
  return OkStatus();
}

Status Serve(Options& options) {
  BlockTerminationSignals();
  RETURN_IF_ERROR(Recall(options.session));
  ASSIGN_OR_RETURN(const HttpServerOptions server_options, ServerOptions(options));
  RETURN_IF_ERROR(InitLogging("shoal", options.session.log_level));
  ProgressLine progress;
  std::unique_ptr<ModelSession> session;
  std::unique_ptr<TextModel> text;
  std::unique_ptr<HttpServer> server;
  {
    const SignalListener interrupted([](int number) { std::_Exit(128 + number); });
    ASSIGN_OR_RETURN(session, ModelSession::Open(options.session, [&](const std::string& line) {
                       progress.Show(line);
                     }));
    ASSIGN_OR_RETURN(text, TextModel::Load(session->file()));
    ASSIGN_OR_RETURN(server, HttpServer::Start(server_options, session->engine(), *text));
    progress.Clear();
    fmt::print(stderr, "{}", session->DescribeStages());
    fmt::print("serving {} on http://{}:{}/v1\n", server_options.model_id, server_options.host,
               server->port());
    std::fflush(stdout);
  }
  WaitForTermination(-1);
  server.reset();
  return OkStatus();
}

}  // namespace

void AddServeCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<Options>();
  options->session.sessions = kDefaultSessions;
  options->session.queue_timeout_s = kDefaultQueueTimeoutS;
  options->session.log_level = "info";
  CLI::App* command = app.add_subcommand("serve", "Serve the OpenAI API over HTTP");
  AddSessionOptions(*command, options->session);
  command->get_option("MODEL")->required(false)->description(
      "GGUF file (any part of several); without it, what was last served over nodes");
  AddThreadsOption(*command, options->session.threads);
  command
      ->add_option("--queue-timeout", options->session.queue_timeout_s,
                   "Seconds that a request may wait for memory; then 503 with Retry-After")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400));
  command
      ->add_option("--spares", options->session.spares,
                   "Losses to prepare for: nodes hold the stages that they would take over, where "
                   "their memory allows, so that nothing is loaded then")
      ->capture_default_str()
      ->check(CLI::Range(0, 2));
  command->add_option("--state", options->session.state_folder,
                      "Folder that remembers the plan (default: ~/.local/state/shoal)");
  command->add_option("--listen", options->listen, "HOST:PORT (port 0: any)")
      ->capture_default_str();
  command->add_option("--model-id", options->model_id, "Name in /v1/models (default: the file's)");
  command
      ->add_option("--sessions", options->session.sessions,
                   "Full contexts that fit in KV memory at once; more requests wait")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  command->add_flag(
      "--insecure-network", options->insecure_network,
      "Allow --listen to be reachable from other machines, unencrypted and without keys");
  command->callback([options, &exit_code] {
    const Status served = Serve(*options);
    if (!served.ok()) exit_code = Fail("serve", served.error());
  });
}

}  // namespace shoal
