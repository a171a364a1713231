#include "model/transformer/weight_loader.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/quant_formats.h"

namespace shoal {

namespace {

// Matrices are packed in pieces of this size, which are dropped from the mapping of the file soon
// after, so that loading needs hardly more memory than the packed form; several at once, since each
// call interrupts every processor.
constexpr int64_t kPackPieceBytes = 8 << 20;
constexpr int64_t kReleaseBytes = 16 << 20;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

}  // namespace

Result<const TensorInfo*> WeightLoader::Find(const std::string& name,
                                             const std::vector<int64_t>& shape) {
  const TensorInfo* tensor = file_.FindTensor(name);
  if (tensor == nullptr) return NotFound(fmt::format("the file has no tensor {}", name));
  // Dimensions of 1 at the end carry no meaning.
  std::vector<int64_t> found = tensor->shape;
  while (found.size() > shape.size() && found.back() == 1) found.pop_back();
  if (found != shape) {
    return InvalidArgument(fmt::format("{}: expected shape [{}], the file has [{}]", name,
                                       fmt::join(shape, ", "), fmt::join(tensor->shape, ", ")));
  }
  if (tensor->bytes.empty()) {
    return NotFound(fmt::format("{}: its bytes are not on this device", name));
  }
  known_names_.insert(name);
  return tensor;
}

Status WeightLoader::FindPart(const std::string& name, const std::vector<int64_t>& shape, Part part,
                              kernels::WeightMatrix& matrix) {
  ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name, shape));
  const int64_t row_bytes = RowBytes(tensor->type, tensor->cols());
  TensorInfo found = *tensor;
  found.bytes = tensor->bytes.subspan(static_cast<size_t>(part.first_row * row_bytes),
                                      static_cast<size_t>(part.rows * row_bytes));
  matrix = {tensor->type, part.rows, tensor->cols(), found.bytes.data(), false};
  const int64_t packed_bytes = kernels_.packed_bytes(matrix.type, matrix.rows, matrix.cols);
  planned_.push_back({std::move(found), &matrix, part.expert, packed_bytes, 0});
  return OkStatus();
}

Status WeightLoader::FindVector(const std::string& name, int64_t values, bool required,
                                std::vector<float>& vector) {
  if (!required && !Has(name)) return OkStatus();
  ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name, {values}));
  vector.resize(static_cast<size_t>(values));
  kernels::DequantizeRow(tensor->type, tensor->bytes.data(), values, vector.data());
  return OkStatus();
}

Status WeightLoader::FindRow(const std::string& name, int64_t values, int64_t rows, int64_t row,
                             std::vector<float>& vector) {
  ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name, {values, rows}));
  vector.resize(static_cast<size_t>(values));
  kernels::DequantizeRow(tensor->type, tensor->bytes.data() + row * RowBytes(tensor->type, values),
                         values, vector.data());
  return OkStatus();
}

Status WeightLoader::CheckNoOthers(std::string_view prefix) const {
  for (const TensorInfo& tensor : file_.tensors()) {
    if (tensor.name.starts_with(prefix) && !known_names_.contains(tensor.name)) {
      return Unimplemented(fmt::format("{}: {} models with this tensor are not supported",
                                       tensor.name, config_.architecture));
    }
  }
  return OkStatus();
}

Status WeightLoader::Pack(ThreadPool& pool, int64_t most_bytes, LoadProgress* progress,
                          StageWeights& weights) {
  int64_t packed_bytes = 0;
  int64_t file_bytes = 0;
  int64_t expert_bytes = 0;
  for (PlannedMatrix& planned : planned_) {
    planned.packed_offset = packed_bytes;
    packed_bytes += RoundUp(planned.packed_bytes, 64);
    file_bytes += planned.file_bytes();
    weights.resident_bytes += planned.resident_bytes();
    if (planned.expert) expert_bytes += planned.resident_bytes();
    weights.formats.Add(planned.matrix->type);
  }
  if (weights.resident_bytes > most_bytes) {
    return ResourceExhausted(fmt::format("its weights need {} MiB, there is room for {}",
                                         weights.resident_bytes >> 20, most_bytes >> 20));
  }
  weights.bytes_per_token = weights.resident_bytes;
  if (expert_bytes != 0) {
    weights.bytes_per_token -=
        expert_bytes / config_.experts * (config_.experts - config_.experts_used);
  }
  if (progress != nullptr) progress->bytes_total = file_bytes;
  ASSIGN_OR_RETURN(weights.packed, AlignedBuffer::Make(packed_bytes));
  for (const PlannedMatrix& planned : planned_) {
    if (progress != nullptr && progress->cancelled) return Cancelled("loading was given up");
    if (planned.packed_bytes == 0) {
      if (progress != nullptr) progress->bytes_done += planned.file_bytes();
      continue;
    }
    std::byte* to = weights.packed.data() + planned.packed_offset;
    PackMatrix(planned, pool, progress, to);
    planned.matrix->data = to;
    planned.matrix->packed = true;
  }
  ReleasePacked(pool);
  return OkStatus();
}

void WeightLoader::ReleasePacked(ThreadPool& pool) {
  pool.ParallelFor(static_cast<int64_t>(packed_.size()), 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) file_.Release(packed_[static_cast<size_t>(i)]);
  });
  packed_.clear();
  packed_bytes_ = 0;
}

void WeightLoader::PackMatrix(const PlannedMatrix& planned, ThreadPool& pool,
                              LoadProgress* progress, std::byte* to) {
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
    packed_.push_back(planned.tensor.bytes.subspan(static_cast<size_t>(begin * row_bytes),
                                                   static_cast<size_t>((end - begin) * row_bytes)));
    packed_bytes_ += (end - begin) * row_bytes;
    if (packed_bytes_ >= kReleaseBytes) ReleasePacked(pool);
    if (progress != nullptr) progress->bytes_done += (end - begin) * row_bytes;
  }
}

}  // namespace shoal
