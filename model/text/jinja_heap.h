// The Heap of one rendering: makes values, counts steps and live bytes against the limits of
// TemplateLimits, and frees everything when it goes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "model/text/jinja_value.h"

namespace shoal::jinja {

// Every failure of a template but raise_exception.
Error Fail(std::string message);

class Heap {
 public:
  Heap() = default;
  ~Heap();
  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // Counts work done; false beyond the limit, for which Exhausted() is the error.
  [[nodiscard]] bool Spend(int64_t steps) {
    steps_ += steps;
    return steps_ <= max_steps_;
  }
  Error Exhausted() const;
  // Counts work on this many bytes and fails where that, or holding them, would exceed a limit.
  Status SpendBytes(size_t bytes);
  // Counts work that looks at every one of so many bytes.
  Status SpendScan(size_t bytes);
  // SpendBytes, before a string of this size is built.
  Status SpendText(size_t bytes);

  Result<Value> String(std::string text, bool markup = false);
  Result<Value> List(std::vector<Value> items) { return Sequence(Type::kList, std::move(items)); }
  Result<Value> Tuple(std::vector<Value> items) { return Sequence(Type::kTuple, std::move(items)); }
  Result<Value> EmptyDict();
  // Null where the key is absent; fails for an unhashable one.
  Result<const Value*> FindItem(const Value& dict, const Value& key);
  // Adds or replaces; fails for an unhashable key. Only while the dict is being made.
  Status SetItem(Value& dict, Value key, Value item);
  Result<Value> Undefined(std::string message);
  Result<Value> Iterator(IteratorObject::Source source, std::string_view name = "generator");
  template <typename T, typename... Args>
  Result<Value> Make(Args&&... args) {
    RETURN_IF_ERROR(SpendBytes(sizeof(T)));
    return Value::Of(new T(*this, std::forward<Args>(args)...));
  }

  // One level of recursion through Nesting objects.
  class Nesting {
   public:
    explicit Nesting(Heap& heap) : heap_(heap) { ++heap_.depth_; }
    ~Nesting() { --heap_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;
    [[nodiscard]] bool ok() const { return heap_.depth_ <= kMaxDepth; }

   private:
    Heap& heap_;
  };
  static Error TooDeep();

  // Counts bytes that are held outside of values, while it lives.
  class Hold {
   public:
    explicit Hold(Heap& heap) : heap_(heap) {}
    ~Hold() { heap_.live_bytes_ -= bytes_; }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    Status Grow(size_t bytes) {
      RETURN_IF_ERROR(heap_.SpendBytes(bytes));
      heap_.live_bytes_ += bytes;
      bytes_ += bytes;
      return OkStatus();
    }

   private:
    Heap& heap_;
    size_t bytes_ = 0;
  };

 private:
  friend struct Object;
  friend struct MutableObject;
  friend class Value;
  // Levels of evaluation in all: a macro's call takes about eight, and each at most about 3 KiB of
  // stack in an instrumented build.
  static constexpr int kMaxDepth = 1000;

  Result<Value> Sequence(Type type, std::vector<Value> items);
  // Deletes an object without references, and what that leaves without references, in a loop: a
  // long chain of objects must not recurse.
  void Dispose(Object* object);

  int64_t steps_ = 0;
  const int64_t max_steps_ = MaxSteps();
  size_t live_bytes_ = 0;
  int depth_ = 0;
  bool disposing_ = false;
  std::vector<Object*> to_dispose_;
  MutableObject* mutable_objects_ = nullptr;

  static int64_t MaxSteps();
};

inline void Value::Release() {
  if (--data_.object->references == 0) data_.object->heap.Dispose(data_.object);
}

}  // namespace shoal::jinja
