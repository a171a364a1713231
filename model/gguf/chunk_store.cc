#include "model/gguf/chunk_store.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include "base/atomic_file.h"
#include "base/log.h"

namespace shoal {

namespace {

namespace fs = std::filesystem;

// A file that a process began to write and did not end; another process may be writing it.
constexpr auto kDraftAge = std::chrono::hours(1);
constexpr auto kStopPoll = std::chrono::milliseconds(100);

using FoundChunk = std::tuple<fs::file_time_type, Sha256Digest, int64_t>;  // and its bytes

bool IsOldDraft(const fs::directory_entry& file) {
  std::error_code failed;
  const auto written = file.last_write_time(failed);
  return !failed && file.path().extension() == ".tmp" &&
         fs::file_time_type::clock::now() - written > kDraftAge;
}

// Whether chunks whose names begin with these two digits lie there.
bool IsChunkFolder(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  std::error_code gone;
  return name.size() == 2 && name.find_first_not_of("0123456789abcdef") == std::string::npos &&
         fs::is_directory(entry.symlink_status(gone));
}

// Appends the chunks in one of the store's folders, and removes old drafts. Another process may
// remove any of them at any time.
Status ReadChunkFolder(const fs::path& folder, std::vector<FoundChunk>& found) {
  std::error_code failed;
  fs::directory_iterator files(folder, failed);
  for (; !failed && files != fs::directory_iterator(); files.increment(failed)) {
    const std::string name = files->path().filename().string();
    const std::optional<Sha256Digest> digest = Sha256FromHex(name);
    std::error_code gone;
    const bool is_file = files->is_regular_file(gone);
    const auto bytes = static_cast<int64_t>(files->file_size(gone));
    const auto time = files->last_write_time(gone);
    const bool is_here = digest && ToHex(*digest) == name && folder.filename() == name.substr(0, 2);
    if (is_file && is_here && !gone) found.emplace_back(time, *digest, bytes);
    if (is_file && IsOldDraft(*files)) fs::remove(files->path(), gone);
  }
  if (failed) return FailedPrecondition(fmt::format("{}: {}", folder.string(), failed.message()));
  return OkStatus();
}

// Removes what is no folder where the chunk's folder has to be, and a folder where the chunk has
// to.
void ClearWay(const fs::path& chunk) {
  std::error_code ignored;
  const fs::path folder = chunk.parent_path();
  const bool taken = fs::exists(fs::symlink_status(folder, ignored));
  if (taken && !fs::is_directory(folder, ignored)) fs::remove(folder, ignored);
  if (fs::is_directory(fs::symlink_status(chunk, ignored))) fs::remove_all(chunk, ignored);
}

Result<std::string> ReadChunk(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return file.Read(file.bytes());
}

}  // namespace

Result<std::unique_ptr<ChunkStore>> ChunkStore::Open(const std::string& folder,
                                                     int64_t quota_bytes) {
  std::unique_ptr<ChunkStore> store(new ChunkStore(folder, quota_bytes));
  RETURN_IF_ERROR(store->ReadFolder());
  return store;
}

std::string ChunkStore::PathOf(const Sha256Digest& digest) const {
  const std::string hex = ToHex(digest);
  return fmt::format("{}/{}/{}", folder_, std::string_view(hex).substr(0, 2), hex);
}

Status ChunkStore::ReadFolder() {
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", folder_, failed.message()));
  std::vector<FoundChunk> found;
  fs::directory_iterator folders(folder_, failed);
  for (; !failed && folders != fs::directory_iterator(); folders.increment(failed)) {
    if (!IsChunkFolder(*folders)) continue;
    const Status read = ReadChunkFolder(folders->path(), found);
    if (!read.ok()) spdlog::warn("weights kept here are out of reach: {}", read.error().message);
  }
  if (failed) return FailedPrecondition(fmt::format("{}: {}", folder_, failed.message()));
  std::sort(found.begin(), found.end());
  for (const auto& [time, digest, bytes] : found) {
    entries_[digest] = {bytes, ++last_use_, false};
    used_bytes_ += bytes;
  }
  return OkStatus();
}

int64_t ChunkStore::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return used_bytes_;
}

bool ChunkStore::Has(const Sha256Digest& digest) const {
  const std::lock_guard lock(mutex_);
  return entries_.contains(digest);
}

void ChunkStore::Drop(const Sha256Digest& digest) {
  const auto entry = entries_.find(digest);
  if (entry == entries_.end()) return;
  std::error_code ignored;
  fs::remove(PathOf(digest), ignored);
  used_bytes_ -= entry->second.bytes;
  entries_.erase(entry);
}

void ChunkStore::MarkUsed(const Sha256Digest& digest) {
  const auto entry = entries_.find(digest);
  if (entry == entries_.end()) return;
  entry->second.last_use = ++last_use_;
  // For the order after the next start; without it, only that order is worse.
  static_cast<void>(::utimensat(AT_FDCWD, PathOf(digest).c_str(), nullptr, 0));
}

// Whether the chunk is here and is what its name says; removes it if it is not.
bool ChunkStore::Check(const Sha256Digest& digest) {
  {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(digest);
    if (entry == entries_.end()) return false;
    std::error_code failed;
    const auto bytes = static_cast<int64_t>(fs::file_size(PathOf(digest), failed));
    const bool there = !failed && bytes == entry->second.bytes;
    if (there && entry->second.checked) return true;
    if (!there) Drop(digest);
    if (!there) return false;
  }
  const Result<std::string> bytes = ReadChunk(PathOf(digest));
  const bool good = bytes.ok() && Sha256Of(*bytes) == digest;
  const std::lock_guard lock(mutex_);
  const auto entry = entries_.find(digest);
  if (entry != entries_.end()) entry->second.checked = good;
  if (!good) Drop(digest);
  return good;
}

std::vector<Sha256Digest> ChunkStore::Missing(std::span<const Sha256Digest> wanted,
                                              ThreadPool& pool) {
  std::vector<uint8_t> here(wanted.size());
  pool.ParallelFor(static_cast<int64_t>(wanted.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      here[i] = Check(wanted[i]);
    }
  });
  std::vector<Sha256Digest> missing;
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (here[i]) {
      MarkUsed(wanted[i]);
    } else {
      missing.push_back(wanted[i]);
    }
  }
  return missing;
}

Status ChunkStore::MakeRoom(int64_t bytes) {
  while (used_bytes_ + bytes > quota_bytes_) {
    auto oldest = entries_.end();
    for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
      if (pins_.contains(entry->first)) continue;
      if (oldest == entries_.end() || entry->second.last_use < oldest->second.last_use) {
        oldest = entry;
      }
    }
    if (oldest == entries_.end()) {
      return ResourceExhausted(
          fmt::format("{}: no room for {} bytes more: plans use {} bytes of the quota of {}; give "
                      "more with --store-quota",
                      folder_, bytes, used_bytes_, quota_bytes_));
    }
    Drop(oldest->first);
  }
  return OkStatus();
}

Status ChunkStore::Put(const Sha256Digest& digest, std::span<const std::byte> bytes) {
  const Sha256Digest found = Sha256Of(bytes);
  if (found != digest) {
    return DataLoss(fmt::format("chunk {}: {} bytes with the SHA-256 {}", ToHex(digest),
                                bytes.size(), ToHex(found)));
  }
  const auto size = static_cast<int64_t>(bytes.size());
  {
    const std::lock_guard lock(mutex_);
    Drop(digest);
    RETURN_IF_ERROR(MakeRoom(size));
    used_bytes_ += size;
  }
  const std::string path = PathOf(digest);
  ClearWay(path);
  std::error_code failed;
  fs::create_directories(fs::path(path).parent_path(), failed);
  const Status written = WriteFileAtomically(
      path, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, Durability::kNotFlushed);
  const std::lock_guard lock(mutex_);
  if (!written.ok()) {
    used_bytes_ -= size;
    return written.error().WithContext(fmt::format("a chunk of {} bytes", size));
  }
  if (!entries_.emplace(digest, Entry{size, ++last_use_, true}).second) used_bytes_ -= size;
  came_.notify_all();
  return OkStatus();
}

bool ChunkStore::WaitFor(const Sha256Digest& digest, std::chrono::milliseconds patience,
                         const std::function<bool()>& stop) const {
  using Clock = std::chrono::steady_clock;
  std::unique_lock lock(mutex_);
  uint64_t seen = last_use_;
  Clock::time_point last_news = Clock::now();
  while (!entries_.contains(digest)) {
    if (stop() || Clock::now() - last_news > patience) return false;
    came_.wait_for(lock, kStopPoll);
    if (last_use_ != seen) last_news = Clock::now();
    seen = last_use_;
  }
  return true;
}

Content ChunkStore::Find(const Sha256Digest& digest) {
  if (!Check(digest)) return {};
  Result<std::string> bytes = ReadChunk(PathOf(digest));
  if (!bytes.ok()) return {};
  const std::lock_guard lock(mutex_);
  MarkUsed(digest);
  return OwnedContent(std::move(*bytes));
}

Result<MappedSequence> ChunkStore::Map(std::span<const Sha256Digest> chunks, int64_t bytes) {
  std::vector<std::string> paths;
  for (const Sha256Digest& chunk : chunks) paths.push_back(PathOf(chunk));
  return MappedSequence::Open(paths, kChunkBytes, bytes);
}

ChunkStore::Pin ChunkStore::Keep(std::vector<Sha256Digest> chunks) {
  {
    const std::lock_guard lock(mutex_);
    for (const Sha256Digest& chunk : chunks) ++pins_[chunk];
  }
  auto* kept = new std::vector<Sha256Digest>(std::move(chunks));
  return Pin(kept, [this](const std::vector<Sha256Digest>* released) {
    const std::unique_ptr<const std::vector<Sha256Digest>> owned(released);
    const std::lock_guard lock(mutex_);
    for (const Sha256Digest& chunk : *owned) {
      const auto pin = pins_.find(chunk);
      if (--pin->second == 0) pins_.erase(pin);
    }
  });
}

}  // namespace shoal
