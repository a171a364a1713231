// Which piece of a model to ask which source for: the coordinator, and nodes that have a piece or
// will have it. Pure: a state that events change; threads, clock and network are the caller's.
//
// Each piece has a source of its own, which `AssignSources` chose. A source that is gone, lied,
// does not have a piece or is silent for kPatienceNs loses what it was to bring to whichever other
// source is free. A piece is given up when no source is left for it.
//
// A node that is much slower than another source, which has nothing left to be asked for, loses to
// that one what it would bring last, asked for already or not: the first copy that comes counts.
// The coordinator loses nothing so, and gets nothing of a node that is about as fast: otherwise
// nodes that need the same pieces would cost it more than one upload.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/sha256.h"

namespace shoal {

struct FetchItem {
  Sha256Digest digest{};
  int64_t max_bytes = 0;
  int32_t source = 0;                 // index of the one to ask first
  std::vector<int32_t> holders = {};  // nodes that have it already
};

// What a node knows of a source when it assigns pieces. Source 0 is the coordinator.
struct FetchPeer {
  uint32_t member = 0;          // its number, the same for every node
  std::set<Sha256Digest> has;   // now, of those wanted
  std::set<Sha256Digest> gets;  // under the same epoch, of those wanted
};

// Sets each item's holders, and its source: a peer that has it; else, of this node and the peers
// that need it too, one that every node finds by the same rule (the highest hash of piece and
// member) gets it from the coordinator, and the others from that one. So k nodes that need the same
// pieces cost the coordinator one upload, without a word between them. Peers are sources 1, 2, ...
void AssignSources(std::span<FetchItem> items, uint32_t own_member,
                   std::span<const FetchPeer> peers);

class FetchSchedule {
 public:
  // A source that was asked and brings nothing for so long is taken for stuck.
  static constexpr int64_t kPatienceNs = 10 * kNsPerS;
  // A source is much slower than another if it needs so many times as long for a byte, and as many
  // times more as there are sources: one may have its link to itself, the other share its own.
  static constexpr double kMuchSlower = 2;
  // What a slow source needs no longer for is left to it.
  static constexpr int64_t kWorthTakingNs = 3 * kNsPerS;

  FetchSchedule(std::vector<FetchItem> items, int32_t sources);

  // The next piece to ask `source` for; nothing: none for now, or never again if it is out().
  std::optional<Sha256Digest> Next(int32_t source, int64_t now_ns);
  // Pieces that the source was asked for and has not answered.
  size_t outstanding(int32_t source) const { return at(source).asked.size(); }

  // Whether the source has to bring this piece.
  bool IsAsked(int32_t source, const Sha256Digest& digest) const;
  // The source brought a piece that it was asked for. The size that it may have at most, if it is
  // to be checked and kept; nothing: nobody waits for it (any more).
  std::optional<int64_t> OnReceived(int32_t source, const Sha256Digest& digest, int64_t now_ns);
  void OnStored(const Sha256Digest& digest);
  // What the source brought is not what it was asked for: it is not asked again.
  void OnDamaged(int32_t source, const Sha256Digest& digest);
  void OnMissing(int32_t source, const Sha256Digest& digest, int64_t now_ns);
  void OnGone(int32_t source);
  bool out(int32_t source) const { return at(source).out; }

  bool done() const { return left_ == 0; }
  // Pieces are left that no source can bring.
  bool stuck() const;

 private:
  enum class State { kWanted, kReceived, kStored };
  struct Item {
    FetchItem fetch;
    State state = State::kWanted;
    std::set<int32_t> refused;  // sources that do not have it
  };
  struct Source {
    std::deque<size_t> queue;   // of items, to be asked for
    std::vector<size_t> asked;  // in this order
    int64_t heard_ns = 0;  // when it was last asked with nothing outstanding, or brought something
    bool out = false;
    // What it brought and how long that took, where what is longer ago counts less.
    double brought_bytes = 0;
    double busy_ns = 0;
  };

  Source& at(int32_t source) { return sources_[static_cast<size_t>(source)]; }
  const Source& at(int32_t source) const { return sources_[static_cast<size_t>(source)]; }
  bool MayBring(const Source& source, int32_t index, const Item& item) const;
  std::optional<size_t> Take(std::deque<size_t>& queue, int32_t source);
  void TakeFromSilent(int64_t now_ns);
  std::optional<size_t> TakeFromSlow(int32_t source, int64_t now_ns) const;
  std::optional<size_t> LastFor(int32_t source, const Source& slow, int64_t now_ns) const;
  bool IsMuchSlower(const Source& slow, const Source& fast, size_t item, int64_t now_ns) const;
  double NsPerByte(const Source& source, int64_t now_ns) const;
  int64_t LeftBytes(const Source& source) const;
  void Answered(Source& source, size_t item, int64_t now_ns);
  void Orphan(Source& source, bool asked_too);

  std::vector<Item> items_;
  std::map<Sha256Digest, size_t> index_;
  std::vector<Source> sources_;
  std::deque<size_t> orphans_;  // whose source will not bring them
  size_t left_;                 // not stored
};

}  // namespace shoal
