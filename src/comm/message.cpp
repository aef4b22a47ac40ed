#include "comm/message.h"

#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <type_traits>

#include "base/error.h"

namespace kvcomm {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian");

std::string_view name(PayloadKind kind) {
  constexpr std::array<std::string_view, kKinds> kNames{"kv", "tokens", "vectors", "hidden",
                                                        "layers"};
  return kNames.at(static_cast<size_t>(kind));
}

int64_t rows_of(const TensorSpec& spec, const SampleRows& sample) {
  return spec.first_row_only ? 1 : sample.rows;
}

int64_t bytes_per_row(const TensorSpec& spec) {
  return std::accumulate(spec.row_shape.begin(), spec.row_shape.end(),
                         static_cast<int64_t>(c10::elementSize(spec.dtype)), std::multiplies<>());
}

std::vector<int64_t> shape_of(const TensorSpec& spec, const Header& header) {
  std::vector<int64_t> shape{0};
  for (const SampleRows& sample : header.samples) shape[0] += rows_of(spec, sample);
  shape.insert(shape.end(), spec.row_shape.begin(), spec.row_shape.end());
  return shape;
}

uint64_t payload_bytes(const Header& header) {
  int64_t bytes = 0;
  for (const TensorSpec& spec : header.tensors) {
    bytes += shape_of(spec, header)[0] * bytes_per_row(spec);
  }
  return static_cast<uint64_t>(bytes);
}

namespace {

// Values of fixed size, one after the other; texts and lists with their length before them.
class Writer {
 public:
  template <typename T>
  Writer& operator<<(const T& value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  Writer& operator<<(const std::string& text) {
    *this << static_cast<uint32_t>(text.size());
    bytes_ += text;
    return *this;
  }
  std::string take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  Reader(std::string_view bytes, std::string_view what) : bytes_(bytes), what_(what) {}

  template <typename T>
  T get() {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    T value;
    std::memcpy(&value, next(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string text() { return std::string(next(get<uint32_t>())); }

  // A list's length; each entry has at least min_bytes.
  size_t length(size_t min_bytes) {
    const size_t entries = get<uint32_t>();
    if (entries * min_bytes > bytes_.size()) fail_short();
    return entries;
  }

  void expect_end() const {
    if (!bytes_.empty()) {
      fail(Exit::kIntegrity, "A {} has {} bytes too many: do all ranks run the same kvcomm?", what_,
           bytes_.size());
    }
  }

 private:
  std::string_view next(size_t n) {
    if (n > bytes_.size()) fail_short();
    const std::string_view part = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return part;
  }
  [[noreturn]] void fail_short() const {
    fail(Exit::kIntegrity, "A {} ends too early: do all ranks run the same kvcomm?", what_);
  }

  std::string_view bytes_, what_;
};

}  // namespace

std::string encode(const Header& header) {
  Writer out;
  out << kWireVersion << header.task << header.cell << header.attempt << header.kind;
  out << static_cast<uint32_t>(header.samples.size());
  for (const SampleRows& sample : header.samples) {
    out << sample.sample << sample.rows << sample.context_tokens;
  }
  out << static_cast<uint32_t>(header.tensors.size());
  for (const TensorSpec& spec : header.tensors) {
    out << static_cast<int32_t>(spec.layer) << spec.dtype << spec.first_row_only;
    out << static_cast<uint32_t>(spec.row_shape.size());
    for (const int64_t extent : spec.row_shape) out << extent;
  }
  out << header.failure;
  return out.take();
}

Header decode_header(std::string_view bytes) {
  Reader in(bytes, "message header");
  const auto version = in.get<uint32_t>();
  if (version != kWireVersion) {
    fail(Exit::kIntegrity,
         "The peer speaks version {} of the wire and this rank version {}: run the same kvcomm on "
         "all ranks.",
         version, kWireVersion);
  }
  Header header;
  header.task = in.get<uint64_t>();
  header.cell = in.get<uint32_t>();
  header.attempt = in.get<uint32_t>();
  header.kind = in.get<PayloadKind>();
  if (static_cast<int>(header.kind) >= kKinds) {
    fail(Exit::kIntegrity, "A message header names kind {}, of which there are only {}.",
         static_cast<int>(header.kind), kKinds);
  }
  header.samples.resize(in.length(sizeof(uint32_t) + 2 * sizeof(int64_t)));
  for (SampleRows& sample : header.samples) {
    sample.sample = in.get<uint32_t>();
    sample.rows = in.get<int64_t>();
    sample.context_tokens = in.get<int64_t>();
  }
  header.tensors.resize(in.length(sizeof(int32_t)));
  for (TensorSpec& spec : header.tensors) {
    spec.layer = in.get<int32_t>();
    spec.dtype = in.get<at::ScalarType>();
    spec.first_row_only = in.get<uint8_t>() != 0;
    spec.row_shape.resize(in.length(sizeof(int64_t)));
    for (int64_t& extent : spec.row_shape) extent = in.get<int64_t>();
  }
  header.failure = in.text();
  in.expect_end();
  return header;
}

std::string encode(const Trailer& trailer) {
  Writer out;
  out << trailer.sender_prefill_s << trailer.sender_decode_s << trailer.exposed_s
      << trailer.hidden_s << trailer.sender_joules << trailer.payload_bytes;
  out << static_cast<uint32_t>(trailer.sums.size());
  for (const uint64_t sum : trailer.sums) out << sum;
  out << trailer.failure;
  return out.take();
}

Trailer decode_trailer(std::string_view bytes) {
  Reader in(bytes, "message trailer");
  Trailer trailer;
  trailer.sender_prefill_s = in.get<double>();
  trailer.sender_decode_s = in.get<double>();
  trailer.exposed_s = in.get<double>();
  trailer.hidden_s = in.get<double>();
  trailer.sender_joules = in.get<double>();
  trailer.payload_bytes = in.get<uint64_t>();
  trailer.sums.resize(in.length(sizeof(uint64_t)));
  for (uint64_t& sum : trailer.sums) sum = in.get<uint64_t>();
  trailer.failure = in.text();
  in.expect_end();
  return trailer;
}

std::string encode_answer(std::string_view refusal) {
  return (Writer() << std::string(refusal)).take();
}

std::string decode_answer(std::string_view bytes) {
  Reader in(bytes, "answer to a header");
  std::string refusal = in.text();
  in.expect_end();
  return refusal;
}

}  // namespace kvcomm
