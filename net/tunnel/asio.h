// Boost.Asio as the tunnels use it: coroutines on one io_context, sockets of any family, and errors
// as values.
#pragma once

// clang-format off: Asio's headers use std::exchange without including it
#include <utility>
// clang-format on

#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

namespace shoal {

using StreamSocket = boost::asio::generic::stream_protocol::socket;

// The last argument of an asynchronous call whose error goes to `failed`.
inline auto Into(boost::system::error_code& failed) {
  return boost::asio::redirect_error(boost::asio::use_awaitable, failed);
}

}  // namespace shoal
