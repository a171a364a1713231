// Proves by simulated links that nodes get what they need in about the time that the links allow,
// also where one that holds it is slow, and that this costs the coordinator about one upload where
// links are about equal; and, by random histories, that every piece is stored once or given up.
#include "node/fetch_schedule.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace shoal {
namespace {

constexpr int64_t kPieceBytes = 4 << 20;
constexpr int kDefaultPieces = 60;
constexpr double kMbit = 125'000;                // bytes a second
constexpr double kPieceS = kPieceBytes / kMbit;  // at 1 Mbit/s

std::vector<Sha256Digest> Digests(int pieces) {
  std::vector<Sha256Digest> digests;
  for (int i = 0; i < pieces; ++i) digests.push_back(Sha256Of("piece " + std::to_string(i)));
  return digests;
}

// A coordinator and nodes, each with an uplink that the streams it has something for share evenly.
// Nodes assign their sources as in WeightsService, and wait for pieces that a source gets itself.
class Links {
 public:
  // holders: which of the nodes have everything from the start; the others need all of it.
  Links(std::vector<double> uplinks_mbit, const std::set<size_t>& holders,
        int pieces = kDefaultPieces)
      : digests_(Digests(pieces)), uplinks_mbit_(std::move(uplinks_mbit)), nodes_(size()) {
    for (size_t i = 1; i < size(); ++i) {
      if (holders.contains(i)) nodes_[i].has = {digests_.begin(), digests_.end()};
    }
    for (size_t i = 1; i < size(); ++i) {
      if (!holders.contains(i)) Start(i, holders);
    }
  }

  // Until everybody has everything; gives the seconds.
  double Run() {
    double seconds = 0;
    for (; !Done(); seconds += step_s_) {
      RC_ASSERT(seconds < 1e5);
      now_ns_ = static_cast<int64_t>(seconds * kNsPerS);
      for (size_t i = 1; i < size(); ++i) AskMore(i);
      for (size_t host = 0; host < size(); ++host) Send(host);
    }
    return seconds;
  }

  double total_bytes() const { return static_cast<double>(digests_.size()) * kPieceBytes; }
  double sent_bytes(size_t host) const { return nodes_[host].sent_bytes; }

 private:
  struct Stream {
    std::deque<Sha256Digest> asked;
    double sent_bytes = 0;  // of the first
  };
  struct Node {
    std::set<Sha256Digest> has;
    std::optional<FetchSchedule> schedule;  // none: it has everything
    std::map<size_t, Stream> from;          // by host
    double sent_bytes = 0;
  };

  size_t size() const { return uplinks_mbit_.size(); }

  // Host 0 is the coordinator; of a node, source k is the kth host but itself.
  static size_t HostOf(size_t node, int32_t source) {
    const auto host = static_cast<size_t>(source);
    return host >= node ? host + 1 : host;
  }
  static int32_t SourceOf(size_t node, size_t host) {
    return static_cast<int32_t>(host > node ? host - 1 : host);
  }

  void Start(size_t node, const std::set<size_t>& holders) {
    const std::set<Sha256Digest> all(digests_.begin(), digests_.end());
    std::vector<FetchPeer> peers;
    for (size_t host = 1; host < size(); ++host) {
      if (host == node) continue;
      peers.push_back({static_cast<uint32_t>(host), {}, {}});
      (holders.contains(host) ? peers.back().has : peers.back().gets) = all;
    }
    std::vector<FetchItem> items;
    for (const Sha256Digest& digest : digests_) items.push_back({digest, kPieceBytes, 0});
    AssignSources(items, static_cast<uint32_t>(node), peers);
    nodes_[node].schedule.emplace(std::move(items), static_cast<int32_t>(size()) - 1);
  }

  bool Done() const {
    return std::all_of(nodes_.begin(), nodes_.end(),
                       [](const Node& node) { return !node.schedule || node.schedule->done(); });
  }

  void AskMore(size_t index) {
    Node& node = nodes_[index];
    if (!node.schedule || node.schedule->done()) return;
    for (int32_t source = 0; source + 1 < static_cast<int32_t>(size()); ++source) {
      while (node.schedule->outstanding(source) < 16) {
        const auto next = node.schedule->Next(source, now_ns_);
        if (!next) break;
        node.from[HostOf(index, source)].asked.push_back(*next);
      }
    }
  }

  void Send(size_t host) {
    std::vector<size_t> receivers;
    for (size_t i = 1; i < size(); ++i) {
      const Stream& stream = nodes_[i].from[host];
      const bool wants = nodes_[i].schedule && !nodes_[i].schedule->done();
      if (!wants || stream.asked.empty()) continue;
      if (host == 0 || nodes_[host].has.contains(stream.asked.front())) receivers.push_back(i);
    }
    for (const size_t receiver : receivers) {
      const double bytes =
          uplinks_mbit_[host] * kMbit * step_s_ / static_cast<double>(receivers.size());
      nodes_[host].sent_bytes += bytes;
      Receive(receiver, host, bytes);
    }
  }

  void Receive(size_t index, size_t host, double bytes) {
    Node& node = nodes_[index];
    Stream& stream = node.from[host];
    for (stream.sent_bytes += bytes; !stream.asked.empty() && stream.sent_bytes >= kPieceBytes;) {
      const Sha256Digest digest = stream.asked.front();
      stream.asked.pop_front();
      stream.sent_bytes -= kPieceBytes;
      const int32_t source = SourceOf(index, host);
      RC_ASSERT(node.schedule->IsAsked(source, digest));
      if (!node.schedule->OnReceived(source, digest, now_ns_)) continue;
      RC_ASSERT(node.has.insert(digest).second);
      node.schedule->OnStored(digest);
    }
    if (stream.asked.empty()) stream.sent_bytes = 0;
  }

  const std::vector<Sha256Digest> digests_;
  const std::vector<double> uplinks_mbit_;
  const double step_s_ =  // a fraction of what the fastest link needs for a piece
      kPieceS / *std::max_element(uplinks_mbit_.begin(), uplinks_mbit_.end()) / 20;
  std::vector<Node> nodes_;  // [0] is the coordinator
  int64_t now_ns_ = 0;
};

// What may pass before a source is found out, and what is then left to it.
constexpr double kWorthTakingS = double{FetchSchedule::kWorthTakingNs} / kNsPerS;

RC_GTEST_PROP(FetchSchedule, ASlowHolderKeepsNobodyWaiting, ()) {
  const double coordinator_mbit = *rc::gen::inRange(100, 1001);
  const double slow_mbit = coordinator_mbit / *rc::gen::inRange(5, 101);
  const int pieces = *rc::gen::inRange(1, 101);
  Links links({coordinator_mbit, 100, slow_mbit}, {2}, pieces);
  const double seconds = links.Run();
  const double alone_s = pieces * kPieceS / coordinator_mbit;
  RC_LOG() << seconds << " s, the coordinator alone " << alone_s << " s\n";
  RC_ASSERT(seconds <= alone_s + 2 * kWorthTakingS);
}

RC_GTEST_PROP(FetchSchedule, AFastHolderHelpsASlowOne, ()) {
  const double fast_mbit = *rc::gen::inRange(100, 1001);
  const int pieces = *rc::gen::inRange(1, 101);
  // The coordinator is tried as well, and has to be found out, too, each by a piece that is
  // overdue.
  Links links({1, 100, fast_mbit / 50, fast_mbit}, {2, 3}, pieces);
  const double seconds = links.Run();
  RC_LOG() << seconds << " s\n";
  RC_ASSERT(seconds <= pieces * kPieceS / fast_mbit + 4 * kWorthTakingS);
}

RC_GTEST_PROP(FetchSchedule, NodesWithEqualLinksCostTheCoordinatorAboutOneUpload, ()) {
  const int nodes = *rc::gen::inRange(2, 7);
  const double coordinator_mbit = *rc::gen::inRange(100, 1001);  // slower ones seem to be silent
  const int pieces = *rc::gen::inRange(20, 201);
  std::vector<double> uplinks_mbit = {coordinator_mbit};
  for (int i = 0; i < nodes; ++i) {
    uplinks_mbit.push_back(coordinator_mbit * *rc::gen::inRange(80, 300) / 100);
  }
  Links links(uplinks_mbit, {}, pieces);
  const double seconds = links.Run();
  const double more_pieces = (links.sent_bytes(0) - links.total_bytes()) / kPieceBytes;
  RC_LOG() << nodes << " nodes: " << more_pieces << " pieces more than one upload, in " << seconds
           << " s, one takes " << pieces * kPieceS / coordinator_mbit << " s\n";
  // Who gets few pieces from the coordinator itself does not know well how fast others would be.
  RC_ASSERT(more_pieces <= nodes + 0.05 * pieces);
}

RC_GTEST_PROP(FetchSchedule, AHolderThatIsFastEnoughIsLeftAlone, ()) {
  const double coordinator_mbit = *rc::gen::inRange(20, 1001);
  const double holder_mbit = coordinator_mbit * *rc::gen::inRange(30, 300) / 100;
  Links links({coordinator_mbit, 100, holder_mbit}, {2});
  links.Run();
  RC_ASSERT(links.sent_bytes(0) <= kPieceBytes * 1.5);
}

TEST(FetchSchedule, TakesTheLastOfWhatASlowNodeWasAskedForAndTheFirstCopyCounts) {
  const std::vector<Sha256Digest> digests = Digests(3);
  std::vector<FetchItem> items;
  for (const Sha256Digest& digest : digests) items.push_back({digest, kPieceBytes, 1});
  FetchSchedule schedule(items, 2);
  for (const Sha256Digest& digest : digests) EXPECT_EQ(schedule.Next(1, 0), digest);
  EXPECT_EQ(schedule.Next(0, 0), std::nullopt);
  const int64_t later_ns = FetchSchedule::kWorthTakingNs;
  ASSERT_EQ(schedule.Next(0, later_ns), digests[2]);
  EXPECT_EQ(schedule.Next(0, later_ns), std::nullopt);  // it is not known yet how fast it is
  EXPECT_EQ(schedule.OnReceived(0, digests[2], later_ns + 1000), kPieceBytes);
  schedule.OnStored(digests[2]);
  ASSERT_EQ(schedule.Next(0, later_ns + 1000), digests[1]);
  EXPECT_EQ(schedule.OnReceived(1, digests[1], later_ns + 2000), kPieceBytes);
  schedule.OnStored(digests[1]);
  EXPECT_EQ(schedule.OnReceived(0, digests[1], later_ns + 3000), std::nullopt);
  EXPECT_EQ(schedule.OnReceived(1, digests[2], later_ns + 4000), std::nullopt);
  EXPECT_EQ(schedule.outstanding(1), 1u);
}

// A node that does not have the pieces would wait for them, and the coordinator is everybody's last
// resort.
TEST(FetchSchedule, OnlyTakesFromNodesAndForThoseThatHaveIt) {
  const std::vector<Sha256Digest> digests = Digests(2);
  std::vector<FetchItem> items = {{digests[0], kPieceBytes, 0, {1, 2}},
                                  {digests[1], kPieceBytes, 1, {1}}};
  FetchSchedule schedule(items, 3);
  EXPECT_EQ(schedule.Next(0, 0), digests[0]);
  EXPECT_EQ(schedule.Next(1, 0), digests[1]);
  EXPECT_EQ(schedule.Next(2, 2 * FetchSchedule::kWorthTakingNs), std::nullopt);
}

RC_GTEST_PROP(FetchSchedule, EveryPieceIsStoredOnceOrGivenUp, ()) {
  constexpr int kPieces = 12;
  constexpr int32_t kSources = 4;
  std::mt19937 random(*rc::gen::arbitrary<uint32_t>());
  const auto below = [&](int64_t end) { return static_cast<int32_t>(random() % end); };
  const std::vector<Sha256Digest> digests = Digests(kPieces);
  std::vector<FetchItem> items;
  for (const Sha256Digest& digest : digests) {
    const int32_t source = below(kSources);
    items.push_back({digest, kPieceBytes, source, {source, below(kSources)}});
  }
  FetchSchedule schedule(items, kSources);
  std::map<int32_t, std::deque<Sha256Digest>> asked;
  std::set<Sha256Digest> stored;
  int64_t now_ns = 0;
  while (!schedule.done() && !schedule.stuck()) {
    now_ns += int64_t{below(4000)} * 1'000'000;
    const int32_t source = below(kSources);
    if (schedule.out(source)) continue;
    std::deque<Sha256Digest>& mine = asked[source];
    if (const auto next = schedule.Next(source, now_ns)) mine.push_back(*next);
    RC_ASSERT(schedule.outstanding(source) == mine.size());
    if (mine.empty()) continue;
    const Sha256Digest digest = mine.front();
    const int what = below(20);
    if (what == 0) {
      schedule.OnGone(source);
      mine.clear();
    } else if (what < 3) {
      mine.pop_front();
      schedule.OnMissing(source, digest, now_ns);
    } else if (what < 14) {
      mine.pop_front();
      if (!schedule.OnReceived(source, digest, now_ns)) continue;
      if (what == 3) {
        schedule.OnDamaged(source, digest);
        mine.clear();
      } else {
        RC_ASSERT(stored.insert(digest).second);
        schedule.OnStored(digest);
      }
    }
  }
  RC_ASSERT(schedule.done() == (stored.size() == kPieces));
}

}  // namespace
}  // namespace shoal
