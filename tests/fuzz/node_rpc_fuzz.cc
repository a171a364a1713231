// Any calls of any of a node's methods, with any headers and messages, with and without what a
// coordinator in good faith would have filled in: each is answered or refused, and afterwards the
// node still takes a plan and describes itself.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "model/gguf/gguf_file.h"
#include "model/gguf/model_identity.h"
#include "net/channel.h"
#include "node/service/node_service.h"
#include "proto/weights.pb.h"
#include "tests/fuzz/rpc_script.h"
#include "tests/support/temp_dir.h"

namespace shoal {
namespace {

constexpr int kFuzzedCallMs = 1000;
constexpr int kOrderlyCallMs = 20'000;
constexpr int64_t kMemoryLimit = int64_t{256} << 20;

constexpr const char* kModel = SHOAL_TEST_DATA "/tiny-models/tiny-qwen2.gguf";
constexpr const char* kMethods[] = {
    "/shoal.v1.NodeControl/Describe",  "/shoal.v1.NodeControl/Profile",
    "/shoal.v1.NodeControl/ProbeLink", "/shoal.v1.NodeControl/Prepare",
    "/shoal.v1.NodeControl/Connect",   "/shoal.v1.NodeControl/Watch",
    "/shoal.v1.Pipeline/Link",         "/shoal.v1.Pipeline/Probe",
    "/shoal.v1.Weights/Fetch",         "/shoal.v1.Weights/Supply",
    "/shoal.v1.Weights/Have",          "/shoal.v1.Weights/NoSuchMethod",
};

class NodeUnderTest {
 public:
  NodeUnderTest() {
    spdlog::set_level(spdlog::level::off);
    address_.unix_path = folder_.path() + "/n.sock";
    NodeOptions options;
    options.name = "fuzzed";
    options.listen = address_;
    options.model_path = kModel;
    options.store_folder = folder_.path() + "/store";
    options.store_quota_bytes = kMemoryLimit;
    options.memory_limit_bytes = kMemoryLimit;
    auto server = NodeServer::Start(options, kernels::TableFor(kernels::Isa::kReference));
    CHECK(server.ok(), "the node starts");
    server_ = std::move(*server);
    caller_ = std::make_unique<RawCaller>(MakeChannel(address_, {}));
    const auto file = GgufFile::Open(kModel);
    CHECK(file.ok(), "the model is one");
    ThreadPool pool(1);
    identity_ = ModelIdentity(*file, pool, "");
  }

  void Run(const ScriptedCall& call) {
    const std::string method = kMethods[call.method % std::size(kMethods)];
    ScriptedCall filled = call;
    for (std::string& message : filled.messages) {
      if (call.in_good_faith) {
        message = InGoodFaith(method, message);
      } else if (method.ends_with("Prepare")) {
        // Not an epoch of its own: one that is high enough fences out every coordinator after it.
        message = Filled<v1::PrepareRequest>(message,
                                             [&](auto& request) { request.set_epoch(++epoch_); });
      }
    }
    static_cast<void>(caller_->Call(method, filled, kFuzzedCallMs));
  }

  // Takes a plan of its own, as the next coordinator would.
  void CheckWorks() {
    const std::string prepare = InGoodFaith("/shoal.v1.NodeControl/Prepare", "");
    Expect("/shoal.v1.NodeControl/Prepare", Filled<v1::PrepareRequest>(prepare, [](auto& request) {
             request.set_layer_end(1);
             request.set_kv_tokens(32);
             request.set_kv_type(static_cast<uint32_t>(TensorType::kF16));
           }));
    Expect("/shoal.v1.NodeControl/Describe", InGoodFaith("/shoal.v1.NodeControl/Describe", ""));
  }

 private:
  void Expect(const std::string& method, const std::string& message) {
    ScriptedCall call;
    call.messages = {message};
    const grpc::Status status = caller_->Call(method, call, kOrderlyCallMs);
    CHECK(status.ok(), method + ": " + status.error_message());
  }

  std::string InGoodFaith(const std::string& method, const std::string& message) {
    const auto sign = [](auto& request) {
      request.set_protocol_version(kProtocolVersion);
      request.set_build(BuildId());
    };
    const auto name_codec = [](auto& request) {
      if (request.activation_codec().empty()) request.set_activation_codec("f32");
    };
    const std::string identity(identity_.begin(), identity_.end());
    if (method.ends_with("Describe")) return Filled<v1::DescribeRequest>(message, sign);
    if (method.ends_with("Prepare")) {
      return Filled<v1::PrepareRequest>(message, [&](auto& request) {
        sign(request);
        name_codec(request);
        request.set_epoch(++epoch_);
        request.set_model_identity(identity);
      });
    }
    if (method.ends_with("Connect")) {
      return Filled<v1::ConnectRequest>(message, [&](auto& request) {
        name_codec(request);
        request.set_epoch(epoch_);
      });
    }
    if (method.ends_with("Watch")) {
      return Filled<v1::Heartbeat>(message, [&](auto& beat) { beat.set_epoch(epoch_); });
    }
    if (method.ends_with("Supply")) {
      return Filled<v1::PieceReply>(message, [&](auto& reply) { reply.set_epoch(epoch_); });
    }
    if (method.ends_with("Probe")) {
      return Filled<v1::ProbeMessage>(
          message, [&](auto& probe) { probe.set_instance(server_->service().instance()); });
    }
    if (!method.ends_with("Link")) return message;
    return Filled<v1::LinkMessage>(message, [&](auto& link) {
      if (link.has_hello()) {
        sign(*link.mutable_hello());
        name_codec(*link.mutable_hello());
        link.mutable_hello()->set_epoch(epoch_);
        link.mutable_hello()->set_model_identity(identity);
      }
      if (link.has_step()) link.mutable_step()->set_epoch(epoch_);
    });
  }

  TempDir folder_;
  Address address_;
  std::unique_ptr<NodeServer> server_;
  std::unique_ptr<RawCaller> caller_;
  Sha256Digest identity_{};
  uint64_t epoch_ = 0;
};

}  // namespace
}  // namespace shoal

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static shoal::NodeUnderTest node;
  for (const shoal::ScriptedCall& call : shoal::ReadScript(data, size)) node.Run(call);
  node.CheckWorks();
  return 0;
}
