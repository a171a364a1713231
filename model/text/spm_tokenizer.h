// SentencePiece-style tokenizer ("llama" in metadata): characters are merged into tokens, at each
// step the two neighbours whose union has the highest score; what is no token falls back to bytes.
// Source: Kudo & Richardson 2018 (SentencePiece), its BPE mode.
#pragma once

#include <memory>

#include "base/result.h"
#include "model/gguf/gguf_file.h"
#include "model/text/tokenizer.h"

namespace shoal {

// Errors as Tokenizer::Load.
Result<std::unique_ptr<Tokenizer>> LoadSpmTokenizer(const GgufFile& file);

}  // namespace shoal
