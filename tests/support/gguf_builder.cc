#include "tests/support/gguf_builder.h"

#include <random>

namespace shoal {

namespace {

// Appends named fields to a file.
class FieldWriter {
 public:
  explicit FieldWriter(BuiltGguf& file) : file_(file) {}

  template <typename T>
  void Number(const std::string& field, T value) {
    Bytes(field, Encode(value));
  }
  void Text(const std::string& field, std::string_view text) {
    Number(field + " length", uint64_t{text.size()});
    Bytes(field, text);
  }
  void Bytes(const std::string& field, std::string_view bytes) {
    file_.fields[field] = {file_.bytes.size(), bytes.size()};
    file_.bytes += bytes;
  }

 private:
  BuiltGguf& file_;
};

size_t RoundUp(size_t size, uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

}  // namespace

std::string EncodeString(std::string_view text) {
  return Encode(uint64_t{text.size()}) + std::string(text);
}

std::string EncodeArray(GgufTypeNumber element_type, const std::vector<std::string>& elements) {
  std::string encoded = Encode(element_type) + Encode(uint64_t{elements.size()});
  for (const std::string& element : elements) encoded += element;
  return encoded;
}

void GgufBuilder::AddRaw(const std::string& key, GgufTypeNumber type, std::string encoded) {
  pairs_.push_back({key, type, std::move(encoded)});
}

void GgufBuilder::AddString(const std::string& key, std::string_view value) {
  AddRaw(key, GgufTypeNumber::kString, EncodeString(value));
}

void GgufBuilder::AddStrings(const std::string& key, const std::vector<std::string>& values) {
  std::vector<std::string> elements;
  for (const std::string& value : values) elements.push_back(EncodeString(value));
  AddRaw(key, GgufTypeNumber::kArray, EncodeArray(GgufTypeNumber::kString, elements));
}

void GgufBuilder::AddUint16(const std::string& key, uint16_t value) {
  AddRaw(key, GgufTypeNumber::kUint16, Encode(value));
}

void GgufBuilder::AddUint32(const std::string& key, uint32_t value) {
  AddRaw(key, GgufTypeNumber::kUint32, Encode(value));
}

void GgufBuilder::AddInt32(const std::string& key, int32_t value) {
  AddRaw(key, GgufTypeNumber::kInt32, Encode(value));
}

void GgufBuilder::AddFloat(const std::string& key, float value) {
  AddRaw(key, GgufTypeNumber::kFloat32, Encode(value));
}

void GgufBuilder::AddBool(const std::string& key, bool value) {
  AddRaw(key, GgufTypeNumber::kBool, Encode(static_cast<uint8_t>(value ? 1 : 0)));
}

void GgufBuilder::AddAlignment(uint32_t value) {
  alignment = value;
  AddUint32("general.alignment", value);
}

void GgufBuilder::AddTensor(const std::string& name, TensorType type,
                            const std::vector<int64_t>& shape) {
  int64_t rows = 1;
  for (size_t i = 1; i < shape.size(); ++i) rows *= shape[i];
  const int64_t bytes = RowBytes(type, shape.empty() ? 1 : shape[0]) * rows;
  std::seed_seq seed(name.begin(), name.end());
  std::mt19937 random(seed);
  std::string data(static_cast<size_t>(bytes), '\0');
  for (char& byte : data) byte = static_cast<char>(random() & 0xff);
  AddTensor(name, type, shape, std::move(data));
}

void GgufBuilder::AddTensor(const std::string& name, TensorType type,
                            const std::vector<int64_t>& shape, std::string bytes) {
  tensors_.push_back({name, type, shape, std::move(bytes)});
}

BuiltGguf GgufBuilder::Build() const {
  BuiltGguf file;
  FieldWriter writer(file);
  writer.Bytes("magic", "GGUF");
  writer.Number("version", version);
  writer.Number("tensor count", uint64_t{tensors_.size()});
  writer.Number("metadata count", uint64_t{pairs_.size()});
  for (size_t i = 0; i < pairs_.size(); ++i) {
    const Pair& pair = pairs_[i];
    writer.Text("metadata pair[" + std::to_string(i) + "] key", pair.key);
    writer.Number("metadata " + pair.key + " type", pair.type);
    writer.Bytes("metadata " + pair.key, pair.encoded);
  }
  size_t offset = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    const std::string field = "tensor " + tensor.name;
    writer.Text("tensor[" + std::to_string(i) + "] name", tensor.name);
    writer.Number(field + " dimension count", static_cast<uint32_t>(tensor.shape.size()));
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      writer.Number(field + " dimension[" + std::to_string(d) + "]", tensor.shape[d]);
    }
    writer.Number(field + " type", static_cast<uint32_t>(tensor.type));
    writer.Number(field + " offset", uint64_t{offset});
    offset = RoundUp(offset + tensor.bytes.size(), alignment);
  }
  if (tensors_.empty()) return file;
  file.bytes.resize(RoundUp(file.bytes.size(), alignment));
  const size_t data_begin = file.bytes.size();
  for (const Tensor& tensor : tensors_) {
    file.bytes.resize(data_begin + RoundUp(file.bytes.size() - data_begin, alignment));
    writer.Bytes("tensor " + tensor.name + " data", tensor.bytes);
  }
  return file;
}

GgufBuilder VariedGguf() {
  using enum GgufTypeNumber;
  GgufBuilder builder;
  builder.AddString("general.architecture", "llama");
  builder.AddRaw("t.u8", kUint8, Encode<uint8_t>(200));
  builder.AddRaw("t.i8", kInt8, Encode<int8_t>(-100));
  builder.AddUint16("t.u16", 60'000);
  builder.AddRaw("t.i16", kInt16, Encode<int16_t>(-30'000));
  builder.AddUint32("t.u32", 4'000'000'000);
  builder.AddInt32("t.i32", -2'000'000'000);
  builder.AddFloat("t.f32", 1.5F);
  builder.AddBool("t.bool", true);
  builder.AddRaw("t.u64", kUint64, Encode<uint64_t>(1'000'000'000'000));
  builder.AddRaw("t.i64", kInt64, Encode<int64_t>(-1'000'000'000'000));
  builder.AddRaw("t.f64", kFloat64, Encode(2.25));
  builder.AddStrings("a.strings", {"one", "", "\xff\xfe"});
  builder.AddRaw("a.i32", kArray, EncodeArray(kInt32, {Encode(1), Encode(-2), Encode(3)}));
  builder.AddRaw("a.f32", kArray, EncodeArray(kFloat32, {Encode(0.5F), Encode(-0.5F)}));
  builder.AddRaw("a.bool", kArray, EncodeArray(kBool, {"\1", std::string(1, '\0')}));
  builder.AddRaw(
      "a.nested", kArray,
      EncodeArray(kArray, {EncodeArray(kUint8, {"\1", "\2"}), EncodeArray(kString, {})}));
  builder.AddTensor("token_embd.weight", TensorType::kQ4_0, {64, 3});
  builder.AddTensor("norm.weight", TensorType::kF32, {5});
  builder.AddTensor("cube", TensorType::kF16, {2, 3, 4});
  builder.AddTensor("scalar", TensorType::kF32, {});
  builder.AddTensor("k", TensorType::kQ6_K, {256, 2});
  return builder;
}

}  // namespace shoal
