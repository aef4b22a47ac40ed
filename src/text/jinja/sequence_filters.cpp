#include "text/jinja/sequence_filters.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/filters.h"
#include "text/jinja/strings.h"

namespace kvcomm::jinja {
namespace {

using Kind = Sequence::Kind;

// Of a value, for sorting and comparing: texts in small letters unless case matters.
Value without_case(const Value& value, bool case_matters) {
  return value.text() && !case_matters ? Value(lower(*value.text())) : value;
}

Value attribute_of(const Value& item, const Value* path) {
  return path ? path_item(item, *path) : item;
}

struct Keyed {
  Value key, item;
};

// The items in the order of their keys, equal ones as they came (Python's sorted()).
Values in_order(std::vector<Keyed> keyed, bool descending) {
  std::ranges::stable_sort(keyed, [descending](const Keyed& a, const Keyed& b) {
    return descending ? compare(b.key, a.key) < 0 : compare(a.key, b.key) < 0;
  });
  Values items;
  for (Keyed& one : keyed) items.push_back(std::move(one.item));
  return items;
}

Value extreme(const Value& input, const Arguments& arguments, int wanted) {
  const Bound bound("min", arguments, {"case_sensitive", "attribute"});
  std::optional<Keyed> best;
  for (const Value& item : iterate(input)) {
    const Value key = without_case(attribute_of(item, bound.some(1)), bound.truth(0, false));
    if (!best || compare(key, best->key) * wanted > 0) best = Keyed{key, item};
  }
  return best ? best->item : Undefined{"No aggregated item, sequence was empty."};
}

// The test that arguments name from place `from` on, with what it is given; none: truth.
struct NamedTest {
  Test test = nullptr;
  Arguments rest;

  NamedTest(const Arguments& arguments, size_t from) {
    if (arguments.positional.size() <= from) return;
    const std::string* name = arguments.positional[from].text();
    test = name ? find_test(*name) : nullptr;
    if (!test) {
      throw TemplateError(fmt::format("No test named {}.", repr(arguments.positional[from])));
    }
    rest = arguments;
    rest.positional.erase(rest.positional.begin(),
                          rest.positional.begin() + static_cast<ptrdiff_t>(from) + 1);
  }
  bool operator()(const Value& value) const { return test ? test(value, rest) : truth(value); }
};

Value selected(const Value& input, const Arguments& arguments, bool by_attribute, bool wanted) {
  if (!truth(input)) return make_generator({});
  if (by_attribute && arguments.positional.empty()) {
    throw TemplateError("Missing parameter for attribute name");
  }
  const Value* path = by_attribute ? &arguments.positional[0] : nullptr;
  const NamedTest test(arguments, by_attribute ? 1 : 0);
  Values kept;
  for (const Value& item : iterate(input)) {
    if (test(attribute_of(item, path)) == wanted) kept.push_back(item);
  }
  return make_generator(std::move(kept));
}

// An attribute of each item; a default takes the place of what is not there.
Values attributes(const Value& input, const Arguments& arguments) {
  const Bound bound("map", arguments, {"attribute", "default"}, 1);
  Values made;
  for (const Value& item : iterate(input)) {
    const Value* otherwise = bound.some(1);
    const bool lacks = item.is<Undefined>() && otherwise;
    Value found = lacks ? *otherwise : path_item(item, *bound[0]);
    made.push_back(found.is<Undefined>() && otherwise ? *otherwise : found);
  }
  return made;
}

}  // namespace

Value batch(const Value& input, const Arguments& arguments) {
  const Bound bound("batch", arguments, {"linecount", "fill_with"}, 1);
  const auto size = static_cast<size_t>(std::max<int64_t>(1, bound.integer(0, 1)));
  Values rows, row;
  for (const Value& item : iterate(input)) {
    if (row.size() == size) rows.push_back(make_list(std::exchange(row, {})));
    row.push_back(item);
  }
  if (!row.empty()) {
    while (bound.some(1) && row.size() < size) row.push_back(*bound[1]);
    rows.push_back(make_list(std::move(row)));
  }
  return make_generator(std::move(rows));
}

Value slices(const Value& input, const Arguments& arguments) {
  const Bound bound("slice", arguments, {"slices", "fill_with"}, 1);
  const Values items = iterate(input);
  const int64_t count = bound.integer(0, 1), size = static_cast<int64_t>(items.size());
  if (count < 1 || count > 100000) throw TemplateError("slice() takes a number of slices above 0");
  Values rows;
  for (int64_t i = 0, at = 0; i < count; ++i) {
    const int64_t end = at + size / count + (i < size % count);
    Values row(items.begin() + at, items.begin() + end);
    if (bound.some(1) && i >= size % count) row.push_back(*bound[1]);
    rows.push_back(make_list(std::move(row)));
    at = end;
  }
  return make_generator(std::move(rows));
}

Value first(const Value& input, const Arguments& arguments) {
  const Bound none("first", arguments, {});
  const auto* sequence = std::get_if<std::shared_ptr<Sequence>>(&input);
  if (sequence && (*sequence)->kind == Kind::kGenerator) {  // the others stay to be gone through
    Sequence& held = **sequence;
    if (held.used < held.items.size()) return held.items[held.used++];
    return Undefined{"No first item, sequence was empty."};
  }
  const Values items = iterate(input);
  return items.empty() ? Undefined{"No first item, sequence was empty."} : items.front();
}

Value last(const Value& input, const Arguments& arguments) {
  const Bound none("last", arguments, {});
  if (input.sequence() && input.sequence()->kind == Kind::kGenerator) {
    throw TemplateError("'generator' object is not reversible");
  }
  const Values items = iterate(input);
  return items.empty() ? Undefined{"No last item, sequence was empty."} : items.back();
}

Value length_filter(const Value& input, const Arguments& arguments) {
  const Bound none("length", arguments, {});
  return length(input);
}

Value list_of(const Value& input, const Arguments& arguments) {
  const Bound none("list", arguments, {});
  return make_list(iterate(input));
}

Value items_of_dict(const Value& input, const Arguments&) {
  if (!input.dict() && !input.is<Undefined>()) {
    throw TemplateError("Can only get item pairs from a mapping.");
  }
  Values items;
  if (const Dict* dict = input.dict()) {
    for (const auto& [key, value] : dict->items) items.push_back(make_tuple({key, value}));
  }
  return make_generator(std::move(items));
}

Value join_filter(const Value& input, const Arguments& arguments) {
  const Bound bound("join", arguments, {"d", "attribute"});
  const std::string between = bound[0] ? to_text(*bound[0]) : "";
  std::string all;
  bool first = true;
  for (const Value& item : iterate(input)) {
    all += (first ? "" : between) + to_text(attribute_of(item, bound.some(1)));
    first = false;
  }
  return all;
}

Value largest(const Value& input, const Arguments& arguments) {
  return extreme(input, arguments, 1);
}
Value smallest(const Value& input, const Arguments& arguments) {
  return extreme(input, arguments, -1);
}

Value map_filter(const Value& input, const Arguments& arguments) {
  if (!truth(input)) return make_generator({});
  const bool by_attribute =
      arguments.positional.empty() && std::ranges::any_of(arguments.named, [](const auto& one) {
        return one.first == "attribute";
      });
  if (by_attribute) return make_generator(attributes(input, arguments));
  if (arguments.positional.empty()) throw TemplateError("map requires a filter argument");
  const std::string* name = arguments.positional[0].text();
  const Filter filter = name ? find_filter(*name) : nullptr;
  if (!filter)
    throw TemplateError(fmt::format("No filter named {}.", repr(arguments.positional[0])));
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin());
  Values made;
  for (const Value& item : iterate(input)) made.push_back(filter(item, rest));
  return make_generator(std::move(made));
}

Value select(const Value& input, const Arguments& a) { return selected(input, a, false, true); }
Value reject(const Value& input, const Arguments& a) { return selected(input, a, false, false); }
Value select_attribute(const Value& input, const Arguments& a) {
  return selected(input, a, true, true);
}
Value reject_attribute(const Value& input, const Arguments& a) {
  return selected(input, a, true, false);
}

Value reverse(const Value& input, const Arguments& arguments) {
  const Bound none("reverse", arguments, {});
  if (const std::string* text = input.text()) {
    const std::u32string all = decode_utf8(*text);
    return encode_utf8(std::u32string(all.rbegin(), all.rend()));
  }
  Values items = iterate(input);
  std::ranges::reverse(items);
  const bool once = input.sequence() && input.sequence()->kind == Kind::kGenerator;
  return once ? make_list(std::move(items)) : make_generator(std::move(items));
}

Value sort(const Value& input, const Arguments& arguments) {
  const Bound bound("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<Value> paths;
  if (const Value* given = bound.some(2)) {
    if (!given->text())
      paths.push_back(*given);
    else
      for (const auto& path : split(*given->text(), ",", -1, Side::kLeft)) paths.emplace_back(path);
  }
  std::vector<Keyed> keyed;
  for (const Value& item : iterate(input)) {
    Values keys;
    for (const Value& path : paths) {
      keys.push_back(without_case(path_item(item, path), bound.truth(1, false)));
    }
    if (paths.empty()) keys.push_back(without_case(item, bound.truth(1, false)));
    keyed.push_back({make_list(std::move(keys)), item});
  }
  return make_list(in_order(std::move(keyed), bound.truth(0, false)));
}

Value sort_dict(const Value& input, const Arguments& arguments) {
  const Bound bound("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = bound.text(1, "key");
  if (by != "key" && by != "value") {
    throw TemplateError("You can only sort by either \"key\" or \"value\"");
  }
  if (!input.dict()) throw TemplateError("dictsort() takes a dictionary, not " + type_name(input));
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : input.dict()->items) {
    keyed.push_back(
        {without_case(by == "key" ? key : value, bound.truth(0, false)), make_tuple({key, value})});
  }
  return make_list(in_order(std::move(keyed), bound.truth(2, false)));
}

Value sum(const Value& input, const Arguments& arguments) {
  const Bound bound("sum", arguments, {"attribute", "start"});
  Value total = bound[1] ? *bound[1] : Value(0);
  if (total.text()) throw TemplateError("sum() can't sum strings");
  for (const Value& item : iterate(input)) {
    total = reckon("+", total, attribute_of(item, bound.some(0)));
  }
  return total;
}

Value unique(const Value& input, const Arguments& arguments) {
  const Bound bound("unique", arguments, {"case_sensitive", "attribute"});
  Values kept;
  Dict seen;
  for (const Value& item : iterate(input)) {
    const Value key = without_case(attribute_of(item, bound.some(1)), bound.truth(0, false));
    if (seen.find(key)) continue;
    seen.set(key, true);
    kept.push_back(item);
  }
  return make_generator(std::move(kept));
}

}  // namespace kvcomm::jinja
