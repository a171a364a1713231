#include "tools/download.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <strings.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>

#include "base/atomic_file.h"
#include "tools/curl_handle.h"
#include "tools/pull_files.h"

namespace shoal {

namespace {

constexpr long kConnectTimeoutS = 20;
constexpr long kSilenceS = 60;  // a server that sends nothing for so long is given up
constexpr long kMaxRedirects = 10;
constexpr int kMaxAttempts = 8;
constexpr int64_t kMaxTagBytes = 1024;
constexpr long kHttpPartial = 206;
constexpr long kHttpRangeNotSatisfiable = 416;

bool BeginsWith(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         ::strncasecmp(text.data(), lower_case.data(), lower_case.size()) == 0;
}

// Of "Name: value" if the line is of that header (lower case, with its colon).
std::optional<std::string_view> HeaderValue(std::string_view line, std::string_view name) {
  if (!BeginsWith(line, name)) return std::nullopt;
  line.remove_prefix(name.size());
  const size_t first = line.find_first_not_of(" \t\r\n");
  const size_t last = line.find_last_not_of(" \t\r\n");
  return first == std::string_view::npos ? "" : line.substr(first, last - first + 1);
}

// Of a Content-Range, "bytes FIRST-LAST/TOTAL"; -1 if it is none.
int64_t FirstByteOf(std::string_view range) {
  constexpr std::string_view kUnit = "bytes ";
  int64_t first = -1;
  if (BeginsWith(range, kUnit)) {
    std::from_chars(range.data() + kUnit.size(), range.data() + range.size(), first);
  }
  return first;
}

// One request and what it writes.
class Transfer {
 public:
  Transfer(const DownloadOptions& options, const DownloadProgress& progress,
           const std::atomic<bool>& stop)
      : options_(options), progress_(progress), stop_(stop) {}
  ~Transfer() {
    if (file_ != nullptr) std::fclose(file_);
  }

  Status Run();
  // Whether another attempt may get further.
  bool may_go_on() const { return received_ > 0 || sent_elsewhere_; }

 private:
  static size_t OnData(char* data, size_t size, size_t count, void* self);
  static size_t OnHeader(char* data, size_t size, size_t count, void* self);
  static int OnProgress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
  void SetOptions();
  bool Begin();
  bool Write(std::string_view data);
  Status Explain(CURLcode code);

  const DownloadOptions& options_;
  const DownloadProgress& progress_;
  const std::atomic<bool>& stop_;
  const std::string part_ = PullFiles(options_.path).part;
  const std::string tag_path_ = PullFiles(options_.path).tag;
  std::unique_ptr<CURL, CurlFree> curl_;
  std::unique_ptr<curl_slist, CurlFree> headers_;
  char message_[CURL_ERROR_SIZE] = {};
  std::FILE* file_ = nullptr;
  int64_t had_ = 0;              // bytes of an earlier download that this one goes on from
  int64_t received_ = 0;         // by this request
  std::string tag_;              // the server's name for this version of the file
  int64_t first_byte_ = -1;      // of the part of the file that the server sends, if it says so
  bool sent_elsewhere_ = false;  // a part that was not asked for
  Status failed_;                // of writing
};

size_t Transfer::OnHeader(char* data, size_t size, size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // what came before was of a redirect
    transfer.tag_.clear();
    transfer.first_byte_ = -1;
  }
  // A weak tag does not promise the same bytes.
  const auto tag = HeaderValue(line, "etag:");
  if (tag && tag->starts_with('"') && line.size() < kMaxTagBytes) transfer.tag_ = *tag;
  const auto range = HeaderValue(line, "content-range:");
  if (range) transfer.first_byte_ = FirstByteOf(*range);
  return size * count;
}

size_t Transfer::OnData(char* data, size_t size, size_t count, void* self) {
  return static_cast<Transfer*>(self)->Write({data, size * count}) ? size * count : 0;
}

int Transfer::OnProgress(void* self, curl_off_t total, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(self);
  const int64_t known = total > 0 ? transfer.had_ + total : 0;
  transfer.progress_(transfer.had_ + transfer.received_, known);
  return transfer.stop_ ? 1 : 0;
}

// At the first byte: goes on with what is there, or begins anew if the server sends all of it.
bool Transfer::Begin() {
  long status = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status != kHttpPartial) {
    had_ = 0;
  } else if (first_byte_ != had_) {
    std::error_code ignored;
    std::filesystem::remove(tag_path_, ignored);  // so that the next attempt asks for all of it
    sent_elsewhere_ = true;
    failed_ = Unavailable(
        fmt::format("{}: asked for what comes after byte {}, the server sent another part",
                    ShownUrl(options_.url), had_));
    return false;
  }
  file_ = std::fopen(part_.c_str(), had_ > 0 ? "ab" : "wb");
  if (file_ == nullptr) {
    failed_ = FailedPrecondition(fmt::format("{}: {}", part_, std::strerror(errno)));
    return false;
  }
  if (tag_.empty()) {
    std::error_code ignored;
    std::filesystem::remove(tag_path_, ignored);
    return true;
  }
  failed_ = WriteFileAtomically(tag_path_, tag_);
  return failed_.ok();
}

bool Transfer::Write(std::string_view data) {
  if (file_ == nullptr && !Begin()) return false;
  const int64_t bytes = had_ + received_ + static_cast<int64_t>(data.size());
  if (bytes > options_.max_bytes) {
    failed_ = ResourceExhausted(fmt::format(
        "the server sends {} bytes or more, expected at most {}", bytes, options_.max_bytes));
    return false;
  }
  if (std::fwrite(data.data(), 1, data.size(), file_) != data.size()) {
    failed_ =
        ResourceExhausted(fmt::format("{}: {} at byte {}", part_, std::strerror(errno), bytes));
    return false;
  }
  received_ += static_cast<int64_t>(data.size());
  return true;
}

void Transfer::SetOptions() {
  CURL* curl = curl_.get();
  curl_easy_setopt(curl, CURLOPT_URL, options_.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
  curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutS);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilenceS);
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message_);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &OnData);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, this);
  if (!options_.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
  }
}

Status Transfer::Run() {
  curl_.reset(curl_easy_init());
  if (curl_ == nullptr) return InternalError("libcurl does not start");
  SetOptions();
  std::error_code missing;
  const auto there = static_cast<int64_t>(std::filesystem::file_size(part_, missing));
  const Result<std::string> tag = ReadFileUpTo(tag_path_, kMaxTagBytes);
  if (!missing && there > 0 && tag.ok()) {
    had_ = there;
    curl_easy_setopt(curl_.get(), CURLOPT_RANGE, fmt::format("{}-", had_).c_str());
    headers_.reset(curl_slist_append(nullptr, ("If-Range: " + *tag).c_str()));
    curl_easy_setopt(curl_.get(), CURLOPT_HTTPHEADER, headers_.get());
  }
  const CURLcode code = curl_easy_perform(curl_.get());
  if (file_ != nullptr && std::fflush(file_) != 0 && failed_.ok()) {
    failed_ = ResourceExhausted(fmt::format("{}: {}", part_, std::strerror(errno)));
  }
  return Explain(code);
}

Status Transfer::Explain(CURLcode code) {
  if (!failed_.ok()) return failed_;
  const std::string shown = ShownUrl(options_.url);
  if (code == CURLE_OK && received_ == 0) {
    return FailedPrecondition(shown + ": the server sent an empty file");
  }
  if (code == CURLE_OK) return OkStatus();
  long status = 0;
  curl_easy_getinfo(curl_.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status == kHttpRangeNotSatisfiable && had_ > 0) return OkStatus();  // it was whole
  if (code == CURLE_ABORTED_BY_CALLBACK) return Cancelled(shown + ": interrupted");
  const std::string what = message_[0] != '\0' ? message_ : curl_easy_strerror(code);
  const bool may_pass = code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR ||
                        code == CURLE_OPERATION_TIMEDOUT || code == CURLE_GOT_NOTHING ||
                        code == CURLE_HTTP2_STREAM;
  std::string message = fmt::format("{}: {}", shown, what);
  return may_pass ? Unavailable(std::move(message)) : FailedPrecondition(std::move(message));
}

}  // namespace

std::string ShownUrl(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t host = url.find("://") + 3;
  const size_t at = url.substr(host, url.find('/', host) - host).rfind('@');
  if (at == std::string_view::npos) return std::string(url);
  return fmt::format("{}{}", url.substr(0, host), url.substr(host + at + 1));
}

Status Download(const DownloadOptions& options, const DownloadProgress& progress,
                const std::atomic<bool>& stop) {
  if (!BeginsWith(options.url, "https://")) {
    return InvalidArgument("expected a URL that begins with https://");
  }
  Status status;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    Transfer transfer(options, progress, stop);
    status = transfer.Run();
    const bool again =
        !status.ok() && status.error().code == ErrorCode::kUnavailable && transfer.may_go_on();
    if (!again) break;
  }
  return status;
}

}  // namespace shoal
