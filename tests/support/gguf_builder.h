// Writes small GGUF files for tests and remembers where each field lies, so that a test can damage
// a field by the name under which the reader's errors speak of it.
//
//   GgufBuilder builder;
//   builder.AddString("general.architecture", "llama");
//   builder.AddTensor("a.weight", TensorType::kF32, {4, 2});
//   BuiltGguf file = builder.Build();
//   file.Patch<uint64_t>("tensor a.weight offset", 33);
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "model/gguf/tensor_type.h"

namespace shoal {

// The numbers of metadata types in a file.
enum class GgufTypeNumber : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// Little-endian pieces as they stand in a file.
template <typename T>
std::string Encode(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(T));
}
std::string EncodeString(std::string_view text);  // u64 length and bytes
// Element type, count and the elements, which are encoded already.
std::string EncodeArray(GgufTypeNumber element_type, const std::vector<std::string>& elements);

struct BuiltGguf {
  struct Field {
    size_t offset = 0;
    size_t size = 0;
  };

  std::string bytes;
  std::map<std::string, Field> fields;  // by the reader's name: "tensor count", "metadata x type"

  std::span<const std::byte> span() const { return std::as_bytes(std::span(bytes)); }

  // REQUIRES a field of that name and size.
  template <typename T>
  void Patch(const std::string& field, const T& value) {
    const auto found = fields.find(field);
    CHECK(found != fields.end(), "no field " + field);
    CHECK(found->second.size == sizeof(T), "another size: field " + field);
    std::memcpy(bytes.data() + found->second.offset, &value, sizeof(T));
  }
};

class GgufBuilder {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  // what Build() lays tensors out by; AddAlignment() also writes it

  // `encoded` is the value as it stands in a file.
  void AddRaw(const std::string& key, GgufTypeNumber type, std::string encoded);
  void AddString(const std::string& key, std::string_view value);
  void AddStrings(const std::string& key, const std::vector<std::string>& values);
  void AddUint16(const std::string& key, uint16_t value);
  void AddUint32(const std::string& key, uint32_t value);
  void AddInt32(const std::string& key, int32_t value);
  void AddFloat(const std::string& key, float value);
  void AddBool(const std::string& key, bool value);
  void AddAlignment(uint32_t value);

  // A tensor whose bytes depend on its name only. REQUIRES whole blocks per row.
  void AddTensor(const std::string& name, TensorType type, const std::vector<int64_t>& shape);
  // The same with these bytes.
  void AddTensor(const std::string& name, TensorType type, const std::vector<int64_t>& shape,
                 std::string bytes);

  // The file ends with the last byte of the last tensor: no padding after it.
  BuiltGguf Build() const;

 private:
  struct Pair {
    std::string key;
    GgufTypeNumber type;
    std::string encoded;
  };
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<int64_t> shape;
    std::string bytes;
  };
  std::vector<Pair> pairs_;
  std::vector<Tensor> tensors_;
};

// A file with a value of every metadata type, arrays of several, and tensors of several types.
GgufBuilder VariedGguf();

}  // namespace shoal
