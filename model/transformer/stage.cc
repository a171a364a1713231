#include "model/transformer/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "kernels/quant_formats.h"
#include "model/transformer/block.h"
#include "model/transformer/kv_cache.h"
#include "model/transformer/sampler.h"
#include "model/transformer/weights.h"

namespace shoal {

namespace {

// Logits are computed for as many positions at a time as fit.
constexpr int64_t kLogitsBytes = 8 << 20;
constexpr int64_t kMostLogitsRows = 64;

// Embedding rows are read from the mapped file; after this many the kernel may drop their pages, so
// that a large table does not become resident bit by bit.
constexpr int64_t kEmbeddingRowsBetweenReleases = 512;

struct Session {
  Session(KvSession pages, const SessionOpen& open)
      : kv(std::move(pages)), sampling(open.sampling) {
    history.prompt_tokens = open.prompt_tokens;
  }

  KvSession kv;
  SamplingParams sampling;
  TokenHistory history;       // kept on the last stage, if the sampling needs it
  int32_t next_position = 0;  // of the next slice
  bool failed = false;        // in a step that failed: its cache is not what its positions say
};

// How far into a step's slices the batches so far have come.
struct SliceCursor {
  size_t slice = 0;
  int32_t offset = 0;
};

int32_t LogitsRows(const ModelConfig& config) {
  const int64_t row_bytes = int64_t{config.vocab_size} * static_cast<int64_t>(sizeof(float));
  return static_cast<int32_t>(std::clamp<int64_t>(kLogitsBytes / row_bytes, 1, kMostLogitsRows));
}

}  // namespace

struct Stage::State {
  State(std::shared_ptr<const GgufFile> model_file, const ModelConfig& model_config,
        const StageOptions& stage_options, const kernels::KernelTable& table,
        ThreadPool& thread_pool, StageWeights stage_weights)
      : file(std::move(model_file)),
        config(model_config),
        options(stage_options),
        kernels(table),
        pool(thread_pool),
        weights(std::move(stage_weights)),
        kv(AttentionShapeOf(config, options.kv_type), options.range.size(),
           options.kv_budget_bytes),
        runner(config, AttentionShapeOf(config, options.kv_type), kernels, pool, weights.formats),
        x(static_cast<size_t>(BlockRunner::MaxRows(config)) *
          static_cast<size_t>(config.model_dim)) {
    if (is_last()) {
      logits.resize(static_cast<size_t>(LogitsRows(config)) *
                    static_cast<size_t>(config.vocab_size));
      scratch.resize(static_cast<size_t>(LogitsRows(config)));
      sampled.resize(scratch.size());
    }
  }

  bool is_first() const { return options.range.begin == 0; }
  bool is_last() const { return options.range.end == config.layers; }

  // Applying a step, in this order.
  Status Open(const std::vector<SessionOpen>& opens);
  Status CheckSize(const Step& step) const;
  Status Reserve(const Step& step);
  void Compute(Step& step, StepResult& result);
  void FailSessions(const Step& step);

  Status OpenOne(const SessionOpen& open);
  Status ReserveSlice(const Slice& slice);
  Status CheckTokens(const Slice& slice) const;
  void FillBatch(const Step& step, SliceCursor& cursor);
  void AddOutputs(const Slice& slice, Session& session, int32_t position, int32_t rows);
  void LookUpEmbeddings();
  void Answer(StepResult& result);

  // One row that the head computes, and for whom.
  struct OutputRow {
    Session* session;
    const Slice* slice;
    int32_t position;
  };

  const std::shared_ptr<const GgufFile> file;
  const ModelConfig config;
  const StageOptions options;
  const kernels::KernelTable& kernels;
  ThreadPool& pool;
  const StageWeights weights;
  KvCache kv;
  std::map<SessionId, Session> sessions;  // after kv: their pages go back to it
  BlockRunner runner;
  std::vector<float> x;                            // [MaxRows, model_dim]
  std::vector<float> logits;                       // [LogitsRows, vocab]
  std::vector<std::vector<TokenLogprob>> scratch;  // [LogitsRows]
  std::vector<SampledToken> sampled;               // [LogitsRows]

  // The batch being computed.
  Batch batch;
  std::vector<int32_t> batch_tokens;  // [batch.rows] on the first stage
  Batch output_batch;
  std::vector<OutputRow> output_rows;  // [output_batch.rows]

  int64_t embedding_rows_since_release = 0;
};

Status Stage::State::OpenOne(const SessionOpen& open) {
  const uint64_t id = open.session.value;
  if (sessions.contains(open.session)) {
    return FailedPrecondition(fmt::format("session {} is open already", id));
  }
  if (open.context_tokens < 1 || open.context_tokens > StepLimits::kMaxContextTokens) {
    return InvalidArgument(fmt::format("session {}: expected a context of 1 to {} tokens, not {}",
                                       id, StepLimits::kMaxContextTokens, open.context_tokens));
  }
  auto pages = kv.Admit(open.context_tokens);
  if (!pages.ok()) return pages.error().WithContext(fmt::format("session {}", id));
  sessions.try_emplace(open.session, std::move(pages).value(), open);
  return OkStatus();
}

Status Stage::State::Open(const std::vector<SessionOpen>& opens) {
  for (size_t i = 0; i < opens.size(); ++i) {
    Status status = OpenOne(opens[i]);
    if (status.ok()) continue;
    while (i > 0) sessions.erase(opens[--i].session);
    return status;
  }
  return OkStatus();
}

Status Stage::State::CheckSize(const Step& step) const {
  int64_t tokens = 0;
  for (const Slice& slice : step.slices) {
    if (slice.token_count < 1) {
      return InvalidArgument(
          fmt::format("session {}: a slice of {} tokens", slice.session.value, slice.token_count));
    }
    tokens += slice.token_count;
  }
  if (tokens > StepLimits::kMaxTokens) {
    return InvalidArgument(fmt::format("a step has at most {} tokens, this one has {}",
                                       StepLimits::kMaxTokens, tokens));
  }
  const int64_t expected = is_first() ? 0 : tokens * config.model_dim;
  if (static_cast<int64_t>(step.activations.size()) != expected) {
    return InvalidArgument(fmt::format("activations: expected {} values for {} tokens, not {}",
                                       expected, tokens, step.activations.size()));
  }
  return OkStatus();
}

Status Stage::State::CheckTokens(const Slice& slice) const {
  if (slice.tokens.size() != static_cast<size_t>(slice.token_count)) {
    return InvalidArgument(fmt::format("session {}: a slice of {} tokens comes with {} token ids",
                                       slice.session.value, slice.token_count,
                                       slice.tokens.size()));
  }
  for (int32_t token : slice.tokens) {
    if (token < 0 || token >= config.vocab_size) {
      return InvalidArgument(fmt::format("session {}: token id {} is outside the vocabulary of {}",
                                         slice.session.value, token, config.vocab_size));
    }
  }
  return OkStatus();
}

// Checks a slice against its session and takes the cache it needs.
Status Stage::State::ReserveSlice(const Slice& slice) {
  const uint64_t id = slice.session.value;
  const auto found = sessions.find(slice.session);
  if (found == sessions.end()) {
    return NotFound(fmt::format("session {} is not open on this stage", id));
  }
  Session& session = found->second;
  if (session.failed) {
    return FailedPrecondition(fmt::format("session {} was in a step that failed: close it", id));
  }
  if (slice.position != session.next_position) {
    return InvalidArgument(fmt::format("session {}: expected position {}, the slice has {}", id,
                                       session.next_position, slice.position));
  }
  if (slice.token_count > session.kv.context_tokens() - slice.position) {
    return ResourceExhausted(
        fmt::format("session {}: {} tokens from position {} on do not fit the "
                    "{} it was granted",
                    id, slice.token_count, slice.position, session.kv.context_tokens()));
  }
  const bool needs_history = is_last() && session.sampling.NeedsHistory();
  if (is_first() || needs_history) RETURN_IF_ERROR(CheckTokens(slice));
  if (needs_history) {
    std::vector<int32_t>& tokens = session.history.tokens;
    tokens.insert(tokens.end(), slice.tokens.begin(), slice.tokens.end());
  }
  session.next_position += slice.token_count;
  return session.kv.Grow(session.next_position);
}

Status Stage::State::Reserve(const Step& step) {
  std::set<SessionId> seen;
  for (const Slice& slice : step.slices) {
    if (!seen.insert(slice.session).second) {
      return InvalidArgument(
          fmt::format("session {} has two slices in one step", slice.session.value));
    }
    RETURN_IF_ERROR(ReserveSlice(slice));
  }
  return OkStatus();
}

void Stage::State::FailSessions(const Step& step) {
  for (const Slice& slice : step.slices) {
    const auto found = sessions.find(slice.session);
    if (found != sessions.end()) found->second.failed = true;
  }
}

// Fills `batch` with as many of the step's rows as fit.
void Stage::State::FillBatch(const Step& step, SliceCursor& cursor) {
  batch.Clear();
  batch_tokens.clear();
  output_batch.Clear();
  output_rows.clear();
  const int32_t max_rows = BlockRunner::MaxRows(config);
  while (cursor.slice < step.slices.size() && batch.rows < max_rows) {
    const Slice& slice = step.slices[cursor.slice];
    const int32_t rows = std::min(max_rows - batch.rows, slice.token_count - cursor.offset);
    Session& session = sessions.find(slice.session)->second;
    const int32_t position = slice.position + cursor.offset;
    batch.Add(&session.kv, position, rows);
    if (is_first()) {
      const auto first = slice.tokens.begin() + cursor.offset;
      batch_tokens.insert(batch_tokens.end(), first, first + rows);
    }
    if (is_last()) AddOutputs(slice, session, position, rows);
    cursor.offset += rows;
    if (cursor.offset == slice.token_count) cursor = {cursor.slice + 1, 0};
  }
}

void Stage::State::AddOutputs(const Slice& slice, Session& session, int32_t position,
                              int32_t rows) {
  const int32_t end = position + rows;
  int32_t first = end;
  if (slice.output == Output::kLogits) first = position;
  if (slice.output == Output::kSample && end == slice.position + slice.token_count) first = end - 1;
  if (first == end) return;
  output_batch.Add(&session.kv, first, end - first);
  for (int32_t p = first; p < end; ++p) output_rows.push_back({&session, &slice, p});
}

void Stage::State::LookUpEmbeddings() {
  const TensorInfo& table = *weights.embedding;
  const int64_t row_bytes = RowBytes(table.type, config.model_dim);
  float* row = x.data();
  for (int32_t token : batch_tokens) {
    kernels::DequantizeRow(table.type, table.bytes.data() + token * row_bytes, config.model_dim,
                           row);
    if (config.embedding_scale != 1) {
      kernels.multiply(row, config.embedding_scale, config.model_dim);
    }
    row += config.model_dim;
  }
  embedding_rows_since_release += batch.rows;
  if (embedding_rows_since_release >= kEmbeddingRowsBetweenReleases) {
    file->Release(table.bytes);
    embedding_rows_since_release = 0;
  }
}

void Stage::State::Compute(Step& step, StepResult& result) {
  const int64_t dim = config.model_dim;
  if (!is_last()) step.activations.resize(static_cast<size_t>(step.token_count() * dim));
  float* activations = step.activations.data();
  SliceCursor cursor;
  while (cursor.slice < step.slices.size()) {
    FillBatch(step, cursor);
    const size_t values = static_cast<size_t>(batch.rows * dim);
    if (is_first()) {
      LookUpEmbeddings();
    } else {
      std::memcpy(x.data(), activations, values * sizeof(float));
    }
    runner.StartBatch(batch);
    for (int32_t layer = 0; layer < options.range.size(); ++layer) {
      const bool ends = is_last() && layer + 1 == options.range.size();
      runner.Run(weights.layers[static_cast<size_t>(layer)], layer, batch,
                 ends ? &output_batch : nullptr, x.data());
    }
    if (is_last()) {
      Answer(result);
    } else {
      std::memcpy(activations, x.data(), values * sizeof(float));
    }
    activations += values;
  }
}

// Applies the head to the rows of x that are left, and samples.
void Stage::State::Answer(StepResult& result) {
  const auto vocab = static_cast<size_t>(config.vocab_size);
  const auto max_rows = static_cast<size_t>(LogitsRows(config));
  for (size_t first = 0; first < output_rows.size(); first += max_rows) {
    const size_t rows = std::min(max_rows, output_rows.size() - first);
    runner.Head(weights.output_norm, weights.head, static_cast<int32_t>(rows),
                x.data() + first * static_cast<size_t>(config.model_dim), logits.data());
    pool.ParallelFor(static_cast<int64_t>(rows), 1, [&](int64_t begin, int64_t end) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const OutputRow& row = output_rows[first + i];
        if (row.slice->output != Output::kSample) continue;
        sampled[i] =
            SampleToken(kernels, {logits.data() + i * vocab, vocab}, row.session->sampling,
                        row.session->history, row.slice->session, row.position + 1, scratch[i]);
      }
    });
    for (size_t i = 0; i < rows; ++i) {
      const OutputRow& row = output_rows[first + i];
      if (row.slice->output == Output::kSample) {
        result.tokens.push_back(std::move(sampled[i]));
      } else {
        const float* values = logits.data() + i * vocab;
        result.logits.push_back({row.slice->session, row.position, {values, values + vocab}});
      }
    }
  }
}

Result<std::unique_ptr<Stage>> Stage::Load(std::shared_ptr<const GgufFile> file,
                                           const ModelConfig& config, const StageOptions& options,
                                           const kernels::KernelTable& kernels, ThreadPool& pool,
                                           LoadProgress* progress) {
  const LayerRange range = options.range;
  if (range.begin < 0 || range.begin >= range.end || range.end > config.layers) {
    return InvalidArgument(fmt::format("layers [{}, {}) are not within [0, {})", range.begin,
                                       range.end, config.layers));
  }
  ASSIGN_OR_RETURN(
      StageWeights weights,
      LoadWeights(*file, config, range, options.most_weight_bytes, kernels, pool, progress));
  return std::unique_ptr<Stage>(new Stage(std::make_unique<State>(
      std::move(file), config, options, kernels, pool, std::move(weights))));
}

Stage::Stage(std::unique_ptr<State> state) : state_(std::move(state)) {}
Stage::~Stage() = default;

const ModelConfig& Stage::config() const { return state_->config; }
const StageOptions& Stage::options() const { return state_->options; }
int64_t Stage::weight_bytes_per_token() const { return state_->weights.bytes_per_token; }
size_t Stage::open_sessions() const { return state_->sessions.size(); }
void Stage::CloseAll() { state_->sessions.clear(); }

StageMemory Stage::memory() const {
  const size_t floats = state_->x.size() + state_->logits.size();
  return {
      .weights_bytes = state_->weights.resident_bytes,
      .kv_bytes = state_->kv.used_bytes(),
      .buffer_bytes = state_->runner.buffer_bytes() + static_cast<int64_t>(floats * sizeof(float))};
}

Status Stage::Run(Step& step, StepResult& result, int64_t (*clock_ns)()) {
  State& state = *state_;
  const int64_t start_ns = clock_ns();
  for (SessionId session : step.closes) state.sessions.erase(session);
  Status status = state.Open(step.opens);
  if (status.ok()) status = state.CheckSize(step);
  if (status.ok()) status = state.Reserve(step);
  if (!status.ok()) {
    state.FailSessions(step);
    return status;
  }
  state.Compute(step, result);
  if (!is_last()) {
    for (Slice& slice : step.slices) {
      if (!state.sessions.find(slice.session)->second.sampling.NeedsHistory()) slice.tokens.clear();
    }
  }
  step.timings.push_back({state.options.stage_index, clock_ns() - start_ns});
  if (is_last()) {
    result.epoch = step.epoch;
    result.id = step.id;
    result.last = true;
    result.timings = step.timings;
  }
  return OkStatus();
}

}  // namespace shoal
