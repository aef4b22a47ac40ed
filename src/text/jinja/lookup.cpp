// Looking into values: attributes, items, slices.
#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/methods.h"
#include "text/jinja/strings.h"
#include "text/jinja/value.h"

namespace kvcomm::jinja {
namespace {

Value absent(const Value& value, const std::string& what) {
  return Undefined{fmt::format("'{} object' has no {}", type_name(value), what)};
}

// The item at a place that may count from the end; none outside.
std::optional<size_t> place_of(const Value& key, size_t size) {
  const int64_t at = to_integer(key), all = static_cast<int64_t>(size);
  if (at >= all || at < -all) return std::nullopt;
  return static_cast<size_t>(at < 0 ? at + all : at);
}

// value[key]; none where Python raises TypeError or LookupError.
std::optional<Value> find_item(const Value& value, const Value& key) {
  if (const Dict* dict = value.dict()) {
    const Value* found = dict->find(key);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (!is_integer(key)) return std::nullopt;
  if (const std::string* text = value.text()) {
    const std::u32string all = decode_utf8(*text);
    const auto at = place_of(key, all.size());
    return at ? std::optional<Value>(encode_utf8({&all[*at], 1})) : std::nullopt;
  }
  const Sequence* sequence = value.sequence();
  const bool has_places = sequence && sequence->kind != Sequence::Kind::kGenerator &&
                          sequence->kind != Sequence::Kind::kView;
  if (!has_places) return std::nullopt;
  const auto at = place_of(key, sequence->items.size());
  return at ? std::optional(sequence->items[*at]) : std::nullopt;
}

// value.name where it is no item; Undefined where the sandbox forbids it.
std::optional<Value> find_attribute(const Value& value, const std::string& name) {
  if (is_unsafe_method(value, name)) {
    return Undefined{
        fmt::format("access to attribute '{}' of '{}' object is unsafe", name, type_name(value))};
  }
  if (const auto* object = std::get_if<std::shared_ptr<Object>>(&value)) {
    return (*object)->attribute(name);
  }
  return find_method(value, name);
}

void require_defined(const Value& value) {
  if (const auto* undefined = std::get_if<Undefined>(&value)) {
    throw TemplateError(undefined->complaint);
  }
}

struct Bounds {
  int64_t start, stop, step;
};

// slice.indices() of Python.
Bounds slice_bounds(const Value& start, const Value& stop, const Value& step, int64_t size) {
  const int64_t by = step.is<None>() ? 1 : to_integer(step);
  if (by == 0) throw TemplateError("slice step cannot be zero");
  const int64_t low = by < 0 ? -1 : 0, high = by < 0 ? size - 1 : size;
  const auto place = [&](const Value& given, int64_t otherwise) {
    if (given.is<None>()) return otherwise;
    const int64_t at = to_integer(given);
    return at < 0 ? std::max(at + size, low) : std::min(at, high);
  };
  return {place(start, by < 0 ? high : low), place(stop, by < 0 ? low : high), by};
}

template <typename All>
All sliced(const All& all, const Bounds& bounds) {
  All part;
  const auto inside = [&](int64_t i) {
    return bounds.step > 0 ? i < bounds.stop : i > bounds.stop;
  };
  for (int64_t i = bounds.start; inside(i); i += bounds.step) {
    part.push_back(all[static_cast<size_t>(i)]);
    if (bounds.step > static_cast<int64_t>(all.size()) ||
        bounds.step < -static_cast<int64_t>(all.size())) {
      break;
    }
  }
  return part;
}

}  // namespace

Value item(const Value& value, const Value& key) {
  require_defined(value);
  if (const auto found = find_item(value, key)) return *found;
  if (const std::string* name = key.text()) {
    if (const auto found = find_attribute(value, *name)) return *found;
  }
  return absent(value, key.text() ? fmt::format("attribute '{}'", *key.text()) : "such item");
}

Value attribute(const Value& value, const std::string& name) {
  require_defined(value);
  if (const auto found = find_attribute(value, name)) return *found;
  if (const auto found = find_item(value, name)) return *found;
  return absent(value, fmt::format("attribute '{}'", name));
}

Value slice(const Value& value, const Value& start, const Value& stop, const Value& step) {
  require_defined(value);
  if (const std::string* text = value.text()) {
    const std::u32string all = decode_utf8(*text);
    return encode_utf8(
        sliced(all, slice_bounds(start, stop, step, static_cast<int64_t>(all.size()))));
  }
  const Sequence* sequence = value.sequence();
  const bool has_places = sequence && sequence->kind != Sequence::Kind::kGenerator &&
                          sequence->kind != Sequence::Kind::kView;
  if (!has_places) {
    throw TemplateError(fmt::format("'{}' object is not subscriptable", type_name(value)));
  }
  const auto size = static_cast<int64_t>(sequence->items.size());
  return make_sequence(sequence->kind,
                       sliced(sequence->items, slice_bounds(start, stop, step, size)));
}

Value path_item(const Value& value, const Value& path) {
  if (!path.text()) return item(value, path);
  Value found = value;
  for (const std::string& part : split(*path.text(), ".", -1, Side::kLeft)) {
    const bool is_place = !part.empty() && part.size() < 10 &&
                          std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    found = item(found, is_place ? Value(std::stoi(part)) : Value(part));
  }
  return found;
}

}  // namespace kvcomm::jinja
