// shoal inspect MODEL [--json] [--tensors] [--hash]: what a GGUF file holds, whether or not this
// build can run it.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <type_traits>
#include <variant>

#include "model/gguf/gguf_file.h"
#include "model/gguf/gguf_metadata.h"
#include "model/gguf/manifest.h"
#include "tools/commands.h"
#include "tools/model_library.h"

namespace shoal {

namespace {

constexpr size_t kMaxShownElements = 16;  // of an array, in JSON

struct InspectOptions {
  std::string model;
  bool json = false;
  bool tensors = false;
  bool hash = false;
};

nlohmann::json ToJson(const GgufArray& array) {
  return std::visit(
      [&array](const auto& elements) -> nlohmann::json {
        using T = typename std::remove_cvref_t<decltype(elements)>::value_type;
        if (elements.size() > kMaxShownElements) {
          return {{"length", elements.size()}, {"type", ElementTypeName(array)}};
        }
        nlohmann::json shown = nlohmann::json::array();
        for (size_t i = 0; i < elements.size(); ++i) {
          if constexpr (std::is_same_v<T, GgufArray>) {
            shown.push_back(ToJson(elements[i]));
          } else {
            shown.push_back(static_cast<T>(elements[i]));
          }
        }
        return shown;
      },
      array.elements);
}

nlohmann::json ToJson(const GgufValue& value) {
  return std::visit(
      [](const auto& v) -> nlohmann::json {
        if constexpr (std::is_same_v<std::remove_cvref_t<decltype(v)>, GgufArray>) {
          return ToJson(v);
        } else {
          return v;
        }
      },
      value);
}

int64_t CountParameters(const GgufFile& file) {
  int64_t parameters = 0;
  for (const TensorInfo& tensor : file.tensors()) parameters += tensor.values();
  return parameters;
}

std::map<std::string, int64_t> BytesByType(const GgufFile& file) {
  std::map<std::string, int64_t> bytes;
  for (const TensorInfo& tensor : file.tensors()) {
    bytes[std::string(InfoOf(tensor.type).name)] += static_cast<int64_t>(tensor.bytes.size());
  }
  return bytes;
}

// Reads the whole file; says on stderr how far it is.
Sha256Digest ManifestHash(const GgufFile& file) {
  int64_t total = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    total += static_cast<int64_t>(tensor.bytes.size());
  }
  std::atomic<int64_t> hashed = 0;
  ThreadPool pool(static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  const Manifest manifest = BuildManifest(file, pool, [&hashed, total](int64_t chunk_bytes) {
    const int64_t before = hashed.fetch_add(chunk_bytes);
    const int64_t percent = 100 * (before + chunk_bytes) / total;
    if (percent != 100 * before / total) std::cerr << fmt::format("\rhashing: {} %", percent);
  });
  std::cerr << '\n';
  return manifest.hash;
}

void PrintModelJson(const GgufFile& file, const InspectOptions& options) {
  nlohmann::json metadata = nlohmann::json::object();
  for (const auto& [key, value] : file.metadata()) metadata[key] = ToJson(value);
  nlohmann::json tensors = nlohmann::json::array();
  for (const TensorInfo& tensor : file.tensors()) {
    tensors.push_back({{"name", tensor.name},
                       {"type", InfoOf(tensor.type).name},
                       {"shape", tensor.shape},
                       {"bytes", tensor.bytes.size()}});
  }
  nlohmann::json model = {{"path", file.path()},
                          {"gguf_version", file.version()},
                          {"file_bytes", file.file_bytes()},
                          {"parts", file.parts()},
                          {"parameters", CountParameters(file)},
                          {"bytes_by_type", BytesByType(file)},
                          {"metadata", std::move(metadata)},
                          {"tensors", std::move(tensors)}};
  if (options.hash) model["manifest_hash"] = ToHex(ManifestHash(file));
  std::cout << model.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
}

// Text from the file without what would steer a terminal.
std::string Harmless(std::string_view text) {
  std::string shown(text);
  std::replace_if(
      shown.begin(), shown.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return shown;
}

// A value in one line: the table shows what is there and is not the place to complain.
std::string Show(const GgufFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) return "-";
  if (std::holds_alternative<GgufArray>(found->second)) return DescribeType(found->second);
  if (const auto text = file.String(key); text.ok()) return Harmless(*text);
  return ToJson(found->second).dump();
}

std::string ShowHeads(const GgufFile& file, const std::string& prefix) {
  std::string head_dim = Show(file, prefix + "attention.key_length");
  const auto model_dim = file.Int(prefix + "embedding_length");
  const auto heads = file.Int(prefix + "attention.head_count");
  if (head_dim == "-" && model_dim.ok() && heads.ok() && *heads > 0) {
    head_dim = std::to_string(*model_dim / *heads);
  }
  return fmt::format("{} (keys and values: {}, head dim: {})",
                     Show(file, prefix + "attention.head_count"),
                     Show(file, prefix + "attention.head_count_kv"), head_dim);
}

std::string ShowVocabulary(const GgufFile& file, const std::string& prefix) {
  if (const auto tokens = file.Strings("tokenizer.ggml.tokens"); tokens.ok()) {
    return std::to_string(tokens->size());
  }
  if (file.Has(prefix + "vocab_size")) return Show(file, prefix + "vocab_size");
  const TensorInfo* embedding = file.FindTensor("token_embd.weight");
  return embedding == nullptr ? "-" : std::to_string(embedding->rows());
}

std::string ShowTokenizer(const GgufFile& file) {
  std::string tokenizer = Show(file, "tokenizer.ggml.model");
  if (file.Has("tokenizer.ggml.pre")) tokenizer += " / " + Show(file, "tokenizer.ggml.pre");
  if (file.Has("tokenizer.chat_template")) tokenizer += ", with chat template";
  return tokenizer;
}

std::string ShowMib(int64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

// "Q4_1 76.2 MiB (93 %), F32 0.1 MiB (0 %)", the largest first.
std::string ShowTypes(const GgufFile& file) {
  const std::map<std::string, int64_t> by_type = BytesByType(file);
  if (by_type.empty()) return "-";
  std::vector<std::pair<int64_t, std::string>> sorted;
  int64_t total = 0;
  for (const auto& [type, bytes] : by_type) {
    sorted.emplace_back(-bytes, type);
    total += bytes;
  }
  std::sort(sorted.begin(), sorted.end());
  std::string shown;
  for (const auto& [negative_bytes, type] : sorted) {
    const double share = 100.0 * static_cast<double>(-negative_bytes) / static_cast<double>(total);
    shown += fmt::format("{}{} {} ({:.1f} %)", shown.empty() ? "" : ", ", type,
                         ShowMib(-negative_bytes), share);
  }
  return shown;
}

void PrintTable(const GgufFile& file, const InspectOptions& options) {
  const std::string architecture = Show(file, "general.architecture");
  const std::string prefix = architecture + ".";
  const auto row = [](std::string_view name, const std::string& value) {
    std::cout << fmt::format("{:<16}{}\n", name, value);
  };
  row("name", Show(file, "general.name"));
  row("architecture", architecture);
  row("parameters",
      fmt::format("{:.1f} million in {} tensors", static_cast<double>(CountParameters(file)) / 1e6,
                  file.tensors().size()));
  row("layers", Show(file, prefix + "block_count"));
  row("model dim", Show(file, prefix + "embedding_length"));
  row("ffn dim", Show(file, prefix + "feed_forward_length"));
  row("heads", ShowHeads(file, prefix));
  row("context", Show(file, prefix + "context_length"));
  row("vocabulary", ShowVocabulary(file, prefix));
  row("tokenizer", ShowTokenizer(file));
  row("weights", ShowTypes(file));
  row("file", fmt::format("{} in {} part{}, GGUF version {}", ShowMib(file.file_bytes()),
                          file.parts(), file.parts() == 1 ? "" : "s", file.version()));
  if (options.hash) row("manifest hash", ToHex(ManifestHash(file)));
  if (!options.tensors) return;
  std::cout << '\n';
  for (const TensorInfo& tensor : file.tensors()) {
    std::cout << fmt::format("{:<32} {:<7} [{}] {} bytes\n", Harmless(tensor.name),
                             InfoOf(tensor.type).name, fmt::join(tensor.shape, ", "),
                             tensor.bytes.size());
  }
}

Status RunInspect(const InspectOptions& options) {
  ASSIGN_OR_RETURN(const GgufFile file, GgufFile::Open(options.model));
  if (options.json) {
    PrintModelJson(file, options);
  } else {
    PrintTable(file, options);
  }
  std::cout << std::flush;
  if (!std::cout) return InternalError("cannot write the output");
  return OkStatus();
}

}  // namespace

void AddInspectCommand(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<InspectOptions>();  // second owner: the callback
  CLI::App* command = app.add_subcommand("inspect", "Show what a model file holds");
  AddModelOption(*command, "MODEL", options->model,
                 "GGUF file, or any part of one in several parts")
      ->required();
  command->add_flag("--json", options->json, "One JSON object with all metadata and tensors");
  command->add_flag("--tensors", options->tensors, "List the tensors below the table");
  command->add_flag("--hash", options->hash,
                    "Also the model's identity, the hash of its manifest: reads the whole file");
  command->callback([options, &exit_code] {
    const Status status = RunInspect(*options);
    if (!status.ok()) std::cerr << "shoal inspect: " << status.error().message << '\n';
    exit_code = status.ok() ? 0 : 1;
  });
}

}  // namespace shoal
