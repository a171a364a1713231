// An io_context and the one thread that runs it.
#pragma once

#include <future>
#include <memory>
#include <thread>

#include "net/tunnel/asio.h"

namespace shoal {

// What runs here may use all members of its owner, whose destructor begins with Stop. Coroutines
// that wait then are destroyed with this: what their destructors use is declared before it.
class IoThread {
 public:
  ~IoThread() { Stop(); }

  boost::asio::io_context& context() { return context_; }
  void Spawn(boost::asio::awaitable<void> coroutine) {
    boost::asio::co_spawn(context_, std::move(coroutine), boost::asio::detached);
  }
  void Start() {
    thread_ = std::thread([this] {
      const auto work = boost::asio::make_work_guard(context_);
      context_.run();
    });
  }
  // Runs `function` on the thread and gives its result. REQUIRES Start, and another thread.
  template <typename Function>
  auto Run(Function function) {
    std::packaged_task<decltype(function())()> task(std::move(function));
    auto done = task.get_future();
    boost::asio::post(context_, [&task] { task(); });
    return done.get();
  }
  // Nothing runs any more afterwards.
  void Stop() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  boost::asio::io_context context_{1};
  std::thread thread_;
};

}  // namespace shoal
