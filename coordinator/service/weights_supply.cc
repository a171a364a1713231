#include "coordinator/service/weights_supply.h"

#include <utility>

#include "base/log.h"

namespace shoal {

WeightsSupply::WeightsSupply(const std::shared_ptr<grpc::Channel>& channel, Epoch epoch,
                             WeightsOffer offer)
    : offer_(std::move(offer)),
      stub_(v1::Weights::NewStub(channel)),
      thread_([this, epoch] { ThreadMain(epoch); }) {}

WeightsSupply::~WeightsSupply() {
  stop_ = true;
  context_.TryCancel();
  thread_.join();
}

void WeightsSupply::ThreadMain(Epoch epoch) {
  const auto stream = stub_->Supply(&context_);
  v1::PieceReply first;
  first.set_epoch(epoch.value);
  Status served;
  if (stream->Write(first)) {
    // The coordinator has the whole model: there is nothing to wait for.
    const auto wait = [](const Sha256Digest&) { return false; };
    PieceSupplier supplier(*offer_.source, *offer_.limit);
    served = supplier.Serve(*stream, *stream, wait, [this] { return stop_.load(); });
  }
  if (!served.ok()) {
    spdlog::warn("supplying weights: {}", served.error().message);
    context_.TryCancel();
  }
  stream->WritesDone();
  static_cast<void>(stream->Finish());
}

}  // namespace shoal
