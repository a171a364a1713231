// Tokens to text for one request: incremental detokenization that never splits a character, and
// stop strings, which may span tokens: text that could still become one is held back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "coordinator/engine.h"
#include "model/text/tokenizer.h"

namespace shoal {

struct TextLimits {
  static constexpr size_t kMaxStopStrings = 16;
  static constexpr size_t kMaxStopStringBytes = 1024;
};

// What a request for text hears: like GenerationSink, in text. Same thread rule.
class TextSink {
 public:
  virtual ~TextSink() = default;
  // `text` may be empty (a token that completes no character, or is held back). `token` is the one
  // that was just sampled, with its logprobs if asked for.
  virtual void OnText(std::string_view text, const SampledToken& token) = 0;
  // `tail` is text that was held back and belongs to the answer.
  virtual void OnFinish(std::string_view tail, FinishReason reason,
                        const std::optional<Error>& error, const GenerationStats& stats) = 0;
};

class TextStream final : public GenerationSink {
 public:
  // `tokenizer` outlives the stream; `sink` is owned.
  TextStream(const Tokenizer& tokenizer, std::vector<std::string> stop_strings,
             std::unique_ptr<TextSink> sink);

  bool OnToken(const SampledToken& token) override;
  void OnFinish(FinishReason reason, const std::optional<Error>& error,
                const GenerationStats& stats) override;

 private:
  // Moves what can be shown from held_ to the caller; sets stopped_ at a stop string.
  std::string Release(bool final);

  Detokenizer detokenizer_;
  std::vector<std::string> stop_strings_;
  std::unique_ptr<TextSink> sink_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace shoal
