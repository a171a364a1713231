#include "tools/model_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <future>
#include <map>
#include <numeric>
#include <utility>

#include "base/log.h"
#include "coordinator/model_shape.h"
#include "model/gguf/model_identity.h"
#include "model/gguf/stored_model.h"
#include "node/profiler.h"
#include "tools/cache_folder.h"
#include "tools/kernel_choice.h"
#include "tools/model_library.h"
#include "tools/state_folder.h"
#include "tools/units.h"

namespace shoal {

namespace {

constexpr int kReadyTimeoutMs = 10 * 60 * 1000;  // without progress
constexpr int kProgressMs = 100;
constexpr int kMostLayers = 4096;
constexpr int32_t kChunkInProcess = 256;
constexpr int32_t kChunkOverNodes = 128;  // stages overlap from one chunk to the next

// KV memory for every session's full context, in whole grants.
int64_t KvTokens(const SessionOptions& options) {
  constexpr int64_t kGrant = StepLimits::kKvGrantTokens;
  return (options.context + kGrant - 1) / kGrant * kGrant * options.sessions;
}

// Says meanwhile how far the hash is, where it has to be computed.
Manifest ReadManifest(const GgufFile& file, int threads,
                      const std::function<void(const std::string&)>& progress) {
  std::atomic<int64_t> hashed = 0;
  std::future<Manifest> manifest = std::async(std::launch::async, [&] {
    ThreadPool pool(threads);
    return ManifestOf(file, pool, CacheFolder(), [&](int64_t bytes) { hashed += bytes; });
  });
  while (manifest.wait_for(std::chrono::milliseconds(kProgressMs)) != std::future_status::ready) {
    progress(fmt::format("checking the model's bytes {} %", 100 * hashed / file.file_bytes()));
  }
  return manifest.get();
}

// Nothing: over all nodes.
std::optional<Objective> ObjectiveOf(const SessionOptions& options) {
  if (options.plan == "throughput") return Objective::Throughput();
  if (options.plan == "first-token") return Objective::FirstToken();
  if (options.plan == "latency") return Objective::Latency();
  if (options.plan.empty() && !options.nodes.empty()) return Objective::Latency();
  return std::nullopt;
}

}  // namespace

void AddSessionOptions(CLI::App& command, SessionOptions& options) {
  AddModelOption(command, "MODEL", options.model, "GGUF file (any part of several)")->required();
  auto* local = command.add_option("--local-nodes", options.local_nodes,
                                   "Run the model over this many node processes on this machine");
  local->check(CLI::Range(1, 64));
  command
      .add_option(
          "--node", options.nodes,
          "A running node: its name or address in the mesh, or unix:/PATH; once per node in order")
      ->excludes(local);
  command.add_option("--hub-listen", options.hub_listen,
                     "HOST:PORT where nodes that dial out (shoal node --dial) come in");
  command.add_option("--state", options.state, kStateHelp);
  command
      .add_option("--split", options.split, "Layers of each node, e.g. 11,11,8 (default: planned)")
      ->delimiter(',')
      ->check(CLI::Range(1, kMostLayers));
  command
      .add_option(
          "--plan", options.plan,
          "How layers are divided: spread (all nodes, by speed), or what is best for latency, "
          "throughput or first-token by measured nodes and links, which may leave nodes out "
          "(default: spread over local nodes, latency over --node)")
      ->check(CLI::IsMember({"spread", "latency", "throughput", "first-token"}))
      ->excludes("--split");
  command
      .add_option("-c,--context", options.context,
                  fmt::format("Context length in tokens (default: the model's, at most {})",
                              SessionOptions::kDefaultContext))
      ->check(CLI::Range(1, StepLimits::kMaxContextTokens));
  command
      .add_option("--prefill-chunk", options.prefill_chunk,
                  "Tokens of a prompt in one step; changes speed, never the answer")
      ->check(CLI::Range(1, StepLimits::kMaxTokens));
  // Not transformed, so that it can be remembered as it was given.
  const std::map<std::string, TensorType> kv_types = {
      {"f16", TensorType::kF16}, {"f32", TensorType::kF32}, {"q8_0", TensorType::kQ8_0}};
  command
      .add_option_function<std::string>(
          "--kv-type",
          [&options, kv_types](const std::string& name) { options.kv_type = kv_types.at(name); },
          "How keys and values are kept: f16, f32 (exact) or q8_0 (half the memory)")
      ->check(CLI::IsMember(kv_types));
  command.add_flag("--inexact-blas", options.inexact_blas, kInexactBlasHelp);
  command
      .add_option("--max-upload", options.max_upload_mbit,
                  "Mbit/s of weights sent to nodes, at most (default: unlimited)")
      ->check(CLI::Range(1, 1'000'000));
  command
      .add_option("--wire", options.wire,
                  "How activations travel between nodes: f32 (exact), f16, bf16 or int8, each with "
                  "or without +zstd; auto: chosen for each link")
      ->capture_default_str();
  command.add_option("--log-level", options.log_level,
                     "trace, debug, info, warn, error or off (on stderr)");
}

Result<std::unique_ptr<ModelSession>> ModelSession::Open(const SessionOptions& options) {
  std::unique_ptr<ModelSession> session(new ModelSession(options));
  ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(options.model));
  session->file_ = std::make_shared<const GgufFile>(std::move(file));
  RETURN_IF_ERROR(session->FindNodes());
  RETURN_IF_ERROR(session->FillDefaults());
  const SessionOptions& filled = session->options_;
  SchedulerOptions scheduler;
  scheduler.context_tokens = filled.context;
  ASSIGN_OR_RETURN(scheduler.vocab_size, ReadVocabSize(*session->file_));
  scheduler.prefill_chunk = filled.prefill_chunk;
  scheduler.step_token_budget = std::max(scheduler.step_token_budget, filled.prefill_chunk);
  session->engine_ =
      std::make_unique<Engine>(scheduler, session->clock_, filled.queue_timeout_s * kNsPerS);
  return session;
}

Status ModelSession::Start(const Progress& progress) {
  const bool here = options_.local_nodes == 0 && options_.nodes.empty();
  return here ? StartHere(progress) : StartMesh(progress);
}

// To the user who waits, and to clients of the engine.
void ModelSession::Say(const std::string& line, const Progress& progress) const {
  engine_->SetStarting(line);
  progress(line);
}

Status ModelSession::FindNodes() {
  if (options_.local_nodes > 0) return OkStatus();
  for (auto node = options_.nodes.begin(); node != options_.nodes.end(); ++node) {
    if (std::find(options_.nodes.begin(), node, *node) != node) {
      return InvalidArgument(fmt::format("--node {} is given twice", *node));
    }
  }
  const bool named =
      std::any_of(options_.nodes.begin(), options_.nodes.end(),
                  [](const std::string& node) { return !node.starts_with("unix:"); });
  if (options_.mesh == nullptr && named) {
    ASSIGN_OR_RETURN(options_.mesh, FindMesh(options_.state));
  }
  for (const std::string& text : options_.nodes) {
    ASSIGN_OR_RETURN(MeshNode node, FindNode(text, options_.mesh.get()));
    nodes_.push_back(std::move(node));
  }
  takes_all_ = options_.all_nodes && options_.nodes.empty() && options_.split.empty();
  if (takes_all_) {
    ASSIGN_OR_RETURN(nodes_, AllNodes(*options_.mesh));
    for (const MeshNode& node : nodes_) options_.nodes.push_back(node.name);
  }
  return OkStatus();
}

Status ModelSession::FillDefaults() {
  // Reads everything that can be wrong with a model before any process is started.
  RETURN_IF_ERROR(ReadModelConfig(*file_));
  RETURN_IF_ERROR(Wire());
  ASSIGN_OR_RETURN(shape_, ReadModelShape(*file_, options_.kv_type));
  ASSIGN_OR_RETURN(const int32_t trained, ReadContextLength(*file_));
  if (options_.context == 0) options_.context = std::min(trained, SessionOptions::kDefaultContext);
  if (options_.context > trained) {
    return InvalidArgument(fmt::format("--context {}: the model was trained for {} tokens",
                                       options_.context, trained));
  }
  if (options_.threads == 0) options_.threads = UsePerformanceCores();
  if (!options_.split.empty() && options_.nodes.empty() && options_.local_nodes == 0) {
    options_.local_nodes = static_cast<int>(options_.split.size());
  }
  const size_t nodes = std::max(options_.nodes.size(), static_cast<size_t>(options_.local_nodes));
  if (!options_.split.empty()) {
    const int64_t sum = std::accumulate(options_.split.begin(), options_.split.end(), int64_t{0});
    if (options_.split.size() != nodes || sum != shape_.layer_count()) {
      return InvalidArgument(
          fmt::format("--split: {} parts with {} layers in all; there are {} nodes and {} layers",
                      options_.split.size(), sum, nodes, shape_.layer_count()));
    }
  }
  if (nodes > static_cast<size_t>(shape_.layer_count())) {
    return InvalidArgument(fmt::format("{} nodes cannot share {} layers: each needs at least one",
                                       nodes, shape_.layer_count()));
  }
  if (options_.prefill_chunk == 0) {
    options_.prefill_chunk = nodes > 1 ? kChunkOverNodes : kChunkInProcess;
  }
  return OkStatus();
}

Result<WireChoice> ModelSession::Wire() const {
  if (options_.wire == "auto") return WireChoice();
  const Result<ActivationCodec> codec = ParseActivationCodec(options_.wire);
  if (!codec.ok()) return codec.error().WithContext("--wire");
  return WireChoice(*codec);
}

Status ModelSession::StartHere(const Progress& progress) {
  ASSIGN_OR_RETURN(kernels_, ChooseKernels(options_.inexact_blas));
  ASSIGN_OR_RETURN(const ModelConfig config, ReadModelConfig(*file_));
  pool_ = std::make_unique<ThreadPool>(options_.threads);
  StageOptions stage;
  stage.range = {0, config.layers};
  stage.kv_type = options_.kv_type;
  stage.kv_budget_bytes =
      config.KvBytesPerToken(config.layers, options_.kv_type) * KvTokens(options_);
  LoadProgress loaded;
  std::future<Result<std::unique_ptr<Stage>>> loading = std::async(std::launch::async, [&] {
    return Stage::Load(file_, config, stage, *kernels_, *pool_, &loaded);
  });
  while (loading.wait_for(std::chrono::milliseconds(kProgressMs)) != std::future_status::ready) {
    const int64_t total = std::max<int64_t>(loaded.bytes_total, 1);
    Say(fmt::format("loading {} %", 100 * loaded.bytes_done / total), progress);
  }
  ASSIGN_OR_RETURN(stage_, loading.get());
  const Epoch epoch{1};
  pipeline_ = std::make_shared<LocalPipeline>(epoch, *stage_, *engine_);
  engine_->Attach(pipeline_, {epoch, 1, KvTokens(options_)});
  return OkStatus();
}

// Where nodes that dial in are reached; waits for those of --node.
Status ModelSession::OpenHub(const Progress& progress) {
  if (!options_.hub_listen.empty()) {
    if (options_.mesh == nullptr) {
      ASSIGN_OR_RETURN(options_.mesh, OpenMesh(options_.state));
    }
    ASSIGN_OR_RETURN(hub_, HubEnd::Start(options_.hub_listen, options_.mesh->credentials()));
  }
  std::vector<MeshNode> reached;
  for (MeshNode& node : nodes_) {
    if (node.address.is_relay() && hub_ != nullptr) {
      hub_->WaitFor(node.address.relay_node, node.name, progress);
    }
    const Status reaches = ReachThroughHub(node);
    if (!reaches.ok() && !takes_all_) return reaches;
    if (!reaches.ok()) spdlog::warn("done without: {}", reaches.error().message);
    if (reaches.ok()) reached.push_back(std::move(node));
  }
  nodes_ = std::move(reached);
  return OkStatus();
}

Status ModelSession::ReachThroughHub(MeshNode& node) const {
  if (!node.address.is_relay()) return OkStatus();
  if (hub_ == nullptr) {
    return InvalidArgument(fmt::format(
        "node {} dials out only: --hub-listen is needed, with the HOST:PORT that it dials",
        node.name));
  }
  node.peer_address = std::move(node.address);
  node.peer_address->port = hub_->hub().address().port;
  ASSIGN_OR_RETURN(node.address, hub_->hub().SocketOf(node.peer_address->relay_node));
  return OkStatus();
}

// Through the one hub that there is: a node holds connections to one at a time.
Result<Address> ModelSession::Relay(const MeshNode& from, const MeshNode& to) {
  if (from.trust.own == nullptr || to.trust.own == nullptr) {
    return FailedPrecondition("a node that is no member of the mesh is not relayed");
  }
  if (to.peer_address) return *to.peer_address;
  const std::lock_guard lock(relays_mutex_);
  if (hub_ == nullptr && relays_ == nullptr) {
    // Nodes dial the host that their orders come from.
    const auto start = [&](const char* listen) {
      return HubEnd::Start(listen, options_.mesh->credentials());
    };
    Result<std::unique_ptr<HubEnd>> end = start("[::]:0");
    if (!end.ok()) end = start("0.0.0.0:0");  // a machine without IPv6
    if (!end.ok()) return end.error();
    relays_ = std::move(*end);
    spdlog::info("relaying between nodes at {}", relays_->hub().address().ToString());
  }
  TunnelHub& hub = (hub_ == nullptr ? relays_ : hub_)->hub();
  hub.RelayTo(from.trust.id, to.trust.id, to.address);
  return Address{{}, {}, hub.address().port, to.trust.id};
}

Status ModelSession::StartMesh(const Progress& progress) {
  MeshOptions mesh;
  if (options_.local_nodes > 0) {
    Say(fmt::format("starting {} nodes", options_.local_nodes), progress);
    ASSIGN_OR_RETURN(local_nodes_, LocalNodes::Start(options_.local_nodes, options_.threads,
                                                     options_.log_level, options_.inexact_blas));
    for (size_t i = 0; i < local_nodes_->names().size(); ++i) {
      mesh.nodes.push_back({local_nodes_->names()[i], local_nodes_->addresses()[i], {}});
    }
  }
  const auto say = [&](const std::string& line) { Say(line, progress); };
  RETURN_IF_ERROR(OpenHub(say));
  mesh.needs_all = !takes_all_;
  mesh.patient = takes_all_ && options_.patient;
  mesh.nodes.insert(mesh.nodes.end(), nodes_.begin(), nodes_.end());
  std::error_code failed;
  mesh.model_path = std::filesystem::absolute(options_.model, failed).string();
  const Manifest manifest = ReadManifest(*file_, options_.threads, say);
  mesh.model_identity = manifest.hash;
  mesh.weights.source = std::make_shared<FileContents>(file_, manifest);
  mesh.weights.limit = std::make_shared<UploadLimit>(options_.max_upload_mbit * kBytesPerSInMbit);
  mesh.planner.shape = shape_;
  mesh.planner.split = options_.split;
  mesh.planner.objective = ObjectiveOf(options_);
  ASSIGN_OR_RETURN(mesh.profile, ReadProfileTarget(*file_, options_.kv_type));
  Workload& workload = mesh.planner.workload;
  workload.sessions = options_.sessions;
  workload.prefill_chunk = options_.prefill_chunk;
  workload.step_token_budget = std::max(workload.step_token_budget, options_.prefill_chunk);
  mesh.kv_tokens = workload.kv_tokens = KvTokens(options_);
  mesh.kv_type = options_.kv_type;
  ASSIGN_OR_RETURN(mesh.planner.wire, Wire());
  mesh.spares = options_.spares;
  if (options_.mesh != nullptr) {
    mesh.relay = [this](const MeshNode& from, const MeshNode& to) { return Relay(from, to); };
  }
  if (options_.local_nodes == 0) mesh.state_folder = options_.state_folder;
  mesh.remembered = options_.remembered;
  if (!options_.recalled) {
    mesh.wish =
        fmt::format("plan={} split={} nodes={}", options_.plan, fmt::join(options_.split, ","),
                    takes_all_ ? "" : fmt::format("{}", fmt::join(options_.nodes, ",")));
  }
  mesh_ = std::make_unique<Mesh>(std::move(mesh), *engine_, clock_);
  std::future<Status> ready =
      std::async(std::launch::async, [this] { return mesh_->WaitReady(kReadyTimeoutMs); });
  while (ready.wait_for(std::chrono::milliseconds(kProgressMs)) != std::future_status::ready) {
    progress(engine_->status().detail);
  }
  return ready.get();
}

ModelSession::~ModelSession() {
  // Whatever drives the engine ends before it.
  mesh_.reset();
  relays_.reset();
  hub_.reset();
  local_nodes_.reset();
  if (engine_ != nullptr && pipeline_ != nullptr) {
    engine_->OnLost(Epoch{1}, Cancelled("shutting down"));
  }
  pipeline_.reset();
}

Status ModelSession::AddNode(MeshNode node) {
  if (!takes_all_) {
    const auto known = std::find_if(nodes_.begin(), nodes_.end(),
                                    [&](const MeshNode& one) { return one.name == node.name; });
    if (known == nodes_.end()) {
      return FailedPrecondition("this server was told which nodes to use");
    }
    if (options_.nodes[static_cast<size_t>(known - nodes_.begin())] != node.name) {
      return InvalidArgument(node.name + " is used at the address that was given");
    }
  }
  if (mesh_ == nullptr) return FailedPrecondition("the next start of this server can use it");
  RETURN_IF_ERROR(ReachThroughHub(node));
  return mesh_->AddNode(node);
}

std::optional<Plan> ModelSession::plan() const {
  return mesh_ == nullptr ? std::nullopt : mesh_->plan();
}

std::string ModelSession::DescribeStages() const {
  const std::optional<Plan> plan = this->plan();
  if (!plan) {
    return fmt::format("1 process, {} layers, {} threads, {}\n", shape_.layer_count(),
                       options_.threads, kernels::IsaName(kernels_->isa));
  }
  const std::vector<NodeDescription> nodes = mesh_->descriptions();
  std::string text;
  for (const PlannedStage& stage : plan->stages) {
    const NodeDescription& node = nodes[static_cast<size_t>(stage.device)];
    text += fmt::format("{}: layers [{}, {}), {} MiB of weights, {} threads, {}\n", node.name,
                        stage.layers.begin, stage.layers.end, stage.weight_bytes >> 20,
                        node.threads, node.isa);
  }
  if (ObjectiveOf(options_) && options_.split.empty()) {
    const Prediction& predicted = plan->prediction;
    text += fmt::format(
        "predicted: {:.1f} ms for a token alone, {:.0f} ms to the first of a prompt of {}, {:.1f} "
        "tokens/s of {} sessions\n",
        1e3 * predicted.decode_s, 1e3 * predicted.first_token_s, Workload().prompt_tokens,
        predicted.tokens_per_s, options_.sessions);
  }
  return text;
}

}  // namespace shoal
