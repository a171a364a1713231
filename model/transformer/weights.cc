#include "model/transformer/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>

#include "kernels/quant_formats.h"

namespace shoal {

namespace {

// Matrices are packed and dropped from the page cache's mapping in pieces of this size, so that
// loading needs hardly more memory than the packed form.
constexpr int64_t kPackPieceBytes = 16 << 20;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// First finds and checks every tensor, then packs: an unfit file is refused before the long part.
class WeightLoader {
 public:
  WeightLoader(const GgufFile& file, const ModelConfig& config, const kernels::KernelTable& kernels)
      : file_(file), config_(config), kernels_(kernels) {}

  Status FindLayer(int32_t index, LayerWeights& layer);
  Status FindEnds(LayerRange range, StageWeights& weights);
  Status Pack(ThreadPool& pool, LoadProgress* progress, StageWeights& weights);

 private:
  struct PlannedMatrix {
    const TensorInfo* tensor;
    kernels::WeightMatrix* matrix;
    int64_t packed_bytes;   // 0: stays in the file
    int64_t packed_offset;  // in the packed buffer
  };

  Result<const TensorInfo*> Find(const std::string& name, std::vector<int64_t> shape);
  Status FindMatrix(const std::string& name, int64_t rows, int64_t cols,
                    kernels::WeightMatrix& matrix);
  Status FindVector(const std::string& name, int64_t values, bool required,
                    std::vector<float>& vector);
  Status CheckNoOthers(std::string_view prefix) const;
  void PackMatrix(const PlannedMatrix& planned, ThreadPool& pool, LoadProgress* progress,
                  std::byte* to) const;

  const GgufFile& file_;
  const ModelConfig& config_;
  const kernels::KernelTable& kernels_;
  std::vector<PlannedMatrix> planned_;
  std::set<std::string, std::less<>> known_names_;
};

Result<const TensorInfo*> WeightLoader::Find(const std::string& name, std::vector<int64_t> shape) {
  const TensorInfo* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return NotFound(fmt::format("the file has no tensor {}", name));
  // Dimensions of 1 at the end carry no meaning.
  std::vector<int64_t> found = tensor->shape;
  while (found.size() > shape.size() && found.back() == 1) found.pop_back();
  if (found != shape) {
    return InvalidArgument(fmt::format("{}: expected shape [{}], the file has [{}]", name,
                                       fmt::join(shape, ", "), fmt::join(tensor->shape, ", ")));
  }
  known_names_.insert(name);
  return tensor;
}

Status WeightLoader::FindMatrix(const std::string& name, int64_t rows, int64_t cols,
                                kernels::WeightMatrix& matrix) {
  ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name, {cols, rows}));
  matrix = {tensor->type, rows, cols, tensor->bytes.data(), false};
  planned_.push_back({tensor, &matrix, kernels_.packed_bytes(tensor->type, rows, cols), 0});
  return OkStatus();
}

Status WeightLoader::FindVector(const std::string& name, int64_t values, bool required,
                                std::vector<float>& vector) {
  if (!required && file_.FindTensor(name) == nullptr) return OkStatus();
  ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name, {values}));
  vector.resize(static_cast<size_t>(values));
  kernels::DequantizeRow(tensor->type, tensor->bytes.data(), values, vector.data());
  return OkStatus();
}

Status WeightLoader::FindLayer(int32_t index, LayerWeights& layer) {
  const std::string prefix = fmt::format("blk.{}.", index);
  const int64_t dim = config_.model_dim;
  const int64_t q_dim = int64_t{config_.heads} * config_.head_dim;
  const int64_t kv_dim = int64_t{config_.kv_heads} * config_.head_dim;
  const int64_t ffn = config_.ffn_dim;
  const bool bias = config_.qkv_bias;
  RETURN_IF_ERROR(FindVector(prefix + "attn_norm.weight", dim, true, layer.attn_norm));
  RETURN_IF_ERROR(FindMatrix(prefix + "attn_q.weight", q_dim, dim, layer.attn_q));
  RETURN_IF_ERROR(FindMatrix(prefix + "attn_k.weight", kv_dim, dim, layer.attn_k));
  RETURN_IF_ERROR(FindMatrix(prefix + "attn_v.weight", kv_dim, dim, layer.attn_v));
  RETURN_IF_ERROR(FindVector(prefix + "attn_q.bias", q_dim, bias, layer.q_bias));
  RETURN_IF_ERROR(FindVector(prefix + "attn_k.bias", kv_dim, bias, layer.k_bias));
  RETURN_IF_ERROR(FindVector(prefix + "attn_v.bias", kv_dim, bias, layer.v_bias));
  if (config_.qk_norm) {
    RETURN_IF_ERROR(
        FindVector(prefix + "attn_q_norm.weight", config_.head_dim, true, layer.q_norm));
    RETURN_IF_ERROR(
        FindVector(prefix + "attn_k_norm.weight", config_.head_dim, true, layer.k_norm));
  }
  RETURN_IF_ERROR(FindMatrix(prefix + "attn_output.weight", dim, q_dim, layer.attn_output));
  RETURN_IF_ERROR(FindVector(prefix + "attn_output.bias", dim, false, layer.attn_output_bias));
  RETURN_IF_ERROR(FindVector(prefix + "ffn_norm.weight", dim, true, layer.ffn_norm));
  RETURN_IF_ERROR(FindMatrix(prefix + "ffn_gate.weight", ffn, dim, layer.ffn_gate));
  RETURN_IF_ERROR(FindMatrix(prefix + "ffn_up.weight", ffn, dim, layer.ffn_up));
  RETURN_IF_ERROR(FindMatrix(prefix + "ffn_down.weight", dim, ffn, layer.ffn_down));
  return CheckNoOthers(prefix);
}

// A tensor that the forward pass would ignore makes fluent nonsense, so it is refused.
Status WeightLoader::CheckNoOthers(std::string_view prefix) const {
  for (const TensorInfo& tensor : file_.tensors()) {
    if (tensor.name.starts_with(prefix) && !known_names_.contains(tensor.name)) {
      return Unimplemented(fmt::format("{}: {} models with this tensor are not supported",
                                       tensor.name, config_.architecture));
    }
  }
  return OkStatus();
}

Status WeightLoader::FindEnds(LayerRange range, StageWeights& weights) {
  const int64_t dim = config_.model_dim;
  const int64_t vocab = config_.vocab_size;
  if (range.begin == 0) {
    ASSIGN_OR_RETURN(weights.embedding, Find("token_embd.weight", {dim, vocab}));
  }
  if (range.end == config_.layers) {
    RETURN_IF_ERROR(FindVector("output_norm.weight", dim, true, weights.output_norm));
    const char* head = config_.tied_embeddings ? "token_embd.weight" : "output.weight";
    RETURN_IF_ERROR(FindMatrix(head, vocab, dim, weights.head));
  }
  return OkStatus();
}

Status WeightLoader::Pack(ThreadPool& pool, LoadProgress* progress, StageWeights& weights) {
  int64_t packed_bytes = 0;
  int64_t file_bytes = 0;
  for (PlannedMatrix& planned : planned_) {
    planned.packed_offset = packed_bytes;
    packed_bytes += RoundUp(planned.packed_bytes, 64);
    file_bytes += static_cast<int64_t>(planned.tensor->bytes.size());
    weights.bytes_per_token += planned.packed_bytes != 0
                                   ? planned.packed_bytes
                                   : static_cast<int64_t>(planned.tensor->bytes.size());
  }
  if (progress != nullptr) progress->bytes_total = file_bytes;
  ASSIGN_OR_RETURN(weights.packed, AlignedBuffer::Make(packed_bytes));
  weights.resident_bytes = weights.bytes_per_token;
  for (const PlannedMatrix& planned : planned_) {
    if (planned.packed_bytes == 0) {
      if (progress != nullptr) {
        progress->bytes_done += static_cast<int64_t>(planned.tensor->bytes.size());
      }
      continue;
    }
    std::byte* to = weights.packed.data() + planned.packed_offset;
    PackMatrix(planned, pool, progress, to);
    planned.matrix->data = to;
    planned.matrix->packed = true;
  }
  return OkStatus();
}

void WeightLoader::PackMatrix(const PlannedMatrix& planned, ThreadPool& pool,
                              LoadProgress* progress, std::byte* to) const {
  const kernels::WeightMatrix& from = *planned.matrix;
  const int64_t row_bytes = RowBytes(from.type, from.cols);
  const int64_t piece_rows =
      RoundUp(std::max<int64_t>(1, kPackPieceBytes / row_bytes), kernels::kRowUnit);
  for (int64_t begin = 0; begin < from.rows; begin += piece_rows) {
    const int64_t end = std::min(from.rows, begin + piece_rows);
    const int64_t units = (end - begin + kernels::kRowUnit - 1) / kernels::kRowUnit;
    const int64_t grain = std::max<int64_t>(1, units / (int64_t{pool.threads()} * 4));
    pool.ParallelFor(units, grain, [&](int64_t first, int64_t last) {
      kernels_.pack(from, begin + first * kernels::kRowUnit,
                    std::min(end, begin + last * kernels::kRowUnit), to);
    });
    TensorInfo piece = *planned.tensor;
    piece.bytes = piece.bytes.subspan(static_cast<size_t>(begin * row_bytes),
                                      static_cast<size_t>((end - begin) * row_bytes));
    file_.Release(piece);
    if (progress != nullptr) progress->bytes_done += (end - begin) * row_bytes;
  }
}

}  // namespace

Result<StageWeights> LoadWeights(const GgufFile& file, const ModelConfig& config, LayerRange range,
                                 const kernels::KernelTable& kernels, ThreadPool& pool,
                                 LoadProgress* progress) {
  StageWeights weights;
  weights.layers.resize(static_cast<size_t>(range.size()));
  WeightLoader loader(file, config, kernels);
  for (int32_t i = range.begin; i < range.end; ++i) {
    RETURN_IF_ERROR(loader.FindLayer(i, weights.layers[static_cast<size_t>(i - range.begin)]));
  }
  RETURN_IF_ERROR(loader.FindEnds(range, weights));
  RETURN_IF_ERROR(loader.Pack(pool, progress, weights));
  return weights;
}

}  // namespace shoal
